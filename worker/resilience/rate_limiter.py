"""Rate limits that all processes share. Each limits the number of calls in every sliding window.

Redis counts the calls, by its own clock unless another one is given. While Redis is unreachable, reads and queries
(`ELASTIC`) are not sent, and each process may use a fixed share of the limit for its other calls.
"""

import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import redis

from worker.http.call import ELASTIC, Operation

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
DAY = SECONDS["day"]
READ_SHARE = 0.4
"""The share of a day's limit that reads may use (B-06); the rest is for creates and cancels."""
SHORT_READ_SHARE = 0.75
"""The share of a shorter window that reads may use; the rest is for creates and cancels."""
LOCAL_SHARE = 0.25
"""The share of a limit that each process may use while Redis is unreachable, for calls that cannot wait."""
OUTAGE_SECONDS = 5.0
"""How long Redis is not called after a failure."""

ACQUIRE = """
local now, spare = tonumber(ARGV[#ARGV]), 3600000
if not now then
  spare = 0
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local wanted, granted, wait = tonumber(ARGV[2]), tonumber(ARGV[2]), 0
for i = 1, #KEYS do
  local window, limit = tonumber(ARGV[2 * i + 1]) * 1000000, tonumber(ARGV[2 * i + 2])
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - window)
  granted = math.max(math.min(granted, math.floor(limit - redis.call('ZCARD', KEYS[i]))), 0)
end
for i = 1, #KEYS do
  local window, limit = tonumber(ARGV[2 * i + 1]) * 1000000, tonumber(ARGV[2 * i + 2])
  for n = 1, granted do redis.call('ZADD', KEYS[i], now, ARGV[1] .. '/' .. n) end
  redis.call('PEXPIRE', KEYS[i], math.ceil(window / 1000) + spare)
  if granted < wanted and redis.call('ZCARD', KEYS[i]) + 1 > limit then
    local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
    wait = math.max(wait, tonumber(first[2] or now) + window - now)
  end
end
return {granted, tostring(wait / 1000000)}
"""
"""Reserve up to `wanted` calls in all windows; return the number of reserved calls, and the seconds to wait.

After this wait, another call can be reserved. The wait is 0 if all `wanted` calls are reserved.

KEYS: a sorted set of calls for each window. ARGV: a unique name, `wanted`, then the seconds and the limit of each
window, and at last the time in microseconds; if it is empty, the time of the Redis server is used. The keys of a given
time are kept for an hour more, because they expire by the time of the server. The members of a set contain the unique
name, and not the time, because Lua prints a time in microseconds with too few digits.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A rate limit: at most `limit` calls in any `seconds` seconds."""

    limit: int
    seconds: float

    def share(self, share: float) -> "Window":
        """Return a share of this limit. If the share is less than one call, return one call in a longer window."""
        limit = int(self.limit * share)
        return Window(limit, self.seconds) if limit else Window(1, self.seconds / (self.limit * share))

    @property
    def for_reads(self) -> "Window":
        """The share that reads may use."""
        return self.share(READ_SHARE if self.seconds >= DAY else SHORT_READ_SHARE)


def parse(rate: str) -> tuple[Window, ...]:
    """Parse a rate such as `80/minute;4500/day`."""
    found = re.findall(r"(\d+)/(second|minute|hour|day)", rate)
    return tuple(Window(int(limit), SECONDS[unit]) for limit, unit in found)


class Outage:
    """Remember for some seconds that Redis failed, so that not every call waits for a server that hangs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._until = clock, -math.inf

    def record(self) -> None:
        """Record a failure."""
        self._until = self._clock() + OUTAGE_SECONDS

    @property
    def ongoing(self) -> bool:
        """Whether the last failure is recent."""
        return self._clock() < self._until


class LocalShare:
    """Count the calls of this process against a share of every limit while Redis is unreachable."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._calls: dict[str, deque[float]] = {}

    def acquire(self, account: str, windows: Sequence[Window], wanted: int) -> tuple[int, float]:
        """Reserve up to `wanted` calls; return the same values as `RateLimiter.acquire`."""
        with self._lock:
            calls, now, granted = self._calls.setdefault(account, deque()), self._clock(), 0
            shares = [window.share(LOCAL_SHARE) for window in windows]
            while granted < wanted and (wait := max(_wait(calls, each, now) for each in shares)) <= 0:
                calls.append(now)
                granted += 1
            while calls and calls[0] <= now - max(each.seconds for each in shares):
                calls.popleft()
            return granted, 0.0 if granted == wanted else wait


def _wait(calls: Sequence[float], window: Window, now: float) -> float:
    """Return the seconds until a full window has room for a call; 0 or less when it has room now."""
    return calls[-window.limit] + window.seconds - now if len(calls) >= window.limit else 0.0


class RateLimiter:
    """The shared counters. For an account without a rate limit, Redis is not called."""

    def __init__(
        self,
        client: redis.Redis,
        prefix: str = "osync:budget:",
        clock: Callable[[], float] = time.monotonic,
        outage: Outage | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """`outage` is shared by all that use the same Redis, so that a server that hangs delays a process once.

        Calls are counted by the clock of Redis unless another clock, `now`, is given.
        """
        self._given_now = now
        self._redis, self._acquire, self._prefix = client, client.register_script(ACQUIRE), prefix
        self._outage, self._local = outage or Outage(clock), LocalShare(clock)

    def acquire(self, account: str, rate: str, operation: Operation, wanted: int) -> tuple[int, float]:
        """Reserve up to `wanted` calls; return the number of reserved calls, and the seconds to wait.

        After this wait, another call can be reserved. The wait is 0 if all `wanted` calls are reserved. While Redis is
        unreachable, no read or query is reserved, and the other calls of this process share a quarter of the rate.
        """
        windows = parse(rate)
        if not windows:
            return wanted, 0.0
        counted = self._counted(account, windows, reading=operation in ELASTIC)
        if not self._outage.ongoing:
            try:
                granted, wait = self._acquire(
                    keys=list(counted), args=[uuid4().hex, wanted, *_arguments(counted), self._time() or ""]
                )
                return int(granted), float(wait)
            except redis.RedisError:
                self._outage.record()
        return (0, OUTAGE_SECONDS) if operation in ELASTIC else self._local.acquire(account, windows, wanted)

    def used(self, account: str, rate: str) -> dict[Window, int] | None:
        """Return the number of calls in each window; None while Redis is unreachable."""
        if self._outage.ongoing:
            return None
        try:
            now = self._now()
            return {
                window: int(self._redis.zcount(self._key(account, window), now - window.seconds * 10**6, "+inf"))
                for window in parse(rate)
            }
        except redis.RedisError:
            self._outage.record()
            return None

    def _time(self) -> int | None:
        """Return the time of the given clock in microseconds; None without one."""
        return None if self._given_now is None else round(self._given_now().timestamp() * 10**6)

    def _now(self) -> int:
        if (given := self._time()) is not None:
            return given
        seconds, micros = self._redis.time()
        return int(seconds) * 10**6 + int(micros)

    def _counted(self, account: str, windows: Sequence[Window], *, reading: bool) -> dict[str, Window]:
        """Return the windows in which a call counts, by their keys; reads also count in the windows for reads."""
        counted = {self._key(account, window): window for window in windows}
        if reading:
            counted |= {f"{self._key(account, window)}:reads": window.for_reads for window in windows}
        return counted

    def _key(self, account: str, window: Window) -> str:
        return f"{self._prefix}{account}:{window.seconds}"


def _arguments(counted: Mapping[str, Window]) -> list[float]:
    return [number for window in counted.values() for number in (window.seconds, window.limit)]
