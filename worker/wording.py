"""Durations and counts as short texts."""

from datetime import datetime


def duration(seconds: float) -> str:
    """Return a duration as a short text, such as `12 s`, `5 min`, `3 h` or `2 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a time was; empty for None."""
    return duration((now - moment).total_seconds()) if moment else ""


def time_left(moment: datetime | None, now: datetime) -> str:
    """Return how long it is until a time, or how long ago it was; empty for None."""
    if moment is None:
        return ""
    return f"in {duration((moment - now).total_seconds())}" if moment > now else f"{age(moment, now)} ago"


def counted(count: int, one: str, many: str) -> str:
    """Return a number and the words that follow it, such as `1 order` or `2 orders`."""
    return f"{count} {one if count == 1 else many}"
