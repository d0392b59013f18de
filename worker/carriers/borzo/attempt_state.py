"""The state that the codec stores between two messages about an attempt, as strings in the attempt's `codec_state`.

`point_id` and `delivery_id` are Borzo's ids for the customer's point. `order_status` and `delivery_status` contain the
newest status of the order and of the delivery, with its times. The marks `picked_up_seen`, `return_seen` and
`completed_seen` are "1" while they are set, and "" after they were cleared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from schemas.order import Order
from worker.carriers.port import AttemptView, Booking
from worker.http.redaction import redact_all

_NONE = "-"


@dataclass(frozen=True, slots=True)
class ReportedStatus:
    """One status of an order or of a delivery, as a message reported it."""

    code: str
    reported_at: datetime | None = None
    """The time of the newest message about the order or delivery, by Borzo's clock, in UTC.

    None while no message had a time.
    """
    changed_at: datetime | None = None
    """When the status changed, in UTC; None where Borzo did not say."""
    text: str | None = None

    def is_older_than(self, other: Self) -> bool:
        """Return whether Borzo's own times show that this status is the older one; False without such times (B-84)."""
        pairs = ((self.reported_at, other.reported_at), (self.changed_at, other.changed_at))
        known = ((own, others) for own, others in pairs if own is not None and others is not None and own != others)
        return next((own < others for own, others in known), False)

    def dump(self) -> str:
        """Write the status, but not its text, for the attempt's `codec_state`."""
        times = (time.isoformat() if time else _NONE for time in (self.reported_at, self.changed_at))
        return f"{' '.join(times)} {self.code}"

    @classmethod
    def load(cls, stored: str | None) -> Self | None:
        """Read a status that `dump` has written; None when nothing is stored."""
        reported_at, _, rest = (stored or "").partition(" ")
        changed_at, _, code = rest.partition(" ")
        if not code:
            return None
        return cls(
            code=code,
            reported_at=None if reported_at == _NONE else datetime.fromisoformat(reported_at),
            changed_at=None if changed_at == _NONE else datetime.fromisoformat(changed_at),
        )


@dataclass(frozen=True, slots=True)
class AttemptMemory:
    """What is known about an attempt before the current message is read."""

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
        """Return what is known about an attempt."""
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
        """Return what is known about an attempt when the answer to its create is read."""
        return cls(booking.reference, booking.store.country, codec_state, order=booking.order)

    def redact(self, text: str | None) -> str | None:
        """Return a free text about the order without the customer's data (X-15)."""
        return redact_all(text, self.order) if text and self.order else text

    def has_mark(self, mark: str) -> bool:
        """Return whether a mark is set."""
        return bool(self.codec_state.get(mark))
