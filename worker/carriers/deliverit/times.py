"""DeliverIt's times: clock times (`HH:MM`) without a date, in the account's zone (D-14, D-26, D-56).

Datetimes are aware, and every returned datetime is in UTC. In autumn one hour occurs twice. For a clock time in that
hour, `resolve_time` returns the instant nearer to its anchor, and `resolve_past_time` the latest instant that has
passed. A full date and time in that hour means the first instant. In spring one hour is skipped. With a date, 02:30
then means 03:30. Without a date, 02:30 means 01:30 or 03:30, and the functions choose one of them as in autumn.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

CLOCK_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
DATE_TIME = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?")
TOLERANCE = timedelta(minutes=2)
"""The largest difference between two times that counts as rounding or clock skew (D-21, D-57)."""

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def round_up_to_minute(instant: datetime) -> datetime:
    """Return the instant in UTC, rounded up, because DeliverIt has no seconds and books nothing in the past (D-14)."""
    utc = instant.astimezone(UTC)
    floor = utc.replace(second=0, microsecond=0)
    return floor if floor == utc else floor + MINUTE


def is_real(instant: datetime) -> bool:
    """Return whether this wall-clock time exists. The times in the hour skipped in spring do not exist (D-14)."""
    there_and_back = instant.astimezone(UTC).astimezone(instant.tzinfo)
    return there_and_back.replace(tzinfo=None) == instant.replace(tzinfo=None)


def is_ambiguous(instant: datetime, zone: ZoneInfo) -> bool:
    """Return whether the wall clock shows this time twice, as it does for one hour in autumn (D-14)."""
    local = instant.astimezone(zone)
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def resolve_time(text: str | None, anchor: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the instant that a text means: for `HH:MM`, the instant nearest to `anchor` (D-26).

    A full date and time needs no anchor. Return None for any other text.
    """
    if text is None:
        return None
    clock = _parse_clock_time(text)
    if clock is None:
        return parse_date_time(text, zone)
    return min(_candidates(clock, anchor, zone), key=lambda instant: abs(instant - anchor))


def resolve_past_time(text: str | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the instant that a text means: for `HH:MM`, the latest one up to `now` plus `TOLERANCE` (D-59).

    A full date and time may be in the future. Return None for any other text.
    """
    clock = _parse_clock_time(text) if text else None
    if clock is None:
        return parse_date_time(text, zone)
    return max(instant for instant in _candidates(clock, now, zone) if instant <= now + TOLERANCE)


def parse_date_time(text: str | None, zone: ZoneInfo) -> datetime | None:
    """Return the instant of `YYYY-MM-DD HH:MM[:SS[.ffffff]]` in a zone; None for any other text."""
    if text is None or not DATE_TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except ValueError:
        return None


def is_time(text: str) -> bool:
    """Return whether a text is a clock time or a full date and time."""
    return _parse_clock_time(text) is not None or parse_date_time(text, ZoneInfo("UTC")) is not None


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """Return the calendar date of an instant in the carrier's zone."""
    return instant.astimezone(zone).date()


def _parse_clock_time(text: str) -> time | None:
    found = CLOCK_TIME.fullmatch(text)
    if not found:
        return None
    try:
        return time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        return None


def _candidates(clock: time, anchor: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the instants that a clock time can mean on the day of `anchor`, the day before and the day after."""
    dates = (local_date(anchor, zone) + DAY * shift for shift in (0, 1, -1))
    return [datetime.combine(day, clock, zone).replace(fold=fold).astimezone(UTC) for day in dates for fold in (0, 1)]
