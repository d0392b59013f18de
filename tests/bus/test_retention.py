"""Streams are trimmed behind their slowest group, and a group that keeps them from being trimmed is logged."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
import redis
import structlog

from tests.services.simulation import Simulation
from worker.bus.port import Consumer, Group
from worker.bus.streams import Bus

NOW = datetime.fromtimestamp(10_000, UTC)


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


# --- lags ---


def fill_at(client: redis.Redis, stream: str, *seconds: int) -> None:
    for each in seconds:
        client.xadd(stream, {"event": "x"}, id=f"{each}000-0")


def read_some(client: redis.Redis, bus: Bus, group: str, count: int) -> list[Any]:
    found = cast("list[Any]", client.xreadgroup(group, "reader", {bus.events: ">"}, count=count))
    return [identity for identity, _ in found[0][1]]


def test_missing_streams_have_no_late_group(bus: Bus) -> None:
    assert bus.lags(NOW) == {}


def test_a_group_is_as_late_as_the_oldest_entry_that_it_has_not_read(client: redis.Redis, bus: Bus) -> None:
    fill_at(client, bus.events, 1000, 4000, 9000)
    for group, start in (("never", "0"), ("slow", "1000000-0"), ("done", "$")):
        client.xgroup_create(bus.events, group, id=start)
    assert bus.lags(NOW) == {
        (bus.events, "never"): 9000.0,
        (bus.events, "slow"): 6000.0,
        (bus.events, "done"): 0.0,
    }


def test_an_unacknowledged_entry_makes_a_group_late(client: redis.Redis, bus: Bus) -> None:
    fill_at(client, bus.events, 1000, 4000, 9000)
    client.xgroup_create(bus.events, "dying", id="0")
    first, _, _ = read_some(client, bus, "dying", 3)
    client.xack(bus.events, "dying", first)
    assert bus.lags(NOW) == {(bus.events, "dying"): 6000.0}


def test_unread_orders_are_late_as_well(client: redis.Redis, bus: Bus) -> None:
    fill_at(client, bus.orders, 9990)
    bus.create_group()
    assert bus.lags(NOW) == {(bus.orders, "order-sync"): 10.0}


def test_a_server_whose_clock_is_ahead_makes_no_group_early(client: redis.Redis, bus: Bus) -> None:
    fill_at(client, bus.events, 20_000)
    client.xgroup_create(bus.events, "reader", id="0")
    assert bus.lags(NOW) == {(bus.events, "reader"): 0.0}


def test_a_group_has_its_readers_and_what_waits_for_them(client: redis.Redis, bus: Bus) -> None:
    fill_at(client, bus.events, 1000, 4000, 9000)
    fill_at(client, bus.orders, 9990)
    bus.create_group()
    client.xgroup_create(bus.events, "subscriber", id="0")
    read_some(client, bus, "subscriber", 2)
    orders, events = bus.groups(NOW)
    assert orders == Group(bus.orders, "order-sync", lag=10.0, unread=1, pending=0, consumers=())
    (reader,) = events.consumers
    assert events == Group(bus.events, "subscriber", lag=9000.0, unread=1, pending=2, consumers=(reader,))
    assert reader == Consumer("reader", pending=2, idle_seconds=reader.idle_seconds)


@pytest.mark.fault("F-58")
@pytest.mark.parametrize(("hours", "late"), [(0.9, []), (2, [("deliveries", "asleep", 7200)])])
def test_a_group_that_is_more_than_an_hour_late_is_logged(
    tmp_path: Any, hours: float, late: list[tuple[str, str, int]]
) -> None:
    simulation = Simulation(tmp_path)
    try:
        simulation.redis.xadd(
            "deliveries", {"event": "x"}, id=f"{int((simulation.now.timestamp() - hours * 3600) * 1000)}-0"
        )
        simulation.redis.xgroup_create("deliveries", "asleep", id="0")
        with structlog.testing.capture_logs() as lines:
            simulation.app.tasks["maintenance.purge"]()
        warnings = [line for line in lines if line["event"] == "group.lagged"]
        assert [(line["stream"], line["group"], line["seconds"]) for line in warnings] == late
        assert simulation.redis.xlen("deliveries") == 1
    finally:
        simulation.close()
