"""The vocabulary of a delivery: statuses, reasons and where they come from.

Every carrier's vocabulary is translated into this one; events and the database contain no other.
"""

from enum import IntEnum, StrEnum


class DeliveryStatus(StrEnum):
    """The status of a delivery; five of the twenty are final."""

    QUEUED = "queued"
    """Accepted by us; waiting for its time, a retry or the next carrier. No carrier is known to have it."""
    SUBMIT_UNKNOWN = "submit_unknown"
    """The outcome of a create is unknown. Until it is reconciled, no other carrier is asked."""
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    """The carrier offers another time, and it must be accepted or denied."""
    CREATED = "created"
    """The carrier has accepted the order; no courier is assigned yet."""
    COURIER_WITHDRAWN = "courier_withdrawn"
    """A courier gave the order back before the pickup; the carrier may assign another."""
    COURIER_ASSIGNED = "courier_assigned"
    """A courier is assigned."""
    PICKUP_ENROUTE = "pickup_enroute"
    """The courier is on the way to the shop."""
    PICKUP_ARRIVED = "pickup_arrived"
    """The courier is at the shop."""
    PICKED_UP = "picked_up"
    """The courier has the goods."""
    DROPOFF_ENROUTE = "dropoff_enroute"
    """The courier is on the way to the customer."""
    DROPOFF_ARRIVED = "dropoff_arrived"
    """The courier is at the customer's door."""
    ON_HOLD = "on_hold"
    """Paused by the carrier; it resumes with the status that it had before."""
    DELIVERY_FAILED = "delivery_failed"
    """The handover at the door failed. The courier still has the goods; what happens next is open."""
    REATTEMPTING = "reattempting"
    """A new handover at the door is planned or under way."""
    RETURNING = "returning"
    """The goods are on the way back to the shop."""
    DELIVERED = "delivered"
    """The customer has the goods. Final."""
    RETURNED = "returned"
    """The goods are back at the shop. Final."""
    CANCELLED = "cancelled"
    """Cancelled: confirmed by the carrier, or never sent to one. Final."""
    REJECTED = "rejected"
    """No carrier accepted the order, and no courier was sent. Final."""
    FAILED = "failed"
    """It failed after a carrier accepted it: lost, damaged or invalid. Final."""


S = DeliveryStatus

RANK: dict[DeliveryStatus, int] = {
    S.QUEUED: 0,
    S.SUBMIT_UNKNOWN: 2,
    S.AWAITING_CONFIRMATION: 3,
    S.CREATED: 10,
    S.COURIER_WITHDRAWN: 15,
    S.COURIER_ASSIGNED: 20,
    S.PICKUP_ENROUTE: 30,
    S.PICKUP_ARRIVED: 40,
    S.PICKED_UP: 50,
    S.DROPOFF_ENROUTE: 60,
    S.DROPOFF_ARRIVED: 70,
    S.DELIVERY_FAILED: 80,
    S.REATTEMPTING: 81,
    S.RETURNING: 85,
    S.DELIVERED: 100,
    S.RETURNED: 100,
    S.CANCELLED: 100,
    S.REJECTED: 100,
    S.FAILED: 100,
}
"""How far along each status is. `on_hold` has no rank: it keeps that of the status it interrupts."""

FINAL = frozenset({S.DELIVERED, S.RETURNED, S.CANCELLED, S.REJECTED, S.FAILED})

GOODS_WITH_COURIER = RANK[S.PICKED_UP]
"""From this rank on the courier has the goods, so no other courier is sent without an operator."""


class Reason(StrEnum):
    """Why something ended or was refused. A carrier's own text goes into `reason_text` and decides nothing."""

    VALIDATION = "validation"
    UNSERVICEABLE = "unserviceable"
    CARRIER_CLOSED = "carrier_closed"
    NO_COURIER = "no_courier"
    ACCOUNT_AUTH = "account_auth"
    ACCOUNT_FUNDING = "account_funding"
    CONFIG = "config"
    DUPLICATE = "duplicate"
    TIME_DENIED = "time_denied"
    OFFER_LAPSED = "offer_lapsed"
    DEADLINE_PASSED = "deadline_passed"
    CUSTOMER_UNAVAILABLE = "customer_unavailable"
    CUSTOMER_REFUSED = "customer_refused"
    ADDRESS_PROBLEM = "address_problem"
    PAYMENT_PROBLEM = "payment_problem"
    MERCHANT_NOT_READY = "merchant_not_ready"
    GOODS_DAMAGED = "goods_damaged"
    GOODS_LOST = "goods_lost"
    DRAFT = "draft"
    DELETED = "deleted"
    INVALID = "invalid"
    BY_OPERATOR = "by_operator"
    UNKNOWN = "unknown"


