"""The order of the API document's sample, as one of our orders."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from schemas.order import Customer, Dropoff, Order, Payment
from schemas.stores import Store
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.port import AttemptView, Booking

NOW = datetime(2023, 4, 29, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def now() -> datetime:
    return NOW


@pytest.fixture(scope="session")
def account() -> CervoAccount:
    return CervoAccount(name="cervo", kind="cervo", token="WlhGWUtWT2Y2cTZhZ")


@pytest.fixture(scope="session")
def codec(account: CervoAccount) -> Cervo:
    return Cervo(account, {})


@pytest.fixture(scope="session")
def order() -> Order:
    return Order(
        order_id="2011",
        store_id="17",
        customer=Customer(name="Testing customer", phone="+966599000111"),
        dropoff=Dropoff(street="address Of the customer", latitude=31.279708, longitude=34.266593),
        payment=Payment(prepaid=False, amount=Decimal("1.2"), currency="SAR", method="cash"),
    )


@pytest.fixture(scope="session")
def store() -> Store:
    return Store(
        store_id="17",
        name="Kabsa House",
        phone="+966599000222",
        street="King Fahd Road 1",
        postal_code="12211",
        city="Riyadh",
        country="SA",
        latitude=31.277202,
        longitude=34.268996,
        timezone="Asia/Riyadh",
        carriers=("cervo",),
    )


@pytest.fixture(scope="session")
def booking(order: Order, store: Store) -> Booking:
    return Booking(attempt_id=2011, attempt_number=1, order=order, store=store, pickup_at=NOW)


@pytest.fixture(scope="session")
def attempt(order: Order, store: Store) -> AttemptView:
    """An attempt that Cervo has acknowledged as its order 25."""
    return AttemptView(
        id=2011,
        number=1,
        carrier="cervo",
        state="created",
        order=order,
        store=store,
        pickup_at=NOW,
        submitted_at=NOW,
        ref="25",
        rank=10,
    )


@pytest.fixture(scope="session")
def unreferenced(order: Order, store: Store) -> AttemptView:
    """An attempt whose create has an unknown outcome."""
    return AttemptView(
        id=2011,
        number=1,
        carrier="cervo",
        state="submit_unknown",
        order=order,
        store=store,
        pickup_at=NOW,
        submitted_at=NOW,
        rank=2,
    )
