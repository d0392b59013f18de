"""What a poll, a look-up or a callback saw, and what that changes."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from schemas.events import EventType
from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, CancelledBy, Cause, DeliveryStatus
from worker.carriers.port import Observation, Raw
from worker.domain.delivery import Attempt, Change, Delivery, UnmappedStatus, rank_of
from worker.domain.lifecycle import surplus
from worker.domain.lifecycle.amendment import abandon_if_too_late
from worker.domain.lifecycle.cancellation import record_read
from worker.domain.lifecycle.change import DISPUTED, OPEN_QUESTIONS, REFERENCE, ChangeBuilder, TermsByAccount
from worker.domain.lifecycle.event_details import stamp_events, status_details, update_details
from worker.domain.lifecycle.reopening import POLLED, apply_after_end, clear_contradiction, confirmed_by_second_read
from worker.domain.lifecycle.rollup import end_attempt, refuse_cancel
from worker.domain.planner import Alarm
from worker.domain.transitions import STICKY, allows, allows_back, interrupts

MAX_ANOMALIES = 20
MAPPED = "mapped"
"""The note of a word whose meaning is an operator's, not its carrier's."""
REGRESSION = "regression:"
"""What an odd word begins with that is no word of the carrier's, but a step back."""
SETTLED_BY_PROGRESS = OPEN_QUESTIONS | {Alarm.NOT_DISPATCHED.value}
"""What no longer needs a person once the carrier is seen at work."""


def apply_observations(
    delivery: Delivery,
    attempt_id: int,
    seen: Iterable[Observation],
    rules: TermsByAccount,
    now: datetime,
    cause: Cause,
    began: datetime | None = None,
) -> Change:
    """Take what a poll, a look-up or a callback saw of an attempt, oldest first; `began` is when a read was begun."""
    edit = ChangeBuilder(delivery, rules, now, cause)
    before, history = delivery.attempt(attempt_id), list(seen)
    if before is None:
        return edit.build()
    if before == delivery.active:
        edit.update(failures=0, retry_at=None)
    for news in history:
        apply_observation(edit, edit.delivery.attempt(attempt_id) or before, news, last=news is history[-1])
    if history:
        _given_back(edit, attempt_id, history[-1], began or now)
    if cause is not Cause.CALLBACK:
        stands = any(news.status is not None for news in history)
        record_read(edit, before, began or now, stands=stands)
    return edit.build()


def apply_observation(edit: ChangeBuilder, attempt: Attempt, news: Observation, *, last: bool = True) -> None:
    """Take one observation in: what it adds to the codec's memory always counts, the rest only if it is not old.

    Only the `last` of several says whether what had ended lives.
    """
    attempt = _whose(edit.delivery, attempt, news)
    before = attempt.carrier_time
    stale = news.carrier_time is not None and before is not None and news.carrier_time < before
    stamp = before if stale else news.carrier_time or before
    if attempt.ref is None and news.ref is not None:
        edit.clear_attention({REFERENCE})
    attempt = edit.update_attempt(
        attempt,
        ref=news.ref or attempt.ref,
        codec_state={**attempt.codec_state, **news.codec_state},
        carrier_time=stamp,
    )
    if not stale and (last or attempt.state not in STICKY):
        _judge(edit, attempt, news, newer=_is_newer(edit.cause, news, before))


def _whose(delivery: Delivery, attempt: Attempt, news: Observation) -> Attempt:
    """Name the attempt that news is about: an order that stands beside this one with its tag is never taken for it."""
    if attempt.ref is None or news.ref in {None, attempt.ref}:
        return attempt
    known = (each for each in delivery.attempts if (each.carrier, each.ref) == (attempt.carrier, news.ref))
    return next(known, attempt)


def _is_newer(cause: Cause, news: Observation, stamp: datetime | None) -> bool:
    return cause in POLLED or (news.carrier_time is not None and (stamp is None or news.carrier_time > stamp))


def _judge(edit: ChangeBuilder, attempt: Attempt, news: Observation, *, newer: bool) -> None:
    if news.status is None or _unlikely(attempt, news):
        _unrecognized(edit, attempt, news)
        return
    attempt = edit.update_attempt(attempt, unmapped_status=None)
    if attempt.state in STICKY:
        apply_after_end(edit, attempt, news, newer=newer)
    elif attempt.surplus:
        surplus.follow_surplus(edit, attempt, news.status, newer=newer)
    elif news.status == attempt.state:
        _same(edit, attempt, news)
    elif allows(attempt.state, news.status, attempt.resume_to):
        _advance(edit, attempt, news)
    elif edit.cause is Cause.RESPONSE:
        # A callback overtook the answer to our own call (B-86): its status is old, the rest may be new.
        _same(edit, attempt, news)
    elif allows_back(attempt.state, news.status, attempt.resume_to) and newer:
        edit.update(courier=None)
        _advance(edit, attempt, replace(news, detail=news.detail or "reassigned"))
    else:
        _regression(edit, attempt, news)


