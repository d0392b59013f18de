from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, cast

import pytest

from worker.bus import streams
from worker.bus.publisher import GUARD_SECONDS, StreamMoved
from worker.bus.streams import Bus
from worker.domain.delivery import OutgoingEvent


def published(made: Bus) -> list[bytes]:
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", made._redis.xrange(made.events))
    return [fields[b"event"] for _, fields in found]


def ids(made: Bus, stream: str) -> list[str]:
    found = cast("list[tuple[bytes, Any]]", made._redis.xrange(stream))
    return [identity.decode() for identity, _ in found]


def event(position: int, key: str = "k", sequence: int | None = None) -> OutgoingEvent:
    return OutgoingEvent(position, key, sequence or position, f"{key}{sequence or position}")


def publish(made: Bus, *events: OutgoingEvent, database: str = "d") -> list[tuple[int, str]]:
    _, newest = made.publisher.last_surviving("")
    return made.publisher.publish(database, events, newest)


def place(identity: str) -> str:
    millis, number = identity.split("-")
    return f"{int(millis):013}-{int(number):010}"


def test_events_are_published_in_their_order_and_tell_where_they_stand(made: Bus) -> None:
    told = publish(made, event(1), event(2), event(3, "other", 1))
    assert published(made) == [b"k1", b"k2", b"other1"]
    assert told == list(zip([1, 2, 3], map(place, ids(made, made.events)), strict=True))


def test_places_sort_as_text_does(made: Bus) -> None:
    for identity in ("9-9", "9-10", "10-1"):
        made._redis.xadd(made.events, {"event": "x"}, id=identity)
    nine, ten, last = (made.publisher.last_surviving(place(identity))[0] for identity in ids(made, made.events))
    assert (nine, ten, last) == ("0000000000009-0000000009", "0000000000009-0000000010", "0000000000010-0000000001")
    assert nine < ten < last


@pytest.mark.quirk("X-08")
def test_a_repeat_is_published_once_and_told_the_place_of_its_key_s_last_event(made: Bus) -> None:
    told = publish(made, event(1), event(2))
    again = publish(made, event(1), event(2), event(3))
    assert again[:2] == [(1, told[1][1]), (2, told[1][1])]
    assert published(made) == [b"k1", b"k2", b"k3"]


def test_a_repeat_within_a_batch_is_published_once(made: Bus) -> None:
    first, second = publish(made, event(1), event(1))
    assert (first == second, published(made)) == (True, [b"k1"])


@pytest.mark.fault("F-57")
@pytest.mark.quirk("X-08")
def test_an_older_sequence_is_never_published_after_a_newer_one(made: Bus) -> None:
    told = publish(made, event(5))
    assert publish(made, event(4)) == [(4, told[0][1])]
    assert published(made) == [b"k5"]


def test_keys_do_not_hold_each_other_up(made: Bus) -> None:
    publish(made, event(9, "a"))
    publish(made, event(1, "b"))
    assert published(made) == [b"a9", b"b1"]


def test_another_database_publishes_whatever_an_older_one_has_published(made: Bus) -> None:
    publish(made, event(1), event(2))
    publish(made, event(1), database="new")
    assert published(made) == [b"k1", b"k2", b"k1"]


def test_a_guard_is_not_believed_when_its_entry_is_gone(made: Bus) -> None:
    publish(made, event(1), event(2))
    made._redis.delete(made.events)
    publish(made, event(1, "other"))
    publish(made, event(1), event(2))
    assert published(made) == [b"other1", b"k1", b"k2"]


def test_a_guard_is_not_believed_when_its_place_is_another_s(made: Bus) -> None:
    ((_, place),) = publish(made, event(1))
    made._redis.delete(made.events)
    millis, number = map(int, place.split("-"))
    made._redis.xadd(made.events, {"event": "other1"}, id=f"{millis}-{number}")
    publish(made, event(1))
    assert published(made) == [b"other1", b"k1"]


def test_what_is_published_meanwhile_stops_a_relay_that_knew_less(made: Bus) -> None:
    _, newest = made.publisher.last_surviving("")
    publish(made, event(1))
    with pytest.raises(StreamMoved):
        made.publisher.publish("d", [event(1, "late")], newest)
    assert published(made) == [b"k1"]


