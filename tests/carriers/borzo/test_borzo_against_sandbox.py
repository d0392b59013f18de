"""The codec against the sandbox; both were written independently from the document."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.order import Order
from schemas.status import DeliveryStatus, Reason
from tests.sandbox.client import START, SandboxClient
from worker.carriers.abilities import Quote
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Booking, Price
from worker.errors import Refused
from worker.http.call import Call, Reply

EVERYTHING = {
    "token": "sandbox-borzo-token",
    "payment_method": "bank_card",
    "bank_card_id": 80,
    "cod_voucher": True,
    "backpayment_details": "Pix 11900000001",
    "insurance": "order",
    "total_weight_kg": 3,
    "loaders_count": 2,
    "motobox": True,
    "thermobox": True,
    "return_required": True,
    "notify_client": True,
    "notify_recipient": True,
}
OWED = {
    "payment": {"prepaid": False, "amount": "118.00", "currency": "BRL"},
    "items": [{"name": "Pizza", "quantity": 2, "unit_price": "59.00"}],
}
Send = Callable[[Call], Reply]


@pytest.fixture
def client() -> Iterator[SandboxClient]:
    made = SandboxClient()
    yield made
    made.close()


@pytest.fixture
def send(client: SandboxClient) -> Send:
    """Send a call to the sandbox and return the reply."""

    def send(call: Call) -> Reply:
        headers = dict(call.headers)
        if call.method == "GET":
            answer = client.get(call.path, params=list(call.query), headers=headers)
        else:
            answer = client.post(call.path, json.loads(call.body), headers=headers)
        return Reply(answer.status_code, answer.content, {})

    return send


@pytest.fixture
def codec(make: Callable[..., Borzo]) -> Borzo:
    return make(**EVERYTHING)


@pytest.fixture
def wanted(booking_of: Callable[..., Booking]) -> Booking:
    hour = timedelta(hours=1)
    order = {**OWED, "deliver_at": (START + 2 * hour).isoformat()}
    return booking_of(order=order, pickup_at=START + hour, deliver_at=START + 2 * hour)


@pytest.fixture
def placed(codec: Borzo, wanted: Booking, attempt: AttemptView, send: Send) -> AttemptView:
    """An attempt that exists at the sandbox, with every parameter that there is."""
    seen = codec.read_booking(wanted, send(codec.book(wanted, START)), START).observation
    assert seen.status is DeliveryStatus.CREATED
    return replace(attempt, order=wanted.order, pickup_at=wanted.pickup_at, ref=seen.ref, codec_state=seen.codec_state)


def test_a_price_is_quoted_and_an_invalid_order_is_not_orderable(codec: Borzo, wanted: Booking, send: Send) -> None:
    assert codec.read_quote(send(codec.quote(wanted, START)), START) == Quote(Price(Decimal("18.00"), "BRL"))
    call = codec.quote(wanted, START)
    faulty = replace(call, body=call.body.replace(b'"standard"', b'"overnight"'))
    assert codec.read_quote(send(faulty), START) == Quote(
        Price(Decimal("18.00"), "BRL"),
        orderable=False,
        why=("invalid_parameters; /type invalid_enum_value",),
        reason=Reason.VALIDATION,
    )


@pytest.mark.quirk("B-95", "B-96", "B-98")
def test_a_repeated_change_has_no_further_effect_and_keeps_all_other_values(
    codec: Borzo, placed: AttemptView, send: Send
) -> None:
    before: list[dict[str, Any]] = json.loads(send(codec.before_amend(placed, START)).body)["orders"][0]["points"]
    data = placed.order.model_dump(mode="json")
    moved = {"street": "Rua Augusta, 5", "city": "São Paulo - SP", "latitude": -23.55, "longitude": -46.65}
    changed = replace(
        placed, order=Order(**{**data, "dropoff": moved, "customer": {"name": "Rui", "phone": "1190000-0002"}})
    )
    call = codec.amend(changed, send(codec.before_amend(changed, START)), START)
    assert call is not None
    seen = codec.read_amended(changed, send(call), START)
    assert seen is not None
    assert (seen.status, seen.ref) == (DeliveryStatus.CREATED, placed.ref)
    send(call)  # the repeat has no further effect
    current = send(codec.before_amend(changed, START))
    assert codec.amend(changed, current, START) is None
    after = json.loads(current.body)["orders"][0]["points"]
    assert [(p["point_id"], p["packages"], p["is_return_point"], p["taking_amount"]) for p in after] == [
        (p["point_id"], p["packages"], p["is_return_point"], p["taking_amount"]) for p in before
    ]
    assert (after[0], after[2]) == (before[0], before[2])
    dropoff = {name: value for name, value in after[1].items() if before[1][name] != value}
    assert dropoff == {
        "address": "Rua Augusta, 5, São Paulo - SP",
        "contact_person": {"name": "Rui", "phone": "5511900000002"},
        "latitude": "-23.5500000",
        "longitude": "-46.6500000",
        "note": None,
    }


def test_labels_and_the_courier_are_read(codec: Borzo, placed: AttemptView, send: Send, client: SandboxClient) -> None:
    pdf = codec.read_labels(send(codec.labels(placed, "pdf")), placed)
    zpl = codec.read_labels(send(codec.labels(placed, "zpl")), placed)
    assert [each.media_type for each in pdf + zpl] == ["application/pdf"] * 3 + ["application/zpl"] * 3
    assert (pdf[0].content[:5], zpl[0].content[:3]) == (b"%PDF-", b"^XA")
    assert codec.read_location(send(codec.locate(placed)), placed) is None
    places = set()
    for _ in range(40):
        client.now += timedelta(seconds=1)
        found = codec.read_location(send(codec.locate(placed)), placed)
        places.add((found.latitude, found.longitude) if found else None)
    assert places >= {None, (-23.562747, -46.6576753)}  # before the way, and at the door


def test_the_settings_of_the_account_are_verified(codec: Borzo, make: Callable[..., Borzo], send: Send) -> None:
    call = codec.verify_account(codec.read_probe(send(codec.probe())))
    assert call is not None
    codec.read_verification(send(call))
    with pytest.raises(Refused):
        make(**EVERYTHING | {"bank_card_id": 81}).read_verification(send(call))
