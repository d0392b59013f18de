"""The buses that the conformance suite runs against, each with names of its own on a real server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tests.rabbitmq import connected
from worker.addresses.amqp_url import AmqpUrl
from worker.bus import rabbitmq, streams
from worker.bus.port import Bus, Entry

COUNT, WAIT_MS = 10, 500


class BusServer(Protocol):
    """A server with a bus, as a test sees it."""

    bus: Bus

    def another_process(self) -> Bus:
        """Return the bus of another process, for which a reader counts as dead as soon as it does not read."""

    def end(self, bus: Bus) -> None:
        """End a process."""

    def events(self) -> list[bytes]:
        """Return the documents of all events, oldest first."""

    def lose_events(self) -> None:
        """Lose every event."""

    def remove(self) -> None:
        """Remove everything from the server."""


class StreamsServer:
    """A bus on Redis."""

    def __init__(self, url: str) -> None:
        self.client, self.prefix = streams.connect(url), f"osync:test:{uuid4().hex}:"
        self.bus: Bus = self._bus(idle_ms=streams.IDLE_MS)
        self.another_process().read("nobody", 1, 1)  # creates the group

    def _bus(self, idle_ms: int) -> streams.Bus:
        return streams.Bus(
            self.client, orders=f"{self.prefix}orders", events=f"{self.prefix}deliveries", idle_ms=idle_ms
        )

    def another_process(self) -> Bus:
        """Return the bus of another process."""
        return self._bus(idle_ms=0)

    def end(self, bus: Bus) -> None:
        """Do nothing: a reader that does not read counts as dead."""

    def events(self) -> list[bytes]:
        """Return the documents of all events."""
        found: Any = self.client.xrange(self.bus.events)
        return [fields[b"event"] for _, fields in found]

    def lose_events(self) -> None:
        """Delete the stream."""
        self.client.delete(self.bus.events)

    def remove(self) -> None:
        """Delete the keys."""
        for key in self.client.scan_iter(f"{self.prefix}*", count=1000):
            self.client.delete(key)
        self.client.close()


@dataclass
class RabbitServer:
    """A bus on RabbitMQ."""

    url: str
    prefix: str = field(default_factory=lambda: f"order-sync-test.{uuid4().hex}.")

    def __post_init__(self) -> None:
        self.bus: Bus = self.another_process()
        self.bus.ping()
        self.connection = connected(self.url)

    def another_process(self) -> Bus:
        """Return the bus of another process."""
        options = AmqpUrl.parse(self.url).servers
        return rabbitmq.Bus(options, orders=f"{self.prefix}orders", events=f"{self.prefix}deliveries")

    def end(self, bus: Bus) -> None:
        """Close the connections of a process."""
        assert isinstance(bus, rabbitmq.Bus)
        bus.close()

    def events(self) -> list[bytes]:
        """Return the documents of all events, from the stream that has all of them."""
        return [bytes(message.body) for message in self.stream()]

    def stream(self) -> list[Any]:
        """Return all messages of the stream."""
        found: list[Any] = []
        with self.connection.channel() as channel:
            channel.auto_decode = False
            channel.basic_qos(0, 5000, a_global=False)
            start = {"x-stream-offset": "first"}
            channel.basic_consume(self.bus.events, callback=found.append, arguments=start)
            channel.basic_qos(0, 5000, a_global=False)
        return found

    def lose_events(self) -> None:
        """Delete the stream."""
        with self.connection.channel() as channel:
            channel.queue_delete(self.bus.events)
        self.end(self.bus)

    def remove(self) -> None:
        """Delete the queues and exchanges."""
        self.end(self.bus)
        names = (self.bus.orders, f"{self.bus.orders}.dead", self.bus.events)
        with self.connection.channel() as channel:
            for name in names:
                channel.queue_delete(name)
            for name in names[1:]:
                channel.exchange_delete(name)
        self.connection.close()


@pytest.fixture
def rabbit_server(rabbitmq_url: str) -> Iterator[RabbitServer]:
    """Give a bus on RabbitMQ, whose queues and exchanges are deleted at the end."""
    server = RabbitServer(rabbitmq_url)
    yield server
    server.remove()


def documents(entries: Sequence[Entry]) -> list[bytes]:
    """Return the documents of entries."""
    return [entry.document for entry in entries]


def read_all(bus: Bus, count: int, consumer: str = "reader") -> list[Entry]:
    """Return the next messages until there are `count` of them."""
    found: list[Entry] = []
    for _ in range(100):
        found += bus.read(consumer, COUNT, WAIT_MS)
        if len(found) >= count:
            return found
    raise AssertionError(f"only {len(found)} messages came")
