"""What a poll, a look-up or a callback saw, and what that changes."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from schemas.events import CourierInfo, EventType, PriceInfo, ProofInfo, RawWord
from schemas.status import FINAL, GOODS_WITH_COURIER, CancelledBy, Cause, DeliveryStatus
from worker import schedule
from worker.carriers.port import Observation
from worker.delivery import Attempt, Change, Delivery, rank_of
from worker.lifecycle.edit import Edit, Rules
from worker.lifecycle.ends import end, too_late
from worker.transitions import STICKY, allows, allows_back

MOST = 10_000_000
"""No courier costs this much: a larger amount is a carrier's mistake, and may be too long to write down."""
ODD_WORDS = 20
SETTLED_BY_PROGRESS = frozenset({"outcome_unknown", "not_dispatched_by_pickup_time"})
"""What no longer needs a person once the carrier is seen at work."""


def observe(
    delivery: Delivery, attempt_id: int, seen: Iterable[Observation], rules: Rules, now: datetime, cause: Cause
) -> Change:
    """Take what a poll, a look-up or a callback saw of an attempt, oldest first."""
    edit = Edit(delivery, rules, now, cause)
    if delivery.active is not None and delivery.active.id == attempt_id:
        edit.set(failures=0, retry_at=None)
    history = list(seen)
    for news in history:
        attempt = edit.delivery.attempt(attempt_id)
        if attempt is not None:
            take_news(edit, attempt, news)
    if history:
        _given_back(edit, attempt_id, history[-1])
    if cause is not Cause.CALLBACK:
        check_cancel(edit, attempt_id)
    return edit.done()


def take_news(edit: Edit, attempt: Attempt, news: Observation) -> None:
    """Take one observation in: what it adds to the codec's memory always counts, the rest only if it is not old."""
    before = attempt.stamp
    stale = news.stamp is not None and before is not None and news.stamp < before
    stamp = before if stale else news.stamp or before
    attempt = edit.put(attempt, ref=news.ref or attempt.ref, refs={**attempt.refs, **news.refs}, stamp=stamp)
    if not stale:
        _judge(edit, attempt, news, newer=_is_newer(edit.cause, news, before))


def _is_newer(cause: Cause, news: Observation, stamp: datetime | None) -> bool:
    polled = cause in {Cause.POLL, Cause.RECONCILE}
    return polled or (news.stamp is not None and (stamp is None or news.stamp > stamp))


def _judge(edit: Edit, attempt: Attempt, news: Observation, *, newer: bool) -> None:
    if news.status is None:
        _unrecognized(edit, attempt, news)
    elif attempt.state in STICKY:
        _after_the_end(edit, attempt, news)
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


def _given_back(edit: Edit, attempt_id: int, news: Observation) -> None:
    """Take a courier who gave it back, if that is the newest news, for the end of what was asked to cancel (C-47)."""
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or attempt.cancel_asked_at is None or news.status is not DeliveryStatus.COURIER_WITHDRAWN:
        return
    if attempt.live and attempt.state == DeliveryStatus.COURIER_WITHDRAWN:
        told = len(edit.events)
        end(edit, attempt, DeliveryStatus.CANCELLED, **_words(news, cancelled_by=CancelledBy.COURIER))
        _stamped(edit, news, told)


def _describe(edit: Edit, news: Observation) -> bool:
    """Keep what the news says beside the status; tell whether any of it changed."""
    said = {
        "courier": CourierInfo(**asdict(news.courier)) if news.courier else None,
        "tracking_url": news.tracking_url,
        "pickup_eta": news.pickup_eta,
        "dropoff_eta": news.dropoff_eta,
        "price": _price(news),
        "proof": _proof(news),
    }
    changed = {name: value for name, value in said.items() if value not in (None, getattr(edit.delivery, name))}
    edit.set(**changed)
    return bool(changed)


def _price(news: Observation) -> PriceInfo | None:
    plausible = news.price is not None and news.price.amount.is_finite() and -MOST < news.price.amount < MOST
    return PriceInfo(**asdict(news.price)) if news.price and plausible else None


def _proof(news: Observation) -> ProofInfo | None:
    if news.proof is None:
        return None
    said = asdict(news.proof)
    del said["recipient_name"]
    return ProofInfo(**said)


def _words(news: Observation, **more: Any) -> dict[str, Any]:
    """Turn an observation into the description of a status."""
    return {
        "detail": news.detail,
        "reason": news.reason,
        "reason_text": news.reason_text,
        "cancelled_by": news.cancelled_by,
        "evidence": news.evidence,
        "raw": RawWord(entity=news.raw.entity, code=news.raw.code, text=news.raw.text) if news.raw else None,
        **more,
    }


