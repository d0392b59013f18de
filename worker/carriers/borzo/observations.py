"""Complete observations: the status, and Borzo's data about courier, link, times, price and proof of delivery.

The customer's point is found by its remembered `point_id` or by our reference, never by its position (B-74).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import phonenumbers

from schemas.status import DeliveryStatus, Evidence
from worker.carriers.borzo.attempt_state import AttemptMemory, ReportedStatus
from worker.carriers.borzo.status import StatusReport, resolve
from worker.carriers.borzo.wire import CURRENCY, RawCourier, RawDelivery, RawOrder, RawPoint
from worker.carriers.port import AttemptView, Booking, Courier, Observation, Price, Proof, Raw, attempt_id_of

MAX_STATUS = 64
_DIGITS = re.compile(r"\+?[0-9]+")

Point = TypeVar("Point", bound=RawPoint)


def observe_created(raw_order: RawOrder, booking: Booking) -> Observation:
    """Return what the answer to a create shows.

    The customer's point is the one with our reference. If no point has our reference, it is the second of the two
    points that we sent (B-74).
    """
    second = next(iter(raw_order.points[1:2]), None)
    dropoff = find_dropoff(raw_order.points, AttemptMemory.from_booking(booking, {})) or second
    point_id = {"point_id": str(dropoff.point_id)} if dropoff and dropoff.point_id else {}
    memory = AttemptMemory.from_booking(booking, point_id)
    seen = observe_order(raw_order, memory, polled=False, event_at=raw_order.created_datetime)
    created = at_least_created(seen or _without_status(raw_order))
    if created.status is DeliveryStatus.CREATED:
        return created
    plain = replace(created, detail=None, reason=None, reason_text=None, cancelled_by=None)
    return replace(plain, status=DeliveryStatus.CREATED, evidence=Evidence.ORDER_LEVEL)


def observe_tracked(
    attempts: Sequence[AttemptView], requested: Sequence[str], orders: Mapping[str, RawOrder]
) -> dict[int, tuple[Observation, ...]]:
    """Return what a poll shows; an attempt whose order is missing or has no status is left out (I13)."""
    readings: dict[int, tuple[Observation, ...]] = {}
    for attempt in attempts:
        order = orders.get(attempt.ref) if attempt.ref and attempt.ref in requested else None
        seen = observe_order(order, AttemptMemory.from_attempt(attempt), polled=True) if order else None
        if seen:
            readings[attempt.id] = (seen,)
    return readings


def observe_found(raw_order: RawOrder, attempt: AttemptView) -> Observation:
    """Return what an order shows. A look-up by our reference has found it, which proves that the create succeeded."""
    seen = observe_order(raw_order, AttemptMemory.from_attempt(attempt), polled=True)
    return at_least_created(seen or _without_status(raw_order))


def observe_order(
    raw_order: RawOrder, memory: AttemptMemory, *, polled: bool, event_at: datetime | None = None
) -> Observation | None:
    """Return what an order shows; None when it shows no status.

    `event_at` is the time of the message that contains the order; None for a poll.
    """
    dropoff = find_dropoff(raw_order.points, memory)
    delivery = dropoff.delivery if dropoff else None
    report = StatusReport(
        order=_status(raw_order.status, raw_order.status_description, event_at),
        delivery=_status(delivery.status, None, event_at, delivery.status_datetime) if delivery else None,
        polled=polled,
        reported_at=event_at,
        return_required=raw_order.is_return_required is True,
    )
    seen = resolve(report, memory)
    return _with_order(seen, raw_order, dropoff, memory) if seen else None


def observe_delivery(raw_delivery: RawDelivery, memory: AttemptMemory, event_at: datetime | None) -> Observation | None:
    """Return what the delivery of a callback shows; None when it has no status or belongs to another point (B-88)."""
    if not _is_own_point(raw_delivery, memory):
        return None
    reported_at = event_at or raw_delivery.status_datetime
    status = _status(raw_delivery.status, raw_delivery.status_description, reported_at, raw_delivery.status_datetime)
    seen = resolve(StatusReport(None, status, polled=False, reported_at=reported_at), memory)
    return _with_delivery(seen, raw_delivery, memory) if seen else None


def at_least_created(seen: Observation) -> Observation:
    """Return the observation of an order that certainly exists. An observation without a status gets `created`."""
    if seen.status is not None:
        return seen
    return replace(seen, status=DeliveryStatus.CREATED, evidence=Evidence.ORDER_LEVEL)


def find_dropoff(points: Sequence[Point], memory: AttemptMemory) -> Point | None:
    """Return the customer's point: the one with the stored id, otherwise the one with our reference (B-74).

    A return point with our reference is not the customer's point. None when no point fits.
    """
    remembered = memory.codec_state.get("point_id")
    by_id = (point for point in points if remembered and str(point.point_id) == remembered)
    by_reference = (
        point for point in points if point.client_order_id == memory.reference and not point.is_return_point
    )
    return next(by_id, None) or next(by_reference, None)


def referenced_attempts(points: Sequence[RawPoint]) -> frozenset[int]:
    """Return the ids of the attempts whose references an order's points contain (B-60)."""
    found = (attempt_id_of(point.client_order_id) for point in points if point.client_order_id)
    return frozenset(attempt_id for attempt_id in found if attempt_id is not None)


