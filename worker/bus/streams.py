"""The bus on Redis: two streams, `orders` for incoming messages and `deliveries` for outgoing events.

The bus may lose its entries. A message is acknowledged only after it is stored. Events are published from the outbox,
and published again if the bus has lost them (`publisher.py`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from worker.addresses.redis_url import RedisUrl
from worker.bus import sentinel
from worker.bus.port import GROUP, REDIS, Consumer, Entry, Fields, Group
from worker.bus.publisher import Publisher

IDLE_MS = 60_000
"""A reader that has not acknowledged an entry for this long counts as dead, and another reader claims the entry."""
SOCKET_SECONDS = 5
PAGE_SIZE = 1000
"""The most entries that one call reads when a stream is trimmed."""


class Bus:
    """The two streams on one Redis server."""

    server = REDIS

    def __init__(self, client: redis.Redis, *, orders: str, events: str, idle_ms: int = IDLE_MS) -> None:
        self._redis, self._idle_ms = client, idle_ms
        self.orders, self.events = orders, events
        self.publisher = Publisher(client, events)

    def ping(self) -> None:
        """Check that the server responds. Raises RedisError."""
        self._redis.ping()

    # --- orders in ---

    def add_order(self, document: str | bytes) -> str:
        """Append one message to the orders stream; return the id of its entry."""
        return self.add_entry({b"event": document})

    def add_entry(self, fields: Mapping[Any, Any]) -> str:
        """Append an entry with any fields to the orders stream; return the id of the entry."""
        return _text(self._redis.xadd(self.orders, dict(fields)))

    def read(self, consumer: str, count: int, block_ms: int, *, mine: bool = False) -> list[Entry]:
        """Read the next entries of the group; with `mine`, read the entries that this consumer has not acknowledged.

        Without `mine`, the entries of a dead reader come first. If the group is missing because Redis was emptied, the
        group is created and nothing is returned. A new group reads from the start of the stream, so it misses no
        message.
        """
        try:
            claimed = [] if mine else self._claim(consumer, count)
            if claimed:
                return claimed
            start = "0" if mine else ">"
            block = None if mine else block_ms
            found = self._redis.xreadgroup(GROUP, consumer, {self.orders: start}, count=count, block=block)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self.create_group()
            return []
        return [_entry(each) for _, entries in _pairs(found) for each in entries]

    def _claim(self, consumer: str, count: int) -> list[Entry]:
        reply = self._redis.xautoclaim(self.orders, GROUP, consumer, self._idle_ms, "0-0", count=count)
        return [_entry(each) for each in reply[1] if each[1]]

    def create_group(self) -> None:
        """Create the stream and its consumer group if they do not exist. The group reads the stream from its start."""
        try:
            self._redis.xgroup_create(self.orders, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def leave(self, consumer: str) -> None:
        """Remove a reader that reads no more; let other readers claim at once what it has not acknowledged."""
        try:
            kept = self._redis.xpending_range(self.orders, GROUP, "-", "+", PAGE_SIZE, consumername=consumer)
            ids: Any = [each["message_id"] for each in kept]
            if ids:  # a reader with such entries cannot be removed without them
                self._redis.xclaim(self.orders, GROUP, consumer, 0, ids, idle=self._idle_ms, justid=True)
            else:
                self._redis.xgroup_delconsumer(self.orders, GROUP, consumer)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise

    def read_again(self) -> None:
        """Let the group read the whole orders stream again, also what it has acknowledged."""
        self.create_group()
        self._redis.xgroup_setid(self.orders, GROUP, "0")

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Acknowledge entries that are stored."""
        if entries:
            self._redis.xack(self.orders, GROUP, *(entry.id for entry in entries))

    def newest_orders(self, count: int | None) -> list[Entry]:
        """Return the newest entries of the orders stream, newest first; None means all.

        Acknowledged entries are there until a trim.
        """
        found: Any = self._redis.xrevrange(self.orders, count=count)
        return [_entry(each) for each in found]

    # --- events out ---

    def follow(self, after: str = "$", block_ms: int = 1000) -> Iterator[tuple[str, bytes]]:
        """Yield the id and the document of each event that follows the entry with the id `after`, for ever.

        After `block_ms` without an event, yield a pair of empty values.
        """
        if after == "$":  # `$` again after a pause would skip the events published meanwhile
            after = self.last_id()
        while True:
            found = _pairs(self._redis.xread({self.events: after}, count=500, block=block_ms))
            for _, entries in found:
                for identity, fields in entries:
                    after = _text(identity)
                    yield after, fields.get(b"event", b"")
            if not found:
                yield "", b""

    def last_id(self) -> str:
        """Return the id of the newest published entry; `0-0` when there is none."""
        newest: Any = self._redis.xrevrange(self.events, count=1)
        return _text(newest[0][0]) if newest else "0-0"

    # --- upkeep ---

    def trim(self, keep: int) -> dict[str, int]:
        """Remove acknowledged messages, and all events but the newest `keep`; return the number removed, by stream.

        Entries that a consumer group still needs are kept. MAXLEN is not used, because it would remove such entries.
        """
        removed = {self.events: sum(iter(lambda: self._trim(self.events, keep), 0)), self.orders: 0}
        if self._redis.exists(self.orders) and self._redis.xinfo_groups(self.orders):
            removed[self.orders] = sum(iter(lambda: self._trim(self.orders, 0), 0))
        return removed

    def _trim(self, stream: str, keep: int) -> int:
        """Remove up to a page of entries that no group needs; return the number removed."""
        excess = self._redis.xlen(stream) - keep
        if excess <= 0:
            return 0
        # Start from the oldest entry, because the other direction would read all the entries to keep.
        page: Any = self._redis.xrange(stream, count=min(excess, PAGE_SIZE) + 1)
        needed = [self._oldest_of_group(stream, group) for group in self._redis.xinfo_groups(stream)]
        oldest = min([_text(page[-1][0]), *needed], key=_order)
        return int(self._redis.xtrim(stream, minid=oldest, approximate=True))

    def _oldest_of_group(self, stream: str, group: dict[str, Any]) -> str:
        lowest = self._redis.xpending(stream, group["name"])["min"] if group["pending"] else None
        return _text(lowest or group["last-delivered-id"])

    def remove_orders(self, pattern: re.Pattern[bytes]) -> int:
        """Remove the messages that match a pattern and that every group has acknowledged; return their number."""
        needed = self._first_needed(self.orders)
        return 0 if needed is None else self._remove(self.orders, pattern, needed)  # without a group, nobody has read

    def remove_events(self, pattern: re.Pattern[bytes]) -> int:
        """Remove the events that match a pattern and that every group has acknowledged; return their number.

        All entries are examined, because an event that was published again is on the stream twice.
        """
        return self._remove(self.events, pattern, self._first_needed(self.events))

    def _entries_before(self, stream: str, end: str) -> Iterator[tuple[str, Fields]]:
        """Yield the entries up to the end of a range, the oldest first."""
        after = "-"
        while page := cast("list[Any]", self._redis.xrange(stream, after, end, count=PAGE_SIZE)):
            yield from ((_text(identity), fields) for identity, fields in page)
            after = f"({_text(page[-1][0])}"

    def _first_needed(self, stream: str) -> tuple[int, int] | None:
        """Return the lowest id of an entry that some group has not acknowledged; None if there is no group."""
        groups = self._redis.xinfo_groups(stream) if self._redis.exists(stream) else []
        return min((self._next_of_group(stream, group) for group in groups), default=None)

    def _next_of_group(self, stream: str, group: dict[str, Any]) -> tuple[int, int]:
        millis, number = _order(self._oldest_of_group(stream, group))
        return (millis, number) if group["pending"] else (millis, number + 1)

    def _remove(self, stream: str, pattern: re.Pattern[bytes], needed: tuple[int, int] | None) -> int:
        """Remove the entries that match a pattern, before the first one that is needed; return their number."""
        entries = self._entries_before(stream, "({}-{}".format(*needed) if needed else "+")
        ids = [key for key, fields in entries if any(pattern.search(value) for value in fields.values())]
        starts = range(0, len(ids), PAGE_SIZE)
        return sum(int(self._redis.xdel(stream, *ids[start : start + PAGE_SIZE])) for start in starts)

    def lags(self, now: datetime) -> dict[tuple[str, str], float]:
        """Return the age in seconds of the oldest entry that each group has not acknowledged, by stream and group.

        Unacknowledged entries are never trimmed, so a group that never reads makes its stream grow.
        """
        return {(stream, _text(group["name"])): self._lag(stream, group, now) for stream, group in self._groups()}

    def groups(self, now: datetime) -> list[Group]:
        """Return the consumer groups of both streams with their readers, the groups of the orders first."""
        return [
            Group(
                stream,
                _text(group["name"]),
                self._lag(stream, group, now),
                group.get("lag"),  # servers before Redis 7 have none
                group["pending"],
                self._consumers(stream, group["name"]),
            )
            for stream, group in self._groups()
        ]

    def _groups(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for stream in (self.orders, self.events):
            if self._redis.exists(stream):
                yield from ((stream, group) for group in self._redis.xinfo_groups(stream))

    def _consumers(self, stream: str, group: str) -> tuple[Consumer, ...]:
        found = self._redis.xinfo_consumers(stream, group)
        return tuple(Consumer(_text(each["name"]), each["pending"], each["idle"] / 1000) for each in found)

    def _lag(self, stream: str, group: dict[str, Any], now: datetime) -> float:
        done = _text(group["last-delivered-id"])
        # Read two entries, because the first may be the last one that was delivered.
        found: Any = self._redis.xrange(stream, min=self._oldest_of_group(stream, group), count=2)
        waiting = [_text(identity) for identity, _ in found if group["pending"] or _text(identity) != done]
        return max(0.0, now.timestamp() - _order(waiting[0])[0] / 1000) if waiting else 0.0

    def faults(self) -> list[str]:
        """Return the faults in the settings of the Redis server, the worst first.

        The worst fault is the eviction of keys, which loses queues and streams.
        """
        try:
            # Not CONFIG, which a managed server forbids.
            info: Any = {**self._redis.info("memory"), **self._redis.info("persistence")}
        except RedisError:
            return []
        faults, policy = [], info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            faults.append(f"maxmemory-policy is {policy}, it must be noeviction")
        if info.get("aof_enabled") == 0:
            faults.append("appendonly is no: a restart of Redis loses what is on the bus")
        return faults


def connect(url: str) -> redis.Redis:
    """Return a client in which every operation has a timeout; a half-open connection would otherwise hang for ever."""
    tcp: dict[str, Any] = {"socket_connect_timeout": 5, "socket_keepalive": True}
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_SECONDS,
        "health_check_interval": 5,
        "retry": Retry(NoBackoff(), 0),  # a retry could write twice
    }
    address = RedisUrl.parse(url)
    if address.master:
        return sentinel.connect(address, **tcp, **options)
    # The connection of a Unix socket rejects the options of TCP.
    return redis.Redis.from_url(url, **({} if address.path else tcp), **options)


def _pairs(reply: Any) -> list[Any]:
    return list(reply.items()) if isinstance(reply, dict) else list(reply or [])


def _entry(pair: Any) -> Entry:
    identity, fields = pair
    # An entry that was deleted before it was acknowledged is still returned, without fields.
    fields = fields or {b"event": b""}
    return Entry(_text(identity), fields.get(b"event", b""), None if fields.keys() == {b"event"} else fields)


def _order(identity: str) -> tuple[int, int]:
    millis, _, number = identity.partition("-")
    return int(millis), int(number or 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
