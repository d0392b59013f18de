"""The time that all hosts share: the database's clock without its jumps.

Leases are compared between hosts whose wall clocks differ and jump. So each host reads the shared time from the
database. Between two readings, the host measures the time with its own monotonic clock, which never jumps.

When the database's clock jumps, the shared time does not jump. Afterwards, the shared time approaches the database's
clock slowly. So a jump of the database's clock hardly changes the length of a wait.
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
"""Seconds between two readings of the database's clock by one host."""
STEP = timedelta(seconds=30)
"""The largest normal difference between the shared time and the time that a host has measured since its last reading.

A larger difference means that the database's clock jumped, or that the host was paused.
"""
SLEW = 0.05
"""How many seconds the shared time approaches the database's clock in each second after a jump of that clock."""
AGE = r"^\d{1,5}[smhd]$"
"""The pattern of an age, such as 30m or 12h."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
BOOT_TIME: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def parse_age(text: str) -> timedelta:
    """Return the duration of an age such as `30m`. The text must match `AGE`."""
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def since_boot() -> float:
    """Return the seconds since this machine started. Where the system allows it, times of suspension are included."""
    return time.clock_gettime(BOOT_TIME)


def aside(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own."""
    threading.Thread(target=work, name="clock", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Correction:
    """How the shared time differs from the database's clock. The database stores this for all hosts."""

    ahead: timedelta = timedelta()
    """How far the shared time was ahead of the database's clock at `since`; negative if the shared time was behind."""
    since: datetime | None = None
    """What the database's clock showed when a host last noticed a jump of that clock; None before the first jump."""
    used: datetime | None = None
    """The shared time at the last comparison of a host's own time with the database's clock; None before the first."""

    def shared(self, database_time: datetime) -> datetime:
        """Return the shared time for a time of the database's clock."""
        passed = max(database_time - (self.since or database_time), timedelta())
        left = max(abs(self.ahead) - SLEW * passed, timedelta())
        return database_time + (left if self.ahead > timedelta() else -left)

    def agreed(self, database_time: datetime, own: datetime) -> "Correction":
        """Return the correction to store after this host has compared its own time `own` with the database's clock.

        If `own` and the shared time differ by at most `STEP`, only `used` changes. A larger difference has one of two
        causes:

        * If `used` is at most `STEP` away from the shared time, this host was paused. Only `used` changes.
        * Otherwise, the database's clock jumped. The shared time continues from `own`.
        """
        shared = self.shared(database_time)
        paused = self.used is not None and abs(shared - self.used) <= STEP
        if paused or abs(shared - own) <= STEP:
            return replace(self, used=shared)
        return Correction(own - database_time, database_time, own)


class SharedClock:
    """A clock that shows the shared time. Many threads may use it; only the first reading waits for the database.

    `agree` compares this clock with the database's clock, and stores the correction for all hosts. It returns the size
    of a jump of the database's clock, or None if it found no jump.
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
        """Return the shared time. Raises the errors of the database until the first reading succeeds."""
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
        """Compare this clock with the database's clock, and read the shared time again.

        After an error, the last reading stays in use.
        """
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
        """Return the shared time at which this host's monotonic clock was zero.

        A reading shows it only between two bounds, because the database reads its clock at any moment of the reading,
        which may have waited long for a connection. The last value is kept as far as the bounds allow. The first value
        is half-way between them.
        """
        before = self._ticks()
        self._next = before + FRESH
        read = self._read()
        earliest, latest = read - timedelta(seconds=self._ticks()), read - timedelta(seconds=before)
        if self._at_zero is None:
            return earliest + (latest - earliest) / 2
        return min(max(self._at_zero, earliest), latest)
