"""The builder of a change, which all decisions of the lifecycle use."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal

from schemas.events import DeliveryEvent, EventType, RawWord
from schemas.platform_status import TO_PLATFORM
from schemas.status import AttentionReason, CancelledBy, Cause, DeliveryStatus, Evidence, Reason
from worker.domain.carrier_terms import TermsByAccount
from worker.domain.delivery import Attempt, Change, Delivery, Event, PassedOver, replace
from worker.domain.planner import alarms, plan

UNKNOWN_OUTCOME_REASONS = frozenset(
    {AttentionReason.OUTCOME_UNKNOWN, AttentionReason.DUPLICATE_AT_CARRIER, AttentionReason.OFFER_WAITS}
)
"""Attention reasons that apply only while the outcome of a create or an offer is open."""
CARRIER_ORDER_REASONS = UNKNOWN_OUTCOME_REASONS | {
    AttentionReason.ORDER_CHANGED_AFTER_DISPATCH,
    AttentionReason.REFERENCE_MISSING,
    AttentionReason.CANCEL_REFUSED,
}
"""Attention reasons that apply only while the carrier has, or may have, an order for the delivery."""


@dataclass(frozen=True)
class StatusDetails:
    """The details of a status. A new status replaces all of them."""

    detail: str | None = None
    reason: Reason | None = None
    reason_text: str | None = None
    cancelled_by: CancelledBy | None = None
    evidence: Evidence = Evidence.OBSERVED
    raw: RawWord | None = None


NO_DETAILS = StatusDetails()


READ_CAUSES = frozenset({Cause.POLL, Cause.RECONCILE})
"""The causes of changes that come from our own reads and look-ups."""


class _Keep(Enum):
    KEEP = "keep"


KEEP = _Keep.KEEP
"""A default for arguments of `add_event`: the event keeps the delivery's own value. None means an empty field."""


