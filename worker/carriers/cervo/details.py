"""What Cervo says beside a status: when it happened, who brings the order and where it can be followed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo

import phonenumbers

from worker.carriers.port import Courier

SHORTEST_DATE = len("2023-04-29 10:44")
LONGEST_LEAD = timedelta(minutes=2)

TIME_AHEAD = "time_ahead"
TIME_UNREADABLE = "time_unreadable"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as Cervo gave it, to the minute, and the zone that we had to assume for it (C-37)."""

    at: datetime | None = None
    assumed_zone: str | None = None
    notes: tuple[str, ...] = ()


UNTOLD = Moment()


def moment(text: str | None, zone: str, now: datetime) -> Moment:
    """Read a `Date` in the account's zone; a time that cannot be read or is still to come is no time (C-37, X-01)."""
    if text is None or len(text) < SHORTEST_DATE:
        return Moment(notes=(TIME_UNREADABLE,))
    try:
        said = datetime.fromisoformat(text)
        meant = _meant(said, ZoneInfo(zone))
    except (ValueError, OverflowError):
        return Moment(notes=(TIME_UNREADABLE,))
    past = [at for at in meant if at <= now + LONGEST_LEAD]
    if not past:
        return Moment(notes=(TIME_AHEAD,))
    return Moment(max(past), None if said.tzinfo else zone)


def _meant(said: datetime, zone: ZoneInfo) -> list[datetime]:
    """Give every instant that a time may mean: without a zone it may stand in the hour that autumn shows twice.

    The caller takes the last of them that has come. The first would make the second hour's news older than the news of
    the hour before, and old news is not believed.
    """
    if said.tzinfo:
        return [said.astimezone(UTC)]
    return [said.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def courier(name: str | None, mobile: str | None, country: str) -> Courier | None:
    """Say who brings the order; a national number is read with the store's country and marked as guessed (C-14)."""
    if name is None and mobile is None:
        return None
    phone = _e164(mobile, country)
    return Courier(name, phone or mobile, phone_guessed=bool(phone and mobile and not mobile.startswith("+")))


def tracking_url(text: str | None) -> str | None:
    """Let a tracking link through when it is https and has a host; it is never fetched (C-39)."""
    link = _split(text or "")
    if link is None or link.scheme != "https" or link.username is not None:
        return None
    host = link.hostname or ""
    return text if any(letter.isalnum() for letter in host) and not any(map(str.isspace, text or "")) else None


def _split(text: str) -> SplitResult | None:
    try:
        return urlsplit(text)
    except ValueError:
        return None


def _e164(mobile: str | None, country: str) -> str | None:
    try:
        number = phonenumbers.parse(mobile or "", country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
