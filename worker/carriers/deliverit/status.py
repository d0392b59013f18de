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
"""The four times of a day-list row in the order in which they happen: our field -> DeliverIt's key (D-56)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Which events of a trip a day-list row shows as happened; a time in the future is only an estimate (D-57)."""

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

No row means `assigned`, because the list shows no driver (D-64). A row that is done and cancelled is delivered (D-63).
"""

CREATED: dict[tuple[bool, bool], DeliveryStatus] = {
    (False, False): S.CREATED,
    (True, True): S.AWAITING_CONFIRMATION,
}
"""Create, 201: (`push`, has an `acceptUrl`) -> status. Any other pair contradicts itself (D-20, D-21)."""

MessageTable = tuple[tuple[str, Reason], ...]

CREATE_REFUSALS: MessageTable = (
    ("closed", Reason.CARRIER_CLOSED),
    ("cannot be empty", Reason.VALIDATION),
    ("missing", Reason.VALIDATION),
)
"""Create, 400: part of the message -> reason. `DeliverItOpen` is not used, because it is true when closed (D-23)."""

ACCEPT_REFUSALS: MessageTable = (("time limit", Reason.OFFER_LAPSED), ("does not exist", Reason.OFFER_LAPSED))
"""Accept, 400 (D-30)."""

DENY_REFUSALS: MessageTable = ()
"""Deny, 400: the one documented message says nothing about the order (D-34)."""

CANCEL_REFUSALS: MessageTable = (("on the way", Reason.DEADLINE_PASSED),)
"""Cancel, 400, and 200 with `error` true (D-41, D-42)."""

TRANSFER_REFUSALS: MessageTable = (
    ("cannot be empty", Reason.VALIDATION),
    ("too messy", Reason.ADDRESS_PROBLEM),
)
"""Send and update customer info, 400. "Order with that number does not exist" has no reason of its own."""

NOT_SAVED = "strange error"
"""Send and destroy customer info, 400: the call may be repeated, because our order number is unique (D-75)."""

NUMBER_EXISTS = "order with that number exist."
"""Send customer info, 400: an order with our number already exists (D-74)."""

FOR_DELIVERY = "order is for delivery"
"""Send and update customer info: part of the message, unless the customer fetches the order themselves (D-79)."""

UPDATED = "update ok"
"""Update customer info, 200: the start of the message, whatever `error` says (D-76)."""

ALREADY_ACCEPTED = "already accepted"
"""Accept, 200: part of the message of a repeated accept (D-33)."""

NO_ORDERS = "no order is found"
"""Get orders period, 404: part of the message of an empty day (D-54)."""


def rule_for(progress: Progress) -> StatusRule:
    """Return the first status rule that applies."""
    return next(rule for rule in RULES if rule.applies(progress))


def reason_for(table: MessageTable, message: str) -> Reason:
    """Return the reason of a refusal; UNKNOWN when the message contains no text of the table (D-08)."""
    lowered = message.lower()
    return next((reason for text, reason in table if text in lowered), Reason.UNKNOWN)
