"""The state that the codec keeps of an attempt between two messages, as strings in its `codec_state`.

The keys are `point_id` and `delivery_id` of the customer's point; `order_status` and `delivery_status`, the newest
status of each with its time; and the marks `picked_up_seen`, `return_seen` and `completed_seen` ("1", or "" once
cleared).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from schemas.order import Order
from worker.carriers.port import AttemptView, Booking
from worker.http.redaction import redact_all

_OWN_CLOCK = "~"
_NONE = "-"


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """One status of an order or of a delivery, as a message reported it."""

    code: str
    reported_at: datetime
    """The time of the message, in UTC."""
    changed_at: datetime | None = None
    """When the status changed, in UTC; None where Borzo did not say."""
    by_own_clock: bool = False
    """Whether `reported_at` comes from our own clock, because the message has no time."""
    text: str | None = None

    @property
    def carrier_time(self) -> datetime | None:
        """The time of the message by Borzo's clock; None where the message has none."""
        return None if self.by_own_clock else self.reported_at

    def dump(self) -> str:
        """Write the status, but not its text, for the attempt's `codec_state`."""
        reported_at = f"{_OWN_CLOCK if self.by_own_clock else ''}{self.reported_at.isoformat()}"
        return f"{reported_at} {self.changed_at.isoformat() if self.changed_at else _NONE} {self.code}"

    @classmethod
    def load(cls, stored: str | None) -> Self | None:
        """Read a status that `dump` has written; None when nothing is stored."""
        reported_at, _, rest = (stored or "").partition(" ")
        changed_at, _, code = rest.partition(" ")
        if not code:
            return None
        return cls(
            code=code,
            reported_at=datetime.fromisoformat(reported_at.removeprefix(_OWN_CLOCK)),
            changed_at=None if changed_at == _NONE else datetime.fromisoformat(changed_at),
            by_own_clock=reported_at.startswith(_OWN_CLOCK),
        )


@dataclass(frozen=True, slots=True)
class AttemptMemory:
    """The known state of an attempt before the message that is being read."""

    reference: str
    country: str
    """The store's country, which completes national telephone numbers."""
    codec_state: Mapping[str, str]
    rank: int = 0
    cancel_requested: bool = False
    state: str = ""
    order: Order | None = None

    @classmethod
    def from_attempt(cls, attempt: AttemptView) -> Self:
        """Return the known state of an attempt."""
        return cls(
            reference=attempt.reference,
            country=attempt.store.country,
            codec_state=attempt.codec_state,
            rank=attempt.rank,
            cancel_requested=attempt.cancel_requested,
            state=attempt.state,
            order=attempt.order,
        )

    @classmethod
    def from_booking(cls, booking: Booking, codec_state: Mapping[str, str]) -> Self:
        """Return the known state of an attempt when its create is answered."""
        return cls(booking.reference, booking.store.country, codec_state, order=booking.order)

    def redact(self, text: str | None) -> str | None:
        """Remove the customer from a free text about the order (X-15)."""
        return redact_all(text, self.order) if text and self.order else text

    def has_mark(self, mark: str) -> bool:
        """Return whether a mark is set."""
        return bool(self.codec_state.get(mark))
