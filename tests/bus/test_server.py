from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import fakeredis
import pytest
import redis

from worker.bus import streams
from worker.bus.streams import GROUP, Bus


def test_a_server_that_answers_is_answered_for(made: Bus) -> None:
    made.ping()


def test_a_server_that_is_away_is_told_at_once() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    with pytest.raises(redis.ConnectionError):
        Bus(fakeredis.FakeRedis(server=server), orders="o", events="e").ping()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
def test_a_connection_to_nowhere_ends_at_once(url: str) -> None:
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
def test_settings_that_lose_messages_are_named(
    embedded_redis: Callable[..., AbstractContextManager[str]], options: dict[str, str], faults: list[str]
) -> None:
    with embedded_redis(**options) as url, streams.connect(url) as client:
        assert Bus(client, orders="o", events="e").faults() == faults


def test_a_server_that_hides_its_settings_has_no_faults_to_name(made: Bus) -> None:
    class Managed(redis.Redis):
        def config_get(self, *_args: Any, **_more: Any) -> Any:
            raise redis.ResponseError("unknown command 'CONFIG'")

    assert Bus(Managed(), orders=made.orders, events=made.events).faults() == []


def test_our_group_is_the_one_that_the_contract_names() -> None:
    assert GROUP == "order-sync"
