"""The payloads of the API document, and factories for orders, attempts and replies."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.order import Order
from schemas.stores import Store
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import AttemptView, Booking, attempt_id_of
from worker.http.call import Reply

REFERENCE = "0123456789A"
ATTEMPT_ID = attempt_id_of(REFERENCE) or 0
STORE = Store(
    store_id="17",
    name="Pizzaria Guamiranga",
    phone="+5511900000001",
    street="R. Guamiranga, 1140 - Vila Independencia",
    postal_code="04220-020",
    city="São Paulo - SP",
    country="BR",
    latitude=-23.5962988,
    longitude=-46.5858049,
    timezone="America/Sao_Paulo",
    carriers=("borzo",),
)
ORDER: dict[str, Any] = {
    "order_id": "2011",
    "order_number": "77",
    "store_id": "17",
    "customer": {"name": "Ana", "phone": "11 90000-0001"},
    "dropoff": {
        "street": "Av. Paulista, 1439 - 12 - Bela Vista",
        "unit": "apto 4",
        "postal_code": "01310-100",
        "city": "São Paulo - SP",
        "latitude": -23.562747,
        "longitude": -46.6576753,
        "notes": "Tocar\na campainha",
    },
    "payment": {"prepaid": True, "amount": "118.00", "currency": "BRL"},
    "items": [{"name": "Pizza", "quantity": 2}, {"name": "Suco", "quantity": 1}],
}


@pytest.fixture
def now() -> datetime:
    return datetime(2024, 11, 23, 12, 38, 40, 250_000, tzinfo=UTC)


@pytest.fixture
def document() -> Callable[[str], bytes]:
    folder = Path(__file__).parent / "payloads"
    return lambda name: (folder / f"{name}.txt").read_bytes()


@pytest.fixture
def codec() -> Borzo:
    return make_codec()


@pytest.fixture
def make() -> Callable[..., Borzo]:
    return make_codec


def make_codec(**settings: Any) -> Borzo:
    return Borzo(BorzoAccount(**{"name": "borzo", "kind": "borzo", "token": "SECRET_AUTH_TOKEN", **settings}), {})


@pytest.fixture
def booking(now: datetime) -> Booking:
    return Booking(ATTEMPT_ID, 1, Order(**ORDER), STORE, pickup_at=now)


@pytest.fixture
def booking_of(booking: Booking) -> Callable[..., Booking]:
    def build(**changes: Any) -> Booking:
        order = Order(**{**ORDER, **changes.pop("order", {})})
        return replace(booking, order=order, **changes)

    return build


@pytest.fixture
def attempt(now: datetime) -> AttemptView:
    """An attempt that exists at Borzo as the order of the document's samples."""
    return AttemptView(
        id=ATTEMPT_ID,
        number=1,
        carrier="borzo",
        state="created",
        order=Order(**ORDER),
        store=STORE,
        pickup_at=now,
        submitted_at=datetime(2024, 11, 23, 12, 38, 34, tzinfo=UTC),
        ref="1250032",
        codec_state={"point_id": "202686"},
        rank=10,
    )


@pytest.fixture
def unanswered(attempt: AttemptView) -> AttemptView:
    """An attempt whose create has an unknown outcome."""
    return replace(attempt, state="submit_unknown", ref=None, codec_state={}, rank=2)


@pytest.fixture
def order_of(document: Callable[[str], bytes]) -> Callable[..., dict[str, Any]]:
    """The document's order with our reference at the customer's point, and with changes."""

    def build(
        delivery: Mapping[str, Any] | None = None, reference: str | None = REFERENCE, **changes: Any
    ) -> dict[str, Any]:
        raw: dict[str, Any] = json.loads(document("create_order"))["order"]
        raw["points"][1] |= {"client_order_id": reference, "delivery": delivery}
        return raw | changes

    return build


@pytest.fixture
def listed() -> Callable[..., Reply]:
    return lambda *orders: Reply(
        200, json.dumps({"is_successful": True, "orders": orders, "orders_count": len(orders)}).encode()
    )


@pytest.fixture
def refused() -> Callable[..., Reply]:
    def build(*codes: str, parameter_errors: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        body = {"is_successful": False, "errors": codes, "parameter_errors": parameter_errors}
        return Reply(400, json.dumps(body).encode(), headers or {})

    return build
