"""Apply the decisions that only an operator may make."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from schemas.messages import Cancellation
from schemas.status import Cause, DeliveryStatus
from worker.clock import Clock
from worker.database import accounts, deliveries
from worker.database.connection import Connection
from worker.database.deliveries import Decision
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, OfferDecision
from worker.domain.lifecycle import TermsByAccount
from worker.services.updates import Updates


@dataclass(frozen=True)
class Decisions:
    """Apply the decisions of an operator.

    A method that returns a delivery returns the changed delivery, or None if there was nothing to do.
    """

    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def cancel(self, delivery_id: str, request: Cancellation) -> Delivery | None:
        """Request the cancel of a delivery. If a carrier has the order, only the carrier can confirm the cancel."""
        return self._apply(
            delivery_id,
            lambda each, now: lifecycle.apply_cancel_request(each, request, self.terms, now, Cause.OPERATOR),
        )

    def refresh(self, delivery_id: str) -> Delivery | None:
        """Make the next read of a delivery due now, even if the delivery is final."""

        def decide(delivery: Delivery, now: datetime) -> Change | None:
            attempt = delivery.active or delivery.step_attempt or next(reversed(delivery.attempts), None)
            return lifecycle.schedule_read_now(delivery, self.terms, now, attempt.id) if attempt else None

        return self._apply(delivery_id, decide)

    def decide_offer(self, delivery_id: str, decision: OfferDecision) -> Delivery | None:
        """Accept or deny the pickup time that a carrier offers."""
        return self._apply(delivery_id, lambda each, now: lifecycle.decide_offer(each, decision, self.terms, now))

    def retry_blocker(self, delivery: Delivery) -> str | None:
        """Return why a delivery cannot be retried, and what to do instead; None if the delivery can be retried."""
        return lifecycle.retry_blocker(delivery, self.clock())

    def retry(self, delivery_id: str) -> Delivery | None:
        """Retry a delivery: request a courier again now."""
        return self._apply(delivery_id, lambda each, now: lifecycle.retry(each, self.terms, now))

    def resolve(self, delivery_id: str, ref: str | None) -> Delivery | None:
        """Settle an unknown outcome: the carrier has the order under the id `ref`, or no order if `ref` is None."""
        return self._apply(delivery_id, lambda each, now: lifecycle.resolve_unknown_outcome(each, ref, self.terms, now))

    def resolve_attention(self, delivery_id: str) -> Delivery | None:
        """Clear a delivery's attention reasons, because an operator has dealt with them."""
        return self._apply(delivery_id, lambda each, now: lifecycle.resolve_attention(each, self.terms, now))

    def map_status(self, account: str, carrier_status: str, status: DeliveryStatus) -> list[Change]:
        """Map a carrier status to one of ours, and apply the mapping to the deliveries with this carrier status."""
        now = self.clock()
        decide = partial(
            lifecycle.reapply_mappings, carrier=account, mappings={carrier_status: status}, terms=self.terms, now=now
        )
        changes = self.updates.database.persist(_map_status, account, carrier_status, status, now, decide)
        self.updates.follow_up(changes, now)
        return changes

    def _apply(self, delivery_id: str, decide: Callable[[Delivery, datetime], Change | None]) -> Delivery | None:
        """Apply a decision, and enqueue the steps that the decision makes due now."""
        now = self.clock()
        changes = self.updates.apply_once(delivery_id, lambda each: decide(each, now), now)
        return changes[0].delivery if changes else None


def _map_status(
    connection: Connection, account: str, carrier_status: str, status: DeliveryStatus, now: datetime, decide: Decision
) -> list[Change]:
    ids = accounts.put_mapping(connection, account, carrier_status, status, now)
    return deliveries.update(connection, ids, decide)
