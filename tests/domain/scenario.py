"""The scenario of one delivery. Every change is checked against the invariants before it is applied.

The clock does not move until a test moves it, and the carriers' terms are those of their real codecs.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from schemas.messages import Cancellation
from schemas.order import Customer, Dropoff, Order, Payment, fingerprint
from schemas.status import FINAL, AttemptState, Cause, DeliveryStatus, Reason
from schemas.stores import Store
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import Booked, Capabilities, Observation, Offer, Raw
from worker.domain import lifecycle, planner
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.delivery import Attempt, Change, Delivery, Event, OfferDecision, PassedOver, Step
from worker.errors import CarrierError, Refused

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)

CAPABILITIES: dict[str, Capabilities] = {
    "cervo": Cervo(CervoAccount(name="cervo", kind="cervo", token="t"), {}).capabilities,
    "borzo": Borzo(BorzoAccount(name="borzo", kind="borzo", token="t"), {}).capabilities,
    "deliverit": DeliverIt(
        DeliverItAccount(name="deliverit", kind="deliverit", username="shop", password="p", company="7"), {}
    ).capabilities,
}
TERMS = {
    "cervo": CarrierTerms(CAPABILITIES["cervo"], deadline=45, callback_wait=180, poll_interval=20),
    "borzo": CarrierTerms(CAPABILITIES["borzo"], deadline=45, callback_wait=120, poll_interval=60),
    "deliverit": CarrierTerms(CAPABILITIES["deliverit"], deadline=45, callback_wait=0, poll_interval=30),
}


def an_order(**changes: Any) -> Order:
    known = {
        "order_id": "2011",
        "store_id": "17",
        "customer": Customer(name="Testing customer", phone="+4566112244"),
        "dropoff": Dropoff(street="Nørregade 2", postal_code="5000", city="Odense C", country="DK"),
        "payment": Payment(prepaid=True, amount=Decimal("125.00"), currency="DKK"),
    }
    return Order.model_validate(known | changes)


def a_store(*carriers: str, **changes: Any) -> Store:
    return Store(
        store_id="17",
        name="Pizzeria Odense",
        phone="+4566112233",
        street="Vestergade 1",
        postal_code="5000",
        city="Odense C",
        country="DK",
        latitude=55.3957969,
        longitude=10.3912053,
        timezone="Europe/Copenhagen",
        carriers=carriers,
        **changes,
    )


def a_blank(order: Order, now: datetime = START) -> Delivery:
    return Delivery(
        id="d-2011",
        source="platform",
        order=order,
        store=None,
        fingerprint=fingerprint(order),
        status=DeliveryStatus.QUEUED,
        created_at=now,
        changed_at=now,
    )


def observed(status: str | None, code: str = "word", **details: Any) -> Observation:
    """Return an observation of this status; None is a word without a meaning."""
    return Observation(DeliveryStatus(status) if status else None, Raw("order", code), **details)


def line(event: Event) -> str:
    """Return an event as one line: sequence, type, statuses, details, attempt and cause."""
    data = event.data
    parts = [
        str(event.sequence),
        event.type.value.removeprefix("delivery."),
        f"{data.previous_status or '-'}>{data.status}",
        f"({data.detail})" if data.detail else "",
        data.reason or "",
        f"by {data.cancelled_by}" if data.cancelled_by else "",
        f"'{data.reason_text}'" if data.reason_text else "",
        f"at {data.carrier}#{data.attempt}" if data.carrier else "",
        f"[{data.cause}]",
    ]
    return " ".join(part for part in parts if part)


class DeliveryScenario:
    """One delivery, its clock and all of its events."""

    def __init__(self, *carriers: str, **order: Any) -> None:
        self.terms = dict(TERMS)
        self.now = START
        self.store = a_store(*(carriers or ("borzo",)))
        self.order = an_order(**order)
        self.delivery = a_blank(self.order)
        self.events: list[Event] = []
        self.passed_over: list[PassedOver] = []
        self.events_seen = 0
        self.last_attempt_id = 0

    # --- what has happened ---

    def new_events(self) -> list[str]:
        """Return the events since the last call, a line for each."""
        new, self.events_seen = self.events[self.events_seen :], len(self.events)
        return [line(event) for event in new]

    @property
    def attempt(self) -> Attempt:
        return self.delivery.active or self.delivery.attempts[-1]

    @property
    def state(self) -> tuple[str, Step | None, str | None]:
        """The status, the next step of the main line, and the carrier."""
        step = None if self.delivery.final else planner.main_step(self.delivery, self.terms, self.now).step
        return self.delivery.status.value, step, self.delivery.carrier

    @property
    def next_step(self) -> tuple[Step | None, int | None]:
        """The next step of all, and the number of the attempt that it is about."""
        attempt = self.delivery.attempt(self.delivery.step_attempt_id or 0)
        return self.delivery.step, attempt.number if attempt else None

    def apply(self, change: Change | None) -> None:
        if change is None:
            return
        check(self.delivery, change, self.now)
        self.delivery = change.delivery
        self.events += change.events
        self.passed_over += change.passed_over

    # --- time ---

    @property
    def due_at(self) -> datetime | None:
        """When the next step or the next alarm is due, whichever is earlier."""
        return min(filter(None, (self.delivery.next_run_at, self.delivery.alarm_at)), default=None)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def wait_for(self, step: Step) -> timedelta:
        """Wait until this step of the main line is due; return how long that took.

        Reads of ended attempts that are due before show nothing new, and no alarm is given.
        """
        since = self.now
        self.wait_for_next_step()
        while (attempt := self.delivery.step_attempt) is not None and attempt.ended_at is not None:
            self.apply(lifecycle.record_missing(self.delivery, attempt.id, self.terms, self.now))
            self.wait_for_next_step()
        assert self.delivery.step is step
        return self.now - since

    def wait_for_next_step(self) -> None:
        assert self.delivery.next_run_at is not None
        self.now = max(self.now, self.delivery.next_run_at)

    def fire_alarms(self) -> None:
        """Wait for the next alarm and give it; the alarm after it is later, or given in vain for ever."""
        assert self.delivery.alarm_at is not None
        self.now = max(self.now, self.delivery.alarm_at)
        self.apply(lifecycle.fire_alarms(self.delivery, self.terms, self.now))
        assert self.delivery.alarm_at is None or self.delivery.alarm_at > self.now

    # --- the platform ---

    def place(self, cancellation: Cancellation | None = None) -> None:
        self.apply(lifecycle.accept_order(self.delivery, self.store, cancellation, self.terms, self.now))

    def receive_order(self, order: Order) -> bool:
        """Apply a message about the order; return whether it changed anything."""
        change = lifecycle.apply_order_message(self.delivery, order, fingerprint(order), self.terms, self.now)
        self.apply(change)
        return change is not None

    def change_order(self, **fields: Any) -> None:
        """Apply an update of the order with other content and the next revision."""
        update = {"revision": self.delivery.order.revision + 1, **fields}
        assert self.receive_order(self.delivery.order.model_copy(update=update))

    def request_cancel(self, **fields: Any) -> bool:
        """Apply a cancellation message; return whether it changed anything."""
        request = Cancellation(order_id=self.order.order_id, **fields)
        change = lifecycle.apply_cancel_request(self.delivery, request, self.terms, self.now, Cause.MESSAGE)
        self.apply(change)
        return change is not None

    # --- calls ---

    def begin_booking(self) -> None:
        """Wait until the create is due and record its intent."""
        self.wait_for(Step.BOOK)
        attempt_id = self.last_attempt_id + 1
        change = lifecycle.begin_booking(self.delivery, attempt_id, f"token-{attempt_id}", self.terms, self.now)
        assert change is not None
        assert change.begun is not None
        self.last_attempt_id = max(self.last_attempt_id, change.begun.id)
        self.apply(change)

    def answer_create(self, outcome: Booked | CarrierError, attempt: int | None = None) -> None:
        this = attempt or self.attempt.id
        self.apply(lifecycle.apply_create_outcome(self.delivery, this, outcome, self.terms, self.now))

    def book(self, outcome: Booked | CarrierError | None = None) -> None:
        """Create with this outcome; None is `created`."""
        self.begin_booking()
        self.answer_create(outcome or Booked(observed("created", ref="R-1")))

    def book_with_offer(self, minutes: float) -> None:
        """Create, and receive an offer that many minutes after the requested pickup."""
        self.begin_booking()
        asked = self.attempt.pickup_at
        offer = Offer(asked, asked + timedelta(minutes=minutes))
        self.answer_create(Booked(observed("awaiting_confirmation", ref="R-1"), offer))

    def begin_call(self, step: Step) -> None:
        """Wait until this step is due and record its intent."""
        self.wait_for(step)
        self.apply(lifecycle.begin_call(self.delivery, step, self.terms, self.now))

    def make_call(self, step: Step) -> None:
        """Wait until this step is due, make its call, and have its outcome: the test applies it next."""
        self.begin_call(step)
        closed = lifecycle.close_call(self.delivery, self.attempt)
        assert closed is not None
        self.delivery = closed

    def confirm(self, outcome: Observation | CarrierError) -> None:
        self.make_call(Step.CONFIRM)
        self.apply(lifecycle.apply_confirm_outcome(self.delivery, self.attempt.id, outcome, self.terms, self.now))

    def amend(self, outcome: Observation | CarrierError | None = None) -> None:
        self.make_call(Step.AMEND)
        self.apply(lifecycle.apply_amend_outcome(self.delivery, self.attempt.id, outcome, self.terms, self.now))

    def cancel(self, outcome: CarrierError | None = None) -> None:
        """Send the cancel request when it is due; None means that the carrier accepted it."""
        self.make_call(Step.CANCEL)
        self.apply(lifecycle.apply_cancel_outcome(self.delivery, self.attempt.id, outcome, self.terms, self.now))

    # --- reads ---

    def observe(
        self,
        *seen: Observation,
        cause: Cause = Cause.POLL,
        attempt: int | None = None,
        heard: datetime | None = None,
    ) -> None:
        """Apply what a read that began at `heard`, or a callback that arrived then, reports; the default is now."""
        this = attempt or self.attempt.id
        self.apply(lifecycle.apply_observations(self.delivery, this, seen, self.terms, self.now, cause, heard))

    def poll(self, *statuses: str) -> None:
        self.observe(*(observed(status) for status in statuses))

    def miss_lookup(self) -> timedelta:
        """Wait for the next look-up of an unknown outcome and find nothing; return how long the wait was."""
        waited = self.wait_for(Step.RECONCILE)
        attempt = self.attempt
        self.apply(lifecycle.record_not_found(self.delivery, attempt, self.terms, self.now))
        return waited

    def miss_callback(self) -> timedelta:
        """Wait for the next check of an outcome that cannot be looked up; return how long the wait was."""
        waited = self.wait_for(Step.RECONCILE)
        self.apply(lifecycle.no_lookup_available(self.delivery, self.terms, self.now))
        return waited

    # --- the operator ---

    def resolve(self, ref: str | None) -> None:
        self.apply(lifecycle.resolve_unknown_outcome(self.delivery, ref, self.terms, self.now))

    def decide_offer(self, decision: str) -> bool:
        """Decide on an offer; return whether one waited for that."""
        change = lifecycle.decide_offer(self.delivery, OfferDecision(decision), self.terms, self.now)
        self.apply(change)
        return change is not None

    def retry(self) -> bool:
        """Retry the delivery; return whether that was possible."""
        change = lifecycle.retry(self.delivery, self.terms, self.now)
        assert (change is None) == (lifecycle.retry_blocker(self.delivery, self.now) is not None)
        self.apply(change)
        return change is not None

    # --- settings ---

    def change_capabilities(self, carrier: str, **changes: Any) -> None:
        terms = self.terms[carrier]
        self.terms[carrier] = replace(terms, capabilities=replace(terms.capabilities, **changes))


def check(before: Delivery, change: Change, now: datetime) -> None:
    """Check the invariants of every change (I1, I9 and the sequence)."""
    after = change.delivery
    sequences = [event.sequence for event in change.events]
    assert sequences == list(range(before.sequence + 1, after.sequence + 1))
    assert [event.data.sequence for event in change.events] == sequences
    assert len([each for each in after.attempts if each.live and not each.surplus]) <= 1
    assert (after.step is None) == (after.next_run_at is None)
    assert after.step is not None or after.final
    if after.final:
        assert after.alarm_at is None
        assert after.step in {None, Step.TRACK, Step.RECONCILE, Step.CANCEL}
        assert after.step_attempt is None or after.step_attempt.surplus or after.step_attempt.ended_at is not None
    if before.final and not after.final:
        assert [event.type for event in change.events if event.type == "delivery.reopened"] == ["delivery.reopened"]
    if after.active is not None:
        state = after.active.state
        waiting = "submit_unknown" if after.active.resubmitted else "queued"
        assert after.status == (waiting if state == AttemptState.SUBMITTING else state)
    assert {event.data.final for event in change.events if event.data.status in FINAL} <= {True}
    for each in after.attempts:
        known = before.attempt(each.id)
        assert known is None or known.state == each.state or each.changed_at == now
    assert all(former < later for former, later in pairwise(each.number for each in after.attempts))


def refused(reason: Reason = Reason.VALIDATION, text: str = "") -> Refused:
    return Refused(reason, text)