def parse_courier(raw_courier: RawCourier | None, country: str) -> Courier | None:
    """Return the courier; None when Borzo reports no courier. No status is derived from their position (B-76)."""
    if raw_courier is None:
        return None
    names = (raw_courier.name, raw_courier.middlename, raw_courier.surname)
    phone, guessed = _parse_phone(raw_courier.phone, country)
    located = raw_courier.latitude is not None and raw_courier.longitude is not None
    return Courier(
        name=" ".join(filter(None, names)) or None,
        phone=phone,
        phone_guessed=guessed,
        latitude=raw_courier.latitude if located else None,
        longitude=raw_courier.longitude if located else None,
    )


def _status(
    code: str | None, text: str | None, reported_at: datetime | None, changed_at: datetime | None = None
) -> ReportedStatus | None:
    trimmed = (code or "").strip()[:MAX_STATUS]
    return ReportedStatus(trimmed, reported_at, changed_at, text if text != code else None) if trimmed else None


def _without_status(raw_order: RawOrder) -> Observation:
    return Observation(status=None, raw=Raw("order", ""), ref=str(raw_order.order_id))


def _is_own_point(raw_delivery: RawDelivery, memory: AttemptMemory) -> bool:
    point_id = memory.codec_state.get("point_id")
    if point_id and raw_delivery.point_id is not None:
        return str(raw_delivery.point_id) == point_id
    delivery_id = memory.codec_state.get("delivery_id")
    return raw_delivery.client_order_id == memory.reference or (
        delivery_id is not None and str(raw_delivery.delivery_id) == delivery_id
    )


def _with_order(seen: Observation, raw_order: RawOrder, dropoff: RawPoint | None, memory: AttemptMemory) -> Observation:
    pickup = next((point for point in raw_order.points if point is not dropoff and not point.is_return_point), None)
    ids = _ids(dropoff.point_id, dropoff.delivery_id) if dropoff else {}
    return replace(
        seen,
        ref=str(raw_order.order_id),
        codec_state={**seen.codec_state, **ids},
        courier=parse_courier(raw_order.courier, memory.country),
        price=Price(raw_order.payment_amount, CURRENCY) if raw_order.payment_amount is not None else None,
        tracking_url=dropoff.tracking_url if dropoff else None,
        pickup_eta=pickup.estimated_arrival_datetime if pickup and dropoff else None,
        dropoff_eta=dropoff.estimated_arrival_datetime if dropoff else None,
        proof=_proof(dropoff, memory) if dropoff else None,
    )


def _with_delivery(seen: Observation, raw_delivery: RawDelivery, memory: AttemptMemory) -> Observation:
    price = raw_delivery.order_payment_amount
    return replace(
        seen,
        ref=str(raw_delivery.order_id) if raw_delivery.order_id else None,
        codec_state={**seen.codec_state, **_ids(raw_delivery.point_id, raw_delivery.delivery_id)},
        reason_text=seen.reason_text or memory.redact(raw_delivery.checkin_issue_name) or None,
        courier=parse_courier(raw_delivery.courier, memory.country),
        price=Price(price, CURRENCY) if price is not None else None,
        tracking_url=raw_delivery.tracking_url,
        proof=_proof(raw_delivery, memory),
    )


def _ids(point_id: int | None, delivery_id: int | None) -> dict[str, str]:
    return {key: str(value) for key, value in (("point_id", point_id), ("delivery_id", delivery_id)) if value}


def _proof(raw: RawPoint | RawDelivery, memory: AttemptMemory) -> Proof | None:
    proof = Proof(
        recipient_name=raw.checkin.recipient_full_name if raw.checkin else None,
        recipient_position=memory.redact(raw.checkin.recipient_position) if raw.checkin else None,
        place_photo_url=raw.place_photo_url,
        sign_photo_url=raw.sign_photo_url,
    )
    return proof if proof != Proof() else None


def _parse_phone(raw_phone: str | None, country: str) -> tuple[str | None, bool]:
    """Return a number in E.164, and whether its country code was guessed from the store's country (B-09).

    A text that is no telephone number is returned unchanged.
    """
    text = raw_phone or ""
    complete = _DIGITS.fullmatch(text) is not None
    try:
        number = phonenumbers.parse(f"+{text.removeprefix('+')}" if complete else text, country)
    except phonenumbers.NumberParseException:
        return raw_phone, False
    if not phonenumbers.is_possible_number(number):
        return raw_phone, False
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), not complete
