"""A clock that runs fast, and that every process of a run shares: an hour of deadlines passes in minutes."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
"""The time at which every run begins: ten hours before midnight in every time zone of its stores."""
VARIABLE = "CHAOS_CLOCK"


@dataclass(frozen=True, slots=True)
class FastClock:
    """A clock that shows START at the real time `since` and then advances `rate` seconds in each real second."""

    since: float
    rate: float

    @classmethod
    def begin(cls, rate: float) -> Self:
        """Return a clock that shows START now."""
        return cls(time.time(), rate)

    @classmethod
    def inherited(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the clock of the parent process."""
        since, rate = environ[VARIABLE].split("/")
        return cls(float(since), float(rate))

    @property
    def variable(self) -> dict[str, str]:
        """The environment variable that hands this clock to a child process."""
        return {VARIABLE: f"{self.since!r}/{self.rate!r}"}

    def __call__(self) -> datetime:
        return self.at(time.time())

    def at(self, real: float) -> datetime:
        """Return what it shows at a real time."""
        return START + timedelta(seconds=(real - self.since) * self.rate)
