"""The mapping of DeliverIt's texts to our statuses and reasons. In each table the first rule that applies decides."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.status import DeliveryStatus, Evidence, Reason

S = DeliveryStatus

MILESTONES: dict[str, str] = {
    "driver_arrive": "driverArrive",
    "driver_left": "driverLeft",
    "arrive_at_customer": "arriveAtCustomer",
    "done": "done",
}
"""DeliverIt's key for each of the four milestones of a day-list row, in the order in which they happen (D-56)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The events of a trip whose times in a day-list row have passed. A future time is only an estimate (D-57)."""

    cancelled: bool = False
    driver_arrive: bool = False
    driver_left: bool = False
    arrive_at_customer: bool = False
    done: bool = False


@dataclass(frozen=True, slots=True)
class StatusRule:
    """One row of the status table."""

    applies: Callable[[Progress], bool]
    status: DeliveryStatus
    code: str
    """DeliverIt's own name for the status."""
    evidence: Evidence = Evidence.OBSERVED
    milestone: str | None = None
    """The milestone whose time is the time of the status."""
    notes: tuple[str, ...] = ()


RULES: tuple[StatusRule, ...] = (
    StatusRule(lambda trip: trip.cancelled and not trip.done, S.CANCELLED, "cancel"),
    StatusRule(
        lambda trip: trip.done and (trip.driver_left or trip.arrive_at_customer), S.DELIVERED, "done", milestone="done"
    ),
    StatusRule(
        lambda trip: trip.done, S.DELIVERED, "done", Evidence.WEAK, milestone="done", notes=("done_without_handover",)
    ),
    StatusRule(
        lambda trip: trip.arrive_at_customer, S.DROPOFF_ARRIVED, "arriveAtCustomer", milestone="arrive_at_customer"
    ),
    StatusRule(lambda trip: trip.driver_left, S.PICKED_UP, "driverLeft", milestone="driver_left"),
    StatusRule(lambda trip: trip.driver_arrive, S.PICKUP_ARRIVED, "driverArrive", milestone="driver_arrive"),
    StatusRule(lambda _: True, S.CREATED, "N/A"),
)
"""The status of a day-list row ("Get orders period").

There is no rule for `courier_assigned`, because the list does not show the driver (D-64). A row that is both done and
cancelled counts as delivered (D-63).
"""

CREATED: dict[tuple[bool, bool], DeliveryStatus] = {
    (False, False): S.CREATED,
    (True, True): S.AWAITING_CONFIRMATION,
}
"""The status after a create with 201. The key says whether `push` is true, and whether there is an `acceptUrl`.

Any other pair is contradictory (D-20, D-21).
"""

MessageTable = tuple[tuple[str, Reason], ...]

CREATE_REFUSALS: MessageTable = (
    ("closed", Reason.CARRIER_CLOSED),
    ("cannot be empty", Reason.VALIDATION),
    ("missing", Reason.VALIDATION),
)
"""Parts of the message of a 400 to a create, each with the reason that it means.

`DeliverItOpen` is not used, because it is true even when DeliverIt is closed (D-23).
"""

ACCEPT_REFUSALS: MessageTable = (("time limit", Reason.OFFER_LAPSED), ("does not exist", Reason.OFFER_LAPSED))
"""Parts of the message of a 400 to an accept, each with the reason that it means (D-30)."""

DENY_REFUSALS: MessageTable = ()
"""Parts of the message of a 400 to a deny, each with the reason that it means.

The table is empty, because the only documented message says nothing about the order (D-34).
"""

CANCEL_REFUSALS: MessageTable = (("on the way", Reason.DEADLINE_PASSED),)
"""Parts of the message of a refused cancel, each with the reason that it means (D-42).

A cancel is refused with 400, or with 200 and `error` true (D-41).
"""

TRANSFER_REFUSALS: MessageTable = (
    ("cannot be empty", Reason.VALIDATION),
    ("too messy", Reason.ADDRESS_PROBLEM),
)
"""Parts of the message of a 400 to the transfer, update or cancel of a transferred order, each with its reason.

"Order with that number does not exist" is not in the table, so its reason is UNKNOWN.
"""

NOT_SAVED = "strange error"
"""Part of the message of a 400 to a transfer, an update or a cancel after a temporary fault.

The call may be repeated, because DeliverIt accepts our order number only once (D-75).
"""

NUMBER_EXISTS = "order with that number exist."
"""Part of the message of a 400 to a transfer when an order with our number already exists (D-74)."""

FOR_DELIVERY = "order is for delivery"
"""Part of the message after a transfer or an update, unless the customer collects the order themselves (D-79)."""

UPDATED = "update ok"
"""The start of the message of a successful update, whatever `error` says (D-76)."""

ALREADY_ACCEPTED = "already accepted"
"""Part of the message of the 200 that answers a repeated accept (D-33)."""

NO_ORDERS = "no order is found"
"""Part of the message of the 404 that means an empty day list (D-54)."""


MEANINGS: dict[tuple[str, str], DeliveryStatus] = {
    **{("row", rule.code): rule.status for rule in RULES},
    ("create", "created"): S.CREATED,
    ("create", "push"): S.AWAITING_CONFIRMATION,
    ("accept", "200"): S.CREATED,
    ("accept", "202"): S.CREATED,
    ("deny", "200"): S.REJECTED,
    ("transfer", "created"): S.AWAITING_CONFIRMATION,
    ("transfer", "exists"): S.AWAITING_CONFIRMATION,
    ("transfer", "updated"): S.AWAITING_CONFIRMATION,
    ("transfer", "canceled"): S.CANCELLED,
}
"""The status of each entity and code that observations contain. Any other text in a row has no status."""


def rule_for(progress: Progress) -> StatusRule:
    """Return the first status rule that applies."""
    return next(rule for rule in RULES if rule.applies(progress))


def reason_for(table: MessageTable, message: str) -> Reason:
    """Return the reason of a refusal; UNKNOWN when the message contains no text of the table (D-08)."""
    lowered = message.lower()
    return next((reason for text, reason in table if text in lowered), Reason.UNKNOWN)