def _stamped(edit: Edit, news: Observation, since: int) -> None:
    """Put the carrier's own time on the events that this news caused."""
    times = {"occurred_at": news.occurred_at, "occurred_at_assumed_zone": news.occurred_at_assumed_zone}
    edit.events[since:] = [replace(event, data=event.data.model_copy(update=times)) for event in edit.events[since:]]


def _advance(edit: Edit, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told = len(edit.events)
    _describe(edit, news)
    if news.status in FINAL:
        end(edit, attempt, news.status, **_words(news))
    else:
        held = news.status is DeliveryStatus.ON_HOLD
        resume = (attempt.resume_to or attempt.state) if held else None
        rank = max(attempt.rank, rank_of(news.status))
        attempt = edit.put(attempt, state=news.status.value, rank=rank, resume_to=resume, changed_at=edit.now)
        if edit.delivery.attention in SETTLED_BY_PROGRESS:
            edit.set(attention=None)
        edit.enter(news.status, attempt, **_words(news))
        unasked = edit.delivery.cancel is not None and attempt.cancel_asked_at is None and not attempt.cancel_refused
        if unasked and attempt.rank >= GOODS_WITH_COURIER:
            too_late(edit, attempt)
    _stamped(edit, news, told)


def _same(edit: Edit, attempt: Attempt, news: Observation) -> None:
    told = len(edit.events)
    described = _describe(edit, news)
    if edit.delivery.status == news.status and news.detail not in (None, edit.delivery.detail):
        edit.set(detail=news.detail)
        described = True
    if described:
        edit.tell(EventType.UPDATED, attempt, raw=_words(news)["raw"])
    _stamped(edit, news, told)


def _unrecognized(edit: Edit, attempt: Attempt, news: Observation) -> None:
    if news.raw is None:
        return
    _tell_once(edit, attempt, EventType.STATUS_UNRECOGNIZED, f"{news.raw.entity}:{news.raw.code}", news)


def _regression(edit: Edit, attempt: Attempt, news: Observation) -> None:
    _tell_once(edit, attempt, EventType.REGRESSION_SEEN, f"regression:{news.status}", news)


def _tell_once(edit: Edit, attempt: Attempt, kind: EventType, word: str, news: Observation) -> None:
    """Tell an odd word once in an attempt's life, however often and in whatever order odd words are seen."""
    told = (attempt.odd_word or "").splitlines()
    if word not in told and len(told) < ODD_WORDS:
        attempt = edit.put(attempt, odd_word="\n".join([*told, word]))
        edit.tell(kind, attempt, raw=_words(news)["raw"])


def _after_the_end(edit: Edit, attempt: Attempt, news: Observation) -> None:
    """Leave an ended attempt ended, unless its carrier itself says that it goes on.

    What goes on is followed again while no other courier is sought or sent; otherwise it is one too many.
    """
    orphan = attempt.state == DeliveryStatus.REJECTED
    lives = news.status not in FINAL if orphan else news.reopens
    if attempt.surplus or not lives:
        return
    moved_on = edit.delivery.active is not None or (orphan and edit.delivery.final)
    if moved_on:
        attempt = edit.put(attempt, surplus=True)
    else:
        _revive(edit, attempt, news)
    if orphan or moved_on:
        edit.tell(EventType.CONFLICT, attempt, reason_text="orphan_found" if orphan else "two_couriers")


def _revive(edit: Edit, attempt: Attempt, news: Observation) -> None:
    assert news.status is not None  # noqa: S101 - the caller's branch
    told, over = len(edit.events), edit.delivery.final
    rank = rank_of(news.status, attempt.rank)
    held = news.status is DeliveryStatus.ON_HOLD
    attempt = edit.put(
        attempt,
        state=news.status.value,
        ended_at=None,
        changed_at=edit.now,
        rank=rank,
        resume_to=DeliveryStatus.CREATED.value if held else None,
        # A cancel that was wished is asked for again: the one that was confirmed is undone.
        cancel_asked_at=None,
        cancel_checks=0,
        cancel_refused=False,
    )
    edit.set(carrier=attempt.carrier, failures=0, retry_at=None)
    _describe(edit, news)
    if over:
        edit.set(status=news.status, previous_status=edit.delivery.status, changed_at=edit.now, **_words(news))
        edit.tell(EventType.REOPENED, attempt)
    else:
        edit.enter(news.status, attempt, **_words(news))
    _stamped(edit, news, told)


def check_cancel(edit: Edit, attempt_id: int) -> None:
    """Count a read that still shows the order standing after its cancel; the last one asks for a person (C-47)."""
    attempt = edit.delivery.attempt(attempt_id)
    if attempt is None or not attempt.live or attempt.cancel_asked_at is None or attempt.cancel_refused:
        return
    attempt = edit.put(attempt, cancel_checks=attempt.cancel_checks + 1)
    if attempt.cancel_checks == len(schedule.CANCEL_CHECKS):
        edit.tell(EventType.CANCEL_UNCONFIRMED, attempt)
