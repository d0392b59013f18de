"""Circuit breakers that all processes share.

They block the calls to an account that fails, or whose carrier asked for fewer calls. The state of a breaker is one
hash in Redis for each account and class of calls. Times are those of Redis's clock. While Redis is unreachable, every
call is allowed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import redis

from worker.http.call import CallClass
from worker.resilience.rate_limiter import Outage

FAILURES = 5
"""A breaker opens after this many failed calls within the window, if at least half of all calls in it failed."""


@dataclass(frozen=True, slots=True)
class BreakerTimings:
    """The durations of a breaker, in seconds."""

    window: float = 30
    """How long a failed call counts."""
    open: float = 30
    """How long a breaker stays open at first.

    The time doubles, up to `max_open`, each time the breaker opens again within `memory` after its last open time.
    """
    max_open: float = 300
    memory: float = 600
    """How long the last open time and the last throttling are remembered after they end.

    If the next one begins within this time, it is longer, up to a maximum. Otherwise it has its first length.
    """
    expiry: float = 3600
    """How long an unused breaker is stored."""
    throttle: tuple[float, float, float] = (60, 120, 300)
    """How long an account is not called after its carrier answered "too many requests".

    The first value is for the first throttling, the second for the next one, and the third for every later one. If a
    throttling begins more than `memory` after the end of the previous one, it counts as the first again.
    """
    throttle_reads: tuple[float, float, float] = (60, 120, 900)
    """The same as `throttle`, but for reads.

    The third value is longer than in `throttle`, so that reads leave more of a day's limit to other calls (B-06).
    """

    def throttled(self, kind: CallClass) -> tuple[float, float, float]:
        """Return the three durations of a throttling for calls of this class."""
        return self.throttle_reads if kind is CallClass.READ else self.throttle


TIMINGS = BreakerTimings()

_PREAMBLE = """
local key, now = KEYS[1], tonumber(ARGV[#ARGV])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function get(field) return tonumber(redis.call('HGET', key, field) or '0') end
local function set(...)
  redis.call('HSET', key, ...)
  redis.call('EXPIRE', key, EXPIRY)
end
local function open()
  local times = now < get('openings_until') and get('openings') + 1 or 1
  local length = math.min(OPEN * 2 ^ math.min(times - 1, 20), MAX_LENGTH)
  set('open_until', now + length, 'openings', times, 'openings_until', now + length + MEMORY, 'probe_until', 0)
  redis.call('HDEL', key, 'window_start', 'good', 'bad', 'previous_good', 'previous_bad')
end
"""
"""The first lines of every script. The last argument is the time; if it is empty, the Redis server's time is used.

Times are in milliseconds, because Lua prints larger numbers, such as microseconds, with too few digits.
"""

_SHOW = """
if get('throttled_until') > now then return {'throttled', get('throttled_until') - now} end
if get('open_until') == 0 then return {'closed', 0} end
return {'open', math.max(get('open_until') - now, 0)}
"""
"""Return the state and the milliseconds to wait, and change nothing."""

_CHECK = """
if get('throttled_until') > now then return {'throttled', get('throttled_until') - now} end
if get('open_until') == 0 then return {'closed', 0} end
local next_probe = math.max(get('open_until'), get('probe_until'))
if next_probe > now then return {'open', next_probe - now} end
set('probe_until', now + ARGV[1])
return {'half_open', 0}
"""
"""Return the state for a caller. Once the open time is over, one caller at a time gets `half_open` and must probe.

Arguments: the milliseconds that a probe may take.
"""

_RECORD = """
if get('open_until') > 0 then return end
if now - get('window_start') >= HALF_WINDOW then
  local recent = now - get('window_start') < 2 * HALF_WINDOW
  set('window_start', now, 'good', 0, 'bad', 0,
      'previous_good', recent and get('good') or 0, 'previous_bad', recent and get('bad') or 0)
end
set('good', get('good') + ARGV[1], 'bad', get('bad') + ARGV[2])
local good, bad = get('good') + get('previous_good'), get('bad') + get('previous_bad')
if bad >= FAILURES and bad >= good then open() return 1 end
"""
"""Count calls that succeeded and calls that failed, and open the breaker when too many failed.

Each half of the window has its own counts. When a new half begins, the counts of the older half are dropped. A result
that comes while the breaker is open does not count. Returns 1 when the breaker opens.
Arguments: the number of calls that succeeded, and the number that failed.
"""

_PROBED = """
if get('open_until') == 0 then return end
if ARGV[1] == '1' then redis.call('HDEL', key, 'open_until', 'probe_until') else open() end
"""
"""Close the breaker after a probe that succeeded, else open it again. Arguments: 1 for success, 0 for failure."""

_THROTTLE = """
if get('throttled_until') > now then return end
local times = now < get('throttlings_until') and math.min(get('throttlings') + 1, 3) or 1
local length = math.max(tonumber(ARGV[times]), tonumber(ARGV[4]))
set('throttled_until', now + length, 'throttlings', times, 'throttlings_until', now + length + MEMORY)
"""
"""Throttle an account: allow no call for a while. If the account is throttled already, change nothing.

Arguments: the three durations, and the wait that the carrier asked for, in milliseconds.
"""

_SCRIPTS = (_SHOW, _CHECK, _RECORD, _PROBED, _THROTTLE)


class BreakerState(StrEnum):
    """The answer of a breaker to a caller."""

    CLOSED = "closed"
    """The call may be sent."""
    OPEN = "open"
    """Do not call: too many calls have failed."""
    THROTTLED = "throttled"
    """Do not call: the carrier asked for fewer calls."""
    HALF_OPEN = "half_open"
    """Probe the account first, to see whether it responds again."""


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """The state of a breaker, and the seconds to wait until the next call or probe."""

    state: BreakerState
    wait: float = 0.0


CLOSED = BreakerStatus(BreakerState.CLOSED)


class CircuitBreaker:
    """The breakers of all accounts. They use the clock of Redis unless another clock is given."""

    def __init__(
        self,
        client: redis.Redis,
        prefix: str = "osync:breaker:",
        clock: Callable[[], datetime] | None = None,
        timings: BreakerTimings = TIMINGS,
        outage: Outage | None = None,
    ) -> None:
        self._redis, self._prefix, self._clock, self._timings = client, prefix, clock, timings
        self._outage = outage or Outage()
        numbers = _numbers(timings)
        self._scripts = {each: client.register_script(_with_numbers(_PREAMBLE + each, numbers)) for each in _SCRIPTS}

    def check(self, account: str, kind: CallClass, probe_seconds: float) -> BreakerStatus:
        """Return whether a call may be sent.

        A caller that gets HALF_OPEN must probe the account within `probe_seconds` and then call `record_probe`.
        """
        found = self._run(_CHECK, account, kind, int(probe_seconds * 1000))
        return _status(found) if found else CLOSED

    def is_closed(self, account: str, kind: CallClass) -> bool:
        """Return whether a call may be sent now, without a probe. The caller never has to probe the account."""
        found = self._run(_SHOW, account, kind)
        return not found or _status(found).state is BreakerState.CLOSED

    def record(self, account: str, kind: CallClass, *, good: int, bad: int) -> bool:
        """Record how many calls got any response, and how many failed; return whether the breaker opened."""
        return bool(self._run(_RECORD, account, kind, good, bad))

    def record_probe(self, account: str, kind: CallClass, *, alive: bool) -> None:
        """Record the result of a probe."""
        self._run(_PROBED, account, kind, int(alive))

    def throttle(self, account: str, kind: CallClass, asked: float | None) -> None:
        """Allow no call for a while, at least `asked` seconds, because the carrier answered "too many requests"."""
        lengths = (round(each * 1000) for each in self._timings.throttled(kind))
        self._run(_THROTTLE, account, kind, *lengths, int((asked or 0) * 1000))

    def statuses(self, account: str) -> Mapping[CallClass, BreakerStatus] | None:
        """Return the state of every breaker of an account, without changing it; None while Redis is unreachable."""
        found = {kind: self._run(_SHOW, account, kind) for kind in CallClass}
        return {kind: _status(each) for kind, each in found.items()} if all(found.values()) else None

    def _run(self, script: str, account: str, kind: CallClass, *arguments: float) -> Any:
        if self._outage.ongoing:
            return None
        now = "" if self._clock is None else round(self._clock().timestamp() * 1000)
        try:
            return self._scripts[script](keys=[f"{self._prefix}{account}:{kind.value}"], args=[*arguments, now])
        except redis.RedisError:
            self._outage.record()
            return None


def _status(found: Any) -> BreakerStatus:
    state, milliseconds = found
    return BreakerStatus(BreakerState(state.decode()), milliseconds / 1000)


def _numbers(timings: BreakerTimings) -> dict[str, int]:
    """Return the timings by their names in the scripts, in milliseconds; only the expiry is in seconds."""
    return {
        "OPEN": round(timings.open * 1000),
        "MAX_LENGTH": round(timings.max_open * 1000),
        "MEMORY": round(timings.memory * 1000),
        "HALF_WINDOW": round(timings.window * 500),
        "FAILURES": FAILURES,
        "EXPIRY": round(timings.expiry),
    }


def _with_numbers(script: str, numbers: Mapping[str, int]) -> str:
    for name, number in numbers.items():
        script = script.replace(name, str(number))
    return script
