"""An unreachable server fails at once, and settings that lose messages are reported."""

from collections.abc import Callable
from contextlib import AbstractContextManager

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


@pytest.mark.parametrize(
    ("forbidden", "faults"),
    [("config", ["maxmemory-policy is allkeys-lru, it must be noeviction"]), ("info", [])],
)
def test_a_managed_server_shows_its_faults_unless_it_forbids_info(
    embedded_redis: Callable[..., AbstractContextManager[str]], forbidden: str, faults: list[str]
) -> None:
    options = {"appendonly": "yes", "maxmemory-policy": "allkeys-lru"}
    with embedded_redis(**options) as url, streams.connect(url) as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", f"-{forbidden}")
        with streams.connect(url.replace("redis://", "redis://app:secret@")) as limited:
            assert Bus(limited, orders="o", events="e").faults() == faults


def test_the_consumer_group_has_its_published_name() -> None:
    assert GROUP == "order-sync"
