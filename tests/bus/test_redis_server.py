"""An unreachable server fails at once, and settings that lose messages are reported."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import fakeredis
import pytest
import redis

from worker.bus import streams
from worker.bus.port import GROUP
from worker.bus.streams import Bus


def test_a_server_that_responds_passes_the_check(bus: Bus) -> None:
    bus.ping()


def test_an_unreachable_server_fails_the_check() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    with pytest.raises(redis.ConnectionError):
        Bus(fakeredis.FakeRedis(server=server), orders="o", events="e").ping()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_a_connection_without_a_server_fails_at_once(url: str) -> None:
    with streams.connect(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()


@pytest.mark.fault("F-19")
@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"appendonly": "yes"}, []),
        ({"appendonly": "no"}, ["appendonly is no: a restart of Redis loses what is on the bus"]),
        (
            {"appendonly": "no", "maxmemory-policy": "allkeys-lru"},
            [
                "maxmemory-policy is allkeys-lru, it must be noeviction",
                "appendonly is no: a restart of Redis loses what is on the bus",
            ],
        ),
    ],
)
def test_settings_that_lose_messages_are_reported(
    embedded_redis: Callable[..., AbstractContextManager[str]], options: dict[str, str], faults: list[str]
) -> None:
    with embedded_redis(**options) as url, streams.connect(url) as client:
        assert Bus(client, orders="o", events="e").faults() == faults


def test_a_server_that_hides_its_settings_has_no_known_faults(bus: Bus) -> None:
    class Managed(redis.Redis):
        def config_get(self, *_args: Any, **_more: Any) -> Any:
            raise redis.ResponseError("unknown command 'CONFIG'")

    assert Bus(Managed(), orders=bus.orders, events=bus.events).faults() == []


def test_the_consumer_group_has_its_published_name() -> None:
    assert GROUP == "order-sync"
