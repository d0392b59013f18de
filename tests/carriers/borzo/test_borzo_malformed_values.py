"""Malformed values: each is read as none, and costs neither its row nor the delivery."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from worker.carriers.abilities import Quote
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Courier, Observation, Price
from worker.http.call import Reply

Replies = Callable[..., Reply]
Raw = Callable[..., dict[str, Any]]
COURIER = {"courier_id": 72384, "surname": "Surname", "name": "Name", "middlename": None, "phone": "5511900000001"}


@pytest.fixture
def seen(codec: Borzo, attempt: AttemptView, order_of: Raw, now: Any) -> Callable[..., Observation]:
    """Read an order with these fields from a list."""

    def read(text: str = "", **fields: Any) -> Observation:
        raw = order_of({"status": "courier_assigned"}, **{"status": "active", **fields})
        body = json.dumps({"is_successful": True, "orders": [raw]}).replace('"HERE"', text)
        [call] = codec.track([attempt], now)
        [observation] = codec.read(call, Reply(200, body.encode()), [attempt], now).observations[attempt.id]
        return observation

    return read


@pytest.mark.quirk("X-11")
def test_a_couriers_name_is_one_line_that_can_be_stored(seen: Callable[..., Observation]) -> None:
    odd = {**COURIER, "name": "Ana\ud800\x00\x1b[2J\nMaria", "surname": "S" * 5_000, "phone": "ring\n2"}
    assert seen(courier=odd).courier == Courier("Ana [2J Maria " + "S" * 300, "ring 2")


@pytest.mark.quirk("B-53")
@pytest.mark.parametrize(
    ("latitude", "longitude", "placed"),
    [("-23.5", "-46.6", (-23.5, -46.6)), ("120", "-46.6", (None, None)), ("-23.5", "181", (None, None))],
)
def test_a_position_that_is_not_on_the_earth_is_none(
    seen: Callable[..., Observation], latitude: str, longitude: str, placed: tuple[float | None, float | None]
) -> None:
    courier = seen(courier={**COURIER, "latitude": latitude, "longitude": longitude}).courier
    assert courier is not None
    assert (courier.latitude, courier.longitude) == placed


@pytest.mark.quirk("X-10")
@pytest.mark.parametrize(
    "link", ["https://x.example/\ud800", "https://x.example/\n", "https://user@x.example/", "http://x"]
)
def test_an_unsafe_link_is_none(seen: Callable[..., Observation], order_of: Raw, link: str) -> None:
    points = order_of({"status": "courier_assigned"})["points"]
    points[1]["tracking_url"] = link
    assert seen(points=points).tracking_url is None


@pytest.mark.quirk("B-08")
@pytest.mark.parametrize("amount", ["1e999999", '"1e999999"', "NaN", '"sNaN"', "9" * 4_000])
def test_an_amount_that_cannot_be_stored_is_none(seen: Callable[..., Observation], amount: str) -> None:
    assert seen(amount, payment_amount="HERE").price is None
    assert seen('"18.00"', payment_amount="HERE").price == Price(Decimal("18.00"), "BRL")


@pytest.mark.quirk("B-20", "B-21")
@pytest.mark.parametrize("amount", ["-18.00", "1e999999", "-1e999999"])
def test_a_negative_price_is_none(codec: Borzo, now: Any, amount: str) -> None:
    document = {"is_successful": True, "order": {"order_id": 1250032, "payment_amount": amount}, "warnings": []}
    assert codec.read_quote(Reply(200, json.dumps(document).encode()), now) == Quote(None)


@pytest.mark.quirk("B-71", "X-15")
def test_the_customer_is_removed_from_a_dispatchers_text(seen: Callable[..., Observation]) -> None:
    text = "ana (11 90000-0001, a@b.br) não está em Av. Paulista, 1439 - 12 - Bela Vista; Tocar\na campainha"
    observation = seen(status="canceled", status_description=text)
    assert observation.raw is not None
    assert observation.reason_text == observation.raw.text == "*** (***, *** não está em ***; ***"
