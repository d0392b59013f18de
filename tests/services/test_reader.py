import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import celery
import fakeredis
import pytest
from redis.exceptions import ConnectionError as Unreachable
from sqlalchemy.exc import OperationalError

from schemas.events import delivery_id
from tests.database.samples import NOW, SHOPS, events, put_row, rows
from tests.services.containers import ReplaceableContainer
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.database import inbox
from worker.database.database import Database
from worker.services.ingest import OrdersReader

ENVIRONMENT = {
    "ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0",
    "ORDER_SYNC_CARRIERS__DELIVERIT__USERNAME": "shop@example.org",
    "ORDER_SYNC_CARRIERS__DELIVERIT__PASSWORD": "secret",
}
ORDER = {
    "store_id": "17",
    "customer": {"name": "Freja Holm", "phone": "+4520304050"},
    "dropoff": {"street": "Nørregade 7", "postal_code": "5000", "latitude": 55.39, "longitude": 10.38},
    "payment": {"prepaid": True, "amount": "125.00", "currency": "DKK"},
}


def placed(order_id: str = "2011", **more: Any) -> str:
    """Write an order's message as a platform does."""
    data = {"order_id": order_id, **ORDER, **more}
    return json.dumps({"specversion": "1.0", "id": f"message {order_id}", "type": "order.placed", "data": data})


class Desk:
    """A reader, the bus it reads and the store it writes."""

    def __init__(self, store: Database, redis: fakeredis.FakeRedis) -> None:
        self.now = NOW
        self.house = ReplaceableContainer(load(ENVIRONMENT), clock=self.clock)
        self.house.database, self.house.file_shops = store, SHOPS
        self.redis, self.store = redis, store
        self.house.bus = self.bus = Bus(redis, orders="orders", events="deliveries", idle_ms=0)
        self.reader = self.another()
        self.bus.create_group()  # fakeredis words the error of a missing stream in its own way

    def another(self, consumer: str = "tests") -> OrdersReader:
        return OrdersReader(self.bus, self.house.ingest, consumer)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def read(self, reader: OrdersReader | None = None) -> int:
        """Read what the reader left behind, if anything, and what is new."""
        return sum((reader or self.reader).step(1) for _ in range(3))

    def unacknowledged(self) -> int:
        return int(self.redis.xpending("orders", "order-sync")["pending"])

    def known(self) -> list[str]:
        return sorted(row["order_id"] for row in rows(self.store, "delivery"))

    def reasons(self) -> list[str]:
        return sorted(letter["reason"] for letter in self.store.read(inbox.dead_letters, 10))


@pytest.fixture
def hints() -> Iterator[None]:
    """Let hints go to a broker in memory."""
    before = celery.current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Celery's
    app = celery.Celery("reader", broker="memory://", set_as_current=True)
    yield
    app.close()
    before.set_current()


@pytest.fixture
def desk(store: Database, hints: None) -> Desk:  # noqa: ARG001 - it only has to be there
    return Desk(store, fakeredis.FakeRedis(server=fakeredis.FakeServer()))


def test_what_is_read_is_stored_and_acknowledged(desk: Desk) -> None:
    desk.bus.add_order(placed("1"))
    desk.bus.add_order(placed("2"))
    assert desk.read() == 2
    assert (desk.known(), desk.unacknowledged()) == (["1", "2"], 0)
    assert desk.read() == 0


def test_what_was_placed_before_the_group_was_made_is_read(desk: Desk) -> None:
    desk.redis.delete("orders")
    desk.bus.add_order(placed())
    assert desk.reader.step(1) == 0
    assert desk.read() == 1
    assert desk.known() == ["2011"]


@pytest.mark.fault("F-16")
def test_what_was_stored_but_not_acknowledged_is_read_again_and_changes_nothing(desk: Desk) -> None:
    desk.bus.add_order(placed())
    entries = desk.bus.read("tests", 10, 1)
    desk.house.ingest.store_documents([(each.id, each.document) for each in entries])
    before = rows(desk.store, "delivery")
    assert desk.unacknowledged() == 1
    assert desk.read(desk.another()) == 1
    assert (rows(desk.store, "delivery"), desk.unacknowledged()) == (before, 0)
    assert len(events(desk.store)) == 1


