"""What an observation says beside its status, in the words of an event."""

from dataclasses import asdict, replace
from typing import Any

from schemas.events import CourierInfo, PriceInfo, ProofInfo, RawWord
from worker.carriers.port import Observation
from worker.lifecycle.edit import Edit

MOST = 10_000_000
"""No courier costs this much: a larger amount is a carrier's mistake, and may be too long to write down."""


def describe(edit: Edit, news: Observation) -> bool:
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


def words(news: Observation, **more: Any) -> dict[str, Any]:
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


def stamped(edit: Edit, news: Observation, since: int) -> None:
    """Put the carrier's own time on the events that this news caused."""
    times = {"occurred_at": news.occurred_at, "occurred_at_assumed_zone": news.occurred_at_assumed_zone}
    edit.events[since:] = [replace(event, data=event.data.model_copy(update=times)) for event in edit.events[since:]]
