"""What is no Celery message costs the worker nothing but a line in its log."""

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
"""What can be put on a list that kombu cannot deliver."""


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
    """Name what is left on the server of anybody's messages."""
    kept = cast("list[bytes]", server.keys(f"{PREFIX}*"))
    return [key for key in kept if b"_kombu" not in key]


class Deaf:
    """A consumer that goes wrong at what it is told, unless it is `good`."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __call__(self, message: Any) -> None:
        if message.headers != {"task": "good"}:
            raise KeyError("id")
        self.heard.append(message.headers)
        message.ack()


def consume(server: redis.Redis, *messages: bytes) -> list[Any]:
    """Put messages and then a good one on a queue, and consume until that has come."""
    server.rpush(f"{PREFIX}q", *reversed([*messages, envelope(headers={"task": "good"})]))
    deaf = Deaf()
    with connect(server) as connection, Consumer(connection, [Queue("q", routing_key="q")], on_message=deaf):
        while not deaf.heard:
            connection.drain_events(timeout=5)
        return [deaf.heard, dropped(connection)]


@pytest.mark.fault("F-48")
@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_what_cannot_be_delivered_is_dropped_and_the_next_message_comes(server: redis.Redis, foreign: bytes) -> None:
    assert consume(server, foreign) == [[{"task": "good"}], 1]
    assert left(server) == []


def test_what_its_consumer_cannot_take_never_comes_back(server: redis.Redis) -> None:
    assert consume(server, envelope(headers={"task": "known"})) == [[{"task": "good"}], 1]
    assert left(server) == []


def test_a_broken_connection_is_kombu_s_own_affair(server: redis.Redis) -> None:
    def gone(_message: Any) -> None:
        raise redis.ConnectionError("gone")

    server.rpush(f"{PREFIX}q", envelope())
    with connect(server) as connection, Consumer(connection, [Queue("q", routing_key="q")], on_message=gone):
        with pytest.raises(redis.ConnectionError):
            connection.drain_events(timeout=5)
        assert dropped(connection) == 0


@pytest.mark.parametrize("url", ["redis://x", "rediss://x", "redis+socket:///x.sock"])
def test_every_spelling_of_redis_goes_this_way(url: str) -> None:
    broker.install()
    assert Connection(url).get_transport_cls() is broker.Transport


def test_another_broker_is_left_alone() -> None:
    broker.install()
    assert Connection("memory://").get_transport_cls() is not broker.Transport
