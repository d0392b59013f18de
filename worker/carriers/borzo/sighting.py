"""What an order or a delivery shows beside its status: courier, link, times, price and proof of delivery.

The drop is found by its remembered `point_id` or by our tag, never by its position (B-74).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import phonenumbers

from worker.carriers.borzo.composition import Told, compose
from worker.carriers.borzo.memory import Known, Word
from worker.carriers.borzo.wire import RawCourier, RawDelivery, RawOrder, RawPoint
from worker.carriers.port import Courier, Observation, Price, Proof, attempt_id_of

CURRENCY = "BRL"
MAX_WORD = 64
_DIGITS = re.compile(r"\+?[0-9]+")


Point = TypeVar("Point", bound=RawPoint)


def drop_of(points: Sequence[Point], known: Known) -> Point | None:
    """Find the customer's point: the one we remember, else the one that carries our tag and is no return (B-74)."""
    remembered = known.refs.get("point_id")
    by_id = (point for point in points if remembered and str(point.point_id) == remembered)
    by_tag = (point for point in points if point.client_order_id == known.tag and not point.is_return_point)
    return next(by_id, None) or next(by_tag, None)


def tagged(points: Sequence[RawPoint]) -> frozenset[int]:
    """Name the attempts whose tags an order's points carry (B-60)."""
    found = (attempt_id_of(point.client_order_id) for point in points if point.client_order_id)
    return frozenset(attempt_id for attempt_id in found if attempt_id is not None)


def see_order(
    raw_order: RawOrder, known: Known, now: datetime, *, polled: bool, event_at: datetime | None = None
) -> Observation | None:
    """Read an order of a poll, or of a message that says when it happened."""
    drop = drop_of(raw_order.points, known)
    parcel = drop.delivery if drop else None
    clock = _Clock(event_at, now)
    told = Told(
        order=clock.word(raw_order.status, raw_order.status_description),
        delivery=clock.word(parcel.status, None, parcel.status_datetime) if parcel else None,
        polled=polled,
        returns=raw_order.is_return_required is True,
    )
    seen = compose(told, known)
    return _with_order(seen, raw_order, drop, known) if seen else None


def see_delivery(
    raw_delivery: RawDelivery, known: Known, now: datetime, event_at: datetime | None
) -> Observation | None:
    """Read the delivery of a callback; None when it is another point's (B-88)."""
    if not _is_ours(raw_delivery, known):
        return None
    changed_at = raw_delivery.status_datetime
    word = _Clock(event_at or changed_at, now).word(raw_delivery.status, raw_delivery.status_description, changed_at)
    seen = compose(Told(None, word, polled=False), known)
    return _with_delivery(seen, raw_delivery, known) if seen else None


@dataclass(frozen=True, slots=True)
class _Clock:
    said: datetime | None
    now: datetime

    def word(self, status: str | None, text: str | None, changed_at: datetime | None = None) -> Word | None:
        code = (status or "").strip()[:MAX_WORD]
        at = self.said or self.now.replace(microsecond=0)  # their times have whole seconds
        return Word(code, at, changed_at, self.said is None, text if text != status else None) if code else None


def _is_ours(raw_delivery: RawDelivery, known: Known) -> bool:
    point_id = known.refs.get("point_id")
    if point_id and raw_delivery.point_id is not None:
        return str(raw_delivery.point_id) == point_id
    delivery_id = known.refs.get("delivery_id")
    return raw_delivery.client_order_id == known.tag or (
        delivery_id is not None and str(raw_delivery.delivery_id) == delivery_id
    )


def _with_order(seen: Observation, raw_order: RawOrder, drop: RawPoint | None, known: Known) -> Observation:
    pickup = next((point for point in raw_order.points if point is not drop and not point.is_return_point), None)
    return replace(
        seen,
        ref=str(raw_order.order_id),
        codec_state={**seen.codec_state, **_ids(drop.point_id if drop else None, drop.delivery_id if drop else None)},
        courier=courier_of(raw_order.courier, known.country),
        price=Price(raw_order.payment_amount, CURRENCY) if raw_order.payment_amount is not None else None,
        tracking_url=drop.tracking_url if drop else None,
        pickup_eta=pickup.estimated_arrival_datetime if pickup and drop else None,
        dropoff_eta=drop.estimated_arrival_datetime if drop else None,
        proof=_proof(drop, known) if drop else None,
    )


def _with_delivery(seen: Observation, raw_delivery: RawDelivery, known: Known) -> Observation:
    price = raw_delivery.order_payment_amount
    return replace(
        seen,
        ref=str(raw_delivery.order_id) if raw_delivery.order_id else None,
        codec_state={**seen.codec_state, **_ids(raw_delivery.point_id, raw_delivery.delivery_id)},
        reason_text=seen.reason_text or known.without_customer(raw_delivery.checkin_issue_name) or None,
        courier=courier_of(raw_delivery.courier, known.country),
        price=Price(price, CURRENCY) if price is not None else None,
        tracking_url=raw_delivery.tracking_url,
        proof=_proof(raw_delivery, known),
    )


def _ids(point_id: int | None, delivery_id: int | None) -> dict[str, str]:
    return {name: str(value) for name, value in (("point_id", point_id), ("delivery_id", delivery_id)) if value}


def _proof(raw: RawPoint | RawDelivery, known: Known) -> Proof | None:
    proof = Proof(
        recipient_name=raw.checkin.recipient_full_name if raw.checkin else None,
        recipient_position=known.without_customer(raw.checkin.recipient_position) if raw.checkin else None,
        place_photo_url=raw.place_photo_url,
        sign_photo_url=raw.sign_photo_url,
    )
    return proof if proof != Proof() else None


def courier_of(raw_courier: RawCourier | None, country: str) -> Courier | None:
    """Read the courier block; where the courier is never says how far the parcel is (B-76)."""
    if raw_courier is None:
        return None
    names = (raw_courier.name, raw_courier.middlename, raw_courier.surname)
    phone, guessed = _phone(raw_courier.phone, country)
    placed = raw_courier.latitude is not None and raw_courier.longitude is not None
    return Courier(
        name=" ".join(filter(None, names)) or None,
        phone=phone,
        phone_guessed=guessed,
        latitude=raw_courier.latitude if placed else None,
        longitude=raw_courier.longitude if placed else None,
    )


def _phone(raw_phone: str | None, country: str) -> tuple[str | None, bool]:
    """Read digits with their country code (B-09); a national number is completed with the store's country."""
    text = raw_phone or ""
    complete = _DIGITS.fullmatch(text) is not None
    try:
        number = phonenumbers.parse(f"+{text.removeprefix('+')}" if complete else text, country)
    except phonenumbers.NumberParseException:
        return raw_phone, False
    if not phonenumbers.is_possible_number(number):
        return raw_phone, False
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), not complete
