"""Remove what nobody needs any more: entries of the streams, and old records of calls."""

from dataclasses import dataclass
from datetime import timedelta

from worker import log
from worker.bus.streams import Bus
from worker.clock import Clock
from worker.database import carrier_calls
from worker.database.database import Database

logger = log.get(__name__)
LATE_SECONDS = 3600
MOST_BATCHES = 100
"""How many transactions of one purge delete calls. The next purge continues."""


@dataclass(frozen=True)
class Retention:
    """Trim the streams, and delete old records of calls."""

    bus: Bus
    database: Database
    events_keep: int
    keep_calls: timedelta
    clock: Clock

    def trim(self) -> dict[str, int]:
        """Trim each stream up to its slowest consumer group; return how many entries were removed, by stream."""
        return self.bus.trim(self.events_keep)

    def delete_calls(self) -> int:
        """Delete old records of calls in many short transactions; return how many were deleted."""
        limit, deleted = self.clock() - self.keep_calls, 0
        for _ in range(MOST_BATCHES):
            count = self.database.write(carrier_calls.delete_before, limit)
            if not count:
                break
            deleted += count
        return deleted

    def purge(self) -> None:
        """Delete old records of calls, trim the streams, and log the consumer groups that are too slow."""
        self.delete_calls()
        self.trim()
        for (stream, group), seconds in self.bus.lags(self.clock()).items():
            if seconds > LATE_SECONDS:
                logger.warning("group.lagged", stream=stream, group=group, seconds=round(seconds))