class ChangeBuilder:
    """A change under construction: the delivery as changed so far, and the events to publish."""

    def __init__(
        self, delivery: Delivery, terms: TermsByAccount, now: datetime, cause: Cause, heard: datetime | None = None
    ) -> None:
        self.delivery, self.terms, self.now, self.cause = delivery, terms, now, cause
        self.heard = heard or now
        """When the read began or the callback arrived that caused this change. For any other change, `now`."""
        self.events: list[Event] = []
        self.passed_over: list[PassedOver] = []

    def is_outdated(self, attempt: Attempt) -> bool:
        """Return whether the read behind this change began before the newest report about the attempt arrived."""
        if self.cause not in READ_CAUSES or attempt.last_report_at is None:
            return False
        return self.heard < attempt.last_report_at <= self.now  # an arrival after now means that the clock was set back

    def update(self, delivery: Delivery) -> None:
        """Replace the delivery."""
        self.delivery = delivery

    def update_attempt(self, attempt: Attempt) -> Attempt:
        """Replace the attempt with the same id, or add this attempt if there is none. Return this attempt."""
        self.delivery = self.delivery.with_attempt(attempt)
        return attempt

    def prompt_read(self, attempt: Attempt) -> None:
        """Request an immediate read of an attempt, because only a read shows the attempt's present state."""
        self.update_attempt(replace(self.latest(attempt), prompted_at=self.now))

    def latest(self, attempt: Attempt) -> Attempt:
        """Return the attempt with all updates of this change so far."""
        return self.delivery.attempt(attempt.id) or attempt

    def reset_failures(self) -> None:
        """Reset the count of failures and remove the delay of the main step."""
        self.update(replace(self.delivery, failures=0, retry_at=None))

    def cancel_retry(self) -> None:
        """Remove the delay of the main step."""
        self.update(replace(self.delivery, retry_at=None))

    def clear_courier(self) -> None:
        """Clear the data of the last courier, because another courier is requested."""
        self.update(
            replace(self.delivery, courier=None, tracking_url=None, pickup_eta=None, dropoff_eta=None, price=None)
        )

    def add_event(
        self,
        kind: EventType,
        attempt: Attempt | None = None,
        *,
        reason: Reason | Literal[_Keep.KEEP] | None = KEEP,
        reason_text: str | Literal[_Keep.KEEP] | None = KEEP,
        raw: RawWord | Literal[_Keep.KEEP] | None = KEEP,
    ) -> None:
        """Add an event with a snapshot of the delivery, in which the given values replace the delivery's own values."""
        given = {"reason": reason, "reason_text": reason_text, "raw": raw}
        self._add_event(kind, attempt, {name: value for name, value in given.items() if value is not KEEP})

    def add_end_of_attempt(self, attempt: Attempt, details: StatusDetails) -> None:
        """Add the event of an attempt's end. In its snapshot, the given details replace the delivery's own details."""
        given = {
            "detail": details.detail,
            "reason": details.reason,
            "reason_text": details.reason_text,
            "cancelled_by": details.cancelled_by,
            "evidence": details.evidence,
            "raw": details.raw,
        }
        self._add_event(EventType.ATTEMPT_ENDED, attempt, given)

    def _add_event(self, kind: EventType, attempt: Attempt | None, given: dict[str, Any]) -> None:
        at = max(self.now, self.delivery.last_event_at or self.now)  # another host's clock may be slightly ahead
        self.update(replace(self.delivery, sequence=self.delivery.sequence + 1, last_event_at=at))
        data = snapshot(self.delivery, attempt or self.delivery.active, self.cause, at)
        data = data.model_copy(update=given) if given else data
        self.events.append(Event(kind, self.delivery.sequence, at, data))

    def set_status(
        self, status: DeliveryStatus, attempt: Attempt | None = None, details: StatusDetails = NO_DETAILS
    ) -> None:
        """Set and publish the delivery's status. If status and detail are the same as before, change nothing."""
        before = self.delivery
        same = status == before.status and before.sequence > 0
        if same and details.detail == before.detail:
            return
        previous = before.previous_status if same else before.status
        self.put_status(status, previous if before.sequence else None, details)
        self.add_event(EventType.UPDATED if same else EventType.STATUS_CHANGED, attempt)

    def put_status(self, status: DeliveryStatus, previous: DeliveryStatus | None, details: StatusDetails) -> None:
        """Set the delivery's status and its details without an event."""
        self.update(
            replace(
                self.delivery,
                status=status,
                previous_status=previous,
                changed_at=self.now,
                detail=details.detail,
                reason=details.reason,
                reason_text=details.reason_text,
                cancelled_by=details.cancelled_by,
                evidence=details.evidence,
                raw=details.raw,
            )
        )

    def cancel_as_requested(self, attempt: Attempt | None = None, details: StatusDetails = NO_DETAILS) -> None:
        """End the delivery as cancelled by the party that requested the cancel."""
        request = self.delivery.cancel_request
        assert request is not None  # noqa: S101 - the caller's branch
        self.set_status(DeliveryStatus.CANCELLED, attempt, replace(details, cancelled_by=request.canceller))

    def request_attention(self, reason: AttentionReason, attempt: Attempt | None = None) -> None:
        """Add an attention reason and publish the reason. If the delivery already has this reason, change nothing."""
        known = self.delivery.attention_reasons
        if reason not in known:
            self.update(replace(self.delivery, attention_reasons=(*known, reason)))
            self.add_event(EventType.ATTENTION_REQUIRED, attempt, reason_text=reason.value)

    def clear_attention(self, reasons: Container[AttentionReason]) -> None:
        """Remove these attention reasons."""
        left = tuple(reason for reason in self.delivery.attention_reasons if reason not in reasons)
        if left != self.delivery.attention_reasons:
            self.update(replace(self.delivery, attention_reasons=left))

    def clear_all_attention(self) -> None:
        """Remove every attention reason except `surplus_courier`, because a surplus courier may still be under way."""
        self.clear_attention(frozenset(AttentionReason) - {AttentionReason.SURPLUS_COURIER})

    def build(self, attempt_id: int | None = None) -> Change:
        """Plan the next step and the next alarm. `attempt_id` is the attempt for which a call begins, if any."""
        next_step = plan(self.delivery, self.terms, self.now)
        step, at, about = (next_step.step, next_step.at, next_step.attempt) if next_step else (None, None, None)
        alarm_at = next((due for due, _ in alarms(self.delivery)), None)
        known = self.delivery
        if (step, at, about, alarm_at) != (known.step, known.next_run_at, known.step_attempt_id, known.alarm_at):
            self.update(replace(known, step=step, next_run_at=at, step_attempt_id=about, alarm_at=alarm_at))
        return Change(self.delivery, tuple(self.events), attempt_id, tuple(self.passed_over))


def snapshot(delivery: Delivery, attempt: Attempt | None, cause: Cause, now: datetime) -> DeliveryEvent:
    """Return the event data of a delivery. These data contain nothing about the customer."""
    platform = TO_PLATFORM[delivery.status]
    return DeliveryEvent.model_construct(
        delivery_id=delivery.id,
        order_id=delivery.order.order_id,
        order_source=delivery.source,
        store_id=delivery.order.store_id,
        sequence=delivery.sequence,
        status=delivery.status,
        previous_status=delivery.previous_status,
        detail=delivery.detail,
        final=delivery.final,
        reason=delivery.reason,
        reason_text=delivery.reason_text,
        cancelled_by=delivery.cancelled_by,
        carrier=attempt.carrier if attempt else None,
        carrier_ref=attempt.ref if attempt else None,
        attempt=attempt.number if attempt else len(delivery.attempts),
        evidence=delivery.evidence,
        cause=cause,
        raw=delivery.raw,
        occurred_at=None,
        occurred_at_assumed_zone=None,
        observed_at=now,
        platform_status=None if platform is None else int(platform),
        tracking_url=delivery.tracking_url,
        courier=delivery.courier,
        pickup_eta=delivery.pickup_eta,
        dropoff_eta=delivery.dropoff_eta,
        price=delivery.price,
        proof=delivery.proof,
    )
