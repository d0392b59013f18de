"""The bus as a platform and a subscriber use it, read and written straight on the server."""

import contextlib
import json
import threading
from typing import Any, Self

import redis

ORDERS, EVENTS = "orders", "deliveries"
INTERVAL = 0.1
"""Seconds between two reads of a subscriber."""


def publish(server: redis.Redis, document: str) -> None:
    """Publish a message as a platform does. Raises RedisError."""
    server.xadd(ORDERS, {"event": document})


def events_on(server: redis.Redis) -> list[dict[str, Any]]:
    """Return every event that is on the bus now."""
    found: Any = server.xrange(EVENTS)
    return [json.loads(fields[b"event"]) for _, fields in found]


class Subscriber:
    """A subscriber that records every event, also across restarts and flushes of the server.

    It reads in a thread of its own. Use it as a context manager.
    """

    def __init__(self, url: str) -> None:
        self._server = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
        self._last_id = "0-0"
        self._reading = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self.received: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            with contextlib.suppress(redis.RedisError, OSError):
                self.read()

    def read(self) -> None:
        """Read the new events. Raises RedisError."""
        with self._reading:
            while found := self._server.xrange(EVENTS, min=f"({self._last_id}", count=1000):
                self._record(found)

    def flush(self) -> None:
        """Read the new events and empty the server in one transaction. Raises RedisError."""
        with self._reading:
            pipe = self._server.pipeline(transaction=True)
            pipe.xrange(EVENTS, min=f"({self._last_id}")
            pipe.flushall()
            self._record(pipe.execute()[0])
            self._last_id = "0-0"  # the next events are on an empty stream

    def _record(self, found: Any) -> None:
        for identity, fields in found:
            self.received.append(json.loads(fields[b"event"]))
            self._last_id = identity.decode()
