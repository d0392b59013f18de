"""The vocabulary of a delivery: statuses, reasons, evidence and causes.

Every carrier's vocabulary is translated into this one; events and the database contain no other.
"""

from enum import StrEnum

from schemas.vocabulary import Vocabulary


class DeliveryStatus(Vocabulary):
    """The status of a delivery; five of the twenty are final."""

    QUEUED = "queued"
    """The order waits for its time, a retry or the next carrier, or its create is being sent.

    No carrier is known to have the order.
    """
    SUBMIT_UNKNOWN = "submit_unknown"
    """The outcome of a create is unknown. No other carrier is asked until the outcome is known."""
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    """The carrier offers another pickup time, and we must accept or deny the offer.

    With the detail `manual_dispatch`, an operator must book the courier instead.
    """
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
    """The carrier paused the order; afterwards the delivery continues from its earlier status."""
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
    """The carrier confirmed the cancel, or no carrier had the order. Final."""
    REJECTED = "rejected"
    """No carrier accepted the order, and no courier was sent. Final."""
    FAILED = "failed"
    """The delivery failed after a carrier accepted the order, for example because the goods were lost. Final."""


class AttemptState(StrEnum):
    """The state of an attempt at one carrier: a status, or `submitting`."""

    SUBMITTING = "submitting"
    """The intent to create is committed and the create may be in flight. Never published as a status."""
    QUEUED = "queued"
    """The create was not sent; the attempt waits until it can be sent again."""
    SUBMIT_UNKNOWN = "submit_unknown"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    CREATED = "created"
    COURIER_WITHDRAWN = "courier_withdrawn"
    COURIER_ASSIGNED = "courier_assigned"
    PICKUP_ENROUTE = "pickup_enroute"
    PICKUP_ARRIVED = "pickup_arrived"
    PICKED_UP = "picked_up"
    DROPOFF_ENROUTE = "dropoff_enroute"
    DROPOFF_ARRIVED = "dropoff_arrived"
    ON_HOLD = "on_hold"
    DELIVERY_FAILED = "delivery_failed"
    REATTEMPTING = "reattempting"
    RETURNING = "returning"
    DELIVERED = "delivered"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    """The carrier refused the order, or never had it."""
    FAILED = "failed"


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
"""The progress of each status. `on_hold` has no rank of its own: it keeps the rank of the status that it interrupts."""

FINAL = frozenset({S.DELIVERED, S.RETURNED, S.CANCELLED, S.REJECTED, S.FAILED})

GOODS_WITH_COURIER = RANK[S.PICKED_UP]
"""The lowest rank at which the courier has the goods. From this rank on, only an operator sends another courier."""


class Detail(Vocabulary):
    """A refinement of a status. A carrier may add further details."""

    FALLBACK = "fallback"
    """`queued`: another carrier is asked next."""
    RESUBMIT = "resubmit"
    """`queued`: the create is sent again.

    The first create produced no order, or its outcome is unknown and the account allows a repeat.
    """
    RETRY = "retry"
    """`queued`: an operator retried an ended delivery."""
    WAITING_FOR_SHOP = "waiting_for_shop"
    """`queued`: the dispatch gate is closed."""
    PENDING_VERIFICATION = "pending_verification"
    """`created`: the carrier has yet to check the order."""
    MANUAL_DISPATCH = "manual_dispatch"
    """`awaiting_confirmation`: an operator books the courier on the carrier's own pages."""
    REASSIGNED = "reassigned"
    """The carrier gave the order to another courier, so the delivery went back to an earlier status."""
    IN_PROCESS = "in_process"
    """`courier_assigned`: the carrier does not say how far the courier is."""
    DELAYED = "delayed"
    """The carrier calls the order delayed."""
    DRAFT = "draft"
    """`on_hold`: the order is only a draft at the carrier."""
    PLANNED = "planned"
    """`returning`, `reattempting`: no courier travels yet."""
    COURIER_ASSIGNED = "courier_assigned"
    """`returning`, `reattempting`: a courier is assigned."""
    COURIER_DEPARTED = "courier_departed"
    """`returning`, `reattempting`: the courier travels to the goods."""
    PICKED_UP = "picked_up"
    """`returning`, `reattempting`: the courier has the goods."""
    WITH_ITEMS = "with_items"
    """A final status: the delivery ended while the courier had the goods."""
    PLATFORM_CLOSED = "platform_closed"
    """`cancelled`: the platform closed the order while no carrier had it."""
    OWN_DRIVER = "own_driver"
    """`cancelled`: the platform's own driver has the order."""