def test_what_the_stream_loses_meanwhile_stops_a_relay(made: Bus) -> None:
    publish(made, event(1), event(2))
    _, newest = made.publisher.last_surviving("")
    made._redis.xdel(made.events, ids(made, made.events)[1])
    with pytest.raises(StreamMoved):
        made.publisher.publish("d", [event(3)], newest)
    assert published(made) == [b"k1"]


def test_it_is_told_what_stands_up_to_a_place_and_what_is_newest(made: Bus) -> None:
    assert made.publisher.last_surviving("0000000000007-0000000000") == ("", "")
    _, (_, two), (_, three) = publish(made, event(1), event(2), event(3))
    assert made.publisher.last_surviving(two) == (two, three)
    assert made.publisher.last_surviving("") == ("", three)
    made._redis.xtrim(made.events, maxlen=1, approximate=False)
    assert made.publisher.last_surviving(two) == ("", three)


def test_what_somebody_has_deleted_is_told_to_stand(made: Bus) -> None:
    _, (_, two), (_, three) = publish(made, event(1), event(2), event(3))
    made._redis.xdel(made.events, ids(made, made.events)[1])
    assert made.publisher.last_surviving(two) == (two, three)


def test_a_failure_leaves_the_rest_of_its_key_for_the_next_time(made: Bus) -> None:
    # A sequence that cannot be compared stands for whatever makes a server refuse one event and take the next.
    broken = OutgoingEvent(2, "k", cast("int", "two"), "k2")
    told = publish(made, event(1), broken, event(3), event(4), event(5, "other", 1))
    assert [position for position, _ in told] == [1, 5]
    publish(made, event(2), event(3), event(4))
    assert published(made) == [b"k1", b"other1", b"k2", b"k3", b"k4"]


def test_a_key_that_always_fails_does_not_hold_up_the_others(made: Bus) -> None:
    made._redis.lpush(f"{made.events}:sequence:d:bad", "not a guard")
    told = publish(made, event(1, "bad"), event(2, "good", 1), event(3, "bad", 2))
    assert [position for position, _ in told] == [2]
    assert published(made) == [b"good1"]


def test_an_event_too_large_for_the_server_holds_up_its_key_alone(
    embedded_redis: Callable[..., AbstractContextManager[str]],
) -> None:
    with embedded_redis(**{"proto-max-bulk-len": "1048576"}) as url, streams.connect(url) as client:
        made = Bus(client, orders="orders", events="events")
        huge = OutgoingEvent(3, "bad", 1, "x" * 2_000_000)
        told = publish(made, event(1), event(2), huge, event(4, "bad", 2), event(5, "k", 3), event(6, "other", 1))
        assert [position for position, _ in told] == [1, 2, 5, 6]
        assert published(made) == [b"k1", b"k2", b"k3", b"other1"]


@pytest.mark.fault("F-18")
def test_a_server_that_is_full_takes_nothing_and_says_so(
    embedded_redis: Callable[..., AbstractContextManager[str]],
) -> None:
    with embedded_redis() as url, streams.connect(url) as client:
        made = Bus(client, orders="orders", events="events")
        publish(made, event(1))
        client.config_set("maxmemory", "1")
        assert publish(made, event(2)) == []
        client.config_set("maxmemory", "0")
        publish(made, event(2))
        assert published(made) == [b"k1", b"k2"]


def test_publishing_nothing_is_harmless(made: Bus) -> None:
    assert publish(made) == []


def test_a_guard_is_forgotten_after_its_time(made: Bus) -> None:
    publish(made, event(1))
    assert 0 < made._redis.ttl(f"{made.events}:sequence:d:k") <= GUARD_SECONDS


def test_a_follower_sees_what_is_published_after_an_entry(made: Bus) -> None:
    publish(made, event(1), event(2), event(3))
    first, second, third = ids(made, made.events)
    assert list(islice(made.follow(first, 1), 3)) == [(second, b"k2"), (third, b"k3"), ("", b"")]
    assert made.last_id() == third


def test_a_follower_from_now_on_misses_nothing_between_two_looks(made: Bus) -> None:
    publish(made, event(1))
    following = made.follow(block_ms=1)
    assert next(following) == ("", b"")
    publish(made, event(2))
    assert next(following)[1] == b"k2"
    assert next(following) == ("", b"")


def test_an_empty_stream_can_be_followed_from_its_beginning(made: Bus) -> None:
    assert made.last_id() == "0-0"
    following = made.follow(block_ms=1)
    assert next(following) == ("", b"")
    publish(made, event(1))
    assert next(following)[1] == b"k1"