def test_what_another_reader_left_behind_is_read(desk: Desk) -> None:
    desk.bus.add_order(placed())
    desk.bus.read("one that is dead now", 10, 1)
    assert desk.read() == 1
    assert (desk.known(), desk.unacknowledged()) == (["2011"], 0)


def test_a_malformed_message_is_buried_beside_a_good_one(desk: Desk) -> None:
    desk.bus.add_order("not JSON")
    desk.bus.add_order(placed())
    desk.bus.add_order(placed("3", notes="a\x00b"))
    assert desk.read() == 3
    assert (desk.known(), desk.unacknowledged()) == (["2011"], 0)
    assert desk.reasons() == ["data.notes: contains a NUL character or an unpaired surrogate", "message: not JSON"]


def test_the_same_malformed_text_in_two_entries_is_two_dead_letters(desk: Desk) -> None:
    desk.bus.add_order("not JSON")
    desk.bus.add_order("not JSON")
    desk.read()
    assert desk.reasons() == ["message: not JSON"] * 2


def test_an_entry_without_our_field_is_buried(desk: Desk) -> None:
    desk.redis.xadd("orders", {"something": "else"})
    desk.read()
    assert (desk.reasons(), desk.unacknowledged()) == (["message: not JSON"], 0)


def test_an_entry_that_was_deleted_before_it_was_acknowledged_does_not_stop_the_reader(desk: Desk) -> None:
    entry = desk.bus.add_order(placed("1"))
    desk.bus.read("tests", 10, 1)
    desk.redis.xdel("orders", entry)
    desk.bus.add_order(placed("2"))
    desk.read(desk.another())
    assert (desk.known(), desk.unacknowledged()) == (["2"], 0)


def test_what_the_database_refuses_is_buried_alone(desk: Desk) -> None:
    refused = delivery_id("platform", "2")
    put_row(desk.store, "event", key=refused, sequence=1, subject="", body="", created_at=NOW)
    for order_id in "123":
        desk.bus.add_order(placed(order_id))
    assert desk.read() == 3
    assert (desk.known(), desk.unacknowledged()) == (["1", "3"], 0)
    (letter,) = desk.store.read(inbox.dead_letters, 10)
    assert letter["raw"] == placed("2").encode()
    assert letter["reason"].startswith("it cannot be stored: ")


def test_a_database_that_is_down_leaves_everything_unacknowledged(desk: Desk, tmp_path: Path) -> None:
    desk.bus.add_order(placed())
    desk.house.database = Database(f"sqlite:///{tmp_path}/without tables.db")
    with pytest.raises(OperationalError):
        desk.read(desk.another())
    desk.house.database.close()
    assert (desk.known(), desk.unacknowledged()) == ([], 1)
    desk.house.database = desk.store
    assert desk.read(desk.another()) == 1
    assert (desk.known(), desk.unacknowledged()) == (["2011"], 0)


def test_a_bus_that_is_down_is_told_to_the_caller_and_loses_nothing(store: Database, hints: None) -> None:  # noqa: ARG001
    server = fakeredis.FakeServer()
    desk = Desk(store, fakeredis.FakeRedis(server=server))
    desk.bus.add_order(placed())
    server.connected = False
    with pytest.raises(Unreachable):
        desk.read()
    server.connected = True
    assert desk.read() == 1
    assert desk.known() == ["2011"]


@pytest.mark.fault("F-13")
def test_an_order_that_is_there_is_not_made_again_by_a_flushed_bus(desk: Desk) -> None:
    desk.bus.add_order(placed())
    desk.read()
    desk.redis.flushall()
    desk.bus.add_order(placed())
    desk.read()
    assert (desk.known(), len(events(desk.store))) == (["2011"], 1)
