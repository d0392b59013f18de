"""The policy of writing statuses back: which status the platform should have, and whether it may be written (O-18).

Pure. The kitchen, the courier and the customer all write the same status of an order, and the status has no version. So
every write is decided by a read just before the write. A status is written only if it is further along than the
platform's status, or if it is 22 and replaces the status of a courier who gave the order back. A status that the
platform has accepted or refused is not written again until our status has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from schemas.platform_status import TO_PLATFORM, PlatformStatus
from schemas.status import RANK, CancelledBy, DeliveryStatus, Detail, Evidence
from worker.domain.delivery import Delivery

S, P = DeliveryStatus, PlatformStatus

WRITABLE = frozenset({3, 6, 8, 9, 10, 11, 12, 19, 22, 23, 25})
"""The statuses that the setting `write` may contain.

The other statuses cancel the order, or are set by the shop, the customer or the platform.
"""
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
"""How far along an order is, for each open status of the platform.

A status that is not listed is final, ambiguous (6, 10), for pick-up, or unknown (O-25).
"""
WRITTEN_PROGRESS: Mapping[int, int] = {
    **PROGRESS,
    P.CANCELED_BY_DRIVER: 55, P.PICK_UP_FAILED_BY_DRIVER: 55,
    P.DELIVERY_COMPLETED_BY_DRIVER: 80, P.DELIVERY_FAILED_BY_DRIVER: 80,
}  # fmt: skip
"""How far along an order is, for each status that we write.

6 and 10 (no courier) come just before the pickup; 11 and 12 (the end) come last.
"""
REPLACED_BY_SEARCH = frozenset({25, 8, 18, 3})
"""The statuses that 22 (looking for a driver) may replace after our courier gave the order back."""
KITCHEN = frozenset({4, 7, 14, 24})
"""The shop's own statuses. If one of them replaces ours, this is no disagreement (O-17).

A return to the status that ours had replaced is a disagreement, even if it is the shop's.
"""
COMPLETED, CANCELLED = frozenset({1, 11, 15}), frozenset({2, 5, 12, 16, 17})
CLOSED = COMPLETED | CANCELLED
EQUIVALENT_ENDS: Mapping[int, frozenset[int]] = {
    P.DELIVERY_COMPLETED_BY_DRIVER: COMPLETED,
    P.DELIVERY_FAILED_BY_DRIVER: CANCELLED,
}
"""For each final status of ours, the final statuses of the platform that agree with it."""
DETAILED: Mapping[DeliveryStatus, PlatformStatus] = {
    S.DROPOFF_ENROUTE: P.DRIVER_ON_WAY,
    S.REATTEMPTING: P.DRIVER_ON_WAY,
    S.DROPOFF_ARRIVED: P.DRIVER_ALMOST_ARRIVED_TO_CUSTOMER,
}
"""Detailed statuses that the platform usually sets by itself. They are written only if the settings list them."""
NO_COURIER = (P.CANCELED_BY_DRIVER, P.PICK_UP_FAILED_BY_DRIVER)
"""The statuses for an order to which no courier came. Only the first one that the settings allow is written."""
COURIER_LOST = frozenset({S.COURIER_WITHDRAWN, S.COURIER_ASSIGNED, S.PICKUP_ENROUTE, S.PICKUP_ARRIVED})
"""When a delivery changes from one of these statuses to `created`, the carrier is looking for another courier."""

BEFORE_DISPATCH = timedelta(minutes=1)
"""How long before its dispatch a scheduled order is read again, because it may have been cancelled (O-20)."""
GATE_READ_INTERVAL = timedelta(seconds=30)
"""The interval between reads of an order that waits at its gate. It is longer while the dispatch is far away."""
AFTER_THE_END = timedelta(minutes=2)
"""The time from the delivery or the return of an order to one more read of the order.

An earlier write that got no answer may reach the platform late and replace the final status.
"""
CHECK_AFTER_WRITE = timedelta(seconds=2)
"""How long after a write the order is read to see its effect."""

_RELEVANT = ("status", "detail", "evidence", "gate", "dispatch_at")
"""The fields of a delivery whose change may require a write or a read of the order."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """The settings of a deployment that decide what may be written."""

    codes: frozenset[int]
    """The statuses that may be written."""
    weak_ends: bool = True
    """Write 11 (delivered) even if the evidence of the delivery is weak."""
    gate: str = "placed"
    """The gate of the platform's orders: `placed`, `accepted` or `ready`."""


@dataclass(frozen=True, slots=True)
class WriteBackState:
    """What is known about the status of a delivery's order on the platform."""

    status: int | None = None
    """The last status that `desired_status` returned, whether or not it was written. None if there was none yet."""
    replaced: int | None = None
    """The platform's status just before we tried to write `status`."""
    written: bool = False
    """Whether `status` needs no further write, because the platform has had it or has refused it."""
    reported: bool = False
    """Whether a disagreement about `status` has been published."""
    seen: int | None = None
    """The platform's status at the last read."""
    failures: int = 0
    """The number of failed calls in a row. A successful read before a write does not end the row."""


class Verdict(Enum):
    """What to do after a read of the platform's status."""

    WRITE = "write"
    SKIP = "skip"
    REPORT = "report"
    """Publish that the platform's status disagrees with ours, and do not overwrite it."""


# --- which status the platform should have ----------------------------------------------------------------------------


def desired_status(delivery: Delivery, policy: WritePolicy, now: datetime) -> int | None:
    """Return the status that the platform should have for a delivery; None when nothing is to be written."""
    return next((int(code) for code in _candidates(delivery, policy, now) if code in policy.codes), None)


