"""The clock that all hosts share: the database's clock.

Between two readings, this machine's monotonic clock measures the time. Leases are compared between hosts whose wall
clocks differ and jump. A monotonic clock never jumps.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from worker import log

logger = log.get(__name__)
Clock = Callable[[], datetime]
FRESH = 10.0
"""Seconds between two readings of the database's clock."""
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


class SharedClock:
    """The database's time. Safe in many threads; only the first reading waits for the database."""

    def __init__(
        self,
        read: Callable[[], datetime],
        ticks: Callable[[], float] = since_boot,
        aside: Callable[[Callable[[], None]], None] = aside,
    ) -> None:
        self._read, self._ticks, self._aside = read, ticks, aside
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
        """Read the database's clock again; during an outage the last reading stays in use."""
        try:
            self._at_zero = self._read_at_zero()
        except Exception as error:  # noqa: BLE001 - the last reading stays in use after any error
            logger.warning("clock.not_read", error=type(error).__name__)
        finally:
            self._reading.release()

    def _read_at_zero(self) -> datetime:
        """Read the database's clock; return its time when the monotonic clock was zero.

        The database is assumed to read its clock half-way through the query.
        """
        before = self._ticks()
        self._next = before + FRESH  # set first, so that a failed reading is not repeated at once
        read = self._read()
        return read - timedelta(seconds=(before + self._ticks()) / 2)
