"""One shop in Odense, one order at 20:15 on a Saturday in November, and the codec of company 14."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import SecretStr

from schemas.order import Customer, Dropoff, Order, Payment
from schemas.stores import Store
from tests.carriers.deliverit.replies import DRIVER_ROW, NUMBER, TOKEN, make_list
from tests.domain.scenario import a_store
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import AttemptView, Booking
from worker.http.call import Call, Operation

ATTEMPT_ID = 1234567890123456


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
        ref=TOKEN,
        codec_state={"cancel_token": TOKEN, "agreed_pickup": "2026-11-21T19:15:00+00:00"},
        rank=10,
    )


@pytest.fixture
def unknown(attempt: AttemptView) -> AttemptView:
    """Return the attempt while the outcome of its create is unknown."""
    return replace(attempt, state="submit_unknown", ref=None, codec_state={}, rank=2)


@pytest.fixture
def offered(attempt: AttemptView) -> AttemptView:
    """Return the attempt while another pickup time is offered."""
    known = {
        "accept_token": "acceptTOKEN01",
        "deny_token": "denyTOKEN0001",
        "cancel_token": TOKEN,
        "agreed_pickup": "2026-11-21T18:30:00+00:00",
    }
    return replace(attempt, state="awaiting_confirmation", codec_state=known, rank=3)


@pytest.fixture
def transferred(attempt: AttemptView) -> AttemptView:
    """Return the attempt as a transferred order without a driver."""
    return replace(attempt, state="awaiting_confirmation", ref=NUMBER, codec_state={"order_number": NUMBER}, rank=3)


@pytest.fixture
def with_driver(codec: DeliverIt, transferred: AttemptView, tracking: Call, now: datetime) -> AttemptView:
    """Return the transferred order after a driver was booked for it and listed."""
    (seen,) = codec.read(tracking, make_list(DRIVER_ROW), [transferred], now).observations[transferred.id]
    known = {**transferred.codec_state, **seen.codec_state}
    return replace(transferred, state="created", ref=seen.ref, codec_state=known, rank=10)


@pytest.fixture
def tracking() -> Call:
    return Call(Operation.READ, "GET", "/api/v1/order/14/2026-11-21/2026-11-21", (ATTEMPT_ID,), context="2026-11-21")


@pytest.fixture
def finding() -> Call:
    return Call(Operation.FIND, "GET", "/api/v1/order/14/2026-11-21/2026-11-21", (ATTEMPT_ID,), context="2026-11-21")
