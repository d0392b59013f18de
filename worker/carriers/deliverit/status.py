"""Their words -> ours, row by row. The order of the rows is the meaning: the first that holds wins."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.status import DeliveryStatus, Evidence, Reason

S = DeliveryStatus

MILESTONES: dict[str, str] = {
    "arrive": "driverArrive",
    "left": "driverLeft",
    "customer": "arriveAtCustomer",
    "done": "done",
}
"""The four times of a day-list row, in the order in which they happen: our short name -> their key (D-56)."""


@dataclass(frozen=True, slots=True)
class Signs:
    """Which marks of a day-list row are set; a time in the future is not (D-57)."""

    cancelled: bool = False
    arrive: bool = False
    left: bool = False
    customer: bool = False
    done: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: when it holds, what it means, their word for it and which time dates it."""

    holds: Callable[[Signs], bool]
    status: DeliveryStatus
    code: str
    evidence: Evidence = Evidence.OBSERVED
    milestone: str | None = None
    notes: tuple[str, ...] = ()


RULES: tuple[Rule, ...] = (
    Rule(lambda signs: signs.cancelled and not signs.done, S.CANCELLED, "cancel"),
    Rule(lambda signs: signs.done and (signs.left or signs.customer), S.DELIVERED, "done", milestone="done"),
    Rule(
        lambda signs: signs.done, S.DELIVERED, "done", Evidence.WEAK, milestone="done", notes=("done_without_handover",)
    ),
    Rule(lambda signs: signs.customer, S.DROPOFF_ARRIVED, "arriveAtCustomer", milestone="customer"),
    Rule(lambda signs: signs.left, S.PICKED_UP, "driverLeft", milestone="left"),
    Rule(lambda signs: signs.arrive, S.PICKUP_ARRIVED, "driverArrive", milestone="arrive"),
    Rule(lambda _: True, S.CREATED, "N/A"),
)
"""A day-list row ("Get orders period"). Nobody is ever called assigned: the list has no such word (D-64). A row that
is both done and cancelled stays delivered (D-63)."""

BOOKED: dict[tuple[bool, bool], DeliveryStatus] = {
    (False, False): S.CREATED,
    (True, True): S.AWAITING_CONFIRMATION,
}
"""Create, 201: (`push`, has an `acceptUrl`) -> ours. Every other pair contradicts itself (D-20, D-21)."""

MessageTable = tuple[tuple[str, Reason], ...]

CREATE_REFUSALS: MessageTable = (
    ("closed", Reason.CARRIER_CLOSED),
    ("cannot be empty", Reason.VALIDATION),
    ("missing", Reason.VALIDATION),
)
"""Create, 400: what the message contains -> why. `DeliverItOpen` decides nothing: it is true when closed (D-23)."""

ACCEPT_REFUSALS: MessageTable = (("time limit", Reason.OFFER_LAPSED), ("does not exist", Reason.OFFER_LAPSED))
"""Accept, 400 (D-30)."""

DENY_REFUSALS: MessageTable = ()
"""Deny, 400: the one documented text says nothing about the order (D-34)."""

CANCEL_REFUSALS: MessageTable = (("on the way", Reason.DEADLINE_PASSED),)
"""Cancel, 400, and 200 with `error` true (D-41, D-42)."""

TRANSFER_REFUSALS: MessageTable = (
    ("cannot be empty", Reason.VALIDATION),
    ("too messy", Reason.ADDRESS_PROBLEM),
)
"""Send and update customer info, 400. "Order with that number does not exist" says nothing more than that."""

NOT_SAVED = "strange error"
"""Send and destroy customer info, 400: it may be asked again, for our number is taken only once (D-75)."""

NUMBER_TAKEN = "order with that number exist."
"""Send customer info, 400: the order stands there already (D-74)."""

FOR_DELIVERY = "order is for delivery"
"""Send and update customer info: the other answer is that the customer will pick it up (D-79)."""

UPDATED = "update ok"
"""Update customer info, 200: how its message begins, whatever its `error` says (D-76)."""

ALREADY_ACCEPTED = "already accepted"
"""Accept, 200: in the message of a repeated accept (D-33)."""

NOTHING_FOUND = "no order is found"
"""Get orders period, 404: in the message of an empty day (D-54)."""


def rule_of(signs: Signs) -> Rule:
    """Find the first row that holds."""
    return next(rule for rule in RULES if rule.holds(signs))


def reason_of(table: MessageTable, message: str) -> Reason:
    """Find why a message refuses; unknown when no row of the table is in it (D-08)."""
    lowered = message.lower()
    return next((reason for words, reason in table if words in lowered), Reason.UNKNOWN)
