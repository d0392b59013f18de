from typing import Any, cast

import pytest

from worker.bus.streams import Bus


def ids(made: Bus, stream: str) -> list[str]:
    found = cast("list[tuple[bytes, Any]]", made._redis.xrange(stream))
    return [identity.decode() for identity, _ in found]


def fill(made: Bus, stream: str, count: int) -> list[str]:
    pipe = made._redis.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipe.xadd(stream, {"event": "x"}, id=f"{number}-0")
    pipe.execute()
    return [f"{number}-0" for number in range(1, count + 1)]


def test_the_newest_events_are_kept_however_long_ago_they_were_read(made: Bus) -> None:
    filled = fill(made, made.events, 1800)
    made._redis.xgroup_create(made.events, "subscriber", id="$")
    made.trim(500)
    kept = ids(made, made.events)
    assert kept == filled[-len(kept) :]
    assert 500 <= len(kept) < 500 + 200


@pytest.mark.fault("F-58")
def test_unread_events_are_kept_for_the_slowest_group(made: Bus) -> None:
    filled = fill(made, made.events, 1000)
    made._redis.xgroup_create(made.events, "fast", id="$")
    made._redis.xgroup_create(made.events, "slow", id="300-0")
    made.trim(10)
    assert ids(made, made.events)[-700:] == filled[300:]


def test_pending_events_are_kept_for_the_slowest_group(made: Bus) -> None:
    filled = fill(made, made.events, 1000)
    made._redis.xgroup_create(made.events, "slow", id="0")
    made._redis.xreadgroup("slow", "reader", {made.events: ">"}, count=1000)
    made._redis.xack(made.events, "slow", *filled[:200])
    made.trim(10)
    assert ids(made, made.events)[-800:] == filled[200:]


@pytest.mark.fault("F-58")
def test_everything_is_kept_for_a_group_that_has_read_nothing(made: Bus) -> None:
    filled = fill(made, made.events, 300)
    made._redis.xgroup_create(made.events, "new", id="0")
    made.trim(10)
    assert ids(made, made.events) == filled


def test_acknowledged_orders_are_dropped_and_the_others_kept(made: Bus) -> None:
    filled = fill(made, made.orders, 1000)
    made._make_group()
    entries = made.read("reader", 900, 1)
    made.acknowledge(entries[:800])
    made.trim(10)
    kept = ids(made, made.orders)
    assert kept[-200:] == filled[800:]
    assert len(kept) < 200 + 200


def test_orders_that_nobody_ever_read_are_kept(made: Bus) -> None:
    filled = fill(made, made.orders, 300)
    made.trim(10)
    assert ids(made, made.orders) == filled


def test_streams_that_are_not_there_need_no_trimming(made: Bus) -> None:
    made.trim(0)
    assert made._redis.exists(made.orders, made.events) == 0
