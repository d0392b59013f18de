import pytest

from schemas.order import Customer
from tests.carriers.sample import BROKEN, TEXTS
from tests.database.samples import ID, message, order, take_in
from worker.database import deliveries
from worker.database.database import Database

STORABLE = [*TEXTS, BROKEN.replace("\x00", ""), "🍕" * 350]


@pytest.mark.fault("F-49")
@pytest.mark.parametrize("text", STORABLE)
def test_whatever_a_customer_writes_is_stored_as_it_is(store: Database, text: str) -> None:
    written = order(notes=text, customer=Customer(name=text, phone="+4520304050"))
    take_in(store, message(written))
    (delivery,) = store.read(deliveries.load, [ID])
    assert delivery.order == written
