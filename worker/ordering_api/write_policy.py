"""What the platform is to be told of a delivery, and whether it may be: every write is judged by a fresh look (O-18).

Pure. One field of the platform's carries the kitchen, the courier, the customer and the end, and it has no version: so
nothing is ever written that is not ahead of what stands there, and nothing is written twice for the same state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from schemas.status import RANK, TO_PLATFORM, CancelledBy, DeliveryStatus, Detail, Evidence, PlatformStatus
from worker.domain.delivery import Delivery

S, P = DeliveryStatus, PlatformStatus

WRITABLE = frozenset({3, 6, 8, 9, 10, 11, 12, 19, 22, 23, 25})
"""All that is ever written; the others are the shop's, the customer's, the platform's own, or cancel and refund."""
PROGRESS: Mapping[int, int] = {
    P.PENDING: 0, P.PREORDER: 0, P.ACCEPTED_BY_BUSINESS: 0, P.PREPARATION_COMPLETED: 0,
    P.LOOKING_FOR_DRIVER: 10,
    P.ACCEPTED_BY_DRIVER_COMPANY: 20,
    P.ACCEPTED_BY_DRIVER: 30,
    P.DRIVER_ALMOST_ARRIVED_TO_BUSINESS: 40,
    P.DRIVER_IN_BUSINESS: 50, P.DRIVER_WAITING_FOR_ORDER: 50, P.ORDER_NOT_READY: 50,
    P.PICK_UP_COMPLETED_BY_DRIVER: 60, P.DRIVER_ON_WAY: 60,
    P.DRIVER_ALMOST_ARRIVED_TO_CUSTOMER: 70,
}  # fmt: skip
"""How far an open order is. What is not here is closed, unclear (6, 10), fetched by its customer, or unknown (O-25)."""
AHEAD: Mapping[int, int] = {
    **PROGRESS,
    P.CANCELED_BY_DRIVER: 55, P.PICK_UP_FAILED_BY_DRIVER: 55,
    P.DELIVERY_COMPLETED_BY_DRIVER: 80, P.DELIVERY_FAILED_BY_DRIVER: 80,
}  # fmt: skip
"""How far what we write is: that nobody came is said before a pickup, the other ends after everything."""
TAKEN_BACK = frozenset({25, 8, 18, 3})
"""What 22 may follow when a courier of ours gave the job back."""
KITCHEN = frozenset({4, 7, 14, 24})
"""The shop's own axis: such a status after ours takes nothing back (O-17)."""
CARRIED_OUT, CALLED_OFF = frozenset({1, 11, 15}), frozenset({2, 5, 12, 16, 17})
CLOSED = CARRIED_OUT | CALLED_OFF
AGREES: Mapping[int, frozenset[int]] = {
    P.DELIVERY_COMPLETED_BY_DRIVER: CARRIED_OUT,
    P.DELIVERY_FAILED_BY_DRIVER: CALLED_OFF,
}
"""The ends that may stand in the place of ours."""
FINER: Mapping[DeliveryStatus, PlatformStatus] = {
    S.DROPOFF_ENROUTE: P.DRIVER_ON_WAY,
    S.REATTEMPTING: P.DRIVER_ON_WAY,
    S.DROPOFF_ARRIVED: P.DRIVER_ALMOST_ARRIVED_TO_CUSTOMER,
}
"""What the platform usually sets by itself; written where a deployment says so."""
NOBODY_CAME = (P.CANCELED_BY_DRIVER, P.PICK_UP_FAILED_BY_DRIVER)
COURIER_HAD = frozenset({S.COURIER_WITHDRAWN, S.COURIER_ASSIGNED, S.PICKUP_ENROUTE, S.PICKUP_ARRIVED})

