"""The bus as a platform and a subscriber use it, read and written straight on the server."""

import contextlib
import json
import threading
from typing import Any, Protocol, Self

import redis

from tests.bus.servers import RabbitServer
from tests.rabbitmq import connected
from worker.bus.port import OUTAGES

ORDERS, EVENTS, QUEUE = "orders", "deliveries", "kitchen-screen"
INTERVAL = 0.1
"""Seconds between two reads of a subscriber."""
Event = dict[str, Any]


class PlatformBus(Protocol):
    """A server of the bus, with one subscriber."""

    def publish(self, document: str) -> None:
        """Publish a message as a platform does. Raises one of `OUTAGES`."""

    def events(self) -> list[Event]:
        """Return every event that is on the bus now. Raises one of `OUTAGES`."""

    def read(self) -> list[Event]:
        """Return the events that are new for the subscriber. Raises one of `OUTAGES`."""

    def empty(self, server: redis.Redis) -> list[Event]:
        """Empty Redis; return the new events that would be lost with it. Raises RedisError."""


class RedisBus:
    """A bus on Redis."""

    def __init__(self, server: redis.Redis) -> None:
        self._server, self._last_id = server, "0-0"

    def publish(self, document: str) -> None:
        """Add an entry to the stream."""
        self._server.xadd(ORDERS, {"event": document})

    def events(self) -> list[Event]:
        """Return the events of the stream."""
        found: Any = self._server.xrange(EVENTS)
        return [json.loads(fields[b"event"]) for _, fields in found]

    def read(self) -> list[Event]:
        """Return up to a thousand events after the last one that was read."""
        return self._record(self._server.xrange(EVENTS, min=f"({self._last_id}", count=1000))

    def empty(self, server: redis.Redis) -> list[Event]:
        """Read the new events and empty the server in one transaction."""
        pipe = server.pipeline(transaction=True)
        pipe.xrange(EVENTS, min=f"({self._last_id}")
        pipe.flushall()
        read = self._record(pipe.execute()[0])
        self._last_id = "0-0"  # the next events are on an empty stream
        return read

    def _record(self, found: Any) -> list[Event]:
        for identity, _ in found:
            self._last_id = identity.decode()
        return [json.loads(fields[b"event"]) for _, fields in found]


class RabbitBus:
    """A bus on RabbitMQ. The subscriber has a queue of its own, which exists before the first event."""

    def __init__(self, url: str) -> None:
        self._url, self._server = url, RabbitServer(url, prefix="")
        self._channel: Any = None
        self._open()

    def _open(self) -> Any:
        self._channel = connected(self._url).channel()
        quorum = {"x-queue-type": "quorum"}
        self._channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments=quorum)
        self._channel.queue_bind(QUEUE, EVENTS, "#")
        return self._channel

    def publish(self, document: str) -> None:
        """Publish a message, and wait for its confirm."""
        self._server.bus.add_order(document)

    def events(self) -> list[Event]:
        """Return the events of the stream."""
        server = RabbitServer(self._url, prefix="")
        return [json.loads(each) for each in server.events()]

    def read(self) -> list[Event]:
        """Take the messages of the queue, and acknowledge them."""
        found: list[Event] = []
        try:
            channel = self._channel or self._open()
            while message := channel.basic_get(QUEUE):
                found.append(json.loads(message.body))
                channel.basic_ack(message.delivery_tag)
        except (*OUTAGES, AttributeError):
            self._channel = None
        return found

    def empty(self, server: redis.Redis) -> list[Event]:
        """Empty Redis, which has no event."""
        server.flushall()
        return []


class Subscriber:
    """A subscriber that records every event, also across restarts and flushes of the server.

    It reads in a thread of its own. Use it as a context manager.
    """

    def __init__(self, bus: PlatformBus) -> None:
        self._bus = bus
        self._reading = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self.received: list[Event] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            with contextlib.suppress(*OUTAGES):
                self.read()

    def read(self) -> None:
        """Read the new events. Raises one of `OUTAGES`."""
        with self._reading:
            while found := self._bus.read():
                self.received += found

    def flush(self, server: redis.Redis) -> None:
        """Read the new events, and empty Redis. Raises RedisError."""
        with self._reading:
            self.received += self._bus.empty(server)