def _candidates(delivery: Delivery, policy: WritePolicy, now: datetime) -> tuple[PlatformStatus, ...]:
    """Return the statuses that describe a delivery, the best first."""
    match delivery.status:
        case S.QUEUED:
            return () if is_waiting(delivery, now) else (P.LOOKING_FOR_DRIVER,)
        case S.CREATED:
            searching = delivery.detail == Detail.PENDING_VERIFICATION or delivery.previous_status in COURIER_LOST
            return (P.LOOKING_FOR_DRIVER if searching else P.ACCEPTED_BY_DRIVER_COMPANY,)
        case S.DELIVERED if delivery.evidence is Evidence.WEAK and not policy.weak_ends:
            return ()
        case S.CANCELLED | S.REJECTED | S.FAILED:
            return _candidates_without_delivery(delivery)
    return tuple(code for code in (DETAILED.get(delivery.status), TO_PLATFORM[delivery.status]) if code is not None)


def _candidates_without_delivery(delivery: Delivery) -> tuple[PlatformStatus, ...]:
    """Return the statuses for an order that was not delivered, the best first.

    If the courier had the goods, return 12. Otherwise return none after a cancel request, or when the shop or the
    customer cancelled the order.
    """
    if delivery.detail == Detail.WITH_ITEMS:
        return (P.DELIVERY_FAILED_BY_DRIVER,)
    by_owner = delivery.cancelled_by in {CancelledBy.MERCHANT, CancelledBy.CUSTOMER}
    return () if by_owner or delivery.cancel_request is not None else NO_COURIER


def is_waiting(delivery: Delivery, now: datetime) -> bool:
    """Return whether no courier is being looked for yet: the gate is closed, or it is too early."""
    early = delivery.dispatch_at is not None and now < delivery.dispatch_at - BEFORE_DISPATCH
    return not delivery.final and not delivery.attempts and (delivery.gate is not None or early)


# --- whether it may be written ----------------------------------------------------------------------------------------


def decide(
    delivery: Delivery, known: WriteBackState, seen: int, policy: WritePolicy, now: datetime
) -> tuple[Verdict, WriteBackState]:
    """Return what to do when the platform has the status `seen`, and the state to store."""
    code = desired_status(delivery, policy, now)
    before = known if code in {None, known.status} else WriteBackState(code)
    known = replace(before, seen=seen, failures=0)
    if code is None:
        return Verdict.SKIP, known
    if seen == code:  # also when the answer to our write was lost
        return Verdict.SKIP, replace(known, written=True)
    if seen not in PROGRESS or known.written:
        if known.reported or not _disagrees(code, seen, known):
            return Verdict.SKIP, known
        return Verdict.REPORT, replace(known, reported=True)
    if _may_replace(delivery, code, seen, policy.gate):
        return Verdict.WRITE, replace(known, replaced=seen, failures=before.failures)
    return Verdict.SKIP, known


def _may_replace(delivery: Delivery, code: int, seen: int, gate: str) -> bool:
    """Return whether our status `code` may replace the status `seen` of an open order."""
    if code == P.LOOKING_FOR_DRIVER and (seen == P.PREORDER or (seen == P.PENDING and gate == "accepted")):
        return False
    if code == P.LOOKING_FOR_DRIVER and seen in REPLACED_BY_SEARCH:
        return any(attempt.rank >= RANK[S.CREATED] for attempt in delivery.attempts)
    return WRITTEN_PROGRESS[code] > PROGRESS[seen]


def _disagrees(code: int, seen: int, known: WriteBackState) -> bool:
    return _is_other_end(code, seen) or (known.written and _is_undone(code, seen, known.replaced))


def _is_undone(code: int, seen: int, replaced: int | None) -> bool:
    """Return whether the platform's status `seen` undoes our status `code`, which replaced the status `replaced`.

    Ours is undone if the platform has `replaced` again, a status that is less far along, or one that `PROGRESS` does
    not list. If ours is 22, a status of `REPLACED_BY_SEARCH` undoes it too. A final status never undoes ours, nor does
    another status of the shop.
    """
    if seen in CLOSED:
        return False
    if seen == replaced or (code == P.LOOKING_FOR_DRIVER and seen in REPLACED_BY_SEARCH):
        return True
    return seen not in KITCHEN and PROGRESS.get(seen, 0) < WRITTEN_PROGRESS[code]


def _is_other_end(code: int, seen: int) -> bool:
    """Return whether our status `code` is final, and the platform's status is neither open nor an equivalent end."""
    return code in EQUIVALENT_ENDS and seen not in PROGRESS and seen not in EQUIVALENT_ENDS[code]


# --- when to read the platform's status again -------------------------------------------------------------------------


def next_read(delivery: Delivery, now: datetime) -> datetime | None:
    """Return when to read the order again even if the delivery does not change; None when that is not needed.

    A waiting order is read, because it may be released or cancelled on the platform without a message. While its gate
    is closed, it is read every half minute, or less often if its dispatch is far away. It is also read a minute before
    its dispatch. A delivered or returned order is read once more, two minutes after its delivery or return.
    """
    if delivery.status in {S.DELIVERED, S.RETURNED} and now < delivery.changed_at + AFTER_THE_END:
        return delivery.changed_at + AFTER_THE_END
    if not is_waiting(delivery, now):
        return None
    left = max((delivery.dispatch_at or now) - now, timedelta(0))
    last, at_gate = now + left - BEFORE_DISPATCH, now + max(GATE_READ_INTERVAL, left / 10)
    if delivery.gate is None:
        return last
    return min(at_gate, last) if last > now else at_gate


def may_need_write_back(before: Delivery, after: Delivery) -> bool:
    """Return whether a change may require that the platform's order is read or written."""
    return any(getattr(before, name) != getattr(after, name) for name in _RELEVANT)
