"""The bus on RabbitMQ: a quorum queue of incoming messages, and a topic exchange of events.

Whoever connects first declares everything: the queue `orders` with its dead-letter queue `orders.dead`, the exchange
`deliveries`, and the stream `deliveries` that has every event. Whatever the broker gives up comes back through the
dead-letter queue and becomes a dead letter in the database.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from worker.bus.port import GROUP, RABBITMQ, Entry, Group, dump_fields
from worker.bus.rabbitmq_publisher import CONTENT_TYPE, Publisher
from worker.bus.rabbitmq_reader import FIELDS_TYPE, Reader
from worker.bus.rabbitmq_session import Outgoing, Servers, Session

DEAD = ".dead"
"""What follows the name of the orders queue in the name of its dead-letter exchange and queue."""
DELIVERY_LIMIT = 1000
"""How often a message may go back to the queue, because its reader died or hung, until the broker gives it up."""
DEAD_DELIVERY_LIMIT = 1_000_000
"""The same for the dead-letter queue, which has no other: newer servers have a low limit by default."""
STREAM_AGE, STREAM_BYTES, SEGMENT_BYTES = "7D", 2_000_000_000, 50_000_000
"""How long and up to which size the stream keeps events; its oldest segment is dropped when it is beyond."""

DURABLE = {"durable": True, "auto_delete": False}


class Bus:
    """The two ends of the bus on one RabbitMQ, or on a cluster of them."""

    server = RABBITMQ

    def __init__(self, servers: Servers, *, orders: str, events: str, delivery_limit: int = DELIVERY_LIMIT) -> None:
        """Take the nodes of a cluster, each as the arguments of py-amqp's connection."""
        self.orders, self.events = orders, events
        self._servers, self._delivery_limit = servers, delivery_limit
        self._orders_out = Session(servers, "order-sync orders", _confirming(self._declare_orders))
        self._asking = Session(servers, "order-sync status", self._declare_orders)
        self._events_out = Session(servers, "order-sync events", _confirming(self._declare_events))
        self._stream = Session(servers, "order-sync stream", self._declare_events)
        self.publisher = Publisher(self._events_out, self._stream, events)
        self._readers: dict[str, Reader] = {}
        self._waiting_since: float | None = None

    def ping(self) -> None:
        """Check that the server responds, and has the queue and the stream. Raises one of `OUTAGES`."""
        self._depth()
        self.publisher.last_surviving("")

    def close(self) -> None:
        """Close every connection. The messages that are not acknowledged go back to the queue."""
        for session in (self._orders_out, self._asking, self._events_out, self._stream):
            session.close(ask=True)
        for reader in self._readers.values():
            reader.close()

    # --- orders in ---

    def add_order(self, document: str | bytes) -> str:
        """Add one message to the orders queue, and wait until the server has confirmed it; return the message's id."""
        return self._add(document, CONTENT_TYPE)

    def add_entry(self, fields: Mapping[Any, Any]) -> str:
        """Add a message with any fields to the orders queue; return the message's id."""
        document = fields.get(b"event")
        if document is not None and len(fields) == 1:
            return self._add(document, CONTENT_TYPE)
        return self._add(dump_fields(fields), FIELDS_TYPE)

    def _add(self, body: str | bytes, content_type: str) -> str:
        identity = str(uuid4())
        (confirmed,) = self._orders_out.publish([Outgoing("", self.orders, identity, body, content_type)])
        if not confirmed:
            raise ConnectionError(f"RabbitMQ did not accept the message for the queue {self.orders}")
        return identity

    def read(self, consumer: str, count: int, block_ms: int, *, mine: bool = False) -> list[Entry]:
        """Read the next messages; with `mine`, read the ones that this consumer has read and not acknowledged.

        When a connection is lost, the broker gives its messages to any reader again.
        """
        if consumer not in self._readers:
            self._readers[consumer] = Reader(self._servers, self.orders, f"{self.orders}{DEAD}", self._declare_orders)
        reader = self._readers[consumer]
        return reader.unacknowledged(count) if mine else reader.next(count, block_ms / 1000)

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Acknowledge messages that are stored."""
        for reader in self._readers.values():
            reader.acknowledge(entries)

    def leave(self, consumer: str) -> None:
        """Close the connection of a reader; the broker gives its messages to another one."""
        reader = self._readers.pop(consumer, None)
        if reader is not None:
            reader.close()

    def read_again(self) -> None:
        """Do nothing: a message that was acknowledged is gone."""

    def newest_orders(self, count: int | None) -> list[Entry]:  # noqa: ARG002 - the port's signature
        """Return nothing: a queue shows a message only to the reader that takes it."""
        return []

    # --- upkeep ---

    def trim(self, keep: int) -> dict[str, int]:  # noqa: ARG002 - the port's signature
        """Remove nothing: the broker drops what is acknowledged, and the oldest events of the stream."""
        return {self.events: 0, self.orders: 0}

    def remove_orders(self, pattern: re.Pattern[bytes]) -> int:  # noqa: ARG002 - the port's signature
        """Remove nothing: the broker has no message that was acknowledged."""
        return 0

    def remove_events(self, pattern: re.Pattern[bytes]) -> int:  # noqa: ARG002 - the port's signature
        """Remove nothing: a stream cannot lose an entry, and an event has no data of the customer."""
        return 0

    def lags(self, now: datetime) -> dict[tuple[str, str], float]:
        """Return for how long messages have waited in the orders queue, as far as this process has observed it.

        The broker does not report the age of a message, nor how far the queues of subscribers are.
        """
        return {(group.stream, group.name): group.lag for group in self.groups(now)}

    def groups(self, now: datetime) -> list[Group]:
        """Return the readers of the orders as one group."""
        unread = self._depth()
        self._waiting_since = (self._waiting_since or now.timestamp()) if unread else None
        lag = max(0.0, now.timestamp() - self._waiting_since) if self._waiting_since else 0.0
        return [Group(self.orders, GROUP, lag, unread, None, ())]

    def _depth(self) -> int:
        with self._asking.channel() as channel:
            return int(channel.queue_declare(self.orders, passive=True).message_count)

    def faults(self) -> list[str]:
        """Return nothing: what this program needs, it declares."""
        return []

    # --- what is declared: what exists with other arguments is refused by the broker ---

    def _declare_orders(self, channel: Any) -> None:
        dead, quorum = f"{self.orders}{DEAD}", {"x-queue-type": "quorum"}
        channel.exchange_declare(dead, "fanout", **DURABLE)
        channel.queue_declare(dead, arguments={**quorum, "x-delivery-limit": DEAD_DELIVERY_LIMIT}, **DURABLE)
        channel.queue_bind(dead, dead)
        safe = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        given_up = {"x-dead-letter-exchange": dead, "x-delivery-limit": self._delivery_limit, **safe}
        channel.queue_declare(self.orders, arguments={**quorum, **given_up}, **DURABLE)

    def _declare_events(self, channel: Any) -> None:
        kept = {"x-max-age": STREAM_AGE, "x-max-length-bytes": STREAM_BYTES}
        segments = {"x-stream-max-segment-size-bytes": SEGMENT_BYTES}
        channel.exchange_declare(self.events, "topic", **DURABLE)
        channel.queue_declare(self.events, arguments={"x-queue-type": "stream", **kept, **segments}, **DURABLE)
        channel.queue_bind(self.events, self.events, "#")


def _confirming(declare: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that prepares a channel for messages that the server confirms."""

    def set_up(channel: Any) -> None:
        declare(channel)
        channel.confirm_select()

    return set_up
