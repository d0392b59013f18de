"""What an observation says beside its status, in the words of an event."""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from schemas.events import CourierInfo, PriceInfo, ProofInfo, RawWord
from worker.carriers.port import Courier, Observation
from worker.domain.delivery import Delivery
from worker.domain.lifecycle.change import ChangeBuilder

MOST = 10_000_000
"""No courier costs this much: a larger amount is a carrier's mistake, and may be too long to write down."""
PLACES_APART = timedelta(minutes=1)
"""Between two events that tell of nothing but where the courier is."""


def update_details(edit: ChangeBuilder, news: Observation, *, only: bool = False) -> bool:
    """Keep what the news says beside the status; tell whether any of it is worth an event.

    Where that is `only` the courier's place, of which there was word just now, it is left for the next look: what were
    kept without being told would be no news any more, and he may stand there for long.
    """
    before, courier = edit.delivery, _courier(edit.delivery.courier, news.courier)
    said = {
        "courier": courier,
        "tracking_url": news.tracking_url,
        "pickup_eta": news.pickup_eta,
        "dropoff_eta": news.dropoff_eta,
        "price": _price(news),
        "proof": _proof(news),
    }
    changed = {name: value for name, value in said.items() if value not in (None, getattr(before, name))}
    if only and changed.keys() == {"courier"} and _only_moved(before, courier, edit.now):
        return False
    edit.update(**changed)
    if "courier" in changed and courier and courier.latitude is not None:
        edit.update(located_at=edit.now)
    return bool(changed)


def _courier(known: CourierInfo | None, said: Courier | None) -> CourierInfo | None:
    """Add what is said of the courier to what is known of the same one: what is not said of him is not gone."""
    if said is None or known is None or _another(known, said):
        return CourierInfo(**asdict(said)) if said else None
    fresh = {name: value for name, value in asdict(said).items() if value is not None}
    if said.phone is None:
        del fresh["phone_guessed"]
    return known.model_copy(update=fresh)


def _another(known: CourierInfo, said: Courier) -> bool:
    pairs = ((known.name, said.name), (known.phone, said.phone))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _only_moved(before: Delivery, courier: CourierInfo | None, now: datetime) -> bool:
    """Tell whether nothing changed but the courier's place, of which there was word just now (B-76)."""
    same = _unplaced(before.courier) == _unplaced(courier)
    return same and before.located_at is not None and now - before.located_at < PLACES_APART


def _unplaced(courier: CourierInfo | None) -> CourierInfo:
    return (courier or CourierInfo()).model_copy(update={"latitude": None, "longitude": None})


def _price(news: Observation) -> PriceInfo | None:
    plausible = news.price is not None and news.price.amount.is_finite() and -MOST < news.price.amount < MOST
    return PriceInfo(**asdict(news.price)) if news.price and plausible else None


def _proof(news: Observation) -> ProofInfo | None:
    if news.proof is None:
        return None
    said = asdict(news.proof)
    del said["recipient_name"]
    return ProofInfo(**said)


def status_details(news: Observation, **more: Any) -> dict[str, Any]:
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


def stamp_events(edit: ChangeBuilder, news: Observation, since: int) -> None:
    """Put the carrier's own time on the events that this news caused."""
    times = {"occurred_at": news.occurred_at, "occurred_at_assumed_zone": news.occurred_at_assumed_zone}
    edit.events[since:] = [replace(event, data=event.data.model_copy(update=times)) for event in edit.events[since:]]
