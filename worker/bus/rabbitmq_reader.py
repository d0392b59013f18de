"""The reader of the orders queue and its dead-letter queue. A message is done when it is acknowledged."""

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from math import inf
from typing import Any

from worker.bus.port import Entry, Fields, load_fields
from worker.bus.rabbitmq_session import Servers, Session

PREFETCH = 100
"""The most messages that the broker gives to a reader which has not acknowledged them."""
FIELDS_TYPE = "application/x-order-sync-fields+json"
"""The content type of a message with fields other than a document, as dead letters of a stream may have them."""
BINARY_PREFIXES = ("cloudEvents:", "cloudEvents_")
"""What the header of an attribute begins with in the binary mode of CloudEvents."""


class Reader:
    """What one consumer has received and not acknowledged, in the order of its arrival."""

    def __init__(self, servers: Servers, queue: str, dead_queue: str, declare: Callable[[Any], None]) -> None:
        self._session = Session(servers, "order-sync reader", self._subscribe, idle_seconds=inf)
        self._queue, self._dead_queue, self._declare = queue, dead_queue, declare
        self._received: deque[tuple[int, Entry]] = deque()
        self._read: dict[str, tuple[int, Entry]] = {}

    def next(self, count: int, seconds: float) -> list[Entry]:
        """Return up to `count` messages that were not returned before; wait this long for the first one."""
        with self._session.channel() as channel:
            channel.connection.heartbeat_tick()
            with suppress(TimeoutError):
                while len(self._received) < count:
                    channel.connection.drain_events(timeout=0 if self._received else seconds)
            found = [self._received.popleft() for _ in range(min(count, len(self._received)))]
        self._read |= {entry.id: (tag, entry) for tag, entry in found}
        return [entry for _, entry in found]

    def unacknowledged(self, count: int) -> list[Entry]:
        """Return the messages that were returned before and are not acknowledged; none of a lost connection."""
        with self._session.channel() as channel:
            channel.connection.heartbeat_tick()
            return [entry for _, entry in islice(self._read.values(), count)]

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Acknowledge messages. One of a lost connection is given to a reader again, and stored only once."""
        tags = [self._read[entry.id][0] for entry in entries if entry.id in self._read]
        if tags:
            with self._session.channel() as channel:
                for tag in tags:
                    channel.basic_ack(tag)
            for entry in entries:
                self._read.pop(entry.id, None)

    def close(self) -> None:
        """Close the connection, so that the broker gives its messages to another reader at once."""
        self._session.close(ask=True)

    def _subscribe(self, channel: Any) -> None:
        self._received.clear()
        self._read.clear()
        self._declare(channel)
        channel.basic_qos(0, PREFETCH, a_global=False)
        channel.basic_consume(self._queue, callback=self._receive)
        channel.basic_consume(self._dead_queue, callback=partial(self._receive, dead=True))

    def _receive(self, message: Any, *, dead: bool = False) -> None:
        fault = _fault(message.headers or {}) if dead else ""
        document, fields = _content(message)
        self._received.append((message.delivery_tag, Entry(_identity(message), document, fields, fault)))


def _identity(message: Any) -> str:
    """Return an id for a message, in the form of a stream id.

    It is the same when the message comes again, if its sender has set the properties `message_id` and `timestamp`.
    """
    sent, name = message.properties.get("timestamp"), message.properties.get("message_id")
    millis = int(sent) * 1000 if sent else int(time.time() * 1000)
    number = int.from_bytes(hashlib.sha256(_text(name)).digest()[:7]) if name else secrets.randbits(56)
    return f"{millis}-{number}"


def _content(message: Any) -> tuple[bytes, Fields | None]:
    """Return the document of a message, and its fields if it is in binary mode or was written with fields."""
    body: bytes = bytes(message.body)
    if message.properties.get("content_type") == FIELDS_TYPE:
        with suppress(ValueError, AttributeError):
            fields = load_fields(body)
            return fields.get(b"event", b""), fields
    attributes = {
        _text(name[len(BINARY_PREFIXES[0]) :], "ce_"): _text(value)
        for name, value in (message.headers or {}).items()
        if str(name).startswith(BINARY_PREFIXES)
    }
    return (b"", {**attributes, b"data": body}) if attributes else (body, None)


def _fault(headers: dict[str, Any]) -> str:
    """Return why the broker gave a message up, from the headers that it has added."""
    reason = headers.get("x-first-death-reason", "unknown")
    return f"RabbitMQ gave it up: {reason}"


def _text(value: object, prefix: str = "") -> bytes:
    return f"{prefix}{value}".encode("utf-8", "replace")
