"""The answers to a create."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.status import DeliveryStatus, Evidence
from worker.carriers.borzo import Borzo
from worker.carriers.port import Booked, Booking, Observation, Price, Raw
from worker.errors import Uncertain
from worker.http.call import Reply

CREATED = datetime(2024, 11, 23, 12, 38, 35, tzinfo=UTC)


def _booked(point_id: int) -> Booked:
    return Booked(
        Observation(
            status=DeliveryStatus.CREATED,
            raw=Raw("delivery", "planned"),
            carrier_time=CREATED,
            occurred_at=CREATED,
            ref="1250032",
            codec_state={
                "point_id": str(point_id),
                "order_status": "2024-11-23T12:38:35+00:00 - available",
                "delivery_status": "2024-11-23T12:38:35+00:00 - planned",
            },
            price=Price(Decimal("18.00"), "BRL"),
        )
    )


@pytest.mark.parametrize("sample", ["create_order", "create_order_bank_card", "create_order_from_draft"])
def test_each_documented_answer_to_a_create_is_a_success(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime, sample: str
) -> None:
    booked = codec.read_booking(booking, Reply(200, document(sample)), now)
    expected = _booked(202686)
    if sample == "create_order_from_draft":
        refs = {**expected.observation.codec_state, "delivery_id": "11712"}
        expected = Booked(replace(expected.observation, codec_state=refs))
    assert booked == expected


@pytest.mark.quirk("B-74")
def test_the_customers_point_is_the_one_with_our_reference(
    codec: Borzo, booking: Booking, order_of: Callable[..., dict[str, Any]], now: datetime
) -> None:
    order = order_of({"status": "planned"})
    order["points"].reverse()
    reply = Reply(200, json.dumps({"is_successful": True, "order": order}).encode())
    assert codec.read_booking(booking, reply, now) == _booked(202686)


@pytest.mark.quirk("B-33")
@pytest.mark.parametrize("status", ["new", "available", "active", "canceled", "unheard_of", None])
def test_a_created_order_is_created_whatever_its_first_status(
    codec: Borzo, booking: Booking, order_of: Callable[..., dict[str, Any]], now: datetime, status: str | None
) -> None:
    reply = Reply(200, json.dumps({"is_successful": True, "order": order_of(status=status)}).encode())
    seen = codec.read_booking(booking, reply, now).observation
    assert (seen.status, seen.ref, seen.cancelled_by) == (DeliveryStatus.CREATED, "1250032", None)
    assert seen.detail == ("pending_verification" if status == "new" else None)
    assert seen.evidence is Evidence.ORDER_LEVEL


@pytest.mark.quirk("B-03", "B-04")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>502</html>"),
        (200, b'{"is_successful": true}'),
        (200, b'{"is_successful": true, "order": null}'),
        (200, b'{"is_successful": true, "order": {"order_id": "1250032"}}'),
        (200, b'{"is_successful": true, "order": {"order_id": true}}'),
        (200, b'{"is_successful": true, "order": {"order_id": 0}}'),
        (200, b'{"is_successful": "true", "order": {"order_id": 1250032}}'),
        (200, b'{"is_successful": false, "errors": ["invalid_parameters"]}'),
        (201, b'{"is_successful": true, "order": {"order_id": 1250032}}'),
        (302, b""),
        (400, b"<html>bad gateway</html>"),
        (400, b'{"is_successful": true, "errors": ["invalid_parameters"]}'),
        (400, b'{"is_successful": false, "errors": []}'),
        (400, b'{"is_successful": false, "errors": [1]}'),
        (404, b'{"is_successful": false, "errors": ["invalid_parameters"]}'),
        (408, b""),
        (500, b'{"is_successful": false, "errors": ["invalid_parameters"]}'),
        (503, b""),
    ],
)
def test_an_undocumented_answer_leaves_the_outcome_of_the_create_unknown(
    codec: Borzo, booking: Booking, now: datetime, status: int, body: bytes
) -> None:
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(status, body), now)


@pytest.mark.quirk("B-13", "B-20")
def test_the_invalid_json_of_the_sample_leaves_the_outcome_of_the_create_unknown(
    codec: Borzo, booking: Booking, document: Callable[[str], bytes], now: datetime
) -> None:
    with pytest.raises(Uncertain):
        codec.read_booking(booking, Reply(200, document("calculate_order")), now)
