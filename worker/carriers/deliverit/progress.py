"""One row of the day list as an observation (statuses of DeliverIt, "Get orders period").

The list shows clock faces that may be estimates, may change and may vanish: only what has come true counts, and what
has once come true stays (D-56, D-57).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from zoneinfo import ZoneInfo

from schemas.status import FINAL, GOODS_WITH_COURIER, CancelledBy, DeliveryStatus
from worker.carriers.deliverit.links import is_token, stand_in
from worker.carriers.deliverit.rows import Sighting, known_tokens, remember_token
from worker.carriers.deliverit.status import MILESTONES, Rule, Signs, rule_of
from worker.carriers.deliverit.times import TOLERANCE, is_time, moment, past_moment, whole_minute
from worker.carriers.deliverit.wire import RawRow
from worker.carriers.port import AttemptView, Observation, Price, Raw

LONGEST_WORD = 40
CURRENCY = "DKK"
"""Assumed: the document names no currency (D-24)."""

NO_DATE = "0000-"
"""How MySQL writes a date that is not there."""


@dataclass(frozen=True, slots=True)
class Times:
    """A row's times as instants: what has come true, what is only expected, and what was true and is gone."""

    pickup: datetime
    shown_pickup: datetime | None
    true: Mapping[str, datetime]
    expected: Mapping[str, datetime]
    reverted: bool


def pickup_of(attempt: AttemptView) -> datetime:
    """Tell the pickup time that was agreed: what the carrier answered, or else what we asked for."""
    agreed = attempt.codec_state.get("pickup")
    return datetime.fromisoformat(agreed) if agreed else whole_minute(attempt.pickup_at)


def latest_pickup_of(attempt: AttemptView) -> datetime:
    """Tell the pickup time that the list showed last, which the cut-offs count from (D-40)."""
    shown = attempt.codec_state.get("pickup_shown")
    return datetime.fromisoformat(shown) if shown else pickup_of(attempt)


def observe(
    attempt: AttemptView, sighting: Sighting, day: str, now: datetime, zone: ZoneInfo
) -> tuple[Observation, ...]:
    """Say what an attempt's own row tells, an unknown word first."""
    row = sighting.row
    times = _times(attempt, row, now, zone)
    cancelled_at = _cancelled_at(row, now, zone)
    cancelled = row.cancel is True or cancelled_at is not None
    rule = rule_of(Signs(cancelled=cancelled, **{name: name in times.true for name in MILESTONES}))
    happened = times.true[rule.milestone] if rule.milestone else cancelled_at
    ended = rule.status is DeliveryStatus.CANCELLED
    known = Observation(
        status=rule.status,
        raw=Raw("row", rule.code),
        evidence=rule.evidence,
        occurred_at=happened or (None if ended else sighting.created_at),
        occurred_at_assumed_zone=zone.key if happened else None,
        detail="with_items" if ended and _has_goods(attempt, times) else None,
        cancelled_by=_cancelled_by(attempt) if ended else None,
        ref=attempt.ref if is_token(attempt.ref) else sighting.token or stand_in(attempt.reference),
        codec_state=_memory(attempt, sighting, times, day),
        pickup_eta=_pickup_eta(times, rule),
        dropoff_eta=None if rule.status in FINAL else times.expected.get("customer"),
        price=_price(attempt, row),
        notes=(*rule.notes, *_notes(attempt, sighting, times, both=cancelled and not ended)),
    )
    return (*_unknown_word(row, cancelled=cancelled), known)


def vanished() -> tuple[Observation, ...]:
    """Say that a row we saw on this day is gone, which changes nothing (D-54)."""
    return (Observation(status=None, raw=None, notes=("rows_vanished",)),)


def _times(attempt: AttemptView, row: RawRow, now: datetime, zone: ZoneInfo) -> Times:
    shown_pickup = moment(row.pickup_time, pickup_of(attempt), zone)
    pickup = shown_pickup or latest_pickup_of(attempt)
    shown = _chain(row, pickup, zone)
    true = {name: when for name, when in shown.items() if when <= now + TOLERANCE}
    before = _remembered(attempt)
    return Times(
        pickup=pickup,
        shown_pickup=shown_pickup,
        true=before | true,
        expected={name: when for name, when in shown.items() if name not in true},
        reverted=bool(before.keys() - true.keys()),
    )


