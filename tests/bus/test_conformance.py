"""Every bus does what the port promises: the same tests run on Redis Streams, also by Sentinel, and on RabbitMQ."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.bus.servers import BusServer, RabbitServer, StreamsServer, documents, read_all
from worker.bus.port import Bus, Entry, PublishedEvent
from worker.domain.delivery import OutgoingEvent

DATABASE = "d1"


@pytest.fixture(params=["redis", pytest.param("sentinel", marks=pytest.mark.long), "rabbitmq"])
def server(request: pytest.FixtureRequest) -> Iterator[BusServer]:
    url = request.getfixturevalue(f"{request.param}_url")
    server: BusServer = RabbitServer(url) if request.param == "rabbitmq" else StreamsServer(url)
    yield server
    server.remove()


@pytest.fixture
def bus(server: BusServer) -> Bus:
    return server.bus


def body(key: str, sequence: int, status: str = "queued") -> str:
    document = {
        "id": f"{key} {sequence}",
        "type": "delivery.status_changed",
        "partitionkey": key,
        "sequence": f"{sequence:010}",
        "data": {"status": status},
    }
    return json.dumps(document)


def event(position: int, key: str = "k", sequence: int | None = None) -> OutgoingEvent:
    return OutgoingEvent(position, key, sequence or position, body(key, sequence or position))


def publish(bus: Bus, *events: OutgoingEvent, database: str = DATABASE) -> list[tuple[int, str]]:
    _, newest = bus.publisher.last_surviving("")
    return bus.publisher.publish(database, events, newest)


# --- orders in ---


def test_messages_are_read_in_the_order_in_which_they_were_added(bus: Bus) -> None:
    for document in ("one", "tæo", b"three"):
        bus.add_order(document)
    assert documents(read_all(bus, 3)) == [b"one", "tæo".encode(), b"three"]


def test_a_reader_gets_no_more_messages_than_it_wants(bus: Bus) -> None:
    for document in "abc":
        bus.add_order(document)
    assert [documents(bus.read("reader", 2, 500)), documents(bus.read("reader", 2, 500))] == [[b"a", b"b"], [b"c"]]


def test_an_empty_bus_has_nothing_to_read(bus: Bus) -> None:
    assert bus.read("reader", 10, 1) == []
    assert bus.read("reader", 10, 1, mine=True) == []


def test_a_message_that_is_not_acknowledged_is_read_again_by_its_reader(bus: Bus) -> None:
    for document in "abc":
        bus.add_order(document)
    first, second, third = read_all(bus, 3)
    bus.acknowledge([second])
    assert bus.read("reader", 10, 1, mine=True) == [first, third]
    bus.acknowledge([first, third])
    assert bus.read("reader", 10, 1, mine=True) == []
    bus.acknowledge([])


def test_the_messages_of_a_reader_that_died_are_read_by_another_and_no_other_message_is(server: BusServer) -> None:
    dead = server.another_process()
    for document in "abc":
        server.bus.add_order(document)
    done, _, _ = read_all(dead, 3)
    dead.acknowledge([done])
    server.end(dead)
    alive = server.another_process()
    entries = read_all(alive, 2, "another")
    alive.acknowledge(entries)
    assert (sorted(documents(entries)), alive.read("another", 10, 1)) == ([b"b", b"c"], [])
    server.end(alive)


@pytest.mark.parametrize(
    "fields", [{b"event": b"one", b"trace": b"\xff"}, {b"ce_id": b"1", b"data": b"{}"}, {b"other": "æ".encode()}]
)
def test_a_message_with_any_fields_is_read_with_all_of_them(bus: Bus, fields: dict[bytes, bytes]) -> None:
    bus.add_entry(fields)
    (entry,) = read_all(bus, 1)
    assert entry == Entry(entry.id, fields.get(b"event", b""), fields)


def test_a_message_waits_until_it_is_read(bus: Bus) -> None:
    now = datetime.now(UTC) + timedelta(seconds=1)
    assert not any(bus.lags(now).values())
    bus.add_order("one")
    bus.lags(now)
    ((lag),) = bus.lags(now + timedelta(seconds=60)).values()
    assert lag >= 60
    (group,) = bus.groups(now)
    assert (group.stream, group.name, group.unread) == (bus.orders, "order-sync", 1)
    bus.acknowledge(read_all(bus, 1))
    assert not any(bus.lags(now).values())


# --- events out ---


def test_events_are_published_in_order_and_each_gets_a_later_place(server: BusServer) -> None:
    published = publish(server.bus, event(1), event(2), event(3, "other", 1))
    assert sorted(server.events()) == sorted([body("k", 1).encode(), body("k", 2).encode(), body("other", 1).encode()])
    assert sorted(position for position, _ in published) == [1, 2, 3]
    assert dict(published)[1] < dict(published)[2]
    newest = max(place for _, place in published)
    assert server.bus.publisher.last_surviving(newest) == (newest, newest)


def test_the_events_of_a_delivery_keep_their_order_in_a_batch(server: BusServer) -> None:
    batch = [event(3 * round_ + at, f"k{at}", round_ + 1) for round_ in range(30) for at in range(3)]
    published = publish(server.bus, *batch)
    found = [json.loads(each) for each in server.events()]
    by_key = {
        key: [int(each["sequence"]) for each in found if each["partitionkey"] == key] for key in ("k0", "k1", "k2")
    }
    assert by_key == {key: list(range(1, 31)) for key in ("k0", "k1", "k2")}
    assert len(published) == len(batch)


def test_a_bus_without_events_has_no_place(bus: Bus) -> None:
    assert bus.publisher.last_surviving("") == ("", "")
    assert bus.publisher.last_surviving("0000000000007-0000000000") == ("", "")
    assert publish(bus) == []


def test_a_bus_that_lost_its_events_has_no_place_until_they_are_published_again(server: BusServer) -> None:
    ((_, place),) = publish(server.bus, event(1))
    server.lose_events()
    assert server.bus.publisher.last_surviving(place) == ("", "")
    publish(server.bus, event(1), event(2))
    assert server.events() == [body("k", 1).encode(), body("k", 2).encode()]


def test_the_newest_place_is_after_the_one_that_a_database_without_its_last_commits_knows(bus: Bus) -> None:
    (_, first), (_, second) = publish(bus, event(1), event(2))
    assert bus.publisher.last_surviving(first) == (first, second)


def test_the_last_event_of_each_key_after_a_place_is_found_but_not_that_of_another_database(bus: Bus) -> None:
    ((_, known),) = publish(bus, event(1))
    publish(bus, event(2), event(3), event(4, "other", 1))
    publish(bus, event(5, "foreign", 1), database="another")
    found = bus.publisher.published_after(DATABASE, known)
    expected = [PublishedEvent("k", 3, body("k", 3)), PublishedEvent("other", 1, body("other", 1))]
    assert sorted(found, key=lambda each: each.key) == expected
    _, newest = bus.publisher.last_surviving("")
    assert bus.publisher.published_after(DATABASE, newest) == []
