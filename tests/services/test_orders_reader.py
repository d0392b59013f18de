"""Readers store each message of the orders stream once, whatever fails and whichever readers run at once."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import celery
import fakeredis
import pytest
from redis.exceptions import ConnectionError as Unreachable
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from schemas.events import delivery_id
from schemas.messages import Cancellation, Message
from tests.database.samples import NOW, SHOPS, events, message, order, place, put_row, rows, store_messages
from tests.services.containers import ReplaceableContainer
from worker.bus.port import load_fields
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.database import inbox
from worker.database.database import Database
from worker.domain.delivery import Delivery
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
QUEUED = (1, "delivery.status_changed")


def placed(order_id: str = "2011", **more: Any) -> str:
    """Return an order's message in JSON."""
    data = {"order_id": order_id, **ORDER, **more}
    attributes = {"specversion": "1.0", "id": f"message {order_id}", "type": "order.placed", "time": NOW.isoformat()}
    return json.dumps({**attributes, "data": data})


def without_time(document: str) -> str:
    message = json.loads(document)
    del message["time"]
    return json.dumps(message)


class ReaderHarness:
    """A reader, the bus that it reads and the database that it writes."""

    def __init__(self, database: Database, redis: fakeredis.FakeRedis) -> None:
        self.now = NOW
        self.container = ReplaceableContainer(load(ENVIRONMENT), clock=self.clock)
        self.container.database, self.container.file_shops = database, SHOPS
        self.redis, self.database = redis, database
        self.container.bus = self.bus = Bus(redis, orders="orders", events="deliveries", idle_ms=0)
        self.reader = self.another()
        self.bus.create_group()  # fakeredis reports a missing stream with an error text of its own

    def another(self, consumer: str = "tests") -> OrdersReader:
        """Return another reader, built from the parts that are in place now."""
        return OrdersReader(self.bus, self.container.ingest, consumer)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def read(self, reader: OrdersReader | None = None) -> int:
        """Read the unacknowledged and the new entries; return how many there were."""
        return sum((reader or self.reader).step(1) for _ in range(3))

    def unacknowledged(self) -> int:
        return int(self.redis.xpending("orders", "order-sync")["pending"])

    def known(self) -> list[str]:
        return sorted(row["order_id"] for row in rows(self.database, "delivery"))

    def reasons(self) -> list[str]:
        return sorted(letter["reason"] for letter in self.database.read(inbox.dead_letters, 10))


@pytest.fixture
def memory_broker() -> Iterator[None]:
    """Send wake-up tasks to a broker in memory."""
    before = celery.current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Celery's
    app = celery.Celery("reader", broker="memory://", set_as_current=True)
    yield
    app.close()
    before.set_current()


@pytest.fixture
def harness(database: Database, memory_broker: None) -> ReaderHarness:  # noqa: ARG001 - it only has to run
    return ReaderHarness(database, fakeredis.FakeRedis(server=fakeredis.FakeServer()))


def test_entries_are_stored_and_acknowledged(harness: ReaderHarness) -> None:
    harness.bus.add_order(placed("1"))
    harness.bus.add_order(placed("2"))
    assert harness.read() == 2
    assert (harness.known(), harness.unacknowledged()) == (["1", "2"], 0)
    assert harness.read() == 0


def test_a_message_from_before_the_consumer_group_existed_is_read(harness: ReaderHarness) -> None:
    harness.redis.delete("orders")
    harness.bus.add_order(placed())
    assert harness.reader.step(1) == 0
    assert harness.read() == 1
    assert harness.known() == ["2011"]


@pytest.mark.fault("F-16")
def test_a_stored_message_that_was_not_acknowledged_is_read_again_and_changes_nothing(harness: ReaderHarness) -> None:
    harness.bus.add_order(placed())
    entries = harness.bus.read("tests", 10, 1)
    harness.container.ingest.store_documents([(each.id, each.document) for each in entries])
    before = rows(harness.database, "delivery")
    assert harness.unacknowledged() == 1
    assert harness.read(harness.another()) == 1
    assert (rows(harness.database, "delivery"), harness.unacknowledged()) == (before, 0)
    assert len(events(harness.database)) == 1


def letters(harness: ReaderHarness) -> list[tuple[str, object]]:
    """Return the reason and the content of each dead letter."""
    found = sorted(harness.database.read(inbox.dead_letters, 10), key=lambda each: bool(each["has_fields"]))
    return [(each["reason"], load_fields(each["raw"]) if each["has_fields"] else each["raw"]) for each in found]


@pytest.mark.fault("F-84")
@pytest.mark.parametrize(
    "fields",
    [{b"data": placed().encode()}, {b"ordre": b"\xff", b"trace": b"x"}, {b"": b""}],
    ids=["another field", "several fields", "no name"],
)
def test_an_entry_without_the_field_event_is_a_dead_letter_with_all_its_fields(
    harness: ReaderHarness, fields: dict[bytes, bytes]
) -> None:
    harness.bus.add_entry(fields)
    harness.bus.add_order(placed("2"))
    harness.read()
    assert letters(harness) == [("no field `event`", fields)]
    assert (harness.known(), harness.unacknowledged()) == (["2"], 0)