def _unlikely(attempt: Attempt, news: Observation) -> bool:
    """Tell whether a person's word calls delivered what was on its way back: only its carrier may (I12)."""
    back = DeliveryStatus.RETURNING in {attempt.state, attempt.resume_to}
    return MAPPED in news.notes and news.status is DeliveryStatus.DELIVERED and back


def _given_back(edit: ChangeBuilder, attempt_id: int, news: Observation, began: datetime) -> None:
    """Take a courier who gave it back, if that is the newest news, for the end of what was asked to cancel (C-47).

    Not while the cancel is under way: it may not even have left.
    """
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or not attempt.cancel_requested or news.status is not DeliveryStatus.COURIER_WITHDRAWN:
        return
    if attempt.wait_until is not None and began < attempt.wait_until:
        return
    if attempt.surplus:
        surplus.follow_surplus(edit, attempt, DeliveryStatus.CANCELLED, newer=True)
    elif attempt.live and attempt.state == DeliveryStatus.COURIER_WITHDRAWN:
        told = len(edit.events)
        end_attempt(edit, attempt, DeliveryStatus.CANCELLED, **status_details(news, cancelled_by=CancelledBy.COURIER))
        stamp_events(edit, news, told)


def _advance(edit: ChangeBuilder, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told = len(edit.events)
    update_details(edit, news)
    if news.status in FINAL:
        end_attempt(edit, attempt, news.status, **status_details(news))
    else:
        resume = interrupts(news.status, attempt.resume_to or attempt.state)
        rank = max(attempt.rank, rank_of(news.status))
        attempt = edit.update_attempt(
            clear_contradiction(edit, attempt), state=news.status.value, rank=rank, resume_to=resume
        )
        attempt = edit.update_attempt(attempt, changed_at=edit.now)
        edit.clear_attention({Alarm.OUTCOME_UNKNOWN.value, DISPUTED})
        if rank >= RANK[DeliveryStatus.CREATED]:
            edit.clear_attention(SETTLED_BY_PROGRESS)
        edit.set_status(news.status, attempt, **status_details(news))
        unasked = (
            edit.delivery.cancel_request is not None
            and attempt.cancel_requested_at is None
            and not attempt.cancel_refused
        )
        if unasked and attempt.rank >= GOODS_WITH_COURIER:
            refuse_cancel(edit, attempt)
        abandon_if_too_late(edit, edit.delivery.attempt(attempt.id) or attempt)
    stamp_events(edit, news, told)


def _same(edit: ChangeBuilder, attempt: Attempt, news: Observation) -> None:
    told, attempt = len(edit.events), clear_contradiction(edit, attempt)
    described = update_details(edit, news, only=True)
    if edit.delivery.status == news.status and news.detail not in (None, edit.delivery.detail):
        edit.update(detail=news.detail)
        described = True
    if described:
        edit.add_event(EventType.UPDATED, attempt, raw=status_details(news)["raw"])
    stamp_events(edit, news, told)


def _unrecognized(edit: ChangeBuilder, attempt: Attempt, news: Observation) -> None:
    if news.raw is None:
        return
    attempt = _tell_once(edit, attempt, EventType.STATUS_UNRECOGNIZED, status_key(news.raw), news)
    said = {"entity": news.raw.entity, "code": news.raw.code, "text": news.raw.text, "carrier_time": news.carrier_time}
    edit.update_attempt(attempt, unmapped_status=UnmappedStatus(**said))


def status_key(raw: Raw) -> str:
    """Write a carrier's word and what it was said of in one line, as people are shown it and give it a meaning."""
    return " ".join(f"{raw.entity}:{raw.code}".replace("\x00", "\ufffd").splitlines())


def _regression(edit: ChangeBuilder, attempt: Attempt, news: Observation) -> None:
    attempt = _tell_once(edit, attempt, EventType.REGRESSION_SEEN, f"{REGRESSION}{news.status}", news)
    if confirmed_by_second_read(edit, attempt, news):
        edit.request_attention("went_backwards", attempt)


def _tell_once(edit: ChangeBuilder, attempt: Attempt, kind: EventType, word: str, news: Observation) -> Attempt:
    """Tell an odd word once in an attempt's life, however often and in whatever order odd words are seen."""
    told = (attempt.reported_anomalies or "").splitlines()
    if word not in told and len(told) < MAX_ANOMALIES:
        attempt = edit.update_attempt(attempt, reported_anomalies="\n".join([*told, word]))
        edit.add_event(kind, attempt, raw=status_details(news)["raw"])
    return attempt
