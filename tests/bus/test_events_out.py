from itertools import islice
from typing import Any, cast

from worker.bus import GUARD_SECONDS, Bus
from worker.delivery import Outgoing


def published(made: Bus) -> list[bytes]:
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", made._redis.xrange(made.events))
    return [fields[b"event"] for _, fields in found]


def ids(made: Bus, stream: str) -> list[str]:
    found = cast("list[tuple[bytes, Any]]", made._redis.xrange(stream))
    return [identity.decode() for identity, _ in found]


def event(position: int, key: str = "k", sequence: int | None = None) -> Outgoing:
    return Outgoing(position, key, sequence or position, f"{key}{sequence or position}")


def test_events_are_published_in_their_order_and_tell_where_they_stand(made: Bus) -> None:
    told = made.publish([event(1), event(2), event(3, "other", 1)])
    assert published(made) == [b"k1", b"k2", b"other1"]
    assert told == list(zip([1, 2, 3], ids(made, made.events), strict=True))


def test_a_repeat_is_published_once(made: Bus) -> None:
    made.publish([event(1), event(2)])
    assert made.publish([event(1), event(2), event(3)])[:2] == [(1, None), (2, None)]
    assert published(made) == [b"k1", b"k2", b"k3"]


def test_a_repeat_within_a_batch_is_published_once(made: Bus) -> None:
    told = made.publish([event(1), event(1)])
    assert (len(told), told[1], published(made)) == (2, (1, None), [b"k1"])


def test_an_older_sequence_is_never_published_after_a_newer_one(made: Bus) -> None:
    made.publish([event(5)])
    assert made.publish([event(4)]) == [(4, None)]
    assert published(made) == [b"k5"]


def test_keys_do_not_hold_each_other_up(made: Bus) -> None:
    made.publish([event(9, "a")])
    made.publish([event(1, "b")])
    assert published(made) == [b"a9", b"b1"]


def test_after_a_flush_the_next_event_is_published_whatever_its_sequence(made: Bus) -> None:
    made.publish([event(1), event(2)])
    made._redis.delete(made.events, f"{made.events}:sequence:k")
    made.publish([event(3), event(4)])
    assert published(made) == [b"k3", b"k4"]


def test_a_failure_leaves_the_rest_of_its_key_for_the_next_time(made: Bus) -> None:
    # A sequence that cannot be compared stands for whatever makes a server refuse one event and take the next.
    broken = Outgoing(2, "k", cast("int", "two"), "k2")
    told = made.publish([event(1), broken, event(3), event(4), event(5, "other", 1)])
    assert [position for position, _ in told] == [1, 5]
    made.publish([event(2), event(3), event(4)])
    assert published(made) == [b"k1", b"other1", b"k2", b"k3", b"k4"]


def test_a_key_that_always_fails_does_not_hold_up_the_others(made: Bus) -> None:
    made._redis.lpush(f"{made.events}:sequence:bad", "not a number")
    told = made.publish([event(1, "bad"), event(2, "good", 1), event(3, "bad", 2)])
    assert [position for position, _ in told] == [2]
    assert published(made) == [b"good1"]


def test_publishing_nothing_is_harmless(made: Bus) -> None:
    assert made.publish([]) == []


def test_a_guard_is_forgotten_after_its_time(made: Bus) -> None:
    made.publish([event(1)])
    assert 0 < made._redis.ttl(f"{made.events}:sequence:k") <= GUARD_SECONDS


def test_a_follower_sees_what_is_published_after_an_entry(made: Bus) -> None:
    made.publish([event(1), event(2), event(3)])
    first, second, third = ids(made, made.events)
    assert list(islice(made.follow(first, 1), 3)) == [(second, b"k2"), (third, b"k3"), ("", b"")]
    assert made.last_id() == third


def test_a_follower_from_now_on_misses_nothing_between_two_looks(made: Bus) -> None:
    made.publish([event(1)])
    following = made.follow(block_ms=1)
    assert next(following) == ("", b"")
    made.publish([event(2)])
    assert next(following)[1] == b"k2"
    assert next(following) == ("", b"")


def test_an_empty_stream_can_be_followed_from_its_beginning(made: Bus) -> None:
    assert made.last_id() == "0-0"
    following = made.follow(block_ms=1)
    assert next(following) == ("", b"")
    made.publish([event(1)])
    assert next(following)[1] == b"k1"
