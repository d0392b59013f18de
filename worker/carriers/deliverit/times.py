"""Their times: clock faces without a day, in the shop's zone, made into instants (D-14, D-26, D-56).

Everything handed in and out is aware; everything handed out is UTC.

The hour that autumn shows twice: a clock face is the nearer to its anchor of the two, a date and time the first of
them. The hour that spring skips: what a stopped clock would show, so 02:30 is 03:30.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
MOMENT = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")
TOLERANCE = timedelta(minutes=2)
"""What two clocks may differ before it means something (D-21, D-57)."""

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def whole_minute(instant: datetime) -> datetime:
    """Round up to the minute, in UTC: the carrier knows no seconds, and a moment ago cannot be booked (D-14)."""
    utc = instant.astimezone(UTC)
    floor = utc.replace(second=0, microsecond=0)
    return floor if floor == utc else floor + MINUTE


def is_real(instant: datetime) -> bool:
    """Tell whether a wall-clock time exists: in the hour the clocks skip in spring it does not (D-14)."""
    there_and_back = instant.astimezone(UTC).astimezone(instant.tzinfo)
    return there_and_back.replace(tzinfo=None) == instant.replace(tzinfo=None)


def is_ambiguous(instant: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the wall clock shows this time twice, as it does in the autumn hour (D-14)."""
    local = instant.astimezone(zone)
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def moment(text: str | None, anchor: datetime, zone: ZoneInfo) -> datetime | None:
    """Read `HH:MM` as the instant nearest to `anchor`, or a full date and time; None when it is neither (D-26)."""
    if text is None:
        return None
    clock = _clock(text)
    return min(_faces(clock, anchor, zone), key=lambda face: abs(face - anchor)) if clock else full_moment(text, zone)


def past_moment(text: str | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Read `HH:MM` as the last such time that is not in the future, or a full date and time (D-59)."""
    clock = _clock(text) if text else None
    if clock is None:
        return full_moment(text, zone)
    return max(face for face in _faces(clock, now, zone) if face <= now + TOLERANCE)


def full_moment(text: str | None, zone: ZoneInfo) -> datetime | None:
    """Read `YYYY-MM-DD HH:MM[:SS[.ffffff]]` in a zone; None when it is not such a time."""
    if text is None or not MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except ValueError:
        return None


def is_time(text: str) -> bool:
    """Tell whether a text is a time at all, of either form."""
    return _clock(text) is not None or full_moment(text, ZoneInfo("UTC")) is not None


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """Tell which day of the carrier's calendar an instant is on."""
    return instant.astimezone(zone).date()


def _clock(text: str) -> time | None:
    found = CLOCK.fullmatch(text)
    if not found:
        return None
    try:
        return time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        return None


def _faces(clock: time, anchor: datetime, zone: ZoneInfo) -> list[datetime]:
    """Every instant around `anchor` at which the wall shows this time, in both meanings of the autumn hour."""
    days = (local_day(anchor, zone) + DAY * shift for shift in (0, 1, -1))
    return [datetime.combine(day, clock, zone).replace(fold=fold).astimezone(UTC) for day in days for fold in (0, 1)]
