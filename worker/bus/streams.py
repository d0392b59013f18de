"""ALL publishing and stream reading: `orders` comes in, `deliveries` goes out, both Redis Streams.

The bus is disposable. What it loses stands in the database: orders are acknowledged only once they are stored, and
events are published from the outbox, again if need be (`outlet`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from worker.bus.publisher import Publisher

GROUP = "order-sync"
IDLE_MS = 60_000
"""A reader that has not acknowledged for this long is taken for dead, and its entries are taken over."""
SOCKET_SECONDS = 5
AWAY = (RedisError, OSError)
"""What is raised when the server cannot be reached, or cannot do its work just now."""
PAGE = 1000
"""Entries that trimming reads at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the orders stream: its id and the document, as it came."""

    id: str
    document: bytes


class Bus:
    """The two streams on one Redis server."""

    def __init__(self, client: redis.Redis, *, orders: str, events: str, idle_ms: int = IDLE_MS) -> None:
        self._redis, self._idle_ms = client, idle_ms
        self.orders, self.events = orders, events
        self.publisher = Publisher(client, events)

    def ping(self) -> None:
        """Prove that the server answers; raises RedisError."""
        self._redis.ping()

    # --- orders in ---

    def add_order(self, document: str | bytes) -> str:
        """Put one order message on the bus."""
        return _text(self._redis.xadd(self.orders, {"event": document}))

    def read(self, consumer: str, count: int, block_ms: int, *, mine: bool = False) -> list[Entry]:
        """Read the next entries of the group, or those that are `mine` from before and unacknowledged.

        Entries of a reader that is gone come first. The group is made when it is not there, from the beginning of
        the stream: after a flush nothing that was placed since is missed.
        """
        try:
            taken = [] if mine else self._taken_over(consumer, count)
            if taken:
                return taken
            start = "0" if mine else ">"
            block = None if mine else block_ms
            found = self._redis.xreadgroup(GROUP, consumer, {self.orders: start}, count=count, block=block)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._make_group()
            return []
        return [_entry(each) for _, entries in _pairs(found) for each in entries]

    def _taken_over(self, consumer: str, count: int) -> list[Entry]:
        reply = self._redis.xautoclaim(self.orders, GROUP, consumer, self._idle_ms, "0-0", count=count)
        return [_entry(each) for each in reply[1] if each[1]]

    def _make_group(self) -> None:
        try:
            self._redis.xgroup_create(self.orders, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def acknowledge(self, entries: Sequence[Entry]) -> None:
        """Tell the group that these entries are stored."""
        if entries:
            self._redis.xack(self.orders, GROUP, *(entry.id for entry in entries))

    # --- events out ---

    def follow(self, after: str = "$", block_ms: int = 1000) -> Iterator[tuple[str, bytes]]:
        """Yield what is published after an entry id, for ever; an empty pair marks a pause."""
        if after == "$":  # asked for again after each pause, it would skip what was published meanwhile
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
        """Tell the id of the newest published entry."""
        newest: Any = self._redis.xrevrange(self.events, count=1)
        return _text(newest[0][0]) if newest else "0-0"

    # --- keeping ---

    def trim(self, keep: int) -> None:
        """Drop old events and acknowledged orders, but only behind the slowest group.

        MAXLEN would ignore the groups and take unread entries away.
        """
        while self._trim(self.events, keep):
            pass
        if self._redis.exists(self.orders) and self._redis.xinfo_groups(self.orders):
            while self._trim(self.orders, 0):
                pass

    def _trim(self, stream: str, keep: int) -> bool:
        """Drop up to a page of what is neither needed nor to keep; false when there was nothing."""
        excess = self._redis.xlen(stream) - keep
        if excess <= 0:
            return False
        # Pages from the old end hold only what may go: from the new end `keep` whole entries would have to be read.
        page: Any = self._redis.xrange(stream, count=min(excess, PAGE) + 1)
        needed = [self._oldest_of_group(stream, group) for group in self._redis.xinfo_groups(stream)]
        oldest = min([_text(page[-1][0]), *needed], key=_order)
        return bool(self._redis.xtrim(stream, minid=oldest, approximate=True))

    def _oldest_of_group(self, stream: str, group: dict[str, Any]) -> str:
        lowest = self._redis.xpending(stream, group["name"])["min"] if group["pending"] else None
        return _text(lowest or group["last-delivered-id"])

    def lags(self, now: datetime) -> dict[tuple[str, str], float]:
        """Measure how many seconds old the oldest entry is that each group has not acknowledged, by stream and group.

        What a group has not acknowledged is never trimmed: one that never reads lets its stream grow.
        """
        return {
            (stream, _text(group["name"])): self._lag(stream, group, now)
            for stream in (self.orders, self.events)
            if self._redis.exists(stream)
            for group in self._redis.xinfo_groups(stream)
        }

    def _lag(self, stream: str, group: dict[str, Any], now: datetime) -> float:
        done = _text(group["last-delivered-id"])
        # The entry itself may be the last one delivered: the next is among two.
        found: Any = self._redis.xrange(stream, min=self._oldest_of_group(stream, group), count=2)
        waiting = [_text(identity) for identity, _ in found if group["pending"] or _text(identity) != done]
        return max(0.0, now.timestamp() - _order(waiting[0])[0] / 1000) if waiting else 0.0

    def faults(self) -> list[str]:
        """Name what is wrong with the server's settings, worst first: an evicting server loses queues and streams."""
        try:
            config = {**self._redis.config_get("maxmemory-policy"), **self._redis.config_get("appendonly")}
        except RedisError:
            return []  # a managed server may forbid CONFIG; then its operator answers for it
        faults = []
        if config.get("maxmemory-policy", "noeviction") != "noeviction":
            faults.append(f"maxmemory-policy is {config['maxmemory-policy']}, it must be noeviction")
        if config.get("appendonly") == "no":
            faults.append("appendonly is no: a restart of Redis loses what is on the bus")
        return faults


def connect(url: str) -> redis.Redis:
    """Connect to Redis with timeouts everywhere: a half-open connection would otherwise hang for ever."""
    tcp: dict[str, Any] = {"socket_connect_timeout": 5, "socket_keepalive": True}
    return redis.Redis.from_url(
        url,
        **({} if url.startswith("unix:") else tcp),  # a Unix socket's connection refuses these words
        socket_timeout=SOCKET_SECONDS,
        health_check_interval=5,
        retry=Retry(NoBackoff(), 0),  # a write that is replayed by the client could be a second write
    )


def _pairs(reply: Any) -> list[Any]:
    return list(reply.items()) if isinstance(reply, dict) else list(reply or [])


def _entry(pair: Any) -> Entry:
    identity, fields = pair
    # An entry that was deleted before it was acknowledged is still handed out, without fields.
    return Entry(_text(identity), (fields or {}).get(b"event", b""))


def _order(identity: str) -> tuple[int, int]:
    millis, _, number = identity.partition("-")
    return int(millis), int(number or 0)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
