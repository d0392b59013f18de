"""The state of one delivery and of its attempts, and the change that a decision makes.

All values are frozen, so a change creates new values. Only `lifecycle` makes changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from schemas.events import CourierInfo, DeliveryEvent, EventType, PriceInfo, ProofInfo, RawWord
from schemas.messages import Cancellation
from schemas.order import ERASED, Order
from schemas.status import (
    FINAL,
    RANK,
    AttemptState,
    AttentionReason,
    CancelledBy,
    DeliveryStatus,
    Evidence,
    Reason,
)
from schemas.stores import Store
from schemas.trace import Trace

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - exported, and checked as what it stands for
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a copy of a value of this module with other values in some fields.

        `dataclasses.replace` does the same, but takes ten times as long, and one order needs more than 25 copies. Only
        for dataclasses without slots.
        """
        copy = object.__new__(type(value))
        copy.__dict__.update(value.__dict__, **changes)
        return copy


NEVER_CREATED = "never created"
"""The reason text of an attempt that ended because the carrier never created its order.

Before, the outcome of its create was unknown.
"""


class Step(StrEnum):
    """The kinds of work on a delivery. Every step has its own Celery task, except `ROUTE`, which the sweep runs."""

    ROUTE = "route"
    BOOK = "book"
    RECONCILE = "reconcile"
    CONFIRM = "confirm"
    TRACK = "track"
    AMEND = "amend"
    CANCEL = "cancel"


class Gate(StrEnum):
    """What the shop must have done before a courier is requested (O-20)."""

    PLACED = "placed"
    ACCEPTED = "accepted"
    READY = "ready"


class OfferDecision(StrEnum):
    """The answer to an offered pickup time."""

    ACCEPT = "accept"
    DENY = "deny"


class UnmappedStatus(RawWord):
    """A carrier status without a mapping, and the carrier's own time of the report if the carrier gave a time."""

    carrier_time: datetime | None = None


@dataclass(frozen=True)
class Attempt:
    """One create at a carrier and everything that followed from it."""

    id: int
    """A random positive number below 2**53, unique for ever. The carrier stores it as our reference.

    The id of an order that we did not create is a hash (`lifecycle.reopening.duplicate_id`).
    """
    delivery_id: str
    number: int
    """The attempt's number within its delivery. The first attempt has the number 1."""
    carrier: str
    """The name of the carrier account."""
    state: AttemptState
    token: str
    """The secret in the attempt's callback address."""
    pickup_at: datetime
    """When the courier should be at the store."""
    submitted_at: datetime
    """When the create was last sent."""
    changed_at: datetime
    """When `state` last changed."""
    ref: str | None = None
    """The carrier's id of the order."""
    codec_state: Mapping[str, str] = field(default_factory=dict)
    """Data that the codec stores about this attempt. Only the codec reads these data."""
    rank: int = 0
    """The highest rank (`schemas.status.RANK`) that the attempt has reached."""
    resume_to: AttemptState | None = None
    """The state that `on_hold` interrupted, if any. After the hold, the attempt may return to this state."""
    carrier_time: datetime | None = None
    """The time of the newest report, by the carrier's clock."""
    last_report_at: datetime | None = None
    """When the newest report arrived, by our clock. A read that began before this time is outdated."""
    shown_at: datetime | None = None
    """The start of the first read that showed the current `state`; None while no read has shown this state."""
    prompted_at: datetime | None = None
    """When a requested read is due; None when no read is requested.

    A read that began before this time does not fulfil the request.
    """
    offered_at: datetime | None = None
    """The pickup time that the carrier offers instead of `pickup_at`."""
    lookups: int = 0
    """The number of complete look-ups that did not find the attempt's order."""
    cancel_requested_at: datetime | None = None
    """When the carrier was last asked to cancel. None before the first request, and while another request is needed."""
    cancel_checks: int = 0
    """How many reads since the last cancel request have failed to confirm the cancel."""
    cancel_refused_at: datetime | None = None
    """When the cancel was refused; None while it is not."""
    offer_unclear_since: datetime | None = None
    """When the carrier refused our answer to its offer. From this time on, the outcome of the offer is unclear."""
    awaiting_operator: bool = False
    """Whether an operator has been asked to settle the unknown outcome."""
    surplus: bool = False
    """Whether the attempt is a surplus courier. The delivery does not follow a surplus attempt."""
    ended_at: datetime | None = None
    reason: Reason | None = None
    """Why the attempt ended or was refused."""
    reason_text: str | None = None
    reported_anomalies: tuple[str, ...] = ()
    """The unmapped statuses and backward steps that were already published for this attempt."""
    last_error: str | None = None
    journal_file: str | None = None
    """The journal file that contains the create, while the outcome of the create is not stored yet."""
    calls: int = 0
    """The number of creates, confirmations, amendments and cancels that were begun for this attempt."""
    call_open: bool = False
    """Whether the outcome of the newest call that `calls` counts is not stored yet."""
    resubmitted: bool = False
    """Whether the create was sent again under the same id, because the outcome of the first create was unknown."""
    cancel_accepted: bool = False
    """Whether the carrier accepted the cancel. A read still has to confirm the cancel."""
    cancel_requests: int = 0
    """How many times the carrier was asked to cancel."""
    contradicting_status: DeliveryStatus | None = None
    """A status that a read showed and that contradicts `state`. It counts only after a second read confirms it."""
    contradicted_at: datetime | None = None
    """When the read of `contradicting_status` was applied; None after a second read confirmed the contradiction."""
    follow_up_reads: int = 0
    """The number of planned follow-up reads made since the attempt ended."""
    wait_until: datetime | None = None
    """No step about this attempt is due before this time, except a requested read (`prompted_at`)."""
    offer_decision: OfferDecision | None = None
    sent_fingerprint: str | None = None
    """The fingerprint of the order as the carrier has it; None for an order that we did not create.

    From the start of an amendment until an amendment succeeds, this is an empty text. During this time, the carrier may
    have the old or the new version of the order.
    """
    pending_fingerprint: str | None = None
    """The fingerprint of the order in an amendment that is under way, is postponed or has an unknown outcome."""
    amend_requests: int = 0
    """How many times the carrier was asked for the pending amendment."""
    amend_refused: bool = False
    """Whether the newest change of the order cannot be sent to the carrier. An operator is then needed."""
    unmapped_status: UnmappedStatus | None = None
    """The carrier's last status if it has no mapping, otherwise None."""

    @property
    def live(self) -> bool:
        """Whether a courier may come because of this attempt.

        An attempt that was never sent is `queued` and brings no courier.
        """
        return self.ended_at is None and self.state != AttemptState.QUEUED

    @property
    def cancel_refused(self) -> bool:
        """Whether the cancel was refused, by the carrier or because the courier has the goods."""
        return self.cancel_refused_at is not None

    @property
    def cancel_requested(self) -> bool:
        """Whether the carrier was ever asked to cancel the attempt."""
        return self.cancel_requested_at is not None or self.cancel_requests > 0

    @property
    def never_created(self) -> bool:
        """Whether the attempt ended because the carrier never had an order for it."""
        return self.state == AttemptState.REJECTED and (self.reason, self.reason_text) == (None, NEVER_CREATED)


