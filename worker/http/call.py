"""Descriptions of requests and replies as data. Pure: nothing here sends anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Literal

from worker.errors import CarrierError, Refused, Sent, Throttled, Unavailable, Uncertain


class Operation(StrEnum):
    """The kind of a call.

    The kind decides three things: whether the call gets a connection of its own, which share of the rate limit it may
    use, and whether its outcome is unknown if the reply is lost.
    """

    CREATE = "create"
    CONFIRM = "confirm"
    AMEND = "amend"
    CANCEL = "cancel"
    FIND = "find"
    READ = "read"
    PROBE = "probe"
    QUERY = "query"
    """A call for a price, labels, the courier's position or a list of orders. An operator or a setting requests it."""


HARMLESS = frozenset({Operation.READ, Operation.FIND, Operation.PROBE, Operation.QUERY})
"""Operations that change nothing at a carrier. A lost reply to such a call leaves no unknown outcome."""
ELASTIC = frozenset({Operation.READ, Operation.QUERY})
"""Operations that can wait when creates and cancels need the rest of the rate limit."""


class CallClass(StrEnum):
    """The classes of calls. Each class has its own circuit breaker.

    The values are parts of keys in Redis and labels of metrics.
    """

    CREATE = "create"
    CHANGE = "cancel"
    """Confirmations, amendments and cancellations."""
    READ = "read"


@dataclass(frozen=True, slots=True)
class Call:
    """The description of one request."""

    operation: Operation
    method: Literal["GET", "POST", "PUT"]
    path: str
    """A path on the account's origin."""
    attempt_ids: tuple[int, ...] = ()
    """The attempts that the request is about."""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    context: str = ""
    """Data that the codec needs to read the reply, such as a page or a day."""


MAX_RETRY_AFTER = 3600.0
"""The longest wait, in seconds, that is accepted from a header Retry-After. A longer wait is shortened to this."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: its status, its headers with lower-case names, and its body up to the size limit."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sent: Sent | None = field(default=None, repr=False, compare=False)
    """When the call was sent; None for a reply that the call journal kept."""

    def retry_after(self, now: datetime | None) -> float | None:
        """Return the wait in the header Retry-After, in seconds; None if the header is missing or unreadable.

        If the header contains a date, the wait is counted from the reply's Date header. Without a Date header, the wait
        is counted from `now`. If `now` is None as well, the result is None. A wait is at most `MAX_RETRY_AFTER`.
        """
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), MAX_RETRY_AFTER)
        until, since = _http_date(value), _http_date(self.headers.get("date", "")) or now
        return min(max((until - since).total_seconds(), 0.0), MAX_RETRY_AFTER) if until and since else None


Outcome = Reply | CarrierError
"""How a call ended."""


class Verdict(StrEnum):
    """What a call came to, in our terms. All but the first are named after the errors in `worker.errors`."""

    ANSWERED = "answered"
    """The carrier did what was asked, or answered the question."""
    REFUSED = "refused"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    UNCERTAIN = "uncertain"
    UNREADABLE = "unreadable"


_VERDICTS: tuple[tuple[type[CarrierError], Verdict], ...] = (
    (Throttled, Verdict.THROTTLED),
    (Unavailable, Verdict.UNAVAILABLE),
    (Uncertain, Verdict.UNCERTAIN),
    (Refused, Verdict.REFUSED),
    (CarrierError, Verdict.UNREADABLE),
)
"""The first class to which an error belongs decides."""


def verdict_of(response: object) -> Verdict:
    """Return the verdict on a call, given its parsed reply or the error with which it ended."""
    return next((verdict for error, verdict in _VERDICTS if isinstance(response, error)), Verdict.ANSWERED)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
