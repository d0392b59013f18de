"""Tracking orders by their ids."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.status import DeliveryStatus as S
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.borzo.listing import dump_groups, load_groups
from worker.carriers.port import AttemptView, Courier, Observation, Price, Proof, Raw, Reading
from worker.errors import CarrierError, Unavailable, Unreadable
from worker.http.call import Call, Operation, Reply

Orders = Callable[..., dict[str, Any]]
Listed = Callable[..., Reply]
ORDERS = "/api/business/1.6/orders"
AT = "- -"


def _ids(call: Call) -> list[str]:
    """Return the ids that a call requests, after a check that it requests them on one page."""
    ids = [value for name, value in call.query if name == "order_id[]"]  # B-15
    counts = [("count", str(len(ids)))] if len(ids) > 10 else []
    assert [pair for pair in call.query if pair[0] != "order_id[]"] == counts
    return ids


def _many(attempt: AttemptView, count: int) -> list[AttemptView]:
    return [replace(attempt, id=n, ref=str(n)) for n in range(1, count + 1)]


@pytest.mark.quirk("B-15")
@pytest.mark.parametrize("sample", ["orders", "orders_php"])
def test_the_documented_list_is_read_completely(
    codec: Borzo, attempt: AttemptView, document: Callable[[str], bytes], now: datetime, sample: str
) -> None:
    other = replace(attempt, id=2, ref="1250035", codec_state={"point_id": "202695"})
    [call] = codec.track([attempt, other], now)
    assert (call.operation, call.method, call.path, call.attempt_ids) == (
        Operation.READ,
        "GET",
        ORDERS,
        (attempt.id, 2),
    )
    assert _ids(call) == ["1250032", "1250035"]
    seen = Observation(
        status=S.CREATED,
        raw=Raw("delivery", "planned"),
        ref="1250032",
        codec_state={"order_status": f"{AT} available", "delivery_status": f"{AT} planned", "point_id": "202686"},
        price=Price(Decimal("18.00"), "BRL"),
    )
    refs = {**seen.codec_state, "point_id": "202695"}
    expected = Reading(observations={attempt.id: (seen,), 2: (replace(seen, ref="1250035", codec_state=refs),)})
    assert codec.read(call, Reply(200, document(sample)), [attempt, other], now) == expected


@pytest.mark.quirk("B-90")
def test_every_other_field_of_an_order_is_read(
    codec: Borzo,
    attempt: AttemptView,
    order_of: Orders,
    listed: Listed,
    document: Callable[[str], bytes],
    now: datetime,
) -> None:
    order = order_of(
        {"status": "finished", "status_datetime": "2024-11-23T09:37:00-03:00"},
        status="completed",
        payment_amount=18.5,
        courier=json.loads(document("courier"))["courier"],
    )
    order["points"][0] |= {"estimated_arrival_datetime": "2024-11-23T10:08:35-03:00"}
    order["points"][1] |= {
        "delivery_id": 11712,
        "tracking_url": "https://borzodelivery.com/track/1",
        "place_photo_url": "https://borzodelivery.com/place.jpg",
        "sign_photo_url": "http://borzodelivery.com/sign.jpg",
        "checkin": {"recipient_full_name": "Jackson de Souza Santana", "recipient_position": None},
        "estimated_arrival_datetime": "2024-11-23T11:08:35-03:00",
    }
    [seen] = codec.read(codec.track([attempt], now)[0], listed(order), [attempt], now).observations[attempt.id]
    changed_at = datetime(2024, 11, 23, 12, 37, tzinfo=UTC)
    assert seen == Observation(
        status=S.DELIVERED,
        raw=Raw("delivery", "finished"),
        occurred_at=changed_at,
        ref="1250032",
        codec_state={
            "point_id": "202686",
            "delivery_id": "11712",
            "order_status": f"{AT} completed",
            "delivery_status": f"{AT[:-1]}{changed_at.isoformat()} finished",
            "picked_up_seen": "1",
        },
        courier=Courier("Name Surname", "+5511900000001", latitude=-23.562747, longitude=-46.6576753),
        tracking_url="https://borzodelivery.com/track/1",
        pickup_eta=datetime(2024, 11, 23, 13, 8, 35, tzinfo=UTC),
        dropoff_eta=datetime(2024, 11, 23, 14, 8, 35, tzinfo=UTC),
        price=Price(Decimal("18.5"), "BRL"),
        proof=Proof("Jackson de Souza Santana", place_photo_url="https://borzodelivery.com/place.jpg"),
    )


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        ("5511900000001", ("+5511900000001", False)),
        ("+5511900000001", ("+5511900000001", False)),
        ("(11) 90000-0001", ("+5511900000001", True)),
        ("none", ("none", False)),
        (None, (None, False)),
    ],
)
def test_a_couriers_phone_is_completed_where_possible(
    codec: Borzo,
    attempt: AttemptView,
    order_of: Orders,
    listed: Listed,
    now: datetime,
    phone: str | None,
    expected: tuple[str | None, bool],
) -> None:
    reply = listed(order_of(courier={"name": "Name", "phone": phone, "latitude": "1", "longitude": None}))
    courier = codec.read(codec.track([attempt], now)[0], reply, [attempt], now).observations[attempt.id][0].courier
    assert courier == Courier("Name", *expected)


@pytest.mark.quirk("B-50")
def test_fifty_orders_share_one_request(codec: Borzo, attempt: AttemptView, now: datetime) -> None:
    without = replace(attempt, id=999, ref=None)
    calls = codec.track([*_many(attempt, 120), without], now)
    assert [len(_ids(call)) for call in calls] == [50, 50, 20]
    assert [n for call in calls for n in call.attempt_ids] == list(range(1, 121))


@pytest.mark.quirk("B-50", "B-52")
def test_only_requested_orders_are_read(
    codec: Borzo, attempt: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    [call] = codec.track([attempt], now)
    reading = codec.read(call, listed(order_of(order_id=1), order_of(order_id=2)), [attempt], now)
    assert reading == Reading()


@pytest.mark.quirk("X-14", "B-51")
def test_one_bad_row_blocks_no_other(
    codec: Borzo, attempt: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    rows: list[Any] = [None, "x", {}, order_of(order_id="1"), {"order_id": 2}, order_of(status=None, order_id=3)]
    odd = order_of({"status": 7}, courier=[], payment_amount="many", is_return_required="no")
    odd["points"].append(None)
    odd["points"][1] |= {"checkin": 5, "tracking_url": "javascript:alert(1)", "delivery_id": -1}
    asked = [attempt, replace(attempt, id=2, ref="2"), replace(attempt, id=3, ref="3")]
    [call] = codec.track(asked, now)
    reading = codec.read(call, listed(*rows, odd), asked, now)
    assert {key: [seen.status for seen in value] for key, value in reading.observations.items()} == {
        attempt.id: [S.CREATED]
    }


@pytest.mark.quirk("B-50")
def test_orders_that_a_list_leaves_out_are_requested_again(
    codec: Borzo, attempt: AttemptView, order_of: Orders, listed: Listed, now: datetime
) -> None:
    asked = _many(attempt, 3)
    [call] = codec.track(asked, now)
    first = codec.read(call, listed(order_of(order_id=2)), asked, now)
    assert first.next_page
    assert (set(first.observations), _ids(first.next_page), first.next_page.attempt_ids) == ({2}, ["1", "3"], (1, 3))
    assert codec.read(first.next_page, listed(), asked, now) == Reading()


@pytest.mark.quirk("X-14")
def test_a_refused_request_is_halved_until_the_bad_id_is_alone(
    codec: Borzo, attempt: AttemptView, order_of: Orders, listed: Listed, refused: Listed, now: datetime
) -> None:
    asked = _many(attempt, 5)
    call: Call | None = codec.track(asked, now)[0]
    seen, calls = set(), 0
    while call:
        calls += 1
        assert set(map(str, call.attempt_ids)) >= set(_ids(call))
        bad = "4" in _ids(call)
        if bad and _ids(call) == ["4"] and not call.context:
            break
        rows = [order_of(order_id=int(ref)) for ref in _ids(call)]
        reading = codec.read(call, refused("invalid_parameters") if bad else listed(*rows), asked, now)
        seen |= set(reading.observations)
        call = reading.next_page
    assert seen == {1, 2, 3, 5}
    assert calls <= 7


def test_a_single_refused_id_is_unreadable(codec: Borzo, attempt: AttemptView, refused: Listed, now: datetime) -> None:
    with pytest.raises(Unreadable):
        codec.read(codec.track([attempt], now)[0], refused("invalid_parameters"), [attempt], now)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 99).map(str), min_size=1, max_size=4).map(tuple), max_size=5))
def test_groups_are_read_back_from_the_context_as_they_were_written(groups: list[tuple[str, ...]]) -> None:
    assert load_groups(dump_groups(groups)) == groups


@pytest.mark.parametrize(
    ("reply", "error", "account"),
    [
        (Reply(401, b""), Unavailable, True),
        (Reply(403, b""), Unavailable, True),
        (Reply(429, b""), Unavailable, False),
        (Reply(500, b"<html>"), Unavailable, False),
        (Reply(503, b""), Unavailable, False),
        (Reply(404, b""), Unreadable, None),
        (Reply(302, b""), Unreadable, None),
        (Reply(400, b""), Unreadable, None),
        (Reply(200, b"<html>"), Unreadable, None),
        (Reply(200, b'{"is_successful": false}'), Unreadable, None),
        (Reply(200, b'{"is_successful": true}'), Unreadable, None),
        (Reply(200, b'{"is_successful": true, "orders": {}}'), Unreadable, None),
    ],
)
def test_an_unreadable_list_is_an_error(
    codec: Borzo, attempt: AttemptView, now: datetime, reply: Reply, error: type[CarrierError], *, account: bool | None
) -> None:
    for call in (*codec.track([attempt], now), *codec.find([attempt], now)):
        with pytest.raises(error) as raised:
            codec.read(call, reply, [attempt], now)
        assert getattr(raised.value, "account", None) is account


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_in_a_list_are_a_carrier_error(body: bytes) -> None:
    codec = Borzo(BorzoAccount(name="b", kind="borzo", token="t"), {})
    with pytest.raises(CarrierError):
        codec.read(Call(Operation.READ, "GET", ORDERS), Reply(200, body), [], datetime(2024, 1, 1, tzinfo=UTC))
