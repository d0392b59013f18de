"""Store the data that an observation reports besides its status, such as the courier, times and price."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TypeVar

from schemas.events import CourierInfo, PriceInfo, ProofInfo, RawWord
from worker.carriers.port import Courier, Observation
from worker.domain.delivery import Delivery, replace
from worker.domain.lifecycle.change import ChangeBuilder, StatusDetails

MAX_AMOUNT = 10_000_000
"""The limit for prices. A larger price is a mistake of the carrier, and may be too long to store."""
POSITION_INTERVAL = timedelta(minutes=1)
"""The shortest time between two events that report only a new position of the courier."""

T = TypeVar("T")


def update_details(change: ChangeBuilder, observation: Observation, *, by_itself: bool = False) -> bool:
    """Store the data that an observation reports besides its status. Return whether an event is needed.

    `by_itself` means that the status has not changed, so the data would need an event of their own. If only the
    courier's position is new, and the last position was published less than `POSITION_INTERVAL` ago, nothing is stored.
    A later read then still finds a new position and publishes it.
    """
    before = change.delivery
    after = replace(
        before,
        courier=_newest(before.courier, _courier(before.courier, observation.courier)),
        tracking_url=_newest(before.tracking_url, observation.tracking_url),
        pickup_eta=_newest(before.pickup_eta, observation.pickup_eta),
        dropoff_eta=_newest(before.dropoff_eta, observation.dropoff_eta),
        price=_newest(before.price, _price(observation)),
        proof=_newest(before.proof, _proof(observation)),
    )
    if after == before or (by_itself and _only_moved(before, after, change.now)):
        return False
    located = after.courier is not before.courier and after.courier and after.courier.latitude is not None
    change.update(replace(after, located_at=change.now) if located else after)
    return True


def _newest(known: T | None, given: T | None) -> T | None:
    return known if given is None or given == known else given


def _courier(known: CourierInfo | None, given: Courier | None) -> CourierInfo | None:
    """Return the data of the courier after a report; None when the report contains no courier.

    If the courier is the same, values that the report lacks are kept. If the courier is another, no old value is kept.
    """
    if given is None or known is None or _is_another(known, given):
        return CourierInfo(**asdict(given)) if given else None
    fresh = {name: value for name, value in asdict(given).items() if value is not None}
    if given.phone is None:
        del fresh["phone_guessed"]
    return known.model_copy(update=fresh)


def _is_another(known: CourierInfo, given: Courier) -> bool:
    pairs = ((known.name, given.name), (known.phone, given.phone))
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _only_moved(before: Delivery, after: Delivery, now: datetime) -> bool:
    """Return whether only the courier's position has changed, too soon after the last published position (B-76).

    Too soon is less than `POSITION_INTERVAL` after the last published position.
    """
    if before.located_at is None or now - before.located_at >= POSITION_INTERVAL:
        return False
    same_courier = _without_position(before.courier) == _without_position(after.courier)
    return same_courier and replace(after, courier=before.courier) == before


def _without_position(courier: CourierInfo | None) -> CourierInfo:
    return (courier or CourierInfo()).model_copy(update={"latitude": None, "longitude": None})


def _price(observation: Observation) -> PriceInfo | None:
    price = observation.price
    plausible = price is not None and price.amount.is_finite() and -MAX_AMOUNT < price.amount < MAX_AMOUNT
    return PriceInfo(**asdict(price)) if price and plausible else None


def _proof(observation: Observation) -> ProofInfo | None:
    proof = observation.proof
    if proof is None:
        return None
    return ProofInfo(
        recipient_position=proof.recipient_position,
        place_photo_url=proof.place_photo_url,
        sign_photo_url=proof.sign_photo_url,
    )


def status_details(observation: Observation) -> StatusDetails:
    """Return the details of an observation's status."""
    return StatusDetails(
        detail=observation.detail,
        reason=observation.reason,
        reason_text=observation.reason_text,
        cancelled_by=observation.cancelled_by,
        evidence=observation.evidence,
        raw=raw_word(observation),
    )


def raw_word(observation: Observation) -> RawWord | None:
    """Return the carrier's own status as events publish it; None when the carrier reported no status."""
    raw = observation.raw
    return RawWord(entity=raw.entity, code=raw.code, text=raw.text) if raw else None


def stamp_events(change: ChangeBuilder, observation: Observation, since: int) -> None:
    """Set the carrier's own time on the events that this observation caused, from the index `since` on."""
    times = {
        "occurred_at": observation.occurred_at,
        "occurred_at_assumed_zone": observation.occurred_at_assumed_zone,
    }
    stamped = [replace(event, data=event.data.model_copy(update=times)) for event in change.events[since:]]
    change.events[since:] = stamped
