"""Callbacks: read what was stored with the carrier's codec, and decide as after a poll."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from celery import shared_task

from schemas.status import Cause
from worker import enqueue, log
from worker.carriers.port import Carrier, Observation
from worker.container import Container, container
from worker.database.callbacks import StoredCallback
from worker.domain import lifecycle
from worker.domain.carrier_terms import attempt_view
from worker.domain.delivery import Attempt, Change, Delivery
from worker.domain.lifecycle.reopening import GONE
from worker.errors import CarrierError, Unreadable
from worker.services.carrier_calls import guarded

logger = log.get(__name__)
ORPHANED = timedelta(days=1)
"""After which a callback that nobody's attempt explains is given up."""
REPEATED = timedelta(hours=26)
T = TypeVar("T")
Seen = tuple[Observation, ...]
Read = Callable[[Delivery, Attempt, datetime], Seen]
"""Reads a callback about an attempt of a delivery."""


@shared_task(name="callbacks.apply")
def apply(callback_id: str) -> None:
    """Read a stored callback and store what it means; one whose order is not known yet waits for the sweep."""
    made = container()
    kept = made.database.callback(callback_id)
    if kept is None or kept.result is not None:
        return
    try:
        codec = made.carrier(kept.carrier)
        key = _sure(codec, lambda: codec.callback_key(kept.callback))
        found = made.database.find_attempt(kept.carrier, key)
    except (CarrierError, KeyError) as error:
        _unreadable(made, kept, error)
        return
    if found is None:
        _orphan(made, kept)
        return
    _apply(made, codec, kept, found)


def _apply(made: Container, codec: Carrier, kept: StoredCallback, found: tuple[str, int]) -> None:
    now = made.clock()
    read = partial(_read, codec, made.status_mappings(kept.carrier), kept)

    def decide(delivery: Delivery) -> Change | None:
        attempt = delivery.attempt(found[1])
        if attempt is None or delivery.store is None:
            return None
        ref = codec.callback_key(kept.callback).ref
        if attempt.ref is None or ref in {None, attempt.ref}:
            return _news(made, read, kept, delivery, attempt)
        return _news_of_another(made, read, kept, delivery, replace(attempt, ref=ref))

    try:
        changed = made.database.apply_callback(kept.id, "applied", found, decide)
    except CarrierError as error:
        _unreadable(made, kept, error)
        return
    enqueue.enqueue_next_steps(changed, now)


def _unreadable(made: Container, kept: StoredCallback, error: Exception) -> None:
    logger.warning("callback.unreadable", callback_id=kept.id, carrier=kept.carrier, error=str(error))
    made.database.apply_callback(kept.id, "unreadable", None, lambda _: None)


def _read(
    codec: Carrier,
    words: lifecycle.StatusMappings,
    kept: StoredCallback,
    delivery: Delivery,
    attempt: Attempt,
    now: datetime,
) -> Seen:
    seen = _sure(codec, lambda: codec.read_callback(kept.callback, attempt_view(delivery, attempt), now))
    return lifecycle.apply_mappings(seen, words)


def _sure(codec: Carrier, work: Callable[[], T]) -> T:
    """Do a codec's work on a callback; one that breaks it is not tried again and again. Raises CarrierError."""
    done = guarded(codec.account.name, work, lambda error: Unreadable(f"it broke its reader: {type(error).__name__}"))
    if isinstance(done, CarrierError):
        raise done
    return done


def _news(made: Container, read: Read, kept: StoredCallback, delivery: Delivery, attempt: Attempt) -> Change | None:
    now = made.clock()
    seen = read(delivery, attempt, now)
    if not seen or _replayed(kept, seen):
        return lifecycle.schedule_read_now(delivery, made.terms, now, attempt.id)
    change = lifecycle.apply_observations(delivery, attempt.id, seen, made.terms, now, Cause.CALLBACK)
    if any(each.status or each.raw for each in seen):
        return change
    looked = lifecycle.schedule_read_now(change.delivery, made.terms, now, attempt.id)
    return Change(looked.delivery, (*change.events, *looked.events)) if looked else change


def _news_of_another(
    made: Container, read: Read, kept: StoredCallback, delivery: Delivery, shown: Attempt
) -> Change | None:
    """Take a callback about a further order with our tag: a courier too many, unless none comes of it (B-60)."""
    known = next((each for each in delivery.attempts if (each.carrier, each.ref) == (shown.carrier, shown.ref)), None)
    if known is not None:
        return _news(made, read, kept, delivery, known)
    now = made.clock()
    seen = read(delivery, replace(shown, codec_state={}), now)
    if not seen or seen[-1].status in GONE or _replayed(kept, seen):
        return None
    return lifecycle.record_duplicates(delivery, shown.id, [shown.ref or ""], made.terms, now, Cause.CALLBACK)


def _replayed(kept: StoredCallback, seen: Seen) -> bool:
    """Tell whether all it says was old when it came: carriers repeat theirs for a day, and nobody signs the time."""
    return all(each.carrier_time is not None and kept.received_at - each.carrier_time > REPEATED for each in seen)


def _orphan(made: Container, kept: StoredCallback) -> None:
    """Leave a callback that may have overtaken our own create; give it up after a day."""
    if made.clock() - kept.received_at > ORPHANED:
        logger.warning("callback.orphaned", callback_id=kept.id, carrier=kept.carrier)
        made.database.apply_callback(kept.id, "orphaned", None, lambda _: None)
