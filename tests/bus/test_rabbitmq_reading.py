"""Reading the stream of RabbitMQ: a broker that pauses is not at the end, and one that answers late is not empty."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from worker.bus.port import PublishedEvent
from worker.bus.rabbitmq_publisher import Publisher

SLOW = 2.0
"""The seconds that the broker takes for a chunk when nothing has been sent yet."""


def event(number: int) -> str:
    return json.dumps({"partitionkey": f"key-{number}", "sequence": "0000000001"})


def place(number: int) -> str:
    return f"1796060000000-{number:010}"


def entry(number: int) -> Any:
    headers = {"x-stream-offset": number, "place": place(number), "database": "db"}
    return SimpleNamespace(headers=headers, body=event(number).encode(), delivery_tag=number + 1)


@dataclass
class Broker:
    """A connection whose broker sends a chunk of entries only when the reader waits for it long enough."""

    chunks: list[list[Any]]
    end: int = 0
    """After how many chunks the broker sends nothing more."""
    waiting: list[list[Any]] = field(default_factory=list)
    take: Callable[[Any], None] = print

    @property
    def connection(self) -> "Broker":
        return self

    @contextmanager
    def channel(self) -> Iterator["Broker"]:
        yield self

    def basic_qos(self, *_: Any, **__: Any) -> None:
        pass

    def basic_ack(self, *_: Any, **__: Any) -> None:
        pass

    def basic_consume(self, _queue: str, callback: Callable[[Any], None], arguments: dict[str, Any]) -> None:
        begins = arguments["x-stream-offset"]
        sent = self.chunks[: self.end or None]
        self.take, self.waiting = callback, self.chunks[-1:] if begins == "last" else sent

    def drain_events(self, timeout: float) -> None:
        if timeout < SLOW or not self.waiting:
            raise TimeoutError
        for each in self.waiting[0]:
            self.take(each)
        self.waiting = self.waiting[1:]


def publisher(broker: Any) -> Publisher:
    return Publisher(broker, broker, "deliveries")


CHUNKS = [[entry(0), entry(1)], [entry(2)], [entry(3), entry(4)]]
EVENTS = [PublishedEvent(f"key-{number}", 1, event(number)) for number in range(5)]


def test_all_entries_are_read_although_the_broker_pauses_between_them() -> None:
    assert publisher(Broker(CHUNKS)).published_after("db", place(0)[:-1], None) == EVENTS


def test_a_stream_that_answers_late_does_not_count_as_empty() -> None:
    assert publisher(Broker(CHUNKS)).last_surviving(place(4)) == (place(4), place(4))


def test_a_read_fails_when_the_broker_does_not_send_the_entries_that_it_has() -> None:
    with pytest.raises(TimeoutError, match="the stream ends at 2 and not at 4"):
        publisher(Broker(CHUNKS, end=2)).published_after("db", place(0)[:-1], None)
