"""Callbacks: read what was stored with the carrier's codec, and decide as after a poll."""

from celery import shared_task

from schemas.status import Cause
from worker import hints, lifecycle, log
from worker.carriers.port import Carrier
from worker.delivery import Change, Delivery, view
from worker.errors import CarrierError
from worker.store import StoredCallback
from worker.wiring import House, house

logger = log.get(__name__)


@shared_task(name="callbacks.apply")
def apply(callback_id: str) -> None:
    """Read a stored callback and store what it means; one whose order is not known yet waits for the sweep."""
    made = house()
    kept = made.store.callback(callback_id)
    if kept is None or kept.result is not None:
        return
    try:
        codec = made.carrier(kept.carrier)
        found = made.store.find_attempt(kept.carrier, codec.callback_key(kept.callback))
    except (CarrierError, KeyError) as error:
        logger.warning("callback.unreadable", callback_id=callback_id, carrier=kept.carrier, error=str(error))
        made.store.apply_callback(callback_id, "unreadable", None, lambda _: None)
        return
    if found is None:
        _orphan(made, kept)
        return
    _apply(made, codec, kept, found)


def _apply(made: House, codec: Carrier, kept: StoredCallback, found: tuple[str, int]) -> None:
    now = made.now()

    def decide(delivery: Delivery) -> Change | None:
        attempt = delivery.attempt(found[1])
        if attempt is None or delivery.store is None:
            return None
        seen = codec.read_callback(kept.callback, view(delivery, attempt), now)
        if not seen:
            return lifecycle.look_now(delivery, made.rules, now)
        return lifecycle.observe(delivery, attempt.id, seen, made.rules, now, Cause.CALLBACK)

    try:
        changed = made.store.apply_callback(kept.id, "applied", found, decide)
    except CarrierError as error:
        logger.warning("callback.unreadable", callback_id=kept.id, carrier=kept.carrier, error=str(error))
        made.store.apply_callback(kept.id, "unreadable", found, lambda _: None)
        return
    hints.after(changed, now)


ORPHAN_SECONDS = 24 * 3600


def _orphan(made: House, kept: StoredCallback) -> None:
    """Leave a callback that may have overtaken our own create; give it up after a day."""
    if (made.now() - kept.received_at).total_seconds() > ORPHAN_SECONDS:
        logger.warning("callback.orphaned", callback_id=kept.id, carrier=kept.carrier)
        made.store.apply_callback(kept.id, "orphaned", None, lambda _: None)