@dataclass(frozen=True)
class Delivery:
    """One platform order on its way to the customer."""

    id: str
    source: str
    """The platform that placed the order."""
    order: Order
    store: Store | None
    """The store for which the carriers were chosen; None while the order's store is unknown."""
    fingerprint: str
    """The fingerprint of `order`."""
    status: DeliveryStatus
    created_at: datetime
    changed_at: datetime
    """When `status` was last set, possibly to the same status with another detail."""
    sequence: int = 0
    """The number of the last event."""
    last_event_at: datetime | None = None
    """The time of the last event. The times of the events never decrease."""
    carrier: str | None = None
    """The carrier account that is asked next or has the order now."""
    step: Step | None = None
    """The next step; None when there is nothing left to do."""
    step_attempt_id: int | None = None
    """The id of the attempt that the next step is about; None when the step is about no attempt."""
    next_run_at: datetime | None = None
    """When the next step is due; None if and only if `step` is None."""
    retry_at: datetime | None = None
    """The main step (`planner.main_step`) is not due before this time. Other steps may be due earlier."""
    alarm_at: datetime | None = None
    """When the earliest alarm that has not been raised is due, whatever the next step is; None when there is none."""
    alarmed_at: datetime | None = None
    """Every alarm whose due time is not later than this time has been raised."""
    dispatch_at: datetime | None = None
    """The earliest time to request a courier; None before the first routing with a known store."""
    trace: Trace | None = None
    """The trace of the message that placed the order."""
    gate: Gate | None = None
    """The closed gate at which the order waits; None when the order waits at no gate."""
    carrier_since: datetime | None = None
    """The start of the wait for a failover.

    This is the time of the first failure at `carrier`. Before any failure, it is the time when `carrier` was chosen.
    """
    located_at: datetime | None = None
    """When the courier's position was last published."""
    retried_after_attempt: int = 0
    """The number of the last attempt before the last retry by an operator; 0 without a retry.

    A carrier that refused this attempt or an earlier attempt may be asked again.
    """
    failures: int = 0
    """The number of failed calls in a row."""
    cancel_request: Cancellation | None = None
    attention_reasons: tuple[AttentionReason, ...] = ()
    """Why an operator is needed, the oldest reason first."""
    previous_status: DeliveryStatus | None = None
    detail: str | None = None
    """A `schemas.status.Detail`, or another detail from a codec."""
    reason: Reason | None = None
    reason_text: str | None = None
    cancelled_by: CancelledBy | None = None
    evidence: Evidence = Evidence.OBSERVED
    raw: RawWord | None = None
    """The carrier's own status from which `status` was derived."""
    courier: CourierInfo | None = None
    tracking_url: str | None = None
    pickup_eta: datetime | None = None
    dropoff_eta: datetime | None = None
    price: PriceInfo | None = None
    proof: ProofInfo | None = None
    attempts: tuple[Attempt, ...] = ()
    """The attempts in the order of their numbers."""
    version: int = field(default=0, compare=False)
    """The stored version of the delivery. Every change of its row, its order or its attempts stores another version."""

    @property
    def active(self) -> Attempt | None:
        """The attempt that the delivery follows; None when there is none. A surplus attempt is never active."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.live and not attempt.surplus), None)

    @property
    def step_attempt(self) -> Attempt | None:
        """The attempt with the id `step_attempt_id`. If this id is None, the active attempt."""
        return self.active if self.step_attempt_id is None else self.attempt(self.step_attempt_id)

    @property
    def attention(self) -> str | None:
        """The attention reasons, separated by commas; None when there are none."""
        return ", ".join(self.attention_reasons) or None

    @property
    def step_carrier(self) -> str | None:
        """The carrier account that the next step calls; None when the step calls no carrier."""
        if self.step is None or self.step is Step.ROUTE:
            return None
        return self.step_attempt.carrier if self.step_attempt else self.carrier

    @property
    def may_give_way(self) -> bool:
        """Whether another step than the next one may be due, or the next step may be about a surplus courier."""
        if any(attempt.surplus for attempt in self.attempts):
            return True
        ended = sum(attempt.ended_at is not None for attempt in self.attempts)
        return ended > (1 if self.final else 0)

    @property
    def final(self) -> bool:
        """Whether the delivery has ended: its status is final."""
        return self.status in FINAL

    @property
    def is_erased(self) -> bool:
        """Whether the personal data were erased."""
        return self.order.customer == ERASED

    @property
    def erasable_since(self) -> datetime | None:
        """When the delivery ended, while its personal data are stored; None before the end and after the erasure."""
        return self.changed_at if self.final and not self.is_erased else None

    @property
    def store_changed(self) -> bool:
        """Whether the order has moved to another store since its carriers were chosen."""
        return self.store is not None and self.store.store_id != self.order.store_id

    def attempt(self, attempt_id: int) -> Attempt | None:
        """Return the attempt with this id; None when there is none."""
        return next((attempt for attempt in self.attempts if attempt.id == attempt_id), None)

    def with_attempt(self, attempt: Attempt) -> "Delivery":
        """Return the delivery with this attempt in place of the one with the same id, or added as the last one."""
        attempts = tuple(attempt if known.id == attempt.id else known for known in self.attempts)
        return replace(self, attempts=attempts if attempt in attempts else (*attempts, attempt))


@dataclass(frozen=True)
class Event:
    """An event to publish. `sequence` numbers the events of one delivery."""

    type: EventType
    sequence: int
    at: datetime
    data: DeliveryEvent


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """A stored event to publish.

    `position` orders all events of the outbox. `key` identifies what the event is about, usually a delivery. `sequence`
    numbers the events with the same key. `body` is a JSON document.
    """

    position: int
    key: str
    sequence: int
    body: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A carrier that routing did not choose, because the carrier cannot take the order."""

    carrier: str
    reason: Reason
    text: str
    """The text of the refusal, or the name of its reason if the refusal has no text."""


@dataclass(frozen=True)
class Change:
    """The result of a decision: the changed delivery and the new events. One transaction stores both."""

    delivery: Delivery
    events: tuple[Event, ...] = ()
    attempt_id: int | None = None
    """The id of the attempt whose create, confirmation, amendment or cancel begins; None when no call begins."""
    passed_over: tuple[PassedOver, ...] = ()
    """The carriers that routing did not choose. They are logged after the change is stored."""

    @property
    def begun(self) -> Attempt | None:
        """The attempt whose call begins with this change; None when no call begins."""
        return None if self.attempt_id is None else self.delivery.attempt(self.attempt_id)


def rank_of(status: DeliveryStatus, resumed: int = 0) -> int:
    """Return the rank of a status. For a status without a rank, such as `on_hold`, return `resumed`."""
    return RANK.get(status, resumed)
