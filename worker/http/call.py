"""One request and its reply, described as data. Pure: nothing here sends anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Literal


class Operation(StrEnum):
    """What a call does at the carrier; it decides the connection, the budget's priority and who may repeat it."""

    CREATE = "create"
    CONFIRM = "confirm"
    AMEND = "amend"
    CANCEL = "cancel"
    FIND = "find"
    READ = "read"
    PROBE = "probe"
    ASK = "ask"
    """What a person or a policy wants to know: a price, labels, where the courier is."""


HARMLESS = frozenset({Operation.READ, Operation.FIND, Operation.PROBE, Operation.ASK})
"""What changes nothing at a carrier, whatever becomes of the call."""
ELASTIC = frozenset({Operation.READ, Operation.ASK})
"""What can wait for a budget that creates and cancels need."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, described. `path` is on the account's origin; `covers` names the attempts it is about.

    `memo` is the codec's own note to itself, read back with the reply (which page, which day).
    """

    operation: Operation
    method: Literal["GET", "POST", "PUT"]
    path: str
    attempt_ids: tuple[int, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    context: str = ""


MAX_RETRY_AFTER = 3600.0
"""The longest wait, in seconds, that a carrier may impose on us."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, the headers with lower-case names, and the body up to the size limit."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def retry_after(self, now: datetime | None) -> float | None:
        """Read Retry-After in seconds, at most an hour; None when it is missing or nonsense.

        A date is measured by the carrier's own clock where it tells it, else by `now`; without both it says nothing.
        """
        said = self.headers.get("retry-after", "").strip()
        if said.isascii() and said.isdigit():
            return min(float(said), MAX_RETRY_AFTER)
        until, since = _http_date(said), _http_date(self.headers.get("date", "")) or now
        return min(max((until - since).total_seconds(), 0.0), MAX_RETRY_AFTER) if until and since else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
