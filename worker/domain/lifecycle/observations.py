"""What a poll, a look-up or a callback saw, and what that changes."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from schemas.events import EventType
from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, CancelledBy, Cause, DeliveryStatus
from worker.carriers.port import Observation, Raw
from worker.domain.delivery import Attempt, Change, Delivery, Unread, rank_of
from worker.domain.lifecycle import surplus
from worker.domain.lifecycle.amendment import overtaken
from worker.domain.lifecycle.cancellation import read_done
from worker.domain.lifecycle.change import DISPUTED, OPEN_QUESTIONS, REFERENCE, Edit, Rules
from worker.domain.lifecycle.event_details import describe, stamped, words
from worker.domain.lifecycle.reopening import POLLED, after_the_end, said_twice, uncontradicted
from worker.domain.lifecycle.rollup import end, too_late
from worker.domain.planner import Alarm
from worker.domain.transitions import STICKY, allows, allows_back, interrupts

ODD_WORDS = 20
MAPPED = "mapped"
"""The note of a word whose meaning is an operator's, not its carrier's."""
REGRESSION = "regression:"
"""What an odd word begins with that is no word of the carrier's, but a step back."""
SETTLED_BY_PROGRESS = OPEN_QUESTIONS | {Alarm.NOT_DISPATCHED.value}
"""What no longer needs a person once the carrier is seen at work."""


def observe(
    delivery: Delivery,
    attempt_id: int,
    seen: Iterable[Observation],
    rules: Rules,
    now: datetime,
    cause: Cause,
    began: datetime | None = None,
) -> Change:
    """Take what a poll, a look-up or a callback saw of an attempt, oldest first; `began` is when a read was begun."""
    edit = Edit(delivery, rules, now, cause)
    before, history = delivery.attempt(attempt_id), list(seen)
    if before is None:
        return edit.done()
    if before == delivery.active:
        edit.set(failures=0, retry_at=None)
    for news in history:
        take_news(edit, edit.delivery.attempt(attempt_id) or before, news, last=news is history[-1])
    if history:
        _given_back(edit, attempt_id, history[-1], began or now)
    if cause is not Cause.CALLBACK:
        stands = any(news.status is not None for news in history)
        read_done(edit, before, began or now, stands=stands)
    return edit.done()


def take_news(edit: Edit, attempt: Attempt, news: Observation, *, last: bool = True) -> None:
    """Take one observation in: what it adds to the codec's memory always counts, the rest only if it is not old.

    Only the `last` of several says whether what had ended lives.
    """
    attempt = _whose(edit.delivery, attempt, news)
    before = attempt.stamp
    stale = news.stamp is not None and before is not None and news.stamp < before
    stamp = before if stale else news.stamp or before
    if attempt.ref is None and news.ref is not None:
        edit.answer({REFERENCE})
    attempt = edit.put(attempt, ref=news.ref or attempt.ref, refs={**attempt.refs, **news.refs}, stamp=stamp)
    if not stale and (last or attempt.state not in STICKY):
        _judge(edit, attempt, news, newer=_is_newer(edit.cause, news, before))


def _whose(delivery: Delivery, attempt: Attempt, news: Observation) -> Attempt:
    """Name the attempt that news is about: an order that stands beside this one with its tag is never taken for it."""
    if attempt.ref is None or news.ref in {None, attempt.ref}:
        return attempt
    known = (each for each in delivery.attempts if (each.carrier, each.ref) == (attempt.carrier, news.ref))
    return next(known, attempt)


def _is_newer(cause: Cause, news: Observation, stamp: datetime | None) -> bool:
    return cause in POLLED or (news.stamp is not None and (stamp is None or news.stamp > stamp))


def _judge(edit: Edit, attempt: Attempt, news: Observation, *, newer: bool) -> None:
    if news.status is None or _unlikely(attempt, news):
        _unrecognized(edit, attempt, news)
        return
    attempt = edit.put(attempt, unread=None)
    if attempt.state in STICKY:
        after_the_end(edit, attempt, news, newer=newer)
    elif attempt.surplus:
        surplus.follow(edit, attempt, news.status, newer=newer)
    elif news.status == attempt.state:
        _same(edit, attempt, news)
    elif allows(attempt.state, news.status, attempt.resume_to):
        _advance(edit, attempt, news)
    elif edit.cause is Cause.RESPONSE:
        # A callback overtook the answer to our own call (B-86): its status is old, the rest may be new.
        _same(edit, attempt, news)
    elif allows_back(attempt.state, news.status, attempt.resume_to) and newer:
        edit.set(courier=None)
        _advance(edit, attempt, replace(news, detail=news.detail or "reassigned"))
    else:
        _regression(edit, attempt, news)


