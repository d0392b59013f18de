"""Between the engine and a carrier: what must be known of its account to plan with it, and what its codec is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from schemas.order import Order
from schemas.stores import Store
from worker.carriers import port
from worker.domain.delivery import Attempt, Delivery
from worker.errors import Refused


def _takes_all(_order: Order, _store: Store, _at: datetime) -> Refused | None:
    return None


@dataclass(frozen=True, slots=True)
class CarrierTerms:
    """What the engine must know of a carrier account to plan with it. Times in seconds.

    `refuses` tells, without asking the carrier, why it could not take an order for a store when it is asked then.
    """

    capabilities: port.Capabilities
    deadline: float = 45
    callback_wait: float = 0
    poll_interval: float = 30
    refuses: Callable[[Order, Store, datetime], Refused | None] = _takes_all

    @property
    def scale(self) -> float:
        """How much every cadence is stretched by the account's shortest interval."""
        return self.poll_interval / self.capabilities.cadence.shortest


def attempt_view(delivery: Delivery, attempt: Attempt) -> port.AttemptView:
    """Show an attempt to its codec. The store is known: nothing is ever attempted without one."""
    assert delivery.store is not None  # noqa: S101 - a broken invariant, not an input
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
    """Say what its carrier is told about an attempt."""
    assert delivery.store is not None  # noqa: S101 - nothing is attempted without one
    return port.Booking(
        attempt_id=attempt.id,
        attempt_number=attempt.number,
        order=delivery.order,
        store=delivery.store,
        pickup_at=attempt.pickup_at,
        deliver_at=delivery.order.deliver_at,
        callback_url=callback_url,
    )
