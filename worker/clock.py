"""The time that all hosts share: the database's clock, without its steps.

Between two readings, this machine's monotonic clock measures the time. Leases are compared between hosts whose wall
clocks differ and jump. A monotonic clock never jumps. When the database's clock is set, the shared time runs on as the
monotonic clocks show it, and approaches the database's clock slowly: a wait lasts as long as it should, and nothing
that is due is forgotten.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from worker import log

logger = log.get(__name__)
Clock = Callable[[], datetime]
FRESH = 10.0
"""Seconds between two readings of the database's clock."""
STEP = timedelta(seconds=30)
"""A larger difference between the database's clock and a monotonic clock is a step; a smaller one is followed."""
SLEW = 0.05
"""How fast the shared time approaches the database's clock after a step, in seconds for each second."""
AGE = r"^\d{1,5}[smhd]$"
"""The pattern of an age, such as 30m or 12h."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
BOOT_TIME: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def parse_age(text: str) -> timedelta:
    """Return an age, which is a number of seconds, minutes, hours or days."""
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def since_boot() -> float:
    """Return the seconds since this machine started, including its suspensions where the system counts them."""
    return time.clock_gettime(BOOT_TIME)


def aside(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own."""
    threading.Thread(target=work, name="clock", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Correction:
    """How far the shared time is ahead of the database's clock, as all hosts read it from the database."""

    ahead: timedelta = timedelta()
    """The difference at `since`; negative when the shared time is behind."""
    since: datetime | None = None
    """When the last step was noticed, by the database's clock."""
    used: datetime | None = None
    """The shared time that a host has last read."""

    def shared(self, database_time: datetime) -> datetime:
        """Return the shared time."""
        passed = max(database_time - (self.since or database_time), timedelta())
        left = max(abs(self.ahead) - SLEW * passed, timedelta())
        return database_time + (left if self.ahead > timedelta() else -left)

    def agreed(self, database_time: datetime, own: datetime) -> "Correction":
        """Return the correction after a host whose own time is `own` has read the database's clock.

        If another host has just used the time that the database shows now, its clock was not set: this host was paused.
        """
        shared = self.shared(database_time)
        paused = self.used is not None and abs(shared - self.used) <= STEP
        if paused or abs(shared - own) <= STEP:
            return replace(self, used=shared)
        return Correction(own - database_time, database_time, own)


class SharedClock:
    """The shared time. Safe in many threads; only the first reading waits for the database.

    `agree` compares this clock with the database's clock for all hosts, and returns the step that it found, if any.
    """

    def __init__(
        self,
        read: Callable[[], datetime],
        agree: Callable[[Clock], timedelta | None],
        ticks: Callable[[], float] = since_boot,
        aside: Callable[[Callable[[], None]], None] = aside,
    ) -> None:
        self._read, self._agree, self._ticks, self._aside = read, agree, ticks, aside
        self._reading = threading.Lock()
        self._at_zero: datetime | None = None
        self._next = 0.0

    def __call__(self) -> datetime:
        """Return the time. Until the first reading succeeds, raises what the database raises."""
        if self._at_zero is None:
            return self._first() + timedelta(seconds=self._ticks())
        # `_refresh` runs in another thread and releases the lock.
        if self._ticks() >= self._next and self._reading.acquire(blocking=False):
            self._aside(self._refresh)
        return self._at_zero + timedelta(seconds=self._ticks())

    def _first(self) -> datetime:
        with self._reading:
            self._at_zero = self._at_zero or self._read_at_zero()
            return self._at_zero

    def _refresh(self) -> None:
        """Read the shared time again; during an outage the last reading stays in use."""
        self._next = self._ticks() + FRESH  # set first, so that a failed reading is not repeated at once
        try:
            if step := self._agree(self):
                logger.warning("clock.stepped", seconds=round(step.total_seconds()))
            self._at_zero = self._read_at_zero()
        except Exception as error:  # noqa: BLE001 - the last reading stays in use after any error
            logger.warning("clock.not_read", error=type(error).__name__)
        finally:
            self._reading.release()

    def _read_at_zero(self) -> datetime:
        """Read the shared time; return the time when the monotonic clock was zero.

        The database is assumed to read its clock half-way through the query.
        """
        before = self._ticks()
        self._next = before + FRESH
        read = self._read()
        return read - timedelta(seconds=(before + self._ticks()) / 2)
