"""Request budgets shared by every process: so many calls in every sliding window, counted on Redis by its own clock."""

import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import redis

from worker.http.call import ELASTIC, Operation

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
DAY = SECONDS["day"]
READ_SHARE = 0.4
"""What reads may use of a day's budget (B-06): creates and cancels must never find it spent."""
READ_SHARE_AT_ONCE = 0.75
"""What reads may use of a shorter window: a create need not win a race against them."""
ALONE_SHARE = 0.25
"""What one process may use of a budget by itself, for the calls that cannot wait."""
AWAY_SECONDS = 5.0

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wanted, granted, wait = tonumber(ARGV[2]), tonumber(ARGV[2]), 0
for i = 1, #KEYS do
  local window, limit = tonumber(ARGV[2 * i + 1]) * 1000000, tonumber(ARGV[2 * i + 2])
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - window)
  granted = math.max(math.min(granted, math.floor(limit - redis.call('ZCARD', KEYS[i]))), 0)
end
for i = 1, #KEYS do
  local window, limit = tonumber(ARGV[2 * i + 1]) * 1000000, tonumber(ARGV[2 * i + 2])
  for n = 1, granted do redis.call('ZADD', KEYS[i], now, ARGV[1] .. '/' .. n) end
  redis.call('PEXPIRE', KEYS[i], math.ceil(window / 1000))
  if granted < wanted and redis.call('ZCARD', KEYS[i]) + 1 > limit then
    local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
    wait = math.max(wait, tonumber(first[2] or now) + window - now)
  end
end
return {granted, tostring(wait / 1000000)}
"""
"""Take up to ARGV[2] from every window at once (KEYS: windows; ARGV: name, wanted, seconds and limit of each).

The name makes the takings of this call unlike all others: Lua writes a time in microseconds with too few digits.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """So many calls in so many seconds."""

    limit: int
    seconds: float

    def part(self, share: float) -> "Window":
        """Give a share of it: fewer calls, or one in a longer time where less than one would be left."""
        limit = int(self.limit * share)
        return Window(limit, self.seconds) if limit else Window(1, self.seconds / (self.limit * share))

    @property
    def for_reads(self) -> "Window":
        """What reads may have of it."""
        return self.part(READ_SHARE if self.seconds >= DAY else READ_SHARE_AT_ONCE)


def parse(rate: str) -> tuple[Window, ...]:
    """Read a rate such as `80/minute;4500/day`."""
    found = re.findall(r"(\d+)/(second|minute|hour|day)", rate)
    return tuple(Window(int(limit), SECONDS[unit]) for limit, unit in found)


class Away:
    """Remembers for a moment that Redis is away, so that a server that hangs does not cost every call its time-out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._until = clock, -math.inf

    def note(self) -> None:
        """Note that it did not answer."""
        self._until = self._clock() + AWAY_SECONDS

    @property
    def remembered(self) -> bool:
        """Whether it did not answer a moment ago."""
        return self._clock() < self._until


class Alone:
    """The part of every budget that a process has for itself while the shared counters are away."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._taken: dict[str, deque[float]] = {}

    def take(self, account: str, windows: Sequence[Window], wanted: int) -> tuple[int, float]:
        """Take room for up to `wanted` calls, as the budget does."""
        with self._lock:
            taken, now, granted = self._taken.setdefault(account, deque()), self._clock(), 0
            parts = [window.part(ALONE_SHARE) for window in windows]
            while granted < wanted and (wait := max(_wait(taken, each, now) for each in parts)) <= 0:
                taken.append(now)
                granted += 1
            while taken and taken[0] <= now - max(each.seconds for each in parts):
                taken.popleft()
            return granted, 0.0 if granted == wanted else wait


def _wait(taken: Sequence[float], window: Window, now: float) -> float:
    """Tell how long a window is full: until the call that fills it is older than it is long."""
    return taken[-window.limit] + window.seconds - now if len(taken) >= window.limit else 0.0


class RateLimiter:
    """The shared counters. An account without a rate costs nothing to ask."""

    def __init__(
        self, client: redis.Redis, prefix: str = "osync:budget:", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis, self._take, self._prefix = client, client.register_script(_TAKE), prefix
        self._away, self._alone = Away(clock), Alone(clock)

    def take(self, account: str, rate: str, operation: Operation, wanted: int) -> tuple[int, float]:
        """Take room for up to `wanted` calls; return how many may go now and the seconds until the next may.

        While the counters cannot be reached, reads stop and everything else has a quarter of the rate in this process.
        """
        windows = parse(rate)
        if not windows:
            return wanted, 0.0
        counted = self._counted(account, windows, reading=operation in ELASTIC)
        if not self._away.remembered:
            try:
                granted, wait = self._take(keys=list(counted), args=[uuid4().hex, wanted, *_arguments(counted)])
                return int(granted), float(wait)
            except redis.RedisError:
                self._away.note()
        return (0, AWAY_SECONDS) if operation in ELASTIC else self._alone.take(account, windows, wanted)

    def used(self, account: str, rate: str) -> dict[Window, int] | None:
        """Tell how much of each window is used; None when the counters cannot be reached."""
        try:
            now = self._now()
            return {
                window: int(self._redis.zcount(self._key(account, window), now - window.seconds * 10**6, "+inf"))
                for window in parse(rate)
            }
        except redis.RedisError:
            return None

    def _now(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 10**6 + int(micros)

    def _counted(self, account: str, windows: Sequence[Window], *, reading: bool) -> dict[str, Window]:
        """Name the windows that a call counts in: reads have their own beside those of all."""
        counted = {self._key(account, window): window for window in windows}
        if reading:
            counted |= {f"{self._key(account, window)}:reads": window.for_reads for window in windows}
        return counted

    def _key(self, account: str, window: Window) -> str:
        return f"{self._prefix}{account}:{window.seconds}"


def _arguments(counted: Mapping[str, Window]) -> list[float]:
    return [number for window in counted.values() for number in (window.seconds, window.limit)]
