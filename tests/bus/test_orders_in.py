"""Orders are read by a consumer group, and an entry is done only when it is acknowledged."""

from datetime import UTC, datetime

import pytest
import redis

from worker.bus.port import Entry, dump_fields, load_fields, time_of
from worker.bus.streams import Bus


def patient(client: redis.Redis, bus: Bus, idle_ms: int) -> Bus:
    """Return a bus on the same streams with another time after which a reader counts as dead."""
    return Bus(client, orders=bus.orders, events=bus.events, idle_ms=idle_ms)


def read(bus: Bus, consumer: str = "reader", count: int = 10) -> list[bytes]:
    return [entry.document for entry in bus.read(consumer, count, 1)]


def test_messages_are_read_in_order(bus: Bus) -> None:
    placed = [bus.add_order(document) for document in ("one", b"two")]
    assert read(bus) == []  # the group is made
    assert bus.read("reader", 10, 1) == [Entry(placed[0], b"one"), Entry(placed[1], b"two")]
    assert read(bus) == []


def test_a_reader_gets_no_more_than_it_asks_for(bus: Bus) -> None:
    for document in "abc":
        bus.add_order(document)
    read(bus)
    assert [read(bus, count=2), read(bus, count=2)] == [[b"a", b"b"], [b"c"]]


def test_two_readers_never_share_an_entry(bus: Bus) -> None:
    for document in "abc":
        bus.add_order(document)
    read(bus)
    assert [read(bus, "first", 1), read(bus, "second", 1), read(bus, "first", 1)] == [[b"a"], [b"b"], [b"c"]]


def test_a_reader_that_leaves_lets_others_read_at_once_what_it_has_not_acknowledged(bus: Bus) -> None:
    for document in "ab":
        bus.add_order(document)
    read(bus)
    first, _ = bus.read("leaves", 10, 1)
    bus.acknowledge([first])
    assert read(bus, "stays") == []
    bus.leave("leaves")
    assert bus.read("stays", 10, 1)[0].document == b"b"
    bus.leave("leaves")
    names = [each.name for group in bus.groups(datetime.now(UTC)) for each in group.consumers]
    assert names == ["stays"]


def test_a_reader_leaves_a_stream_that_does_not_exist(bus: Bus) -> None:
    bus.leave("reader")
    assert read(bus) == []


def test_an_empty_bus_has_nothing_to_read(bus: Bus) -> None:
    bus.create_group()
    assert read(bus) == []
    assert bus.read("reader", 10, 1, mine=True) == []


def test_creating_the_group_again_changes_nothing(bus: Bus) -> None:
    bus.add_order("one")
    bus.create_group()
    assert read(bus) == [b"one"]
    bus.create_group()
    assert read(bus) == []


def test_the_group_is_created_again_after_the_stream_was_deleted(client: redis.Redis, bus: Bus) -> None:
    bus.add_order("lost")
    read(bus)
    client.delete(bus.orders)
    bus.add_order("kept")
    assert read(bus) == []
    assert read(bus) == [b"kept"]


@pytest.mark.fault("F-16")
def test_unacknowledged_entries_are_read_again_by_the_same_consumer(bus: Bus) -> None:
    bus.add_order("one")
    read(bus)
    entries = bus.read("reader", 10, 1)
    assert bus.read("reader", 10, 1, mine=True) == entries
    assert bus.read("another", 10, 1, mine=True) == []
    bus.acknowledge(entries)
    assert bus.read("reader", 10, 1, mine=True) == []


def test_acknowledging_nothing_is_harmless(bus: Bus) -> None:
    bus.add_order("one")
    read(bus)
    entries = bus.read("reader", 10, 1)
    bus.acknowledge([])
    assert bus.read("reader", 10, 1, mine=True) == entries


def test_only_acknowledged_entries_are_done(bus: Bus) -> None:
    bus.add_order("one")
    bus.add_order("two")
    read(bus)
    first, second = bus.read("reader", 10, 1)
    bus.acknowledge([second])
    assert bus.read("reader", 10, 1, mine=True) == [first]


def test_the_entries_of_a_dead_reader_are_claimed_before_new_ones(client: redis.Redis, bus: Bus) -> None:
    bus.add_order("old")
    read(bus)
    read(bus, "dead")
    bus.add_order("new")
    taken = patient(client, bus, 0).read("alive", 10, 1)
    assert [entry.document for entry in taken] == [b"old"]
    assert bus.read("dead", 10, 1, mine=True) == []
    bus.acknowledge(taken)
    assert read(bus, "alive") == [b"new"]


def test_the_entries_of_a_living_reader_are_left_alone(client: redis.Redis, bus: Bus) -> None:
    bus.add_order("old")
    read(bus)
    read(bus, "busy")
    assert patient(client, bus, 3_600_000).read("other", 10, 1) == []


def test_an_entry_that_was_deleted_while_it_was_read_comes_back_empty(client: redis.Redis, bus: Bus) -> None:
    entry = bus.add_order("one")
    read(bus)
    read(bus)
    client.xdel(bus.orders, entry)
    assert bus.read("reader", 10, 1, mine=True) == [Entry(entry, b"")]


@pytest.mark.fault("F-84")
@pytest.mark.parametrize(
    ("fields", "document"),
    [({b"other": b"x"}, b""), ({b"event": b"one", b"trace": b"\xff"}, b"one"), ({b"ce_id": b"1", b"data": b"{}"}, b"")],
)
def test_an_entry_with_other_fields_than_ours_is_read_with_all_of_them(
    bus: Bus, fields: dict[bytes, bytes], document: bytes
) -> None:
    entry = bus.add_entry(fields)
    read(bus)
    assert bus.read("reader", 10, 1) == [Entry(entry, document, fields)]


@pytest.mark.fault("F-84")
def test_the_fields_of_an_entry_survive_their_json() -> None:
    fields = {b"ordre": '{"æ": 1}'.encode(), b"\xff\x00": b"\xfe\n", b"": b""}
    assert load_fields(dump_fields(fields)) == fields


@pytest.mark.fault("F-81")
@pytest.mark.parametrize(
    ("identity", "time"),
    [
        ("1795282800123-7", datetime(2026, 11, 21, 17, 40, 0, 123000, tzinfo=UTC)),
        ("1-0", None),
        ("999999999999999-0", None),
        ("shop/e1", None),
        ("1795282800123", None),
    ],
)
def test_the_id_of_an_entry_says_when_it_was_added(identity: str, time: datetime | None) -> None:
    assert time_of(identity) == time


def test_an_error_that_is_not_about_the_group_is_raised(client: redis.Redis, bus: Bus) -> None:
    client.set(bus.orders, "not a stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        bus.read("reader", 10, 1)
