"""The clock on the wall of a carrier, which may be wrong by minutes."""

from datetime import UTC, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo


class WallClock(ZoneInfo):
    """A time zone with a wrong clock, which is ahead of the true time by `ahead`.

    `at.astimezone(clock)` is the time that the carrier writes for `at`, with the right offset from UTC.
    """

    ahead = timedelta()

    @classmethod
    def of(cls, zone: str, seconds_ahead: float) -> Self:
        """Return a clock in the zone of this IANA name; negative seconds mean that the clock is behind."""
        clock = cls.no_cache(zone)
        clock.ahead = timedelta(seconds=seconds_ahead)
        return clock

    def fromutc(self, at: datetime, /) -> datetime:
        """Return the time that the clock shows at the true time `at`."""
        return super().fromutc(at + self.ahead)

    def instant(self, shown: datetime) -> datetime:
        """Return the true time, in UTC, at which the clock shows the time `shown`."""
        return shown.astimezone(UTC) - self.ahead
