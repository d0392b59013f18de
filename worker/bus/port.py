"""The port of the bus: what the services know of it, whichever server it is.

A message is acknowledged only after it is stored. An event counts as published when the server has confirmed it. The
bus may lose what it has: its newest events are compared with the outbox, and published again if they are missing.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from amqp.exceptions import AMQPError
from redis.exceptions import RedisError

from schemas.fields import CENTURY
from worker.domain.delivery import OutgoingEvent

GROUP = "order-sync"
EXAMINED = 1000
"""How many of the newest events are compared with the outbox."""
REDIS, RABBITMQ = "Redis", "RabbitMQ"
OUTAGES = (RedisError, AMQPError, OSError)
"""The errors that are raised while Redis or RabbitMQ is unreachable or cannot work."""
Fields = Mapping[bytes, bytes]
"""The fields of an entry of a stream."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One incoming message: the id of its entry, and its unparsed document."""

    id: str
    document: bytes
    fields: Fields | None = None
    """All fields of the entry; None if it has nothing but the document."""
    fault: str = ""
    """Why the server gave the message up; such a message is not parsed but becomes a dead letter."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """One reader of a consumer group."""

    name: str
    pending: int
    """The entries that it has read and not acknowledged."""
    idle_seconds: float
    """Seconds since it last asked for entries."""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group and its progress."""

    stream: str
    name: str
    lag: float
    """The age in seconds of the oldest entry that the group has not acknowledged; 0 if there is none."""
    unread: int | None
    """The entries that no reader of the group has read; None if the server does not know."""
    pending: int | None
    """The entries that were read and not acknowledged; None if the server does not know."""
    consumers: tuple[Consumer, ...]


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """An event as it is on the bus."""

    key: str
    sequence: int
    body: str


class StreamMoved(Exception):
    """Another relay published meanwhile, or the bus lost entries: call `last_surviving` again."""


class EventPublisher(Protocol):
    """Publish events, and compare the bus with the outbox.

    A place is the text that says where an event is on the bus. Places have the form of a stream id with leading zeros
    on every bus, so that they sort as text, and a deployment may change from one bus to another.
    """

    def last_surviving(self, place: str) -> tuple[str, str]:
        """Return two places: the newest that the bus still has up to `place`, and the newest of all.

        If the first one is not `place`, the bus has lost what was published between them. Both are empty if the bus
        has no event.
        """

    def published_after(self, database: str, place: str, examined: int | None = EXAMINED) -> list[PublishedEvent]:
        """Return the events after a place: for each key, only the last event that this database has published.

        Only the newest `examined` entries are examined; None means all.
        """

    def publish(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        """Publish events of a database in this order; return the outbox position and the place of each event.

        An event that is not among them was not confirmed, and no later event of its key was published. `newest` is the
        place of the newest event. Raises StreamMoved if the bus has a newer one.
        """

    def forget(self, database: str, keys: Collection[str]) -> None:
        """Let events of these keys that were published before be published again."""


class Bus(Protocol):
    """Incoming messages, read by one consumer group, and outgoing events."""

    server: str
    """What kind of server it is, as people know it."""
    orders: str
    """The name of the stream or queue of the incoming messages."""
    events: str
    """The name of the stream or exchange of the events."""

    @property
    def publisher(self) -> EventPublisher:
        """The publisher of the events."""

    def ping(self) -> None:
        """Check that the server responds. Raises one of `OUTAGES`."""

    def add_order(self, document: str | bytes) -> str:
        """Add one incoming message, and wait until the server has it; return the id of its entry."""

    def add_entry(self, fields: Mapping[Any, Any]) -> str:
        """Add an incoming message with any fields; return the id of its entry."""

    def read(self, consumer: str, count: int, block_ms: int, *, mine: bool = False) -> list[Entry]:
        """Read the next messages; with `mine`, read the ones that this consumer has read and not acknowledged."""

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Acknowledge messages that are stored."""

    def leave(self, consumer: str) -> None:
        """Remove a reader that reads no more; let other readers have at once what it has not acknowledged."""

    def read_again(self) -> None:
        """Let the next reader read every message again that the server still has."""

    def newest_orders(self, count: int | None) -> list[Entry]:
        """Return the newest incoming messages, newest first, as far as the server can show them; None means all."""

    def trim(self, keep: int) -> dict[str, int]:
        """Remove what nobody needs except the newest `keep` events; return the number removed, by stream."""

    def remove_orders(self, pattern: re.Pattern[bytes]) -> int:
        """Remove the messages that match a pattern and that every group has acknowledged; return their number."""

    def remove_events(self, pattern: re.Pattern[bytes]) -> int:
        """Remove the events that match a pattern and that every group has acknowledged; return their number."""

    def lags(self, now: datetime) -> dict[tuple[str, str], float]:
        """Return the age in seconds of the oldest entry that each group has not acknowledged, by stream and group."""

    def groups(self, now: datetime) -> list[Group]:
        """Return the consumer groups and their progress, the group of the orders first."""

    def faults(self) -> list[str]:
        """Return the faults in the settings of the server, the worst first."""


def unpublished_keys(events: Sequence[OutgoingEvent], published: Sequence[tuple[int, str]]) -> set[str]:
    """Return the keys of those events whose position is not in `published`."""
    positions = {position for position, _ in published}
    return {event.key for event in events if event.position not in positions}


def newest_of(newest: str, published: Sequence[tuple[int, str]]) -> str:
    """Return the place of the newest event after these events were published; `newest` was it before."""
    return max([newest, *(place for _, place in published)])


def read_event(document: bytes) -> PublishedEvent | None:
    """Return the event in a document; None when it is not ours, because other programs may publish on the bus."""
    try:
        body = document.decode()
        event = json.loads(body)
        key = event["partitionkey"]
        key.encode()  # a text with a lone surrogate cannot be a part of a key
        return PublishedEvent(key, int(event["sequence"]), body)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def dump_fields(fields: Fields) -> bytes:
    """Return the fields of an entry as one JSON object, from which `load_fields` restores every byte."""
    texts = {_text_of(name): _text_of(value) for name, value in fields.items()}
    return json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogateescape")


def load_fields(raw: bytes) -> Fields:
    """Return the fields of an entry from the JSON of `dump_fields`."""
    texts: dict[str, str] = json.loads(_text_of(raw))
    return {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in texts.items()
    }


def _text_of(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def time_of(identity: str) -> datetime | None:
    """Return when the entry with this id was added; None when the text is no id or contains an implausible time."""
    if not re.fullmatch(r"\d{12,13}-\d{1,20}", identity, re.ASCII):
        return None
    added = datetime.fromtimestamp(int(identity.partition("-")[0]) / 1000, UTC)
    return added if added.year in CENTURY else None
