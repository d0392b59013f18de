"""Request budgets shared by every process: so many calls in every sliding window, counted on Redis by its own clock."""

import re
from dataclasses import dataclass
from uuid import uuid4

import redis

from worker.carriers.port import Operation

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
DAY = SECONDS["day"]
READ_SHARE = 0.4
"""What reads may use of a day's budget (B-06): creates and cancels must never find it spent."""

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
    seconds: int


def parse(rate: str) -> tuple[Window, ...]:
    """Read a rate such as `80/minute;4500/day`."""
    found = re.findall(r"(\d+)/(second|minute|hour|day)", rate)
    return tuple(Window(int(limit), SECONDS[unit]) for limit, unit in found)


class Budget:
    """The shared counters. An account without a rate costs nothing to ask."""

    def __init__(self, client: redis.Redis, prefix: str = "osync:budget:") -> None:
        self._take, self._prefix = client.register_script(_TAKE), prefix

    def take(self, account: str, rate: str, operation: Operation, wanted: int) -> tuple[int, float]:
        """Take room for up to `wanted` calls; return how many may go now and the seconds until the next may.

        Raises RedisError when the counters cannot be reached.
        """
        windows = parse(rate)
        if not windows:
            return wanted, 0.0
        reading = operation is Operation.READ
        keys = [f"{self._prefix}{account}:{window.seconds}" for window in windows]
        arguments: list[str | float] = [uuid4().hex, wanted]
        for window in windows:
            arguments += [window.seconds, window.limit]
        if reading:
            arguments += [part for each in windows if each.seconds == DAY for part in (DAY, each.limit * READ_SHARE)]
            keys += [f"{self._prefix}{account}:reads" for each in windows if each.seconds == DAY]
        granted, wait = self._take(keys=keys, args=arguments)
        return int(granted), float(wait)