def _unlikely(attempt: Attempt, news: Observation) -> bool:
    """Tell whether a person's word calls delivered what was on its way back: only its carrier may (I12)."""
    back = DeliveryStatus.RETURNING in {attempt.state, attempt.resume_to}
    return MAPPED in news.notes and news.status is DeliveryStatus.DELIVERED and back


def _given_back(edit: Edit, attempt_id: int, news: Observation, began: datetime) -> None:
    """Take a courier who gave it back, if that is the newest news, for the end of what was asked to cancel (C-47).

    Not while the cancel is under way: it may not even have left.
    """
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or not attempt.cancelling or news.status is not DeliveryStatus.COURIER_WITHDRAWN:
        return
    if attempt.wait_until is not None and began < attempt.wait_until:
        return
    if attempt.surplus:
        surplus.follow(edit, attempt, DeliveryStatus.CANCELLED, newer=True)
    elif attempt.live and attempt.state == DeliveryStatus.COURIER_WITHDRAWN:
        told = len(edit.events)
        end(edit, attempt, DeliveryStatus.CANCELLED, **words(news, cancelled_by=CancelledBy.COURIER))
        stamped(edit, news, told)


def _advance(edit: Edit, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told = len(edit.events)
    describe(edit, news)
    if news.status in FINAL:
        end(edit, attempt, news.status, **words(news))
    else:
        resume = interrupts(news.status, attempt.resume_to or attempt.state)
        rank = max(attempt.rank, rank_of(news.status))
        attempt = edit.put(uncontradicted(edit, attempt), state=news.status.value, rank=rank, resume_to=resume)
        attempt = edit.put(attempt, changed_at=edit.now)
        edit.answer({Alarm.OUTCOME_UNKNOWN.value, DISPUTED})
        if rank >= RANK[DeliveryStatus.CREATED]:
            edit.answer(SETTLED_BY_PROGRESS)
        edit.enter(news.status, attempt, **words(news))
        unasked = edit.delivery.cancel is not None and attempt.cancel_asked_at is None and not attempt.cancel_refused
        if unasked and attempt.rank >= GOODS_WITH_COURIER:
            too_late(edit, attempt)
        overtaken(edit, edit.delivery.attempt(attempt.id) or attempt)
    stamped(edit, news, told)


def _same(edit: Edit, attempt: Attempt, news: Observation) -> None:
    told, attempt = len(edit.events), uncontradicted(edit, attempt)
    described = describe(edit, news, only=True)
    if edit.delivery.status == news.status and news.detail not in (None, edit.delivery.detail):
        edit.set(detail=news.detail)
        described = True
    if described:
        edit.tell(EventType.UPDATED, attempt, raw=words(news)["raw"])
    stamped(edit, news, told)


def _unrecognized(edit: Edit, attempt: Attempt, news: Observation) -> None:
    if news.raw is None:
        return
    attempt = _tell_once(edit, attempt, EventType.STATUS_UNRECOGNIZED, word_of(news.raw), news)
    said = {"entity": news.raw.entity, "code": news.raw.code, "text": news.raw.text, "stamp": news.stamp}
    edit.put(attempt, unread=Unread(**said))


def word_of(raw: Raw) -> str:
    """Write a carrier's word and what it was said of in one line, as people are shown it and give it a meaning."""
    return " ".join(f"{raw.entity}:{raw.code}".replace("\x00", "\ufffd").splitlines())


def _regression(edit: Edit, attempt: Attempt, news: Observation) -> None:
    attempt = _tell_once(edit, attempt, EventType.REGRESSION_SEEN, f"{REGRESSION}{news.status}", news)
    if said_twice(edit, attempt, news):
        edit.attend("went_backwards", attempt)


def _tell_once(edit: Edit, attempt: Attempt, kind: EventType, word: str, news: Observation) -> Attempt:
    """Tell an odd word once in an attempt's life, however often and in whatever order odd words are seen."""
    told = (attempt.odd_word or "").splitlines()
    if word not in told and len(told) < ODD_WORDS:
        attempt = edit.put(attempt, odd_word="\n".join([*told, word]))
        edit.tell(kind, attempt, raw=words(news)["raw"])
    return attempt
