"""Apply the decisions that only an operator may make."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from schemas.messages import Cancellation
from schemas.status import Cause, DeliveryStatus
from worker.clock import Clock
from worker.database import accounts, deliveries, operator_actions
from worker.database.connection import Connection
from worker.database.deliveries import Decision
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, OfferDecision
from worker.domain.lifecycle import TermsByAccount
from worker.domain.operator import Operator, OperatorAction
from worker.services.updates import Updates


@dataclass(frozen=True)
class Decisions:
    """Apply the decisions of an operator, and record them with the operator's name and reason.

    A method that returns a delivery returns the changed delivery, or None if there was nothing to do.
    """

    updates: Updates
    terms: TermsByAccount
    clock: Clock

    def cancel(self, delivery_id: str, request: Cancellation, by: Operator) -> Delivery | None:
        """Request the cancel of a delivery. If a carrier has the order, only the carrier can confirm the cancel."""

        def decide(delivery: Delivery, now: datetime) -> Change | None:
            return lifecycle.apply_cancel_request(delivery, request, self.terms, now, Cause.OPERATOR)

        return self._apply("cancel", delivery_id, by, decide, "--allow-paid" if request.allow_paid else None)

    def refresh(self, delivery_id: str, by: Operator) -> Delivery | None:
        """Make the next read of a delivery due now, even if the delivery is final."""

        def decide(delivery: Delivery, now: datetime) -> Change | None:
            attempt = delivery.active or delivery.step_attempt or next(reversed(delivery.attempts), None)
            return lifecycle.schedule_read_now(delivery, self.terms, now, attempt.id) if attempt else None

        return self._apply("refresh", delivery_id, by, decide)

    def decide_offer(self, delivery_id: str, decision: OfferDecision, by: Operator) -> Delivery | None:
        """Accept or deny the pickup time that a carrier offers."""

        def decide(delivery: Delivery, now: datetime) -> Change | None:
            return lifecycle.decide_offer(delivery, decision, self.terms, now)

        return self._apply(decision.value, delivery_id, by, decide)

    def retry_blocker(self, delivery: Delivery) -> str | None:
        """Return why a delivery cannot be retried, and what to do instead; None if the delivery can be retried."""
        return lifecycle.retry_blocker(delivery, self.clock())

    def retry(self, delivery_id: str, by: Operator) -> Delivery | None:
        """Retry a delivery: request a courier again now."""
        return self._apply("retry", delivery_id, by, lambda each, now: lifecycle.retry(each, self.terms, now))

    def resolve(self, delivery_id: str, ref: str | None, by: Operator) -> Delivery | None:
        """Settle an unknown outcome: the carrier has the order under the id `ref`, or no order if `ref` is None."""

        def decide(delivery: Delivery, now: datetime) -> Change | None:
            return lifecycle.resolve_unknown_outcome(delivery, ref, self.terms, now)

        return self._apply("resolve exists" if ref else "resolve absent", delivery_id, by, decide, ref)

    def resolve_attention(self, delivery_id: str, by: Operator) -> Delivery | None:
        """Clear a delivery's attention reasons, because an operator has dealt with them."""
        resolve = lifecycle.resolve_attention
        return self._apply("attended", delivery_id, by, lambda each, now: resolve(each, self.terms, now))

    def map_status(self, account: str, carrier_status: str, status: DeliveryStatus, by: Operator) -> list[Change]:
        """Map a carrier status to one of ours, and apply the mapping to the deliveries with this carrier status."""
        now = self.clock()
        decide = partial(
            lifecycle.reapply_mappings, carrier=account, mappings={carrier_status: status}, terms=self.terms, now=now
        )
        subject = f"{account} {carrier_status} {status}"
        action = OperatorAction(now, by.name, "carriers map", by.reason, subject=subject)
        changes = self.updates.database.persist(_map_status, account, carrier_status, status, action, decide)
        self.updates.follow_up(changes, now)
        return changes

    def _apply(
        self,
        name: str,
        delivery_id: str,
        by: Operator,
        decide: Callable[[Delivery, datetime], Change | None],
        subject: str | None = None,
    ) -> Delivery | None:
        """Apply and record a decision, and enqueue the steps that the decision makes due now."""
        now = self.clock()
        action = OperatorAction(now, by.name, name, by.reason, delivery_id, subject)

        def update_and_record(connection: Connection, ids: list[str], decide_once: Decision) -> list[Change]:
            changes = deliveries.update(connection, ids, decide_once)
            if changes:
                operator_actions.record(connection, action)
            return changes

        changes = self.updates.apply_once(delivery_id, lambda each: decide(each, now), now, update_and_record)
        return changes[0].delivery if changes else None


def _map_status(
    connection: Connection,
    account: str,
    carrier_status: str,
    status: DeliveryStatus,
    action: OperatorAction,
    decide: Decision,
) -> list[Change]:
    ids = accounts.put_mapping(connection, account, carrier_status, status, action.at)
    operator_actions.record(connection, action)
    return deliveries.update(connection, ids, decide)