@pytest.mark.fault("F-84")
def test_a_dead_letter_holds_the_fields_beside_an_unreadable_document(harness: ReaderHarness) -> None:
    fields = {b"event": b"{", b"trace": b"x"}
    harness.bus.add_entry(fields)
    harness.redis.xadd("orders", {b"event": b"{"})
    harness.read()
    assert letters(harness) == [("message: not JSON", b"{"), ("message: not JSON", fields)]


@pytest.mark.fault("F-84")
def test_an_entry_in_binary_mode_is_stored_as_an_order(harness: ReaderHarness) -> None:
    message = json.loads(placed())
    data = json.dumps(message.pop("data"))
    harness.redis.xadd("orders", {**{f"ce_{name}": value for name, value in message.items()}, "data": data})
    harness.read()
    assert (harness.known(), letters(harness)) == (["2011"], [])


def ended(harness: ReaderHarness) -> list[tuple[str, str | None]]:
    """Return the status and the reason of each order, by its id."""
    found = sorted(rows(harness.database, "delivery"), key=lambda row: str(row["order_id"]))
    return [(row["status"], row["reason"]) for row in found]


@pytest.mark.fault("F-81")
@pytest.mark.parametrize(
    ("hours", "fields", "expected"),
    [
        (13, {}, ("rejected", "deadline_passed")),
        (11, {}, ("queued", None)),
        (24 * 21, {"deliver_at": "2026-11-21T18:40:00+01:00"}, ("queued", None)),
        (1, {"deliver_at": "2026-11-21T02:40:00+01:00"}, ("rejected", "deadline_passed")),
        (13, {"ready_at": "2026-11-21T18:40:00+01:00"}, ("queued", None)),
    ],
    ids=["old", "recent", "old preorder", "old time", "ready later"],
)
def test_an_order_that_is_read_long_after_its_time_gets_no_courier(
    harness: ReaderHarness, hours: int, fields: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    added = int((NOW - timedelta(hours=hours)).timestamp() * 1000)
    harness.redis.xadd("orders", {"event": without_time(placed(**fields))}, id=f"{added}-0")
    harness.read()
    assert ended(harness) == [expected]


@pytest.mark.fault("F-81")
def test_an_order_that_names_its_time_is_judged_by_it_and_not_by_its_entry(harness: ReaderHarness) -> None:
    old = {**json.loads(placed("1")), "time": "2026-11-01T12:00:00Z"}
    harness.bus.add_order(json.dumps(old))
    harness.bus.add_order(placed("2"))
    harness.read()
    assert ended(harness) == [("rejected", "deadline_passed"), ("queued", None)]
    assert events(harness.database, delivery_id("platform", "1")) == [
        QUEUED,
        (2, "delivery.status_changed"),
        (3, "delivery.dispatch_failed"),
    ]


@pytest.mark.fault("F-81")
def test_an_old_update_that_is_read_before_its_order_gets_no_courier(harness: ReaderHarness) -> None:
    late = {**json.loads(placed()), "type": "order.updated", "time": "2026-11-01T12:00:00Z"}
    harness.bus.add_order(json.dumps(late))
    harness.read()
    assert ended(harness) == [("rejected", "deadline_passed")]


@pytest.mark.fault("F-80")
def test_fields_that_were_not_read_are_logged_without_their_values(harness: ReaderHarness) -> None:
    harness.bus.add_order(placed(notes=["Freja"], order_number={}))
    with capture_logs() as logs:
        harness.read()
    assert [each for each in logs if each["event"] == "order.fields_ignored"] == [
        {
            "event": "order.fields_ignored",
            "log_level": "warning",
            "order_id": "2011",
            "delivery_id": delivery_id("platform", "2011"),
            "fields": ["notes", "order_number"],
        }
    ]


def test_an_entry_that_a_dead_reader_did_not_acknowledge_is_read_by_another(harness: ReaderHarness) -> None:
    harness.bus.add_order(placed())
    harness.bus.read("a dead reader", 10, 1)
    assert harness.read() == 1
    assert (harness.known(), harness.unacknowledged()) == (["2011"], 0)


def test_a_malformed_message_becomes_a_dead_letter_and_a_valid_one_beside_it_is_stored(harness: ReaderHarness) -> None:
    harness.bus.add_order("not JSON")
    harness.bus.add_order(placed())
    harness.bus.add_order(placed("3", notes="a\x00b"))
    assert harness.read() == 3
    assert (harness.known(), harness.unacknowledged()) == (["2011"], 0)
    assert harness.reasons() == ["data.notes: contains a NUL character or an unpaired surrogate", "message: not JSON"]


def test_the_same_malformed_text_in_two_entries_makes_two_dead_letters(harness: ReaderHarness) -> None:
    harness.bus.add_order("not JSON")
    harness.bus.add_order("not JSON")
    harness.read()
    assert harness.reasons() == ["message: not JSON"] * 2


def test_an_entry_that_was_deleted_before_it_was_acknowledged_does_not_stop_the_reader(harness: ReaderHarness) -> None:
    entry = harness.bus.add_order(placed("1"))
    harness.bus.read("tests", 10, 1)
    harness.redis.xdel("orders", entry)
    harness.bus.add_order(placed("2"))
    harness.read(harness.another())
    assert (harness.known(), harness.unacknowledged()) == (["2"], 0)


def test_only_the_message_that_the_database_refuses_becomes_a_dead_letter(harness: ReaderHarness) -> None:
    refused = delivery_id("platform", "2")
    put_row(harness.database, "event", key=refused, sequence=1, subject="", body="", created_at=NOW)
    for order_id in "123":
        harness.bus.add_order(placed(order_id))
    assert harness.read() == 3
    assert (harness.known(), harness.unacknowledged()) == (["1", "3"], 0)
    (letter,) = harness.database.read(inbox.dead_letters, 10)
    assert letter["raw"] == placed("2").encode()
    assert letter["reason"].startswith("it cannot be stored: ")


def test_nothing_is_acknowledged_while_the_database_is_down(harness: ReaderHarness, tmp_path: Path) -> None:
    harness.bus.add_order(placed())
    harness.container.database = Database(f"sqlite:///{tmp_path}/without tables.db")
    with pytest.raises(OperationalError):
        harness.read(harness.another())
    harness.container.database.close()
    assert (harness.known(), harness.unacknowledged()) == ([], 1)
    harness.container.database = harness.database
    assert harness.read(harness.another()) == 1
    assert (harness.known(), harness.unacknowledged()) == (["2011"], 0)


def test_the_reader_raises_and_loses_no_message_while_the_bus_is_down(database: Database, memory_broker: None) -> None:  # noqa: ARG001
    server = fakeredis.FakeServer()
    harness = ReaderHarness(database, fakeredis.FakeRedis(server=server))
    harness.bus.add_order(placed())
    server.connected = False
    with pytest.raises(Unreachable):
        harness.read()
    server.connected = True
    assert harness.read() == 1
    assert harness.known() == ["2011"]


@pytest.mark.fault("F-13")
def test_an_order_that_is_placed_again_on_a_flushed_bus_is_not_stored_twice(harness: ReaderHarness) -> None:
    harness.bus.add_order(placed())
    harness.read()
    harness.redis.flushall()
    harness.bus.add_order(placed())
    harness.read()
    assert (harness.known(), len(events(harness.database))) == (["2011"], 1)


# --- readers that run at once ---


def at_once(*jobs: Callable[[], list[Delivery]]) -> list[list[Delivery]]:
    """Run jobs in threads that begin at the same moment; return their results."""
    barrier = Barrier(len(jobs))

    def run(job: Callable[[], list[Delivery]]) -> list[Delivery]:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def test_readers_that_store_the_same_message_at_once_insert_it_once(database: Database) -> None:
    stored = at_once(*[lambda: store_messages(database, message(order()))] * 4)
    assert sorted(len(each) for each in stored) == [0, 0, 0, 1]
    assert events(database) == [QUEUED]


@pytest.mark.fault("F-46")
def test_readers_that_store_the_same_order_from_different_messages_at_once_insert_it_once(database: Database) -> None:
    jobs = [lambda name=name: store_messages(database, message(order(), name)) for name in "abcd"]
    assert sorted(len(each) for each in at_once(*jobs)) == [0, 0, 0, 1]
    assert events(database) == [QUEUED]


def test_readers_that_store_the_same_orders_in_opposite_sequence_do_not_deadlock(database: Database) -> None:
    ids = [str(number) for number in range(30)]
    place(database, *ids[:10])

    def messages(name: str) -> list[Message]:
        return [message(order(each, revision=2, notes="ring"), f"{name} {each}") for each in ids]

    stored = at_once(
        lambda: store_messages(database, *messages("a")), lambda: store_messages(database, *reversed(messages("b")))
    )
    assert sorted(len(each) for each in stored) == [0, 30]


def test_an_order_and_its_cancellation_that_are_stored_at_once_end_as_a_cancelled_delivery(database: Database) -> None:
    ids = [str(number) for number in range(8)]
    for each in ids:
        cancellation = Cancellation(order_id=each)
        at_once(
            lambda each=each: store_messages(database, message(order(each))),  # type: ignore[misc]
            lambda data=cancellation: store_messages(database, message(data, f"cancel {data.order_id}")),  # type: ignore[misc]
        )
    assert [row["status"] for row in rows(database, "delivery")] == ["cancelled"] * 8
