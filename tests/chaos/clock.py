"""A clock that runs fast, and runs the same in every process of a fleet: an hour of deadlines passes in minutes."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
"""When every run begins: with ten hours before midnight in every zone of its stores."""
VARIABLE = "CHAOS_CLOCK"


@dataclass(frozen=True, slots=True)
class FastClock:
    """Starts at START when the real clock shows `since`, and then passes `rate` seconds in each."""

    since: float
    rate: float

    @classmethod
    def begin(cls, rate: float) -> Self:
        """Begin now."""
        return cls(time.time(), rate)

    @classmethod
    def inherited(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Take over the clock of whoever started this process."""
        since, rate = environ[VARIABLE].split("/")
        return cls(float(since), float(rate))

    @property
    def variable(self) -> dict[str, str]:
        """What a process must find in its environment to have this clock."""
        return {VARIABLE: f"{self.since!r}/{self.rate!r}"}

    def __call__(self) -> datetime:
        return START + timedelta(seconds=(time.time() - self.since) * self.rate)
