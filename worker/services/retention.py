"""Trim the streams: remove entries that nobody needs any more."""

from dataclasses import dataclass

from worker import log
from worker.bus.streams import Bus
from worker.clock import Clock

logger = log.get(__name__)
LATE_SECONDS = 3600


@dataclass(frozen=True)
class Retention:
    """Trim the streams."""

    bus: Bus
    events_keep: int
    clock: Clock

    def trim(self) -> dict[str, int]:
        """Trim each stream up to its slowest consumer group; return how many entries were removed, by stream."""
        return self.bus.trim(self.events_keep)

    def purge(self) -> None:
        """Trim the streams, and log the consumer groups that are too slow."""
        self.trim()
        for (stream, group), seconds in self.bus.lags(self.clock()).items():
            if seconds > LATE_SECONDS:
                logger.warning("group.lagged", stream=stream, group=group, seconds=round(seconds))
