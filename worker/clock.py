"""The clock that every host shares: the database's, carried on between two readings by this machine's own ticks.

Leases are compared between hosts whose wall clocks differ, and a wall clock jumps; a tick never does.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from worker import log

logger = log.get(__name__)
Clock = Callable[[], datetime]
FRESH = 10.0
"""Seconds after which the database is asked again."""
BOOT_TIME: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot() -> float:
    """Count the seconds since this machine started, with those for which it was suspended where it can tell."""
    return time.clock_gettime(BOOT_TIME)


def aside(work: Callable[[], None]) -> None:
    """Do something in a thread of its own."""
    threading.Thread(target=work, name="clock", daemon=True).start()


class SharedClock:
    """Tells the database's time. Safe in many threads, and none of them waits for the database after the first time."""

    def __init__(
        self,
        read: Callable[[], datetime],
        ticks: Callable[[], float] = since_boot,
        aside: Callable[[Callable[[], None]], None] = aside,
    ) -> None:
        self._read, self._ticks, self._aside = read, ticks, aside
        self._asking = threading.Lock()
        self._at_zero: datetime | None = None
        self._next = 0.0

    def __call__(self) -> datetime:
        """Tell the time. Raises what the database raises while it has never been read."""
        if self._at_zero is None:
            return self._first() + timedelta(seconds=self._ticks())
        # The lock goes to the thread that asks, and is released there.
        if self._ticks() >= self._next and self._asking.acquire(blocking=False):
            self._aside(self._refresh)
        return self._at_zero + timedelta(seconds=self._ticks())

    def _first(self) -> datetime:
        with self._asking:
            self._at_zero = self._at_zero or self._ask()
            return self._at_zero

    def _refresh(self) -> None:
        """Ask again; a database that is away leaves the last reading to go on."""
        try:
            self._at_zero = self._ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, the ticks go on
            logger.warning("clock.not_read", error=type(error).__name__)
        finally:
            self._asking.release()

    def _ask(self) -> datetime:
        """Tell what the database's clock showed at tick zero, taking its answer for that of half-way."""
        before = self._ticks()
        self._next = before + FRESH  # also when it does not answer
        read = self._read()
        return read - timedelta(seconds=(before + self._ticks()) / 2)
