"""The state of one delivery and of its attempts, as the pure rooms see it.

Frozen: a change is a new value, and only `lifecycle` makes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from schemas.events import CourierInfo, DeliveryEvent, EventType, PriceInfo, ProofInfo, RawWord
from schemas.messages import Cancellation
from schemas.order import Order
from schemas.status import FINAL, RANK, CancelledBy, DeliveryStatus, Evidence, Reason
from schemas.stores import Store

SUBMITTING = "submitting"
"""An attempt whose intent is committed and whose create may be in flight; never published."""
NEVER_CREATED = "never created"
"""Why an attempt was written off: its create was in doubt, and proof or a person said that nothing stands there."""


class Step(StrEnum):
    """What is to be done next for a delivery; each but those in `INDOORS` is a task of its own."""

    ROUTE = "route"
    BOOK = "book"
    RECONCILE = "reconcile"
    CONFIRM = "confirm"
    TRACK = "track"
    AMEND = "amend"
    CANCEL = "cancel"
    ALARM = "alarm"


LOCAL_STEPS = frozenset({Step.ROUTE, Step.ALARM})
"""Steps that need no carrier: the sweep takes them itself."""


class OfferDecision(StrEnum):
    """The word on an offer: ours where it suits, otherwise a person's."""

    ACCEPT = "accept"
    DENY = "deny"


