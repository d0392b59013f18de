"""The times of an order of the Ordering platform: when it was placed, when it is wanted, and its revision."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from schemas.fields import LENIENT
from schemas.json_reader import MalformedError
from schemas.ordering_wire import Raw, RawOrder, RawTime


def read_time_placed(raw: Mapping[str, Any]) -> datetime | None:
    """Return when the customer placed the platform's order; None if the order does not contain this time."""
    placed = _Placed.model_validate(raw).created_at
    return placed and _in_utc(placed)


class _Placed(Raw):
    created_at: Annotated[RawTime, LENIENT] = None


def revision_of(raw: RawOrder) -> int:
    """Return a revision of the order, because the platform has none.

    The revision is 1 plus the seconds from the order's creation to its last change, or 1 if one of these times is
    missing.
    """
    if raw.created_at is None or raw.updated_at is None:
        return 1
    return 1 + max(0, int((_in_utc(raw.updated_at) - _in_utc(raw.created_at)).total_seconds()))


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def time_wanted(raw: RawOrder, timezone: str) -> datetime | None:
    """Return the requested delivery time; None means as soon as possible.

    A requested time that is not later than `created_at` also means as soon as possible (O-06). `delivery_datetime_utc`
    takes precedence over `delivery_datetime`. Without an offset, `delivery_datetime` is in the shop's time zone, or in
    `timezone` if the order names no time zone. A time that occurs twice in autumn means its first occurrence. All other
    times without an offset are in UTC. Raises MalformedError if a needed time zone is missing or unknown.
    """
    due = _due(raw, timezone)
    asap = due is not None and raw.created_at is not None and due <= _in_utc(raw.created_at)
    return None if asap else due


def _due(raw: RawOrder, timezone: str) -> datetime | None:
    if raw.delivery_datetime_utc:
        return _in_utc(raw.delivery_datetime_utc)
    local = raw.delivery_datetime
    if local is None or local.tzinfo:
        return local
    return local.replace(tzinfo=_zone(raw.business.timezone or timezone)).astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    if not name:
        raise MalformedError("delivery_datetime_utc: missing", "business.timezone: missing")
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise MalformedError("business.timezone: not an IANA time zone") from None
