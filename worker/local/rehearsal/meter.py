"""Count the calls of a rehearsal at the gateway: per minute, and the most in each window of a budget."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from worker.errors import Postponed
from worker.http.call import ELASTIC, Call, Operation, Outcome
from worker.http.gateway import Gateway
from worker.resilience.rate_limiter import Window, parse

K = TypeVar("K")
MINUTE = 60


@dataclass
class WindowUse:
    """The calls of the last `window.seconds`, and the most that there were at any time."""

    window: Window
    most: int = 0
    _calls: deque[float] = field(default_factory=deque)

    def add(self, at: float) -> None:
        """Count a call at this time, in seconds."""
        while self._calls and self._calls[0] <= at - self.window.seconds:
            self._calls.popleft()
        self._calls.append(at)
        self.most = max(self.most, len(self._calls))


@dataclass
class AccountMeter:
    """The calls of one account."""

    windows: tuple[WindowUse, ...]
    calls: Counter[str] = field(default_factory=Counter)
    """The calls that were sent, by operation."""
    minutes: Counter[int] = field(default_factory=Counter)
    """The calls that were sent, by the minute of the rehearsal."""
    waited: Counter[str] = field(default_factory=Counter)
    """The calls that were not sent because the budget was used up: `reads` and `changes`."""
    longest_wait: float = 0.0
    """The longest time, in seconds, until the budget had room again."""


class Meter:
    """The calls of every account."""

    def __init__(self, rates: Mapping[str, str], start: datetime) -> None:
        """`rates` are the budgets by account; an empty text means no budget."""
        self._start = start.timestamp()
        self.accounts = {
            name: AccountMeter(tuple(WindowUse(window) for window in parse(rate))) for name, rate in rates.items()
        }

    def add(self, account: str, operation: Operation, outcome: Outcome, now: datetime) -> None:
        """Count one call, or the wait of a call that was not sent."""
        meter, at = self.accounts[account], now.timestamp()
        if isinstance(outcome, Postponed):
            meter.waited["reads" if operation in ELASTIC else "changes"] += 1
            meter.longest_wait = max(meter.longest_wait, outcome.retry_after or 0.0)
            return
        meter.calls[operation.value] += 1
        meter.minutes[int((at - self._start) // MINUTE)] += 1
        for each in meter.windows:
            each.add(at)


class MeteredGateway(Gateway):
    """The product's gateway, with a count of its calls."""

    meter: Meter

    def send(self, account: str, calls: Mapping[K, Call], **options: Any) -> Iterator[dict[K, Outcome]]:
        """Send calls, and count them and those that had to wait."""
        for group in super().send(account, calls, **options):
            for key, outcome in group.items():
                self.meter.add(account, calls[key].operation, outcome, self._now())
            yield group