def _remembered(attempt: AttemptView) -> dict[str, datetime]:
    """Recall what once came true: a time that turns back into N/A takes nothing back."""
    known = {name: attempt.codec_state.get(f"at_{name}") for name in MILESTONES}
    return {name: datetime.fromisoformat(when) for name, when in known.items() if when}


def _chain(row: RawRow, pickup: datetime, zone: ZoneInfo) -> dict[str, datetime]:
    """Resolve each time near the one before it, so that a trip rolls over midnight and may start a little early."""
    shown, anchor = {}, pickup
    for name, text in _faces(row).items():
        when = moment(text, anchor, zone)
        if when is not None:
            shown[name] = anchor = when
    return shown


def _faces(row: RawRow) -> dict[str, str | None]:
    return {"arrive": row.driver_arrive, "left": row.driver_left, "customer": row.arrive_at_customer, "done": row.done}


def _cancelled_at(row: RawRow, now: datetime, zone: ZoneInfo) -> datetime | None:
    when = past_moment(row.canceled_at, now, zone)  # D-59
    return when if when and when <= now + TOLERANCE else None


def _cancelled_by(attempt: AttemptView) -> CancelledBy:
    return CancelledBy.MERCHANT if attempt.cancel_requested else CancelledBy.UNKNOWN


def _has_goods(attempt: AttemptView, times: Times) -> bool:
    return attempt.rank >= GOODS_WITH_COURIER or "left" in times.true or "customer" in times.true


def _pickup_eta(times: Times, rule: Rule) -> datetime | None:
    return times.expected.get("arrive", times.pickup) if rule.status is DeliveryStatus.CREATED else None


def _price(attempt: AttemptView, row: RawRow) -> Price | None:
    """Tell a price only when it is new: the list does not say whether it includes VAT, the create does (D-24)."""
    known = attempt.codec_state.get("price")
    if row.delivery_price is None or (known and Decimal(known) == row.delivery_price):
        return None
    return Price(row.delivery_price, CURRENCY)


def _memory(attempt: AttemptView, sighting: Sighting, times: Times, day: str) -> dict[str, str]:
    """Write down what the next look must know (D-51, D-52, D-57)."""
    found = {f"at_{name}": when.isoformat() for name, when in times.true.items()}
    found["day"] = day
    if sighting.fingerprint:
        found["fingerprint"] = sighting.fingerprint
    if times.shown_pickup:
        found["pickup_shown"] = times.shown_pickup.isoformat()
    if sighting.row.delivery_price is not None:
        found["price"] = str(sighting.row.delivery_price)
    return found | remember_token(attempt, sighting.token)


def _notes(attempt: AttemptView, sighting: Sighting, times: Times, *, both: bool) -> tuple[str, ...]:
    shown = times.shown_pickup
    moved = shown is not None and abs(shown - pickup_of(attempt)) > TOLERANCE and shown != latest_pickup_of(attempt)
    known = known_tokens(attempt)
    said = {
        "cancelled_but_done": both,
        "time_reverted": times.reverted,
        "pickup_time_changed": moved,
        "token_changed": bool(known) and sighting.token not in (None, *known),
    }
    return tuple(note for note, holds in said.items() if holds)


def _unknown_word(row: RawRow, *, cancelled: bool) -> tuple[Observation, ...]:
    """Report a text where a time or a yes or no should be: it is a word nobody has told us.

    One is enough: two in turn would look like news at every read.
    """
    said = {MILESTONES[name]: text for name, text in _faces(row).items()}
    if not cancelled and not (row.canceled_at or "").startswith(NO_DATE):
        said["canceled_at"] = row.canceled_at
    odd = {key: text for key, text in said.items() if text and not is_time(text)}
    if row.cancel is None and row.cancel_word:
        odd["cancel"] = row.cancel_word
    words = (Raw("row", f"{key}={text[:LONGEST_WORD]}") for key, text in odd.items())
    return tuple(Observation(status=None, raw=word) for word in islice(words, 1))