class UnmappedStatus(RawWord):
    """A carrier's word without a meaning, and when the carrier said it (`stamp`, as far as it tells)."""

    carrier_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One carrier create and what became of it.

    `state` is a status or `submitting`. `token` is the secret in its callback address. `lookups` counts what a
    look-up did not find. `doubted_at` is when an answer to an offer left open which way it went. `parked` waits for a
    person. `surplus` marks a courier beyond the one that is followed. Nothing is done about it before `wait_until`.

    `cancel_asked_at` is when the carrier was last asked to cancel, `cancel_asks` how often, `cancel_taken` that it
    said yes; `cancel_checks` counts reads since. `contrary` is what a poll saw against the state held, first at
    `contrary_at` (None once a person was told). `tail_reads` counts reads after its end.

    `ruling` is the word on its offer. `told` is the fingerprint of the order as its carrier knows it, empty while
    nobody knows which that is, and `amending` that of a change whose answer is still out; `amend_asks` counts how often
    that was asked, `amend_refused` that it cannot be had. `unread` is its last word while nobody said what it means.
    """

    id: int
    delivery_id: str
    number: int
    carrier: str
    state: str
    token: str
    pickup_at: datetime
    submitted_at: datetime
    changed_at: datetime
    ref: str | None = None
    codec_state: Mapping[str, str] = field(default_factory=dict)
    rank: int = 0
    resume_to: str | None = None
    carrier_time: datetime | None = None
    offered_at: datetime | None = None
    lookups: int = 0
    cancel_requested_at: datetime | None = None
    cancel_checks: int = 0
    cancel_refused: bool = False
    offer_unclear_since: datetime | None = None
    awaiting_operator: bool = False
    surplus: bool = False
    ended_at: datetime | None = None
    reason: Reason | None = None
    reason_text: str | None = None
    reported_anomalies: str | None = None
    last_error: str | None = None
    journal_file: str | None = None
    cancel_accepted: bool = False
    cancel_requests: int = 0
    contradicting_status: str | None = None
    contradicted_at: datetime | None = None
    follow_up_reads: int = 0
    wait_until: datetime | None = None
    offer_decision: str | None = None
    sent_fingerprint: str | None = None
    pending_fingerprint: str | None = None
    amend_requests: int = 0
    amend_refused: bool = False
    unmapped_status: UnmappedStatus | None = None

    @property
    def live(self) -> bool:
        """Whether a courier may come of it. One that was never sent is `queued` again and waits for its retry."""
        return self.ended_at is None and self.state != DeliveryStatus.QUEUED

    @property
    def cancel_requested(self) -> bool:
        """Whether its carrier was ever asked to cancel it."""
        return self.cancel_requested_at is not None or self.cancel_requests > 0

    @property
    def never_created(self) -> bool:
        """Whether it ended as one that was never created."""
        return self.state == DeliveryStatus.REJECTED and (self.reason, self.reason_text) == (None, NEVER_CREATED)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One platform order on its way to a customer.

    `step` is what to do next, not before `next_run_at`, and `turn` the attempt that it is about, None where there is
    none yet; all are None when there is nothing left to do. `carrier` is who is asked next or has it now. `cancel` is
    the wish to cancel, once somebody had it. Alarms up to `alarmed_at` have been given. `gate` is what the shop has yet
    to do before a courier is asked (`accepted`, `ready`), `carrier_since` when `carrier` became the one to ask or was
    first found not to be callable, and `located_at` when the courier's place was last told. Attempts up to the number
    `anew_after` keep no carrier from being asked: since then a person wished it all to be tried again.
    """

    id: str
    source: str
    order: Order
    store: Store | None
    fingerprint: str
    status: DeliveryStatus
    created_at: datetime
    changed_at: datetime
    sequence: int = 0
    carrier: str | None = None
    step: Step | None = None
    step_attempt_id: int | None = None
    next_run_at: datetime | None = None
    retry_at: datetime | None = None
    alarmed_at: datetime | None = None
    dispatch_at: datetime | None = None
    gate: str | None = None
    carrier_since: datetime | None = None
    located_at: datetime | None = None
    retried_after_attempt: int = 0
    failures: int = 0
    cancel_request: Cancellation | None = None
    attention: str | None = None
    previous_status: DeliveryStatus | None = None
    detail: str | None = None
    reason: Reason | None = None
    reason_text: str | None = None
    cancelled_by: CancelledBy | None = None
    evidence: Evidence = Evidence.OBSERVED
    raw: RawWord | None = None
    courier: CourierInfo | None = None
    tracking_url: str | None = None
    pickup_eta: datetime | None = None
    dropoff_eta: datetime | None = None
    price: PriceInfo | None = None
    proof: ProofInfo | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def active(self) -> Attempt | None:
        """The one attempt that a courier may come of."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.live and not attempt.surplus), None)

    @property
    def step_attempt(self) -> Attempt | None:
        """The attempt that the next step is about."""
        return self.active if self.step_attempt_id is None else self.attempt(self.step_attempt_id)

    @property
    def asks(self) -> list[str]:
        """What a person is asked for."""
        return self.attention.split(", ") if self.attention else []

    @property
    def step_carrier(self) -> str | None:
        """The carrier that the next step is for; None where it needs none."""
        if self.step in LOCAL_STEPS:
            return None
        return self.step_attempt.carrier if self.step_attempt else self.carrier

    @property
    def final(self) -> bool:
        """Whether its life has ended."""
        return self.status in FINAL

    @property
    def store_changed(self) -> bool:
        """Whether the order is another shop's by now than the one that its carriers were chosen for."""
        return self.store is not None and self.store.store_id != self.order.store_id

    def attempt(self, attempt_id: int) -> Attempt | None:
        """Find one of its attempts."""
        return next((attempt for attempt in self.attempts if attempt.id == attempt_id), None)

    def with_attempt(self, attempt: Attempt) -> "Delivery":
        """Put an attempt in the place of the one with its id, or at the end."""
        put = tuple(attempt if known.id == attempt.id else known for known in self.attempts)
        return replace(self, attempts=put if attempt in put else (*put, attempt))


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell the world, with its place in the delivery's sequence."""

    type: EventType
    sequence: int
    at: datetime
    data: DeliveryEvent


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """One event on its way to the bus: its place in the outbox, its key and sequence there, and the document."""

    position: int
    key: str
    sequence: int
    body: str


@dataclass(frozen=True, slots=True)
class Change:
    """A delivery as it is now and what there is to tell about it; both are stored in one transaction."""

    delivery: Delivery
    events: tuple[Event, ...] = ()
    attempt_id: int | None = None
    """The attempt whose call was begun, if one was."""
    passed_over: tuple["PassedOver", ...] = ()
    """The carriers that were not chosen."""

    @property
    def begun(self) -> Attempt | None:
        """The attempt whose call was begun."""
        return None if self.attempt_id is None else self.delivery.attempt(self.attempt_id)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A carrier that could not take an order, and why; it was not asked."""

    carrier: str
    reason: Reason
    text: str


def rank_of(status: str, resumed: int = 0) -> int:
    """Rank a status; one that has no rank of its own keeps `resumed`."""
    return RANK[DeliveryStatus(status)] if status in RANK else resumed
