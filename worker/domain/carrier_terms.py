"""The facts about a carrier account that planning needs, and the parts of a delivery that a codec may see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.order import Order
from schemas.stores import Store
from worker.carriers import port
from worker.domain.delivery import Attempt, Delivery
from worker.errors import Refused


def _refuses_nothing(_order: Order, _store: Store, _at: datetime) -> Refused | None:
    return None


@dataclass(frozen=True, slots=True)
class CarrierTerms:
    """The facts about a carrier account that planning needs. Times are in seconds."""

    capabilities: port.Capabilities
    deadline: float = 45
    """How long a call may take."""
    callback_wait: float = 0
    """How long to wait, after the deadline of a create with an unknown outcome, for a callback that settles it.

    Only carriers without look-ups use this time. Afterwards the create is sent again, or an operator is requested.
    """
    poll_interval: float = 30
    """The shortest interval between reads. It determines `scale`, by which all other intervals are multiplied."""
    refuses: Callable[[Order, Store, datetime], Refused | None] = _refuses_nothing
    """A function that returns why the carrier cannot take an order; None when the carrier can. It calls no carrier."""

    @property
    def scale(self) -> float:
        """The factor for every interval between reads: `poll_interval` divided by the cadence's shortest interval."""
        return self.poll_interval / self.capabilities.cadence.shortest


TermsByAccount = Mapping[str, CarrierTerms]
"""The terms of every account in the settings, by the account's name."""


def attempt_view(delivery: Delivery, attempt: Attempt) -> port.AttemptView:
    """Return the part of an attempt that its codec may see."""
    assert delivery.store is not None  # noqa: S101 - no attempt begins without a store
    return port.AttemptView(
        id=attempt.id,
        number=attempt.number,
        carrier=attempt.carrier,
        state=attempt.state,
        order=delivery.order,
        store=delivery.store,
        pickup_at=attempt.pickup_at,
        submitted_at=attempt.submitted_at,
        ref=attempt.ref,
        codec_state=attempt.codec_state,
        rank=attempt.rank,
        cancel_requested=attempt.cancel_requested,
    )


def build_booking(delivery: Delivery, attempt: Attempt, callback_url: str | None) -> port.Booking:
    """Build the data that the codec needs to create the attempt's order."""
    assert delivery.store is not None  # noqa: S101 - no attempt begins without a store
    return port.Booking(
        attempt_id=attempt.id,
        attempt_number=attempt.number,
        order=delivery.order,
        store=delivery.store,
        pickup_at=attempt.pickup_at,
        deliver_at=delivery.order.deliver_at,
        callback_url=callback_url,
        resubmitted=attempt.resubmitted,
    )
