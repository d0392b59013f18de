"""What is remembered of an attempt between two messages, in the string form in which the engine keeps it.

`refs` holds: `point_id` and `delivery_id` of the customer's point; `order_word` and `delivery_word`, the newest word of
each with its time; and the marks `picked_up_seen`, `return_seen` and `completed_seen` ("1", or "" once taken back).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from schemas.order import Order
from worker.carriers.port import AttemptView, Booking
from worker.http.redaction import redact_all

_OURS = "~"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of Borzo's with the time of its message, and of the change it tells of when that is known.

    `ours` marks a time that is our own clock's, because the carrier named none.
    """

    code: str
    at: datetime
    changed_at: datetime | None = None
    ours: bool = False
    text: str | None = None

    @property
    def said_at(self) -> datetime | None:
        """The carrier's own time, if it named one."""
        return None if self.ours else self.at

    def store(self) -> str:
        """Write it for the attempt's memory."""
        at = f"{_OURS if self.ours else ''}{self.at.isoformat()}"
        return f"{at} {self.changed_at.isoformat() if self.changed_at else _NONE} {self.code}"

    @classmethod
    def load(cls, stored: str | None) -> Self | None:
        """Read it back; None when the memory holds none."""
        at, _, rest = (stored or "").partition(" ")
        changed_at, _, code = rest.partition(" ")
        if not code:
            return None
        return cls(
            code=code,
            at=datetime.fromisoformat(at.removeprefix(_OURS)),
            changed_at=None if changed_at == _NONE else datetime.fromisoformat(changed_at),
            ours=at.startswith(_OURS),
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the attempt before this message."""

    tag: str
    country: str
    refs: Mapping[str, str]
    rank: int = 0
    cancelling: bool = False
    state: str = ""
    order: Order | None = None

    @classmethod
    def of_attempt(cls, attempt: AttemptView) -> Self:
        """Take it from an attempt."""
        return cls(
            attempt.reference,
            attempt.store.country,
            attempt.codec_state,
            attempt.rank,
            attempt.cancel_requested,
            attempt.state,
            attempt.order,
        )

    @classmethod
    def of_booking(cls, booking: Booking, refs: Mapping[str, str]) -> Self:
        """Take it from a booking, of which nothing but the answer's own ids is known."""
        return cls(booking.reference, booking.store.country, refs, order=booking.order)

    def without_customer(self, text: str | None) -> str | None:
        """Repeat what somebody wrote about the order, without the order's customer (X-15)."""
        return redact_all(text, self.order) if text and self.order else text

    def saw(self, mark: str) -> bool:
        """Tell whether a mark was set."""
        return bool(self.refs.get(mark))
