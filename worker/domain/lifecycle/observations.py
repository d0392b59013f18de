"""The changes that reads, look-ups and callbacks make to a delivery."""

from collections.abc import Iterable
from datetime import datetime

from schemas.events import EventType
from schemas.status import (
    FINAL,
    RANK,
    AttemptState,
    AttentionReason,
    CancelledBy,
    Cause,
    DeliveryStatus,
    Detail,
)
from worker.carriers.port import Observation, Raw
from worker.domain import schedule
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, UnmappedStatus, rank_of, replace
from worker.domain.lifecycle.amendment import abandon_if_too_late
from worker.domain.lifecycle.cancellation import (
    is_cancel_settled,
    refuse_if_too_late,
    request_again,
    request_again_after_withdrawal,
)
from worker.domain.lifecycle.change import READ_CAUSES, ChangeBuilder
from worker.domain.lifecycle.event_details import raw_word, stamp_events, status_details, update_details
from worker.domain.lifecycle.reads import record_read
from worker.domain.lifecycle.reopening import (
    apply_after_end,
    clear_contradiction,
    clear_settled_attention,
    confirmed_by_second_read,
    follow_surplus,
)
from worker.domain.lifecycle.rollup import end_attempt
from worker.domain.transitions import FINAL_STATES, allows, allows_reassignment, interrupts

MAPPED = "mapped"
"""The note that marks an observation whose status comes from an operator's mapping."""
SEEN_ENDS = FINAL_STATES - {AttemptState.REJECTED}
"""Final states of an attempt whose order existed at the carrier."""
MAX_ANOMALIES = 20
"""The highest number of unmapped statuses and backward steps that are published for one attempt."""
REGRESSION = "regression:"
"""The prefix that distinguishes backward steps from unmapped statuses in an attempt's reported anomalies."""


def apply_observations(
    delivery: Delivery,
    attempt_id: int,
    observations: Iterable[Observation],
    terms: TermsByAccount,
    now: datetime,
    cause: Cause,
    heard: datetime | None = None,
) -> Change:
    """Apply observations of an attempt, given in the order from the oldest to the newest.

    `heard` is the time when the read began or the callback arrived. Three rules decide which of two reports is newer,
    without a comparison of our clock with the carrier's clock:

    * Callbacks are ordered by the carrier's time, then by their arrival. An older callback does not change the state.
    * A read is outdated if it began before the newest report arrived. An outdated read changes nothing. If an outdated
      read shows another state than ours, another read is requested at once.
    * After a read, a callback may set a final state, or a state with a higher rank than all states before. Any other
      state in a callback may be older than the read. Such a state is not applied, but another read is requested.
    """
    change = ChangeBuilder(delivery, terms, now, cause, heard)
    before, history = delivery.attempt(attempt_id), list(observations)
    if before is None:
        return change.build()
    if before == delivery.active:
        change.reset_failures()
    if change.is_outdated(before):
        if history and history[-1].status is not None and not _shows(before, history[-1]):
            change.prompt_read(before)
        return change.build()
    for observation in history:
        apply_observation(change, change.latest(before), observation, last=observation is history[-1])
    if history:
        _end_if_given_back(change, attempt_id, history[-1])
    if cause is not Cause.CALLBACK:
        record_read(change, before, shown=any(observation.status is not None for observation in history))
    if cause is Cause.RECONCILE and change.latest(before).state == AttemptState.SUBMIT_UNKNOWN:
        # The look-up found the order, but the status of the order has no mapping.
        change.update(replace(change.delivery, retry_at=now + schedule.LOOKUPS_APART))
    return change.build()


def apply_observation(change: ChangeBuilder, attempt: Attempt, observation: Observation, *, last: bool = True) -> None:
    """Apply one observation. If the observation is stale, store only its `ref` and codec state.

    An observation is stale if an observation with a later `carrier_time` has already been applied. The last observation
    of a read is never stale, because it shows the present.

    `last` is whether this is the last of several observations. Only the last observation may show that an ended attempt
    continues.
    """
    attempt = _subject(change.delivery, attempt, observation)
    before, reported, by_read = attempt.carrier_time, observation.carrier_time, change.cause in READ_CAUSES
    stale = reported is not None and before is not None and reported < before and not (by_read and last)
    if attempt.ref is None and observation.ref is not None:
        change.clear_attention({AttentionReason.REFERENCE_MISSING})
        if attempt.cancel_refused:
            attempt = request_again(change, attempt)  # no cancel has been sent for this order yet
    attempt = change.update_attempt(
        replace(
            attempt,
            ref=observation.ref or attempt.ref,
            codec_state={**attempt.codec_state, **observation.codec_state},
            carrier_time=before if stale else reported or before,
        )
    )
    if stale:
        return
    attempt = change.update_attempt(replace(attempt, last_report_at=_arrival(change, attempt, observation)))
    if last or attempt.state not in FINAL_STATES:
        _apply_status(change, attempt, observation)
    after = change.latest(attempt)
    if observation.status is not None:
        change.update_attempt(replace(after, shown_at=_shown_at(change, attempt, after)))


