from typing import Any, cast

import pytest
import redis

from worker.bus.streams import Bus


def ids(client: redis.Redis, stream: str) -> list[str]:
    found = cast("list[tuple[bytes, Any]]", client.xrange(stream))
    return [identity.decode() for identity, _ in found]


def fill(client: redis.Redis, stream: str, count: int) -> list[str]:
    pipe = client.pipeline(transaction=False)
    for number in range(1, count + 1):
        pipe.xadd(stream, {"event": "x"}, id=f"{number}-0")
    pipe.execute()
    return [f"{number}-0" for number in range(1, count + 1)]


def test_the_newest_events_are_kept_after_they_were_read(client: redis.Redis, bus: Bus) -> None:
    filled = fill(client, bus.events, 1800)
    client.xgroup_create(bus.events, "subscriber", id="$")
    bus.trim(500)
    kept = ids(client, bus.events)
    assert kept == filled[-len(kept) :]
    assert 500 <= len(kept) < 500 + 200


@pytest.mark.fault("F-58")
def test_unread_events_are_kept_for_the_slowest_group(client: redis.Redis, bus: Bus) -> None:
    filled = fill(client, bus.events, 1000)
    client.xgroup_create(bus.events, "fast", id="$")
    client.xgroup_create(bus.events, "slow", id="300-0")
    bus.trim(10)
    assert ids(client, bus.events)[-700:] == filled[300:]


def test_pending_events_are_kept_for_the_slowest_group(client: redis.Redis, bus: Bus) -> None:
    filled = fill(client, bus.events, 1000)
    client.xgroup_create(bus.events, "slow", id="0")
    client.xreadgroup("slow", "reader", {bus.events: ">"}, count=1000)
    client.xack(bus.events, "slow", *filled[:200])
    bus.trim(10)
    assert ids(client, bus.events)[-800:] == filled[200:]


@pytest.mark.fault("F-58")
def test_everything_is_kept_for_a_group_that_has_read_nothing(client: redis.Redis, bus: Bus) -> None:
    filled = fill(client, bus.events, 300)
    client.xgroup_create(bus.events, "new", id="0")
    bus.trim(10)
    assert ids(client, bus.events) == filled


def test_acknowledged_orders_are_dropped_and_the_others_kept(client: redis.Redis, bus: Bus) -> None:
    filled = fill(client, bus.orders, 1000)
    bus.create_group()
    entries = bus.read("reader", 900, 1)
    bus.acknowledge(entries[:800])
    bus.trim(10)
    kept = ids(client, bus.orders)
    assert kept[-200:] == filled[800:]
    assert len(kept) < 200 + 200


def test_orders_that_were_never_read_are_kept(client: redis.Redis, bus: Bus) -> None:
    filled = fill(client, bus.orders, 300)
    bus.trim(10)
    assert ids(client, bus.orders) == filled


def test_missing_streams_need_no_trimming(client: redis.Redis, bus: Bus) -> None:
    bus.trim(0)
    assert client.exists(bus.orders, bus.events) == 0
