"""Circuit breakers shared by every process: whether an account answers, and whether it asked to be left alone.

One hash on Redis for each account and kind of call, by the server's clock. With Redis away nothing is ever held back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from worker.resilience.rate_limiter import Away

FAILURES, WINDOW_SECONDS = 5, 30
"""A breaker opens when so many calls, and at least half of all, have failed within so many seconds."""
OPEN_SECONDS, LONGEST_OPEN_SECONDS = 30, 300
"""How long it stays open: doubled every time it opens again within ten minutes of the last."""
MEMORY_SECONDS = 600
FORGOTTEN_SECONDS = 3600

_CLOCK = """
local key, time = KEYS[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function at(name) return tonumber(redis.call('HGET', key, name) or '0') end
local function keep(...)
  redis.call('HSET', key, ...)
  redis.call('EXPIRE', key, ARGV[#ARGV])
end
local function open()
  local times = now < at('remembered') and at('times') + 1 or 1
  local length = math.min(OPEN * 2 ^ math.min(times - 1, 20), LONGEST)
  keep('until', now + length, 'times', times, 'remembered', now + length + MEMORY, 'probe', 0)
  redis.call('HDEL', key, 'since', 'good', 'bad', 'good_before', 'bad_before')
end
"""
"""What the scripts begin with. Times are in milliseconds: Lua writes a larger number with too few digits."""

_SHOW = """
if at('held') > now then return {'throttled', at('held') - now} end
if at('until') == 0 then return {'closed', 0} end
return {'open', math.max(at('until') - now, 0)}
"""
"""Show how a breaker stands."""

_ASK = """
if at('held') > now then return {'throttled', at('held') - now} end
if at('until') == 0 then return {'closed', 0} end
local free = math.max(at('until'), at('probe'))
if free > now then return {'open', free - now} end
keep('probe', now + ARGV[1])
return {'half_open', 0}
"""
"""Ask whether a call may go (ARGV: the milliseconds that a probe may take); once a breaker has been open for long
enough, one caller at a time is told to probe."""

_REPORT = """
if at('until') > 0 then return end
if now - at('since') >= HALF then
  local fresh = now - at('since') < 2 * HALF
  keep('since', now, 'good_before', fresh and at('good') or 0, 'bad_before', fresh and at('bad') or 0,
       'good', 0, 'bad', 0)
end
keep('good', at('good') + ARGV[1], 'bad', at('bad') + ARGV[2])
local good, bad = at('good') + at('good_before'), at('bad') + at('bad_before')
if bad >= FAILURES and bad >= good then open() end
"""
"""Count calls that were answered and calls that failed (ARGV), in two halves of the window; open when too many did.

What was under way while the breaker opened no longer counts.
"""

_PROBED = """
if at('until') == 0 then return end
if ARGV[1] == '1' then redis.call('HDEL', key, 'until', 'probe') else open() end
"""
"""Close the breaker after a probe that was answered, or open it again (ARGV: 1 or 0)."""

_THROTTLE = """
if at('held') > now then return end
local times = now < at('held_remembered') and math.min(at('held_times') + 1, 3) or 1
local length = math.max(tonumber(ARGV[times]), tonumber(ARGV[4]))
keep('held', now + length, 'held_times', times, 'held_remembered', now + length + MEMORY)
"""
"""Leave the account alone (ARGV: the three lengths, and what the carrier asked for); those who were turned away
together count once."""

_SCRIPTS = (_SHOW, _ASK, _REPORT, _PROBED, _THROTTLE)
_NUMBERS = {
    "OPEN": OPEN_SECONDS * 1000,
    "LONGEST": LONGEST_OPEN_SECONDS * 1000,
    "MEMORY": MEMORY_SECONDS * 1000,
    "HALF": WINDOW_SECONDS * 500,
    "FAILURES": FAILURES,
}


class CallClass(StrEnum):
    """The kinds of calls that fail together."""

    CREATE = "create"
    CANCEL = "cancel"
    READ = "read"


THROTTLE_SECONDS: Mapping[CallClass, tuple[float, float, float]] = {
    CallClass.CREATE: (60, 120, 300),
    CallClass.CANCEL: (60, 120, 300),
    CallClass.READ: (60, 120, 900),
}
"""How long an account that says "too many requests" is left alone: the first time, the second, ever after.

A day's budget that is spent comes back slowly; what is left of it is for creates and cancels (B-06).
"""


class BreakerState(StrEnum):
    """What a breaker says: go, wait, wait because the carrier said so, or find out whether it answers again."""

    CLOSED = "closed"
    OPEN = "open"
    THROTTLED = "throttled"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """A breaker's answer, with the seconds to wait."""

    state: BreakerState
    wait: float = 0.0


CLOSED = BreakerStatus(BreakerState.CLOSED)


class CircuitBreaker:
    """The breakers of every account."""

    def __init__(self, client: redis.Redis, prefix: str = "osync:breaker:") -> None:
        self._redis, self._prefix, self._away = client, prefix, Away()
        self._scripts = {each: client.register_script(_filled(_CLOCK + each)) for each in _SCRIPTS}

    def ask(self, account: str, kind: CallClass, probe_seconds: float) -> BreakerStatus:
        """Ask whether a call may go. Whoever is told to probe has so many seconds for it, and tells `probed`."""
        said = self._run(_ASK, account, kind, int(probe_seconds * 1000))
        return BreakerStatus(BreakerState(said[0].decode()), said[1] / 1000) if said else CLOSED

    def report(self, account: str, kind: CallClass, *, good: int, bad: int) -> None:
        """Count calls that were answered, whatever was said, and those that were not."""
        self._run(_REPORT, account, kind, good, bad)

    def probed(self, account: str, kind: CallClass, *, alive: bool) -> None:
        """Tell what a probe has shown."""
        self._run(_PROBED, account, kind, int(alive))

    def throttle(self, account: str, kind: CallClass, asked: float | None) -> None:
        """Leave the account alone for a while, because it said that there were too many calls."""
        self._run(_THROTTLE, account, kind, *(each * 1000 for each in THROTTLE_SECONDS[kind]), int((asked or 0) * 1000))

    def statuses(self, account: str) -> Mapping[CallClass, BreakerStatus] | None:
        """Show every breaker of an account without asking to probe; None when Redis is away."""
        found = {kind: self._run(_SHOW, account, kind) for kind in CallClass}
        if not all(found.values()):
            return None
        return {kind: BreakerStatus(BreakerState(said[0].decode()), said[1] / 1000) for kind, said in found.items()}

    def _run(self, script: str, account: str, kind: CallClass, *arguments: float) -> Any:
        if self._away.remembered:
            return None
        try:
            key = f"{self._prefix}{account}:{kind.value}"
            return self._scripts[script](keys=[key], args=[*arguments, FORGOTTEN_SECONDS])
        except redis.RedisError:
            self._away.note()
            return None


def _filled(script: str) -> str:
    for name, number in _NUMBERS.items():
        script = script.replace(name, str(number))
    return script
