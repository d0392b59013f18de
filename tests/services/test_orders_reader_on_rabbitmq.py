"""Messages from RabbitMQ are stored once and acknowledged; what the broker gives up becomes a dead letter."""

from collections.abc import Iterator
from typing import Any

import amqp
import fakeredis
import pytest

from schemas.events import delivery_id
from tests.bus.servers import RabbitServer
from tests.database.samples import events
from tests.services.test_orders_reader import ReaderHarness, placed
from worker.database import inbox
from worker.database.database import Database
from worker.services.ingest import OrdersReader


@pytest.fixture
def harness(sqlite_url: str) -> Iterator[ReaderHarness]:
    database = Database(sqlite_url)
    yield ReaderHarness(database, fakeredis.FakeRedis())
    database.close()


@pytest.fixture
def reader(harness: ReaderHarness, rabbit_server: RabbitServer) -> OrdersReader:
    return OrdersReader(rabbit_server.bus, harness.container.ingest, "tests")


def read(reader: OrdersReader, count: int) -> None:
    """Read until so many messages are stored."""
    while count > 0:
        count -= reader.step(500)


def letters(database: Database) -> list[tuple[bytes, str]]:
    return [(each["raw"], each["reason"]) for each in database.read(inbox.dead_letters, 10)]


def test_orders_are_stored_once_and_the_queue_is_empty_afterwards(
    harness: ReaderHarness, rabbit_server: RabbitServer, reader: OrdersReader
) -> None:
    for document in (placed("1"), placed("2"), placed("1")):
        rabbit_server.bus.add_order(document)
    read(reader, 3)
    rabbit_server.end(rabbit_server.bus)
    assert reader.step(1) == 0
    stored = [events(harness.database, delivery_id("platform", order_id)) for order_id in ("1", "2")]
    assert [len(each) for each in stored] == [1, 1]


def test_a_message_in_binary_mode_is_stored(
    harness: ReaderHarness, rabbit_server: RabbitServer, reader: OrdersReader
) -> None:
    headers = {"cloudEvents:specversion": "1.0", "cloudEvents:id": "m1", "cloudEvents:type": "order.cancelled"}
    with rabbit_server.connection.channel() as channel:
        message: Any = amqp.Message('{"order_id": "2011"}', application_headers=headers)
        channel.basic_publish(message, "", rabbit_server.bus.orders)
    read(reader, 1)
    assert letters(harness.database) == []
    found = harness.database.read(inbox.cancellations, [delivery_id("platform", "2011")])
    assert list(found) == [delivery_id("platform", "2011")]


def test_an_unreadable_message_and_one_that_the_broker_gave_up_become_dead_letters(
    harness: ReaderHarness, rabbit_server: RabbitServer, reader: OrdersReader
) -> None:
    rabbit_server.bus.add_order(b"\xff")
    with rabbit_server.connection.channel() as channel:
        channel.basic_publish(amqp.Message(placed("3")), f"{rabbit_server.bus.orders}.dead", "")
    read(reader, 2)
    assert sorted(letters(harness.database)) == [
        (placed("3").encode(), "RabbitMQ gave it up: unknown"),
        (b"\xff", "message: not UTF-8"),
    ]
