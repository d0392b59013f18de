"""One shop in Odense, one order at 20:15 on a Saturday in November, and the codec of company 14."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import SecretStr

from schemas.order import Customer, Dropoff, Order, Payment
from schemas.stores import Store
from tests.domain.scenario import a_store
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booking
from worker.http.call import Call, Operation

ATTEMPT_ID = 1234567890123456
TAG = "132TMY8NEP0"


@pytest.fixture
def account() -> DeliverItAccount:
    return DeliverItAccount(
        name="deliverit", kind="deliverit", username="shop@example.com", password=SecretStr("æble:1"), company="14"
    )


@pytest.fixture
def codec(account: DeliverItAccount) -> DeliverIt:
    return DeliverIt(account, {})


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 21, 17, 0, tzinfo=UTC)


@pytest.fixture
def order() -> Order:
    return Order(
        order_id="2011",
        store_id="17",
        customer=Customer(name="Anna Marie Holm", phone="+45 20 30 40 50"),
        dropoff=Dropoff(
            street="Hovedgaden 1, 2. tv",
            postal_code="5000",
            city="Odense C",
            latitude=55.3957969,
            longitude=10.3912053,
            notes="Ring the bell",
        ),
        payment=Payment(prepaid=True, amount=Decimal("125.00"), currency="DKK"),
    )


@pytest.fixture
def store() -> Store:
    return a_store("deliverit")


@pytest.fixture
def booking(order: Order, store: Store) -> Booking:
    return Booking(
        attempt_id=ATTEMPT_ID,
        attempt_number=1,
        order=order,
        store=store,
        pickup_at=datetime(2026, 11, 21, 19, 15, tzinfo=UTC),
    )


@pytest.fixture
def attempt(booking: Booking, now: datetime) -> AttemptView:
    return AttemptView(
        id=booking.attempt_id,
        number=1,
        carrier="deliverit",
        state="created",
        order=booking.order,
        store=booking.store,
        pickup_at=booking.pickup_at,
        submitted_at=now,
        ref="F64u3fbxNdaoTyAcOisM",
        codec_state={"cancel": "F64u3fbxNdaoTyAcOisM", "pickup": "2026-11-21T19:15:00+00:00"},
        rank=10,
    )


@pytest.fixture
def tracking() -> Call:
    return Call(Operation.READ, "GET", "/api/v1/order/14/2026-11-21/2026-11-21", (ATTEMPT_ID,), context="2026-11-21")


@pytest.fixture
def finding() -> Call:
    return Call(Operation.FIND, "GET", "/api/v1/order/14/2026-11-21/2026-11-21", (ATTEMPT_ID,), context="2026-11-21")
