"""Attempts that continue after their end, and surplus couriers.

If a carrier shows that an ended attempt continues, the attempt is followed again. If the delivery no longer depends on
the attempt, the attempt becomes a surplus courier instead. A surplus courier is published and cancelled, and never
changes the delivery's status.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b

from schemas.events import EventType
from schemas.status import (
    FINAL,
    GOODS_WITH_COURIER,
    RANK,
    AttemptState,
    AttentionReason,
    Cause,
    Conflict,
    DeliveryStatus,
)
from worker.carriers.port import Observation
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, rank_of, replace
from worker.domain.lifecycle.amendment import abandon_if_too_late
from worker.domain.lifecycle.cancellation import refuse_if_too_late, request_again_after_withdrawal
from worker.domain.lifecycle.change import READ_CAUSES, UNKNOWN_OUTCOME_REASONS, ChangeBuilder
from worker.domain.lifecycle.event_details import stamp_events, status_details, update_details
from worker.domain.planner import REVOCABLE_ENDS, next_follow_up
from worker.domain.transitions import allows, allows_reassignment, interrupts

NO_ORDER = frozenset({AttemptState.REJECTED, AttemptState.QUEUED})
"""The states in which an attempt should have no order at its carrier."""
UNSUCCESSFUL_ENDS = FINAL - {DeliveryStatus.DELIVERED, DeliveryStatus.RETURNED}
"""Final statuses without success: the goods were neither delivered nor returned."""
_S = DeliveryStatus
GOODS_IN_HAND = frozenset(
    {_S.PICKED_UP, _S.DROPOFF_ENROUTE, _S.DROPOFF_ARRIVED, _S.DELIVERY_FAILED, _S.REATTEMPTING, _S.DELIVERED}
)
"""Statuses that prove that a cancel came too late, because the courier had already picked up the goods."""
SETTLED_WHEN_CREATED = UNKNOWN_OUTCOME_REASONS | {AttentionReason.NOT_DISPATCHED_IN_TIME}
"""Attention reasons that are cleared when the carrier has created the order."""
SETTLED_BY_ANY_STATE = frozenset({AttentionReason.OUTCOME_UNKNOWN, AttentionReason.DUPLICATE_AT_CARRIER})
"""Attention reasons that are cleared when the carrier shows any state of the order, including an offer."""


def reset_on_reopen(attempt: Attempt) -> Attempt:
    """Return a reopened attempt without the cancels, amendments and contradictions from before its end."""
    return replace(
        attempt,
        cancel_requested_at=None,
        cancel_requests=0,
        cancel_checks=0,
        cancel_refused_at=None,
        cancel_accepted=False,
        contradicting_status=None,
        contradicted_at=None,
        follow_up_reads=0,
        wait_until=None,
        pending_fingerprint=None,
        amend_requests=0,
        amend_refused=False,
    )


# --- ended attempts ---------------------------------------------------------------------------------------------------


def apply_after_end(
    change: ChangeBuilder, attempt: Attempt, observation: Observation, status: DeliveryStatus, *, newer: bool
) -> None:
    """Apply an observation of an attempt that has ended or was never sent.

    If the observation shows that the attempt continues, the attempt is followed again. If the delivery no longer
    depends on the attempt, the attempt becomes a surplus courier instead. `newer` means that the observation is
    certainly newer than the attempt's end.
    """
    conflict = _conflict(attempt, status, newer=newer)
    if not _goes_on(change, attempt, observation, status, conflict):
        return
    attempt = change.latest(attempt)
    if attempt.surplus or _has_successor(change.delivery, attempt):
        orphan = conflict is Conflict.ORPHAN_FOUND
        mark_surplus(change, attempt, status, Conflict.ORPHAN_FOUND if orphan else Conflict.TWO_COURIERS)
        return
    _reopen(change, attempt, observation, status)
    if conflict is not None:
        change.add_event(EventType.CONFLICT, attempt, reason_text=conflict.value)


def _conflict(attempt: Attempt, status: DeliveryStatus, *, newer: bool) -> Conflict | None:
    """Return the conflict that a new status of an ended attempt shows; None when there is no conflict."""
    if attempt.state in NO_ORDER:
        return Conflict.ORPHAN_FOUND
    has_goods = attempt.state == AttemptState.CANCELLED and newer and status in GOODS_IN_HAND
    return Conflict.CANCELLED_BUT_ALIVE if has_goods else None


def _goes_on(
    change: ChangeBuilder, attempt: Attempt, observation: Observation, status: DeliveryStatus, conflict: Conflict | None
) -> bool:
    if conflict is Conflict.ORPHAN_FOUND:
        return status not in UNSUCCESSFUL_ENDS and status is not DeliveryStatus.RETURNED
    if conflict is Conflict.CANCELLED_BUT_ALIVE:
        return True
    if status in FINAL:
        clear_contradiction(change, attempt)
        return False
    revocable = attempt.state in REVOCABLE_ENDS
    return observation.reopens or (revocable and confirmed_by_second_read(change, attempt, status))


def _has_successor(delivery: Delivery, attempt: Attempt) -> bool:
    """Return whether the delivery no longer depends on this attempt.

    True if another attempt is active. In a delivery that has ended, also True if another attempt was sent later, or if
    this attempt's state is in `NO_ORDER`.
    """
    if delivery.active is not None:
        return True
    # Compare the times of sending, because an attempt may be sent after attempts with higher numbers.
    _, last = max((each.submitted_at, each.number) for each in delivery.attempts if not each.surplus)
    return delivery.final and (attempt.state in NO_ORDER or last != attempt.number)


def _reopen(change: ChangeBuilder, attempt: Attempt, observation: Observation, status: DeliveryStatus) -> None:
    since, was_final = len(change.events), change.delivery.final
    ended = status in FINAL
    attempt = change.update_attempt(
        replace(
            reset_on_reopen(attempt),
            state=AttemptState(status),
            ended_at=change.now if ended else None,
            changed_at=change.now,
            rank=rank_of(status, attempt.rank),
            resume_to=interrupts(AttemptState(status), AttemptState.CREATED),
        )
    )
    change.update(replace(change.delivery, carrier=attempt.carrier))
    change.reset_failures()
    clear_settled_attention(change, attempt)
    update_details(change, observation)
    if was_final:
        change.put_status(status, change.delivery.status, status_details(observation))
        change.add_event(EventType.REOPENED, attempt)
    else:
        change.set_status(status, attempt, status_details(observation))
    refuse_if_too_late(change, attempt)
    abandon_if_too_late(change, change.latest(attempt))
    stamp_events(change, observation, since)


def clear_settled_attention(change: ChangeBuilder, attempt: Attempt) -> None:
    """Clear the attention reasons that no longer apply, because the carrier has shown the present state."""
    if attempt.state in {AttemptState.DELIVERED, AttemptState.RETURNED}:
        change.clear_all_attention()
    elif attempt.rank >= RANK[DeliveryStatus.CREATED]:
        change.clear_attention(SETTLED_WHEN_CREATED)
    else:
        change.clear_attention(SETTLED_BY_ANY_STATE)


def confirmed_by_second_read(change: ChangeBuilder, attempt: Attempt, status: DeliveryStatus) -> bool:
    """Return whether this read confirms an earlier read that contradicted the attempt's state.

    False if this read began less than `CONTRADICTION_GAP` after the earlier read was applied. Also False if no earlier
    read contradicted the state in the same way. This read is then recorded, and a later read can confirm it. For an
    ended attempt, the two reads may show different live statuses, because the courier may have moved on between them.
    """
    if change.cause not in READ_CAUSES:
        return False
    known = attempt.contradicting_status
    same = known == status or (known is not None and attempt.state in REVOCABLE_ENDS)
    if not same:
        wait_until = attempt.wait_until if attempt.call_open else None  # a running call is never sent a second time
        change.update_attempt(
            replace(attempt, contradicting_status=status, contradicted_at=change.now, wait_until=wait_until)
        )
        return False
    first = attempt.contradicted_at
    confirmed = first is not None and change.heard - first >= schedule.CONTRADICTION_GAP
    if confirmed:
        change.update_attempt(replace(attempt, contradicted_at=None))
    return confirmed


def clear_contradiction(change: ChangeBuilder, attempt: Attempt) -> Attempt:
    """Clear the recorded contradiction, because a new observation is consistent with the state. Return the attempt.

    Only a read clears the contradiction. Any other observation changes nothing.
    """
    if change.cause not in READ_CAUSES or attempt.contradicting_status is None:
        return attempt
    return change.update_attempt(replace(attempt, contradicting_status=None, contradicted_at=None))


def count_follow_up(change: ChangeBuilder, before: Attempt) -> None:
    """Count a follow-up read. `before` is the ended attempt as it was before the read.

    A read that began before the next follow-up read was due does not count, because it had another purpose. A read that
    checks a contradiction does not count either. If the contradiction is still undecided after such a read, another
    read follows after `FOLLOW_UP_RETRY`.
    """
    attempt, terms = change.delivery.attempt(before.id), change.terms.get(before.carrier)
    if attempt is None or terms is None or attempt.ended_at != before.ended_at:
        return
    planned, confirming = next_follow_up(before, terms), before.contradicted_at is not None
    counts = planned is not None and change.heard >= planned[1] and not confirming
    unsettled = confirming and attempt.contradicted_at == before.contradicted_at
    later = change.now + schedule.FOLLOW_UP_RETRY if unsettled else None
    change.update_attempt(replace(attempt, follow_up_reads=attempt.follow_up_reads + counts, wait_until=later))


# --- surplus couriers -------------------------------------------------------------------------------------------------


def mark_surplus(change: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, conflict: Conflict) -> None:
    """Mark an attempt as a surplus courier and publish the conflict."""
    resume_to = interrupts(AttemptState(status), AttemptState.CREATED)
    attempt = change.update_attempt(replace(reset_on_reopen(attempt), surplus=True, rank=0, resume_to=resume_to))
    change.add_event(EventType.CONFLICT, attempt, reason_text=conflict.value)
    _move_surplus(change, attempt, status)


def follow_surplus(change: ChangeBuilder, attempt: Attempt, status: DeliveryStatus, *, newer: bool) -> None:
    """Apply a new status of a surplus courier. A status that cannot follow the current state is ignored.

    The status shows whether the cancel took effect or came too late.
    """
    state = AttemptState(status)
    if state == attempt.state:
        return
    if allows(attempt.state, state, attempt.resume_to):
        resume_to = interrupts(state, attempt.resume_to or attempt.state)
        _move_surplus(change, change.update_attempt(replace(attempt, resume_to=resume_to)), status)
    elif newer and allows_reassignment(attempt.state, state, attempt.resume_to):
        _move_surplus(change, attempt, status)


def _move_surplus(change: ChangeBuilder, attempt: Attempt, status: DeliveryStatus) -> None:
    if status is DeliveryStatus.COURIER_WITHDRAWN:
        attempt = request_again_after_withdrawal(change, attempt)
    had_goods = attempt.rank >= GOODS_WITH_COURIER
    ended = change.now if status in FINAL else None
    rank = attempt.rank if status in UNSUCCESSFUL_ENDS else max(attempt.rank, rank_of(status))
    attempt = change.update_attempt(
        replace(attempt, state=AttemptState(status), rank=rank, changed_at=change.now, ended_at=ended)
    )
    if ended is not None:
        change.add_event(EventType.ATTEMPT_ENDED, attempt)
    if attempt.rank >= GOODS_WITH_COURIER and not had_goods:
        change.request_attention(AttentionReason.SURPLUS_COURIER, attempt)
    elif status in UNSUCCESSFUL_ENDS and not had_goods and not _has_surplus(change.delivery):
        change.clear_attention({AttentionReason.SURPLUS_COURIER})


def _has_surplus(delivery: Delivery) -> bool:
    return any(each.surplus and each.live for each in delivery.attempts)


def record_duplicates(
    delivery: Delivery, attempt_id: int, refs: Iterable[str], terms: TermsByAccount, now: datetime, cause: Cause
) -> Change | None:
    """Add a surplus attempt for each unknown order in `refs`; None when all orders are known.

    `refs` are the carrier's ids of further orders with the reference of the attempt.
    """
    original = delivery.attempt(attempt_id)
    if original is None:
        return None
    change = ChangeBuilder(delivery, terms, now, cause)
    for ref in refs:
        add_duplicate(change, original, ref, {})
    return change.build() if change.events else None


def add_duplicate(change: ChangeBuilder, original: Attempt, ref: str, codec_state: Mapping[str, str]) -> None:
    """Add a surplus attempt for a further order with the reference of `original`, unless the order is already known."""
    known = {each.ref for each in change.delivery.attempts if each.carrier == original.carrier}
    identity = duplicate_id(original.carrier, ref)
    if ref in known or change.delivery.attempt(identity) is not None:
        return
    duplicate = Attempt(
        id=identity,
        delivery_id=change.delivery.id,
        number=len(change.delivery.attempts) + 1,
        carrier=original.carrier,
        state=AttemptState.CREATED,
        token=f"none-{identity}",
        pickup_at=original.pickup_at,
        submitted_at=original.submitted_at,
        changed_at=change.now,
        ref=ref,
        codec_state=codec_state,
        surplus=True,
    )
    mark_surplus(change, change.update_attempt(duplicate), DeliveryStatus.CREATED, Conflict.DUPLICATE)


def duplicate_id(carrier: str, ref: str) -> int:
    """Return the id of an attempt for an order that we did not create.

    The same order always gets the same id, so it is added only once.
    """
    return int.from_bytes(blake2b(f"{carrier}\n{ref}".encode(), digest_size=8).digest()) >> 11
