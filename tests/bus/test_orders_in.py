from typing import cast

import pytest
import redis

from worker.bus.streams import Bus, Entry


def patient(made: Bus, idle_ms: int) -> Bus:
    """Make a bus on the same streams that takes a reader for dead after another time."""
    return Bus(made._redis, orders=made.orders, events=made.events, idle_ms=idle_ms)


def read(made: Bus, consumer: str = "reader", count: int = 10) -> list[bytes]:
    return [entry.document for entry in made.read(consumer, count, 1)]


def test_what_is_placed_is_read_in_its_order(made: Bus) -> None:
    placed = [made.add_order(document) for document in ("one", b"two")]
    assert read(made) == []  # the group is made
    assert made.read("reader", 10, 1) == [Entry(placed[0], b"one"), Entry(placed[1], b"two")]
    assert read(made) == []


def test_a_reader_takes_no_more_than_it_asked_for(made: Bus) -> None:
    for document in "abc":
        made.add_order(document)
    read(made)
    assert [read(made, count=2), read(made, count=2)] == [[b"a", b"b"], [b"c"]]


def test_two_readers_never_share_an_entry(made: Bus) -> None:
    for document in "abc":
        made.add_order(document)
    read(made)
    assert [read(made, "first", 1), read(made, "second", 1), read(made, "first", 1)] == [[b"a"], [b"b"], [b"c"]]


def test_an_empty_bus_has_nothing_to_read(made: Bus) -> None:
    made._make_group()
    assert read(made) == []
    assert made.read("reader", 10, 1, mine=True) == []


def test_making_the_group_again_changes_nothing(made: Bus) -> None:
    made.add_order("one")
    made._make_group()
    assert read(made) == [b"one"]
    made._make_group()
    assert read(made) == []


def test_the_group_is_made_again_after_the_stream_was_deleted(made: Bus) -> None:
    made.add_order("lost")
    read(made)
    made._redis.delete(made.orders)
    made.add_order("kept")
    assert read(made) == []
    assert read(made) == [b"kept"]


@pytest.mark.fault("F-16")
def test_what_was_read_and_not_acknowledged_is_read_again_as_mine(made: Bus) -> None:
    made.add_order("one")
    read(made)
    entries = made.read("reader", 10, 1)
    assert made.read("reader", 10, 1, mine=True) == entries
    assert made.read("another", 10, 1, mine=True) == []
    made.acknowledge(entries)
    assert made.read("reader", 10, 1, mine=True) == []


def test_acknowledging_nothing_is_harmless(made: Bus) -> None:
    made.acknowledge([])


def test_only_what_was_acknowledged_is_done(made: Bus) -> None:
    made.add_order("one")
    made.add_order("two")
    read(made)
    first, second = made.read("reader", 10, 1)
    made.acknowledge([second])
    assert made.read("reader", 10, 1, mine=True) == [first]


def test_the_entries_of_a_dead_reader_are_taken_over_before_new_ones(made: Bus) -> None:
    made.add_order("old")
    read(made)
    read(made, "dead")
    made.add_order("new")
    taken = patient(made, 0).read("alive", 10, 1)
    assert [entry.document for entry in taken] == [b"old"]
    assert made.read("dead", 10, 1, mine=True) == []
    made.acknowledge(taken)
    assert read(made, "alive") == [b"new"]


def test_the_entries_of_a_living_reader_are_left_alone(made: Bus) -> None:
    made.add_order("old")
    read(made)
    read(made, "busy")
    assert patient(made, 3_600_000).read("other", 10, 1) == []


def test_an_entry_that_was_deleted_while_it_was_read_comes_back_empty(made: Bus) -> None:
    entry = made.add_order("one")
    read(made)
    read(made)
    made._redis.xdel(made.orders, entry)
    assert made.read("reader", 10, 1, mine=True) == [Entry(entry, b"")]


def test_an_entry_without_our_field_is_read_as_nothing(made: Bus) -> None:
    entry = cast("bytes", made._redis.xadd(made.orders, {"other": "x"}))
    read(made)
    assert made.read("reader", 10, 1) == [Entry(entry.decode(), b"")]


def test_an_error_that_is_not_about_the_group_is_the_callers(made: Bus) -> None:
    made._redis.set(made.orders, "not a stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        made.read("reader", 10, 1)
