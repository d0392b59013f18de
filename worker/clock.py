"""The time that all hosts share: the database's clock, but without a jump when that clock is set.

Leases are compared between hosts whose wall clocks differ and jump. So each host reads the shared time from the
database, and measures the time since then with its own monotonic clock, which never jumps. When the database's clock is
set, the shared time continues at the speed of the monotonic clocks, and approaches the database's clock slowly. So
a jump of the database's clock neither shortens nor prolongs a wait by much.
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
"""The largest normal difference between the shared time and a host's own time.

A difference of more than `STEP` means that the database's clock was set, or that the host was paused.
"""
SLEW = 0.05
"""How fast the shared time approaches the database's clock after that clock was set, in seconds for each second."""
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
    """The difference between the shared time and the database's clock. All hosts read it from the database."""

    ahead: timedelta = timedelta()
    """How far the shared time was ahead of the database's clock at `since`; negative if it was behind."""
    since: datetime | None = None
    """The time by the database's clock when a host last noticed a jump of that clock; None before the first jump."""
    used: datetime | None = None
    """The shared time when a host last compared its own time with the database's clock."""

    def shared(self, database_time: datetime) -> datetime:
        """Return the shared time for a time of the database's clock."""
        passed = max(database_time - (self.since or database_time), timedelta())
        left = max(abs(self.ahead) - SLEW * passed, timedelta())
        return database_time + (left if self.ahead > timedelta() else -left)

    def agreed(self, database_time: datetime, own: datetime) -> "Correction":
        """Return the correction after a host has compared its own time `own` with the database's clock.

        If `own` and the shared time differ by more than `STEP`, the database's clock was set. The shared time then
        continues from `own`. There is one exception: if `used` is at most `STEP` away from the shared time, the
        database's clock was not set. Then this host was paused, and `own` has no effect.
        """
        shared = self.shared(database_time)
        paused = self.used is not None and abs(shared - self.used) <= STEP
        if paused or abs(shared - own) <= STEP:
            return replace(self, used=shared)
        return Correction(own - database_time, database_time, own)


class SharedClock:
    """A clock that shows the shared time. Many threads may use it; only the first reading waits for the database.

    `agree` compares this clock with the database's clock, and stores the correction for all hosts. If the database's
    clock was set, `agree` returns by how much; otherwise it returns None.
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
        """Read the shared time again. If the database is unreachable, the last reading stays in use."""
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
        """Read the shared time; return the shared time at which the monotonic clock was zero.

        The database is assumed to read its clock half-way through the query.
        """
        before = self._ticks()
        self._next = before + FRESH
        read = self._read()
        return read - timedelta(seconds=(before + self._ticks()) / 2)
