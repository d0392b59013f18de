"""The parameters of create-order for an order."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.status import Reason
from worker.carriers.borzo import Borzo
from worker.carriers.port import Booking
from worker.errors import Refused
from worker.http.call import Operation

CREATED = datetime(2024, 11, 23, 12, 38, 35, tzinfo=UTC)


def _body(codec: Borzo, booking: Booking, now: datetime) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(codec.book(booking, now).body)
    return body


@pytest.mark.quirk("B-30", "B-32", "B-37", "B-38")
def test_an_order_becomes_exactly_the_documented_parameters(codec: Borzo, booking: Booking, now: datetime) -> None:
    call = codec.book(booking, now)
    assert (call.operation, call.method, call.path, call.attempt_ids, call.query) == (
        Operation.CREATE,
        "POST",
        "/api/business/1.6/create-order",
        (booking.attempt_id,),
        (),
    )
    assert dict(call.headers) == {
        "X-DV-Auth-Token": "SECRET_AUTH_TOKEN",
        "Accept": "application/json",
        "Content-Type": "application/json; charset=utf-8",
    }
    assert json.loads(call.body) == {
        "type": "standard",
        "matter": "Order 77 (3 items)",
        "vehicle_type_id": 8,
        "is_client_notification_enabled": False,
        "is_contact_person_notification_enabled": False,
        "is_route_optimizer_enabled": False,
        "payment_method": "balance",
        "points": [
            {
                "address": "R. Guamiranga, 1140 - Vila Independencia, São Paulo - SP, 04220-020",
                "contact_person": {"phone": "5511900000001", "name": "Pizzaria Guamiranga"},
                "latitude": "-23.5962988",
                "longitude": "-46.5858049",
                "note": "Order 77",
            },
            {
                "client_order_id": booking.reference,
                "address": "Av. Paulista, 1439 - 12 - Bela Vista, São Paulo - SP, 01310-100",
                "contact_person": {"phone": "5511900000001", "name": "Ana"},
                "latitude": "-23.5627470",
                "longitude": "-46.6576753",
                "note": "apto 4 / Tocar / a campainha",
            },
        ],
    }


def test_the_token_is_in_no_repr(codec: Borzo, booking: Booking, now: datetime) -> None:
    assert "SECRET" not in repr(codec.book(booking, now)) + repr(codec.account)


@pytest.mark.quirk("B-08", "B-35")
def test_the_amount_of_an_unpaid_order_is_collected_at_the_customers_point_only(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime
) -> None:
    owed = {"prepaid": False, "amount": "118", "currency": "BRL", "method": "cash", "change_for": "150"}
    pickup, dropoff = _body(codec, booking_of(order={"payment": owed}), now)["points"]
    assert ("taking_amount" in pickup, dropoff["taking_amount"]) == (False, "118.00")
    assert dropoff["note"] == "apto 4 / Tocar / a campainha / Change for 150.00"


@pytest.mark.quirk("B-07")
def test_a_scheduled_order_has_its_times_in_the_accounts_zone(codec: Borzo, booking_of: Callable[..., Booking]) -> None:
    pickup_at = datetime(2024, 11, 23, 13, 8, 35, 987_654, tzinfo=UTC)
    booking = booking_of(pickup_at=pickup_at, deliver_at=datetime(2024, 11, 23, 14, 8, 35, tzinfo=UTC))
    pickup, dropoff = _body(codec, booking, CREATED)["points"]
    assert [(p["required_start_datetime"], p["required_finish_datetime"]) for p in (pickup, dropoff)] == [
        ("2024-11-23T10:08:35-03:00", "2024-11-23T10:38:35-03:00"),
        ("2024-11-23T11:08:35-03:00", "2024-11-23T11:38:35-03:00"),
    ]


def test_the_customers_time_is_never_before_the_shops(codec: Borzo, booking_of: Callable[..., Booking]) -> None:
    at = CREATED + timedelta(hours=1)
    pickup, dropoff = _body(codec, booking_of(pickup_at=at, deliver_at=at - timedelta(minutes=9)), CREATED)["points"]
    assert dropoff["required_start_datetime"] == pickup["required_start_datetime"]


@pytest.mark.quirk("B-40")
@pytest.mark.parametrize(
    ("pickup", "deliver"), [(0, None), (60, None), (0, 10), (5, 20)], ids=["asap", "not asked for", "stale", "soon"]
)
def test_no_time_is_sent_that_was_not_requested_or_would_be_past_on_arrival(
    codec: Borzo, booking_of: Callable[..., Booking], pickup: int, deliver: int | None
) -> None:
    pickup_at = CREATED + timedelta(minutes=pickup)
    deliver_at = None if deliver is None else CREATED + timedelta(minutes=deliver)
    points = _body(codec, booking_of(pickup_at=pickup_at, deliver_at=deliver_at), CREATED)["points"]
    assert not [name for point in points for name in point if name.startswith("required_")]


@pytest.mark.quirk("B-34")
@pytest.mark.parametrize(
    ("settings", "sent", "paying"),
    [
        ({}, {"payment_method": "balance"}, None),
        (
            {"payment_method": "bank_card", "bank_card_id": 80},
            {"payment_method": "bank_card", "bank_card_id": 80},
            None,
        ),
        ({"payment_method": "cash"}, {"payment_method": "cash"}, [True, None]),
        ({"payment_method": "cash", "cash_paid_at": "dropoff"}, {"payment_method": "cash"}, [None, True]),
    ],
    ids=["balance", "bank_card", "cash", "cash at the door"],
)
def test_each_payment_method_is_sent_with_all_its_parameters(
    make: Callable[..., Borzo],
    booking: Booking,
    now: datetime,
    settings: dict[str, Any],
    sent: dict[str, Any],
    paying: object,
) -> None:
    body = _body(make(**settings), booking, now)
    assert {name: body[name] for name in ("payment_method", "bank_card_id") if name in body} == sent
    assert [point.get("is_order_payment_here") for point in body["points"]] == (paying or [None, None])


@pytest.mark.quirk("B-39", "X-02")
@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"customer": {"name": "Ana", "phone": "call me"}}, "customer.phone"),
        ({"customer": {"name": "Ana", "phone": "12"}}, "customer.phone"),
        ({"dropoff": {"street": "x" * 351}}, "dropoff.street"),
        ({"dropoff": {"street": " "}}, "dropoff.street"),
    ],
)
def test_an_order_with_an_unusable_field_is_refused_before_any_call(
    codec: Borzo, booking_of: Callable[..., Booking], now: datetime, order: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refusal:
        codec.book(booking_of(order=order), now)
    assert refusal.value.reason is Reason.VALIDATION
    assert refusal.value.text.startswith(field)
    assert "call me" not in refusal.value.text


@pytest.mark.quirk("B-09")
def test_unknown_coordinates_are_not_sent(codec: Borzo, booking_of: Callable[..., Booking], now: datetime) -> None:
    body = _body(codec, booking_of(order={"dropoff": {"street": "Av. Paulista, 1439"}}), now)
    assert not {"latitude", "longitude"} & set(body["points"][1])
