"""The publisher of the topic exchange `deliveries`. Events of one delivery keep their order; an event may come twice.

A stream of RabbitMQ is bound to the exchange and has every event, whatever else is bound. So every event is kept when
no subscriber listens, and the newest events can be compared with the outbox, as on Redis.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from worker.bus.port import EXAMINED, PublishedEvent, read_event, unpublished_keys
from worker.bus.rabbitmq_session import SOCKET_SECONDS, Outgoing, Session
from worker.domain.delivery import OutgoingEvent

CONTENT_TYPE = "application/cloudevents+json"
STATUS_CHANGED = "delivery.status_changed"
PREFETCH = 5000
"""The most entries that the broker sends until they are acknowledged; a chunk of the stream is smaller."""
ARRIVAL_SECONDS = 0.25
"""How long a read waits for the first entry of a stream that never had one."""
SECONDS_FOR_ROUNDS = 3.0
"""After this time, no further group is published: the relay records what it has while it has its lease."""
BUCKETS = 60
"""The number of buckets of keys. A subscriber with partitions binds the buckets of each; many numbers divide 60."""


class Publisher:
    """Publish events on the exchange, and read the stream that has all of them."""

    def __init__(self, writing: Session, reading: Session, name: str, clock: Callable[[], float] = time.time) -> None:
        """Use the exchange and the stream `name`, over two connections, because an alarm blocks the one that writes."""
        self._writing, self._reading, self._name, self._clock = writing, reading, name, clock

    def last_surviving(self, place: str) -> tuple[str, str]:
        """Return two places: the newest that the stream still has up to `place`, and the newest of all.

        A stream can lose only its newest entries. While its newest entries are those of other programs, nothing counts
        as lost.
        """
        entries = self._last_chunk(_patience(place))
        places = _places(entries)
        if entries and not places:
            self._read(_first(entries, EXAMINED), _offset(entries[-1]), lambda entry: places.extend(_places([entry])))
        newest = max(places, default=place if entries else "")
        return min(place, newest), newest

    def published_after(self, database: str, place: str, examined: int | None = EXAMINED) -> list[PublishedEvent]:
        """Return the events after a place: for each key, only the last event that this database has published.

        Only the newest `examined` entries are examined; None means all. None are if the very newest is not after
        `place`.
        """
        last = self._last_chunk(_patience(place))
        if max(_places(last), default="") <= place:
            return []
        found: dict[str, PublishedEvent] = {}

        def take(entry: Any) -> None:
            ours = (entry.headers or {}).get("database") == database and _place(entry) > place
            if ours and (event := read_event(bytes(entry.body))):
                found[event.key] = event

        self._read("first" if examined is None else _first(last, examined), _offset(last[-1]), take)
        return list(found.values())

    def publish(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> list[tuple[int, str]]:
        """Publish events of a database; return the outbox position and the place of each confirmed event.

        An event is published only after the event before it in the same delivery was confirmed. So after any failure,
        what is published again never comes after a later event that the queues did not have before.
        """
        places, published = self._next_places(newest), []
        deadline = time.monotonic() + SECONDS_FOR_ROUNDS
        stuck: set[str] = set()
        for group in _groups(events):
            wanted = [(event, next(places)) for event in group if event.key not in stuck]
            if not wanted or time.monotonic() > deadline:
                break
            confirmed = self._writing.publish([self._message(database, *each) for each in wanted])
            pairs = zip(wanted, confirmed, strict=True)
            done = [(event.position, place) for (event, place), is_done in pairs if is_done]
            published += done
            stuck |= unpublished_keys([event for event, _ in wanted], done)
        return published

    def forget(self, database: str, keys: Collection[str]) -> None:
        """Do nothing: nothing here refuses an event that was published before."""

    def _message(self, database: str, event: OutgoingEvent, place: str) -> Outgoing:
        document: dict[str, Any] = json.loads(event.body)
        # A text, because a headers exchange compares the types of numbers, and clients choose different ones.
        bucket = str(crc32(event.key.encode()) % BUCKETS)
        headers = {
            "partitionkey": event.key,
            "bucket": bucket,
            "sequence": event.sequence,
            "database": database,
            "place": place,
        }
        kind = document["type"]
        route = f"{kind}.{document['data']['status']}" if kind == STATUS_CHANGED else kind
        return Outgoing(self._name, route, document["id"], event.body, CONTENT_TYPE, kind, headers)

    def _next_places(self, newest: str) -> Iterator[str]:
        """Yield places after `newest` and not before now; the clocks of two hosts may differ."""
        millis, number = (int(part) for part in (newest or "0-0").split("-"))
        now = int(self._clock() * 1000)
        millis, number = (now, -1) if now > millis else (millis, number)
        while True:
            number += 1
            yield f"{millis:013}-{number:010}"

    # --- the stream ---------------------------------------------------------------------------------------------------

    def _last_chunk(self, seconds: float) -> list[Any]:
        """Return the entries that were written last, at once; none if no entry comes within some seconds."""
        with self._consuming("last") as (channel, unread):
            return [*unread] if _has_come(channel, unread, seconds) else []

    def _read(self, begin: str | int, end: int, take: Callable[[Any], None]) -> None:
        """Take the entries of the stream from one offset on, at least up to another. Raises TimeoutError."""
        reached = -1
        with self._consuming(begin) as (channel, unread):
            while reached < end:
                if not _has_come(channel, unread, SOCKET_SECONDS):
                    raise TimeoutError(f"the stream ends at {reached} and not at {end}")
                reached = _offset(unread[-1])
                channel.basic_ack(unread[-1].delivery_tag, multiple=True)
                for entry in unread:
                    take(entry)
                unread.clear()

    @contextmanager
    def _consuming(self, begin: str | int) -> Iterator[tuple[Any, list[Any]]]:
        """Yield a channel of its own, because entries may still arrive on it after the read, and what has arrived."""
        unread: list[Any] = []
        with self._reading.channel() as session, session.connection.channel() as channel:
            channel.auto_decode = False
            channel.basic_qos(0, PREFETCH, a_global=False)
            channel.basic_consume(self._name, callback=unread.append, arguments={"x-stream-offset": begin})
            yield channel, unread


def _has_come(channel: Any, unread: list[Any], seconds: float) -> bool:
    """Wait some seconds for an entry, and then for the rest of its chunk; return whether one has come."""
    deadline = time.monotonic() + seconds
    while not unread:
        try:
            channel.connection.drain_events(timeout=max(deadline - time.monotonic(), 0.001))
        except TimeoutError:
            return False
    channel.basic_qos(0, PREFETCH, a_global=False)  # its answer follows what was sent before it
    return True


def _groups(events: Sequence[OutgoingEvent]) -> list[list[OutgoingEvent]]:
    """Return the events in groups that have one event of a key: the first group has the first event of each key."""
    groups: list[list[OutgoingEvent]] = []
    earlier: Counter[str] = Counter()
    for event in events:
        if earlier[event.key] == len(groups):
            groups.append([])
        groups[earlier[event.key]].append(event)
        earlier[event.key] += 1
    return groups


def _patience(place: str) -> float:
    """Return how long to wait for the first entry of a stream; `place` is known to have been on it, unless empty.

    A stream that only answers late must not count as empty, because everything would then be published again.
    """
    return SOCKET_SECONDS if place else ARRIVAL_SECONDS


def _offset(entry: Any) -> int:
    return int(entry.headers["x-stream-offset"])


def _first(last: Sequence[Any], examined: int) -> int:
    """Return the offset from which on there are `examined` entries; `last` are the newest ones."""
    return max(0, _offset(last[-1]) - examined + 1)


def _places(entries: Sequence[Any]) -> list[str]:
    return [place for entry in entries if (place := _place(entry))]


def _place(entry: Any) -> str:
    return str((entry.headers or {}).get("place") or "")