def _subject(delivery: Delivery, attempt: Attempt, observation: Observation) -> Attempt:
    """Return the attempt that an observation is about.

    This is usually the given attempt. If the carrier has several orders with its reference, each further order has an
    attempt of its own, and the observation's `ref` shows which of the attempts is meant.
    """
    if attempt.ref is None or observation.ref in {None, attempt.ref}:
        return attempt
    same = (each for each in delivery.attempts if (each.carrier, each.ref) == (attempt.carrier, observation.ref))
    return next(same, attempt)


def _shows(attempt: Attempt, observation: Observation) -> bool:
    return observation.status is not None and AttemptState(observation.status) == attempt.state


def _arrival(change: ChangeBuilder, attempt: Attempt, observation: Observation) -> datetime | None:
    """Return when the newest report about an attempt arrived.

    The newest report is this observation if it counts as a report, otherwise an earlier one. An observation counts as a
    report if it contains a status, mapped or not. There are two exceptions: a status that an operator supplied, and a
    read that shows the same state as an earlier read. The second exception saves many writes, because most reads show
    the same state as the read before.
    """
    reports = observation.status is not None or observation.raw is not None
    confirms = change.cause in READ_CAUSES and attempt.shown_at is not None and _shows(attempt, observation)
    if change.cause is Cause.OPERATOR or not reports or confirms:
        return attempt.last_report_at
    arrived = change.heard if change.cause is Cause.CALLBACK else change.now
    return max(arrived, attempt.last_report_at or arrived)


def _shown_at(change: ChangeBuilder, before: Attempt, after: Attempt) -> datetime | None:
    """Return the start of the first read that showed the new state; None while no read has shown this state.

    If the carrier has already reported the order, the answer to a call also counts as a read.
    """
    same = after.state == before.state
    answered = change.cause is Cause.RESPONSE and before.rank > 0
    if change.cause in READ_CAUSES or answered:
        return before.shown_at if same and before.shown_at else change.heard
    return before.shown_at if same else None


def _apply_status(change: ChangeBuilder, attempt: Attempt, observation: Observation) -> None:
    status, called_back = observation.status, change.cause is Cause.CALLBACK
    newer = change.cause in READ_CAUSES or (called_back and observation.carrier_time is not None)
    if status is None or _is_implausible(attempt, observation):
        _report_unrecognized(change, attempt, observation)
        return
    attempt, state = change.update_attempt(replace(attempt, unmapped_status=None)), AttemptState(status)
    if called_back and attempt.state in SEEN_ENDS and attempt.shown_at is not None and change.heard < attempt.shown_at:
        return  # the callback is applied late: it arrived before the read that showed the end began
    if attempt.state in FINAL_STATES or attempt.state == AttemptState.QUEUED:
        apply_after_end(change, attempt, observation, status, newer=newer)
    elif attempt.surplus:
        follow_surplus(change, attempt, status, newer=newer)
    elif state == attempt.state:
        _confirm(change, attempt, observation)
    elif called_back and attempt.shown_at is not None and not _is_first_time(attempt, status):
        change.prompt_read(attempt)
    elif allows(attempt.state, state, attempt.resume_to):
        _advance(change, attempt, observation, status)
    elif change.cause is Cause.RESPONSE:
        # A callback came before the answer to our call (B-86). The answer's status is old, but its details may be new.
        _confirm(change, attempt, observation)
    elif allows_reassignment(attempt.state, state, attempt.resume_to) and newer:
        change.update(replace(change.delivery, courier=None))
        reassigned = replace(observation, detail=observation.detail or Detail.REASSIGNED)
        _advance(change, attempt, reassigned, status)
    else:
        _report_regression(change, attempt, observation, status)


def _is_first_time(attempt: Attempt, status: DeliveryStatus) -> bool:
    """Return whether a status is certainly new for the attempt. Even a report older than a read may set such a status.

    True for a final status. Also True for a status with a higher rank than the attempt has ever reached, unless the
    attempt has gone back from its highest rank. False for any other status.
    """
    current = RANK.get(DeliveryStatus(attempt.resume_to or attempt.state), 0)
    return status in FINAL or rank_of(status) > attempt.rank == current


