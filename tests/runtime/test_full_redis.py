"""A Redis that is full and evicts nothing is freed by what needs no task, which it would refuse."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.services.simulation import Simulation
from worker.bus import streams
from worker.bus.streams import Bus
from worker.runtime.steps import Trimmer

KEEP = 100
LARGE = json.dumps({"subject": "another", "padding": "x" * 100_000})


@pytest.fixture
def server(embedded_redis: Callable[..., AbstractContextManager[str]]) -> Iterator[redis.Redis]:
    """Give a real server that refuses to grow beyond twenty megabytes."""
    options = {"maxmemory": "20mb", "maxmemory-policy": "noeviction", "appendonly": "no"}
    with embedded_redis(**options) as url, streams.connect(url) as client:
        yield client


@pytest.fixture
def simulation(tmp_path: Path, server: redis.Redis) -> Iterator[Simulation]:
    """Give a simulation whose bus is on that server."""
    with closing(Simulation(tmp_path, EVENTS_KEEP=str(KEEP))) as running:
        running.container.bus = running.bus = Bus(server, orders="orders", events="deliveries")
        running.redis = server
        yield running


def is_full(server: redis.Redis) -> bool:
    try:
        server.set("any", LARGE)
    except redis.exceptions.OutOfMemoryError:
        return True
    return False


def fill(server: redis.Redis, stream: str) -> None:
    """Add entries until the server is full."""
    while not is_full(server):
        server.xadd(stream, {"event": LARGE})


@pytest.mark.fault("F-18")
def test_a_relay_that_finds_the_server_full_trims_the_streams_and_the_next_one_publishes(
    simulation: Simulation, server: redis.Redis
) -> None:
    simulation.place()
    fill(server, "deliveries")
    publish = simulation.app.tasks["events.publish"]
    publish()
    left = simulation.published()
    publish()
    assert (left, simulation.published()) == ([], ["queued"])


@pytest.mark.fault("F-18")
@pytest.mark.parametrize("stream", ["deliveries", "orders"])
def test_a_worker_trims_a_full_server_without_any_task(
    simulation: Simulation, server: redis.Redis, stream: str
) -> None:
    bus: Any = simulation.container.bus
    bus.create_group()
    fill(server, stream)
    while entries := bus.read("reader", 100, 1):
        bus.acknowledge(entries)
    full = is_full(server)
    assert Trimmer in simulation.app.steps["worker"]
    step = Trimmer(None)
    step.start(None)
    step.stop(None)
    assert (full, is_full(server)) == (True, False)
