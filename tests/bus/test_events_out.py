"""Events are published once and in order, and a follower sees each of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, cast

import pytest
import redis

from worker.bus import streams
from worker.bus.port import StreamMoved
from worker.bus.publisher import GUARD_SECONDS
from worker.bus.streams import Bus
from worker.domain.delivery import OutgoingEvent


def published(client: redis.Redis, bus: Bus) -> list[bytes]:
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(bus.events))
    return [fields[b"event"] for _, fields in found]


def ids(client: redis.Redis, stream: str) -> list[str]:
    found = cast("list[tuple[bytes, Any]]", client.xrange(stream))
    return [identity.decode() for identity, _ in found]


def event(position: int, key: str = "k", sequence: int | None = None) -> OutgoingEvent:
    return OutgoingEvent(position, key, sequence or position, f"{key}{sequence or position}")


def publish(bus: Bus, *events: OutgoingEvent, database: str = "d") -> list[tuple[int, str]]:
    _, newest = bus.publisher.last_surviving("")
    return bus.publisher.publish(database, events, newest)


def stream_id(identity: str) -> str:
    """Return the id of an entry as the publisher writes it: it sorts as text."""
    millis, number = identity.split("-")
    return f"{int(millis):013}-{int(number):010}"


def test_events_are_published_in_order_and_their_stream_ids_returned(client: redis.Redis, bus: Bus) -> None:
    published_at = publish(bus, event(1), event(2), event(3, "other", 1))
    assert published(client, bus) == [b"k1", b"k2", b"other1"]
    assert published_at == list(zip([1, 2, 3], map(stream_id, ids(client, bus.events)), strict=True))


def test_stream_ids_sort_as_text(client: redis.Redis, bus: Bus) -> None:
    for identity in ("9-9", "9-10", "10-1"):
        client.xadd(bus.events, {"event": "x"}, id=identity)
    nine, ten, last = (bus.publisher.last_surviving(stream_id(identity))[0] for identity in ids(client, bus.events))
    assert (nine, ten, last) == ("0000000000009-0000000009", "0000000000009-0000000010", "0000000000010-0000000001")
    assert nine < ten < last


@pytest.mark.quirk("X-08")
def test_a_repeated_event_is_published_once_and_gets_the_stream_id_of_its_key_s_last_event(
    client: redis.Redis, bus: Bus
) -> None:
    published_at = publish(bus, event(1), event(2))
    again = publish(bus, event(1), event(2), event(3))
    assert again[:2] == [(1, published_at[1][1]), (2, published_at[1][1])]
    assert published(client, bus) == [b"k1", b"k2", b"k3"]


def test_an_event_that_a_batch_repeats_is_published_once(client: redis.Redis, bus: Bus) -> None:
    first, second = publish(bus, event(1), event(1))
    assert (first == second, published(client, bus)) == (True, [b"k1"])


@pytest.mark.fault("F-57")
@pytest.mark.quirk("X-08")
def test_an_older_sequence_is_never_published_after_a_newer_one(client: redis.Redis, bus: Bus) -> None:
    published_at = publish(bus, event(5))
    assert publish(bus, event(4)) == [(4, published_at[0][1])]
    assert published(client, bus) == [b"k5"]


def test_keys_do_not_delay_each_other(client: redis.Redis, bus: Bus) -> None:
    publish(bus, event(9, "a"))
    publish(bus, event(1, "b"))
    assert published(client, bus) == [b"a9", b"b1"]


def test_another_database_publishes_what_an_older_one_has_published(client: redis.Redis, bus: Bus) -> None:
    publish(bus, event(1), event(2))
    publish(bus, event(1), database="new")
    assert published(client, bus) == [b"k1", b"k2", b"k1"]


def test_a_guard_does_not_count_when_its_entry_is_gone(client: redis.Redis, bus: Bus) -> None:
    publish(bus, event(1), event(2))
    client.delete(bus.events)
    publish(bus, event(1, "other"))
    publish(bus, event(1), event(2))
    assert published(client, bus) == [b"other1", b"k1", b"k2"]


def test_a_guard_does_not_count_when_another_entry_has_its_id(client: redis.Redis, bus: Bus) -> None:
    ((_, published_at),) = publish(bus, event(1))
    client.delete(bus.events)
    millis, number = map(int, published_at.split("-"))
    client.xadd(bus.events, {"event": "other1"}, id=f"{millis}-{number}")
    publish(bus, event(1))
    assert published(client, bus) == [b"other1", b"k1"]


def test_an_event_that_was_published_meanwhile_stops_a_relay(client: redis.Redis, bus: Bus) -> None:
    _, newest = bus.publisher.last_surviving("")
    publish(bus, event(1))
    with pytest.raises(StreamMoved):
        bus.publisher.publish("d", [event(1, "late")], newest)
    assert published(client, bus) == [b"k1"]


def test_an_entry_that_was_lost_meanwhile_stops_a_relay(client: redis.Redis, bus: Bus) -> None:
    publish(bus, event(1), event(2))
    _, newest = bus.publisher.last_surviving("")
    client.xdel(bus.events, ids(client, bus.events)[1])
    with pytest.raises(StreamMoved):
        bus.publisher.publish("d", [event(3)], newest)
    assert published(client, bus) == [b"k1"]


def test_the_last_surviving_and_the_newest_stream_id_are_returned(client: redis.Redis, bus: Bus) -> None:
    assert bus.publisher.last_surviving("0000000000007-0000000000") == ("", "")
    _, (_, two), (_, three) = publish(bus, event(1), event(2), event(3))
    assert bus.publisher.last_surviving(two) == (two, three)
    assert bus.publisher.last_surviving("") == ("", three)
    client.xtrim(bus.events, maxlen=1, approximate=False)
    assert bus.publisher.last_surviving(two) == ("", three)


def test_a_deleted_entry_counts_as_surviving(client: redis.Redis, bus: Bus) -> None:
    _, (_, two), (_, three) = publish(bus, event(1), event(2), event(3))
    client.xdel(bus.events, ids(client, bus.events)[1])
    assert bus.publisher.last_surviving(two) == (two, three)


def test_a_failure_leaves_the_other_events_of_its_key_for_the_next_time(client: redis.Redis, bus: Bus) -> None:
    # A sequence that cannot be compared stands for anything that makes a server reject one event and accept the next.
    broken = OutgoingEvent(2, "k", cast("int", "two"), "k2")
    published_at = publish(bus, event(1), broken, event(3), event(4), event(5, "other", 1))
    assert [position for position, _ in published_at] == [1, 5]
    publish(bus, event(2), event(3), event(4))
    assert published(client, bus) == [b"k1", b"other1", b"k2", b"k3", b"k4"]


def test_a_key_that_always_fails_does_not_delay_the_others(client: redis.Redis, bus: Bus) -> None:
    client.lpush(f"{bus.events}:sequence:d:bad", "not a guard")
    published_at = publish(bus, event(1, "bad"), event(2, "good", 1), event(3, "bad", 2))
    assert [position for position, _ in published_at] == [2]
    assert published(client, bus) == [b"good1"]


def test_an_event_too_large_for_the_server_delays_its_key_alone(
    embedded_redis: Callable[..., AbstractContextManager[str]],
) -> None:
    with embedded_redis(**{"proto-max-bulk-len": "1048576"}) as url, streams.connect(url) as client:
        bus = Bus(client, orders="orders", events="events")
        huge = OutgoingEvent(3, "bad", 1, "x" * 2_000_000)
        published_at = publish(
            bus, event(1), event(2), huge, event(4, "bad", 2), event(5, "k", 3), event(6, "other", 1)
        )
        assert [position for position, _ in published_at] == [1, 2, 5, 6]
        assert published(client, bus) == [b"k1", b"k2", b"k3", b"other1"]


@pytest.mark.fault("F-18")
def test_nothing_counts_as_published_on_a_full_server(
    embedded_redis: Callable[..., AbstractContextManager[str]],
) -> None:
    with embedded_redis() as url, streams.connect(url) as client:
        bus = Bus(client, orders="orders", events="events")
        publish(bus, event(1))
        client.config_set("maxmemory", "1")
        assert publish(bus, event(2)) == []
        client.config_set("maxmemory", "0")
        publish(bus, event(2))
        assert published(client, bus) == [b"k1", b"k2"]


def test_publishing_nothing_is_harmless(bus: Bus) -> None:
    assert publish(bus) == []


def test_a_guard_expires(client: redis.Redis, bus: Bus) -> None:
    publish(bus, event(1))
    assert 0 < client.ttl(f"{bus.events}:sequence:d:k") <= GUARD_SECONDS


def test_a_follower_sees_what_is_published_after_an_entry(client: redis.Redis, bus: Bus) -> None:
    publish(bus, event(1), event(2), event(3))
    first, second, third = ids(client, bus.events)
    assert list(islice(bus.follow(first, 1), 3)) == [(second, b"k2"), (third, b"k3"), ("", b"")]
    assert bus.last_id() == third


def test_a_follower_of_new_events_misses_none_between_two_reads(bus: Bus) -> None:
    publish(bus, event(1))
    following = bus.follow(block_ms=1)
    assert next(following) == ("", b"")
    publish(bus, event(2))
    assert next(following)[1] == b"k2"
    assert next(following) == ("", b"")


def test_an_empty_stream_can_be_followed_from_its_beginning(bus: Bus) -> None:
    assert bus.last_id() == "0-0"
    following = bus.follow(block_ms=1)
    assert next(following) == ("", b"")
    publish(bus, event(1))
    assert next(following)[1] == b"k1"
