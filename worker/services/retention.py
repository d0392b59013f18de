"""Retention: trim what is no longer needed."""

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

    def purge(self) -> None:
        """Trim the streams behind their slowest group, and log the groups that keep them from being trimmed."""
        self.bus.trim(self.events_keep)
        for (stream, group), seconds in self.bus.lags(self.clock()).items():
            if seconds > LATE_SECONDS:
                logger.warning("group.lagged", stream=stream, group=group, seconds=round(seconds))
