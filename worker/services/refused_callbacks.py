"""Count the callbacks that are refused because they are not authentic, in all web processes together.

A process counts in its memory, and stores what it has counted once a minute. So a flood of forged callbacks writes one
small row a minute for each account and process.
"""

import threading
from collections import Counter
from datetime import timedelta

from worker.clock import Clock
from worker.database import callback_health
from worker.database.database import Database

REFUSED_WITHIN, MOST_REFUSED = timedelta(minutes=15), 20
"""An account whose callbacks are refused more often than this within this time is a trouble."""


class RefusedCallbacks:
    """Count the refused callbacks of each account, and store the counts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._new: Counter[str] = Counter()
        """The refused callbacks that are not stored yet, by account."""

    def count(self, account: str) -> None:
        """Count a refused callback."""
        with self._lock:
            self._new[account] += 1

    def record(self) -> None:
        """Store what was counted since the last record, and delete what is too old. Raises DatabaseError."""
        with self._lock:
            counted, self._new = self._new, Counter()
        if counted:
            now = self._clock()
            self._database.write(callback_health.record_refused, counted, now, now - REFUSED_WITHIN)
