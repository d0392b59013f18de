"""An entry of a queue that is no Celery message costs the worker a line in its log and nothing else."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, cast

import pytest
import redis
from kombu import Connection, Consumer, Queue

from worker.runtime import broker

PREFIX = "osync:"
TAG = {"delivery_tag": "tag", "delivery_info": {"exchange": "", "routing_key": "q"}, "body_encoding": "base64"}
BODY = b64encode(json.dumps([[], {}, {}]).encode()).decode()


def envelope(**parts: Any) -> bytes:
    whole = {"body": BODY, "content-type": "application/json", "content-encoding": "utf-8", "headers": {}}
    return json.dumps({**whole, "properties": TAG, **parts}).encode()


FOREIGN = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe",
    "nested too deep": b"[" * 100_000,
    "a list": b"[1, 2]",
    "a number": b"7",
    "null": b"null",
    "no properties": b'{"body": "", "headers": {}}',
    "properties that are none": envelope(properties=[1]),
    "no tag": envelope(properties={}),
    "a body that is no base64": envelope(body="\u00e9"),
    "a tag that is no text": envelope(properties={**TAG, "delivery_tag": [1]}),
}
"""Entries of a queue that kombu cannot deliver."""


@pytest.fixture
def server(embedded_redis: Callable[..., AbstractContextManager[str]]) -> Iterator[redis.Redis]:
    with embedded_redis() as url, redis.Redis.from_url(url) as client:
        yield client


def connect(server: redis.Redis) -> Connection:
    broker.install()
    port = server.connection_pool.connection_kwargs["port"]
    return Connection(f"redis://127.0.0.1:{port}/0", transport_options={"global_keyprefix": PREFIX})


def dropped(connection: Connection) -> int:
    return cast("broker.Transport", connection.transport).dropped


def left(server: redis.Redis) -> list[bytes]:
    """Return the keys of messages that are left on the server."""
    kept = cast("list[bytes]", server.keys(f"{PREFIX}*"))
    return [key for key in kept if b"_kombu" not in key]


class Fragile:
    """A consumer that fails with every message but a `good` one."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    def __call__(self, message: Any) -> None:
        if message.headers != {"task": "good"}:
            raise KeyError("id")
        self.received.append(message.headers)
        message.ack()


def consume(server: redis.Redis, *messages: bytes) -> list[Any]:
    """Put messages and then a good one on a queue, and consume until the good one has come."""
    server.rpush(f"{PREFIX}q", *reversed([*messages, envelope(headers={"task": "good"})]))
    consumer = Fragile()
    with connect(server) as connection, Consumer(connection, [Queue("q", routing_key="q")], on_message=consumer):
        while not consumer.received:
            connection.drain_events(timeout=5)
        return [consumer.received, dropped(connection)]


@pytest.mark.fault("F-48")
@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_an_entry_that_is_no_message_is_dropped_and_the_next_message_comes(server: redis.Redis, foreign: bytes) -> None:
    assert consume(server, foreign) == [[{"task": "good"}], 1]
    assert left(server) == []


def test_a_message_that_breaks_its_consumer_never_comes_back(server: redis.Redis) -> None:
    assert consume(server, envelope(headers={"task": "known"})) == [[{"task": "good"}], 1]
    assert left(server) == []


def test_a_broken_connection_is_left_to_kombu(server: redis.Redis) -> None:
    def gone(_message: Any) -> None:
        raise redis.ConnectionError("gone")

    server.rpush(f"{PREFIX}q", envelope())
    with connect(server) as connection, Consumer(connection, [Queue("q", routing_key="q")], on_message=gone):
        with pytest.raises(redis.ConnectionError):
            connection.drain_events(timeout=5)
        assert dropped(connection) == 0


@pytest.mark.parametrize("url", ["redis://x", "rediss://x", "redis+socket:///x.sock"])
def test_every_url_of_redis_uses_this_transport(url: str) -> None:
    broker.install()
    assert Connection(url).get_transport_cls() is broker.Transport


def test_another_broker_uses_its_own_transport() -> None:
    broker.install()
    assert Connection("memory://").get_transport_cls() is not broker.Transport