class AttentionReason(Vocabulary):
    """Why an operator is needed (`delivery.attention_required`); a delivery may have several."""

    UNKNOWN_STORE = "unknown_store"
    """The store directory does not contain the order's store."""
    NO_CONFIGURED_CARRIER = "no_configured_carrier"
    """None of the carriers that the order or its store lists has an account."""
    DUPLICATE_AT_CARRIER = "duplicate_at_carrier"
    """The carrier calls the create a duplicate. An operator must find the order that the carrier already has."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """The outcome of a create is still unknown near the pickup time, or an operator must settle it."""
    NOT_DISPATCHED_IN_TIME = "not_dispatched_in_time"
    """The pickup is near and no carrier has confirmed a courier."""
    REFERENCE_MISSING = "reference_missing"
    """The carrier has the order under an id that we do not know."""
    SURPLUS_COURIER = "surplus_courier"
    """A surplus courier could not be cancelled."""
    WENT_BACKWARDS = "went_backwards"
    """Two reads show a status that the delivery has already passed."""
    STILL_OPEN_AFTER_A_DAY = "still_open_after_a_day"
    """The delivery is not final a day after its dispatch time."""
    GOODS_WITH_COURIER = "goods_with_courier"
    """The delivery ended while the courier had the goods."""
    PLATFORM_CANCELED_BY_DRIVER = "platform_canceled_by_driver"
    """The platform says that a driver cancelled; the order itself may still be wanted."""
    PLATFORM_PICKUP_FAILED = "platform_pickup_failed"
    """The platform says that a driver could not pick the order up; the order may still be wanted."""
    OFFER_WAITS = "offer_waits"
    """The carrier offers a pickup time that is outside the account's limit, or too early for the food."""
    ORDER_CHANGED_AFTER_DISPATCH = "order_changed_after_dispatch"
    """The order was changed after the carrier got it, and the change cannot be sent to the carrier."""
    ORDER_CHANGED_WITHOUT_REVISION = "order_changed_without_revision"
    """A message has the revision of the known order but different content. This content was not applied."""
    CANCEL_REFUSED = "cancel_refused"
    """A cancel was refused, and a later read showed that the order continues."""


class Conflict(Vocabulary):
    """What disagrees (`delivery.conflict`)."""

    ORPHAN_FOUND = "orphan_found"
    """The carrier has an order for an attempt that was refused, never created or never sent."""
    CANCELLED_BUT_ALIVE = "cancelled_but_alive"
    """The courier of a cancelled order has the goods."""
    TWO_COURIERS = "two_couriers"
    """An ended attempt continues beside another courier."""
    DUPLICATE = "duplicate"
    """The carrier has several orders with the reference of one attempt."""
    PLATFORM_CLOSED = "platform_closed"
    """The platform closed the order while a courier is at work."""
    PLATFORM_DIFFERS = "platform_differs"
    """The platform shows a status that contradicts ours."""
    PLATFORM_REFUSED = "platform_refused"
    """The platform refused our status."""


class Reason(Vocabulary):
    """Why something ended or was refused. A carrier's own text goes into `reason_text` and decides nothing."""

    VALIDATION = "validation"
    """The carrier refuses the content of the order, or our own check of it fails."""
    UNSERVICEABLE = "unserviceable"
    """The carrier does not serve the address or the route."""
    CARRIER_CLOSED = "carrier_closed"
    """The carrier is closed at this time."""
    NO_COURIER = "no_courier"
    """The carrier found no courier."""
    ACCOUNT_AUTH = "account_auth"
    """The carrier rejects the credentials of the account."""
    ACCOUNT_FUNDING = "account_funding"
    """The account has no money or no credit left."""
    CONFIG = "config"
    """A setting of the account or of the store does not allow the order."""
    DUPLICATE = "duplicate"
    """The carrier has an order with this reference already."""
    TIME_DENIED = "time_denied"
    """The time that the carrier offered was denied."""
    OFFER_LAPSED = "offer_lapsed"
    """The time that the carrier offered was not accepted before it lapsed."""
    DEADLINE_PASSED = "deadline_passed"
    """It is too late for the order, or for the change."""
    CUSTOMER_UNAVAILABLE = "customer_unavailable"
    """The customer was not there or did not answer."""
    CUSTOMER_REFUSED = "customer_refused"
    """The customer did not take the goods."""
    ADDRESS_PROBLEM = "address_problem"
    """The courier could not find the address."""
    PAYMENT_PROBLEM = "payment_problem"
    """The customer could not pay."""
    MERCHANT_NOT_READY = "merchant_not_ready"
    """The shop was closed, or the goods were not ready."""
    GOODS_DAMAGED = "goods_damaged"
    """The goods were damaged."""
    GOODS_LOST = "goods_lost"
    """The goods were lost."""
    DRAFT = "draft"
    """The order is only a draft at the carrier."""
    DELETED = "deleted"
    """The carrier deleted the order."""
    INVALID = "invalid"
    """The carrier calls the order invalid."""
    BY_OPERATOR = "by_operator"
    """An operator decided so."""
    UNKNOWN = "unknown"
    """The carrier gave no reason that we know."""


class Evidence(Vocabulary):
    """How well a status is proven."""

    OBSERVED = "observed"
    """The carrier reported the status for this parcel."""
    ORDER_LEVEL = "order_level"
    """The carrier reported the status for its whole order, not for this parcel."""
    WEAK = "weak"
    """The carrier's report suggests the status but does not prove it."""


class CancelledBy(Vocabulary):
    """Who cancelled the delivery."""

    MERCHANT = "merchant"
    """The shop, or a sender that did not say that the customer cancelled."""
    CUSTOMER = "customer"
    """The customer."""
    COURIER = "courier"
    """The courier."""
    CARRIER = "carrier"
    """The carrier."""
    UNKNOWN = "unknown"
    """The carrier does not say who cancelled."""


class Cause(Vocabulary):
    """The input that caused a change."""

    POLL = "poll"
    """A read of the carrier's status."""
    CALLBACK = "callback"
    """A callback of the carrier."""
    RESPONSE = "response"
    """The carrier's reply to our own request, such as a create."""
    RECONCILE = "reconcile"
    """A look-up after an unknown outcome."""
    OPERATOR = "operator"
    """A decision of an operator."""
    MESSAGE = "message"
    """A message of the platform."""
    TIMER = "timer"
    """A time that passed."""