class Evidence(StrEnum):
    """How well a status is proven."""

    OBSERVED = "observed"
    """The carrier reported it for this parcel."""
    ORDER_LEVEL = "order_level"
    """The carrier reported it for the order, not for the parcel."""
    WEAK = "weak"
    """It agrees with what the carrier reported but is not proven by it."""


class CancelledBy(StrEnum):
    """Who cancelled the delivery."""

    MERCHANT = "merchant"
    CUSTOMER = "customer"
    COURIER = "courier"
    CARRIER = "carrier"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """What caused a change: the input that was processed."""

    POLL = "poll"
    CALLBACK = "callback"
    RESPONSE = "response"
    RECONCILE = "reconcile"
    OPERATOR = "operator"
    MESSAGE = "message"
    TIMER = "timer"


class PlatformStatus(IntEnum):
    """The status of an order on the Ordering platform (Ordering, "Orders statuses")."""

    PENDING = 0
    COMPLETED = 1
    REJECTED = 2
    DRIVER_IN_BUSINESS = 3
    PREPARATION_COMPLETED = 4
    REJECTED_BY_BUSINESS = 5
    CANCELED_BY_DRIVER = 6
    ACCEPTED_BY_BUSINESS = 7
    ACCEPTED_BY_DRIVER = 8
    PICK_UP_COMPLETED_BY_DRIVER = 9
    PICK_UP_FAILED_BY_DRIVER = 10
    DELIVERY_COMPLETED_BY_DRIVER = 11
    DELIVERY_FAILED_BY_DRIVER = 12
    PREORDER = 13
    ORDER_NOT_READY = 14
    PICKUP_COMPLETED_BY_CUSTOMER = 15
    CANCELED_BY_CUSTOMER = 16
    NOT_PICKED_BY_CUSTOMER = 17
    DRIVER_ALMOST_ARRIVED_TO_BUSINESS = 18
    DRIVER_ALMOST_ARRIVED_TO_CUSTOMER = 19
    CUSTOMER_ALMOST_ARRIVED_TO_BUSINESS = 20
    CUSTOMER_ARRIVED_TO_BUSINESS = 21
    LOOKING_FOR_DRIVER = 22
    DRIVER_ON_WAY = 23
    DRIVER_WAITING_FOR_ORDER = 24
    ACCEPTED_BY_DRIVER_COMPANY = 25


P = PlatformStatus

TO_PLATFORM: dict[DeliveryStatus, PlatformStatus | None] = {
    S.QUEUED: P.LOOKING_FOR_DRIVER,
    S.SUBMIT_UNKNOWN: P.LOOKING_FOR_DRIVER,
    S.AWAITING_CONFIRMATION: P.LOOKING_FOR_DRIVER,
    S.CREATED: P.ACCEPTED_BY_DRIVER_COMPANY,
    S.COURIER_WITHDRAWN: P.LOOKING_FOR_DRIVER,
    S.COURIER_ASSIGNED: P.ACCEPTED_BY_DRIVER,
    S.PICKUP_ENROUTE: P.ACCEPTED_BY_DRIVER,
    S.PICKUP_ARRIVED: P.DRIVER_IN_BUSINESS,
    S.PICKED_UP: P.PICK_UP_COMPLETED_BY_DRIVER,
    S.DROPOFF_ENROUTE: P.PICK_UP_COMPLETED_BY_DRIVER,
    S.DROPOFF_ARRIVED: P.PICK_UP_COMPLETED_BY_DRIVER,
    S.ON_HOLD: None,
    S.DELIVERY_FAILED: None,
    S.REATTEMPTING: None,
    S.RETURNING: P.DELIVERY_FAILED_BY_DRIVER,
    S.DELIVERED: P.DELIVERY_COMPLETED_BY_DRIVER,
    S.RETURNED: P.DELIVERY_FAILED_BY_DRIVER,
    S.CANCELLED: None,
    S.REJECTED: None,
    S.FAILED: None,
}
"""The platform's status for each of ours; None where nothing is written back."""
