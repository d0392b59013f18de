"""A change in the making, and how it becomes events."""

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from schemas.events import DeliveryEvent, EventType
from schemas.status import TO_PLATFORM, CancelledBy, Cause, DeliveryStatus, Evidence
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.delivery import Attempt, Change, Delivery, Event
from worker.domain.planner import Alarm, plan

TermsByAccount = Mapping[str, CarrierTerms]
SURPLUS = "surplus_courier"
"""Asks for a person who stops a courier too many: we could not."""
OFFER_WAITS = "offer_waits"
"""Asks for a person who rules on an offered pickup."""
DISPUTED = "duplicate_at_carrier"
"""Asks for a person who finds out which order its carrier has already (B-31)."""
OPEN_QUESTIONS = frozenset({Alarm.OUTCOME_UNKNOWN.value, DISPUTED, OFFER_WAITS})
"""What is asked for only while nobody knows what becomes of an attempt."""
CHANGED = "order_changed_after_dispatch"
"""Asks for a person who tells the carrier what we could not."""
REFERENCE = "reference_missing"
"""Asks for a person who finds out under which id the carrier has an order."""
UNTIL_ITS_END = OPEN_QUESTIONS | {CHANGED, REFERENCE}
"""What is asked for only while an order may stand at the carrier: whoever is asked next is told what is true then."""


class ChangeBuilder:
    """A change in the making: the delivery so far, and the events so far."""

    def __init__(self, delivery: Delivery, rules: TermsByAccount, now: datetime, cause: Cause) -> None:
        self.delivery, self.rules, self.now, self.cause = delivery, rules, now, cause
        self.events: list[Event] = []

    def update(self, **changes: Any) -> None:
        """Change the delivery."""
        self.delivery = replace(self.delivery, **changes)

    def update_attempt(self, attempt: Attempt, **changes: Any) -> Attempt:
        """Change one of its attempts; return it as it is then."""
        changed = replace(attempt, **changes)
        self.delivery = self.delivery.with_attempt(changed)
        return changed

    def add_event(self, kind: EventType, attempt: Attempt | None = None, **said: Any) -> None:
        """Add an event to the delivery's sequence: a snapshot of it, with what is `said` laid over."""
        self.update(sequence=self.delivery.sequence + 1)
        data = snapshot(self.delivery, attempt or self.delivery.active, self.cause, self.now)
        data = data.model_copy(update=said) if said else data
        self.events.append(Event(kind, self.delivery.sequence, self.now, data))

    def set_status(self, status: DeliveryStatus, attempt: Attempt | None = None, **described: Any) -> None:
        """Make `status` the delivery's, with its description, and tell; the same again is not news."""
        before = self.delivery
        blank = {"detail": None, "reason": None, "reason_text": None, "cancelled_by": None}
        described = {**blank, "evidence": Evidence.OBSERVED, "raw": None, **described}
        same = status == before.status and before.sequence > 0
        if same and described["detail"] == before.detail:
            return
        previous = before.previous_status if same else before.status
        described["previous_status"] = previous if before.sequence else None
        self.update(status=status, changed_at=self.now, **described)
        self.add_event(EventType.UPDATED if same else EventType.STATUS_CHANGED, attempt)

    def cancel_as_requested(self, attempt: Attempt | None = None, **described: Any) -> None:
        """End the delivery as cancelled by whoever wished it."""
        wish = self.delivery.cancel_request
        assert wish is not None  # noqa: S101 - the caller's branch
        self.set_status(
            DeliveryStatus.CANCELLED, attempt, **{**described, "cancelled_by": CancelledBy(wish.cancelled_by)}
        )

    def request_attention(self, word: str, attempt: Attempt | None = None) -> None:
        """Ask for a person, once for each word."""
        if word not in self.delivery.asks:
            self.update(attention=", ".join([*self.delivery.asks, word]))
            self.add_event(EventType.ATTENTION_REQUIRED, attempt, reason_text=word)

    def clear_attention(self, words: Container[str]) -> None:
        """Ask no more for a person about these."""
        left = ", ".join(word for word in self.delivery.asks if word not in words) or None
        if left != self.delivery.attention:
            self.update(attention=left)

    def clear_all_attention(self) -> None:
        """Ask no more for a person, unless it is about a courier too many: whatever happens here, that one lives."""
        self.clear_attention([word for word in self.delivery.asks if word != SURPLUS])

    def build(self) -> Change:
        """Plan the next step and give the change."""
        turn = plan(self.delivery, self.rules, self.now)
        planned = (turn.step, turn.at, turn.attempt) if turn else (None, None, None)
        if planned != (self.delivery.step, self.delivery.next_run_at, self.delivery.step_attempt_id):
            self.update(**dict(zip(("step", "next_run_at", "step_attempt_id"), planned, strict=True)))
        return Change(self.delivery, tuple(self.events))


def snapshot(delivery: Delivery, attempt: Attempt | None, cause: Cause, now: datetime) -> DeliveryEvent:
    """Describe a delivery as an event does. Nothing of the customer is in it."""
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