BEFORE_DISPATCH = timedelta(minutes=1)
"""How long before its dispatch an order for later is looked at once more: it may be off by then (O-20)."""
GATE_LOOK = timedelta(seconds=30)
AFTER_THE_END = timedelta(minutes=2)
"""How long after an end is looked once more: a write that brought no answer may have come after our last."""
CHECK = timedelta(seconds=2)
"""How long after a write is looked at what became of it."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """What a deployment lets us write: the codes, whether 11 on weak evidence, and the gate of its orders."""

    codes: frozenset[int]
    weak_ends: bool = True
    gate: str = "placed"


@dataclass(frozen=True, slots=True)
class WriteBackState:
    """What is known of a delivery's order at the platform.

    `code` is what was last to be written, `replaced` what it was written over; `written` that the platform took it,
    `told` that what stands there instead was told. `seen` is what stood there last. `failures` counts looks and writes
    in a row that brought no answer.
    """

    status: int | None = None
    replaced: int | None = None
    written: bool = False
    reported: bool = False
    seen: int | None = None
    failures: int = 0


class Verdict(Enum):
    """What a look asks for."""

    WRITE = "write"
    SKIP = "rest"
    REPORT = "tell"
    """Something else stands there than we wrote, or another end than ours: nobody fights about it, it is told."""


# --- what is to be told -----------------------------------------------------------------------------------------------


def wanted(delivery: Delivery, licence: WritePolicy, now: datetime) -> int | None:
    """Name the status that the platform should show for a delivery; None when nothing is to be written."""
    return next((int(code) for code in _meant(delivery, licence, now) if code in licence.codes), None)


def _meant(delivery: Delivery, licence: WritePolicy, now: datetime) -> tuple[PlatformStatus, ...]:
    """List what would say it, the best first."""
    match delivery.status:
        case S.QUEUED:
            return () if waits(delivery, now) else (P.LOOKING_FOR_DRIVER,)
        case S.CREATED:
            sought = delivery.detail == Detail.PENDING_VERIFICATION or delivery.previous_status in COURIER_HAD
            return (P.LOOKING_FOR_DRIVER if sought else P.ACCEPTED_BY_DRIVER_COMPANY,)
        case S.DELIVERED if delivery.evidence is Evidence.WEAK and not licence.weak_ends:
            return ()
        case S.CANCELLED | S.REJECTED | S.FAILED:
            return _meant_at_its_end(delivery)
    return tuple(code for code in (FINER.get(delivery.status), TO_PLATFORM[delivery.status]) if code is not None)


def _meant_at_its_end(delivery: Delivery) -> tuple[PlatformStatus, ...]:
    """Say what came of it when nobody brought it; of what was called off, the platform knows already."""
    if delivery.detail == Detail.WITH_ITEMS:
        return (P.DELIVERY_FAILED_BY_DRIVER,)
    called_off = delivery.cancelled_by in {CancelledBy.MERCHANT, CancelledBy.CUSTOMER}
    return () if called_off or delivery.cancel_request is not None else NOBODY_CAME


def waits(delivery: Delivery, now: datetime) -> bool:
    """Tell whether nobody is sought yet: the shop has something to do first, or it is not time."""
    early = delivery.dispatch_at is not None and now < delivery.dispatch_at - BEFORE_DISPATCH
    return not delivery.final and not delivery.attempts and (delivery.gate is not None or early)


# --- whether it may be ------------------------------------------------------------------------------------------------


def decide(
    delivery: Delivery, memory: WriteBackState, seen: int, licence: WritePolicy, now: datetime
) -> tuple[Verdict, WriteBackState]:
    """Judge by what stands at the platform; also give what is known from now on."""
    code = wanted(delivery, licence, now)
    known = replace(memory if code in {None, memory.status} else WriteBackState(code), seen=seen, failures=0)
    if code is None:
        return Verdict.SKIP, known
    if seen == code:  # also where the answer to our write was lost
        return Verdict.SKIP, replace(known, written=True)
    if seen not in PROGRESS or known.written:
        odd = _other_end(code, seen) or (known.written and _fell_back(code, seen, known.replaced))
        return (Verdict.REPORT, replace(known, reported=True)) if odd and not known.reported else (Verdict.SKIP, known)
    if _may_follow(delivery, code, seen, licence.gate):
        return Verdict.WRITE, replace(known, replaced=seen)
    return Verdict.SKIP, known


def _may_follow(delivery: Delivery, code: int, seen: int, gate: str) -> bool:
    """Tell whether a status may be written over that of an open order."""
    if code == P.LOOKING_FOR_DRIVER and (seen == P.PREORDER or (seen == P.PENDING and gate == "accepted")):
        return False
    if code == P.LOOKING_FOR_DRIVER and seen in TAKEN_BACK:
        return any(attempt.rank >= RANK[S.CREATED] for attempt in delivery.attempts)
    return AHEAD[code] > PROGRESS[seen]


def _fell_back(code: int, seen: int, replaced: int | None) -> bool:
    """Tell whether what we wrote did not stay, or another driver came into its place; farther on is no matter."""
    if seen in CLOSED:
        return False
    if seen == replaced or (code == P.LOOKING_FOR_DRIVER and seen in TAKEN_BACK):
        return True
    return seen not in KITCHEN and PROGRESS.get(seen, 0) < AHEAD[code]


def _other_end(code: int, seen: int) -> bool:
    """Tell whether we know an end, and something stands there that is neither the same nor on its way to it."""
    return code in AGREES and seen not in PROGRESS and seen not in AGREES[code]


# --- when to look again -----------------------------------------------------------------------------------------------


def next_look(delivery: Delivery, now: datetime) -> datetime | None:
    """Tell when to look although nothing changes: what waits may be let go or called off at the platform alone.

    At a gate every half minute, more seldom while the order is for much later; what is brought once more at its end.
    """
    if delivery.status in {S.DELIVERED, S.RETURNED} and now < delivery.changed_at + AFTER_THE_END:
        return delivery.changed_at + AFTER_THE_END
    if not waits(delivery, now):
        return None
    left = max((delivery.dispatch_at or now) - now, timedelta(0))
    last, at_gate = now + left - BEFORE_DISPATCH, now + max(GATE_LOOK, left / 10)
    if delivery.gate is None:
        return last
    return min(at_gate, last) if last > now else at_gate


def may_need_write_back(before: Delivery, after: Delivery) -> bool:
    """Tell whether a change may be one that the platform is to be told, or that it is to be asked about."""
    return any(getattr(before, name) != getattr(after, name) for name in _STIRRING)


_STIRRING = ("status", "detail", "evidence", "gate", "dispatch_at")