def _is_implausible(attempt: Attempt, observation: Observation) -> bool:
    """Return whether an operator's mapping would end a returning order as delivered.

    Only the carrier's own report of the status `delivered` may do this (I12).
    """
    returning = AttemptState.RETURNING in {attempt.state, attempt.resume_to}
    return MAPPED in observation.notes and observation.status is DeliveryStatus.DELIVERED and returning


def _end_if_given_back(change: ChangeBuilder, attempt_id: int, newest: Observation) -> None:
    """End an attempt as cancelled when its courier has withdrawn and the carrier has answered the cancel (C-47).

    If the carrier has not answered, the cancel may never have arrived, and the carrier may send another courier. The
    cancel is then requested again, until the last of `CANCEL_REQUESTS` requests. After this request, the attempt ends
    without an answer.
    """
    attempt = change.delivery.attempt(attempt_id)
    if attempt is None or newest.status is not DeliveryStatus.COURIER_WITHDRAWN or not is_cancel_settled(attempt):
        return
    if attempt.wait_until is not None and change.heard < attempt.wait_until:
        return
    if attempt.surplus:
        follow_surplus(change, attempt, DeliveryStatus.CANCELLED, newer=True)
    elif attempt.live and attempt.state == AttemptState.COURIER_WITHDRAWN:
        since, details = len(change.events), replace(status_details(newest), cancelled_by=CancelledBy.COURIER)
        end_attempt(change, attempt, DeliveryStatus.CANCELLED, details)
        stamp_events(change, newest, since)


def _advance(change: ChangeBuilder, attempt: Attempt, observation: Observation, status: DeliveryStatus) -> None:
    since = len(change.events)
    update_details(change, observation)
    if status in FINAL:
        end_attempt(change, attempt, status, status_details(observation))
    else:
        _move(change, attempt, observation, status)
    stamp_events(change, observation, since)


def _move(change: ChangeBuilder, attempt: Attempt, observation: Observation, status: DeliveryStatus) -> None:
    state = AttemptState(status)
    if state == AttemptState.COURIER_WITHDRAWN:
        attempt = request_again_after_withdrawal(change, attempt)
    moved = change.update_attempt(
        replace(
            clear_contradiction(change, attempt),
            state=state,
            rank=max(attempt.rank, rank_of(status)),
            resume_to=interrupts(state, attempt.resume_to or attempt.state),
            changed_at=change.now,
        )
    )
    clear_settled_attention(change, moved)
    change.set_status(status, moved, status_details(observation))
    refuse_if_too_late(change, moved)
    abandon_if_too_late(change, change.latest(moved))


def _confirm(change: ChangeBuilder, attempt: Attempt, observation: Observation) -> None:
    since, attempt = len(change.events), clear_contradiction(change, attempt)
    updated = update_details(change, observation, by_itself=True)
    detail = observation.detail
    if change.delivery.status == observation.status and detail not in (None, change.delivery.detail):
        change.update(replace(change.delivery, detail=detail))
        updated = True
    if updated:
        change.add_event(EventType.UPDATED, attempt, raw=raw_word(observation))
    stamp_events(change, observation, since)


def _report_unrecognized(change: ChangeBuilder, attempt: Attempt, observation: Observation) -> None:
    raw = observation.raw
    if raw is None:
        return
    attempt = _report_once(change, attempt, EventType.STATUS_UNRECOGNIZED, status_key(raw), observation)
    unmapped = UnmappedStatus(entity=raw.entity, code=raw.code, text=raw.text, carrier_time=observation.carrier_time)
    change.update_attempt(replace(attempt, unmapped_status=unmapped))


def _report_regression(
    change: ChangeBuilder, attempt: Attempt, observation: Observation, status: DeliveryStatus
) -> None:
    anomaly = f"{REGRESSION}{status}"
    attempt = _report_once(change, attempt, EventType.REGRESSION_SEEN, anomaly, observation)
    if confirmed_by_second_read(change, attempt, status):
        change.request_attention(AttentionReason.WENT_BACKWARDS, attempt)


def _report_once(
    change: ChangeBuilder, attempt: Attempt, kind: EventType, anomaly: str, observation: Observation
) -> Attempt:
    """Publish an anomaly of an attempt when it first occurs, up to `MAX_ANOMALIES` anomalies. Return the attempt."""
    known = attempt.reported_anomalies
    if anomaly not in known and len(known) < MAX_ANOMALIES:
        attempt = change.update_attempt(replace(attempt, reported_anomalies=(*known, anomaly)))
        change.add_event(kind, attempt, raw=raw_word(observation))
    return attempt


def status_key(raw: Raw) -> str:
    """Return a carrier status in the form "entity:code", on one line. Operators see and map the status in this form."""
    return " ".join(f"{raw.entity}:{raw.code}".replace("\x00", "\ufffd").splitlines())
