"""A delivery's life, lived by hand: every change is checked against the invariants before it is taken.

The clock stands still until a test moves it, and the carriers' terms are those of their real codecs.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from schemas.messages import Cancellation
from schemas.order import Customer, Dropoff, Order, Payment, fingerprint
from schemas.status import FINAL, Cause, DeliveryStatus, Reason
from schemas.stores import Store
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.cervo import Cervo, CervoAccount
from worker.carriers.deliverit import DeliverIt, DeliverItAccount
from worker.carriers.port import Booked, Capabilities, Observation, Offer, Raw
from worker.domain import lifecycle, planner
from worker.domain.carrier_terms import CarrierTerms
from worker.domain.delivery import SUBMITTING, Attempt, Change, Delivery, Event, OfferDecision, Step
from worker.errors import CarrierError, Refused

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)

CAPABILITIES: dict[str, Capabilities] = {
    "cervo": Cervo(CervoAccount(name="cervo", kind="cervo", token="t"), {}).capabilities,
    "borzo": Borzo(BorzoAccount(name="borzo", kind="borzo", token="t"), {}).capabilities,
    "deliverit": DeliverIt(
        DeliverItAccount(name="deliverit", kind="deliverit", username="shop", password="p", company="7"), {}
    ).capabilities,
}
RULES = {
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


def news(status: str | None, code: str = "word", **said: Any) -> Observation:
    """Say what a carrier says; None is a word that nobody knows."""
    return Observation(DeliveryStatus(status) if status else None, Raw("order", code), **said)


def line(event: Event) -> str:
    """Write an event as one line: place, type, the status before and now, its description, and the cause."""
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
    """One delivery, its clock and everything that was told of it."""

    def __init__(self, *carriers: str, **order: Any) -> None:
        self.rules = dict(RULES)
        self.now = START
        self.store = a_store(*(carriers or ("borzo",)))
        self.order = an_order(**order)
        self.delivery = a_blank(self.order)
        self.events: list[Event] = []
        self.read = 0
        self.drawn = 0

    # --- what happened ---

    def lines(self) -> list[str]:
        """Give the events told since the last time this was asked."""
        told, self.read = self.events[self.read :], len(self.events)
        return [line(event) for event in told]

    @property
    def attempt(self) -> Attempt:
        return self.delivery.active or self.delivery.attempts[-1]

    @property
    def state(self) -> tuple[str, str | None, str | None]:
        """Give the status, the next step of its own line and the carrier: where the delivery stands."""
        final = self.delivery.final
        step = None if final else planner._main(self.delivery, self.rules, self.now).step
        return self.delivery.status.value, step, self.delivery.carrier

    @property
    def turn(self) -> tuple[Step | None, int | None]:
        """Give the next step of all, and the number of the attempt that it is about."""
        on_turn = (
            self.delivery.attempt(self.delivery.step_attempt_id) if self.delivery.step_attempt_id is not None else None
        )
        return self.delivery.step, on_turn.number if on_turn else None

    def take(self, change: Change | None) -> None:
        if change is None:
            return
        check(self.delivery, change)
        self.delivery = change.delivery
        self.events += change.events

    # --- what happens ---

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def reach(self, step: Step) -> timedelta:
        """Wait until this step of its own line is due; tell how long that was.

        Alarms on the way are given, and what is read of attempts that have ended shows nothing new.
        """
        since = self.now
        while self.passes_by(step):
            pass
        assert (self.delivery.step, self.delivery.next_run_at is not None) == (step, True)
        self.reach_turn()
        return self.now - since

    def reach_turn(self) -> None:
        """Wait until the next step of all is due."""
        assert self.delivery.next_run_at is not None
        self.now = max(self.now, self.delivery.next_run_at)

    def passes_by(self, step: Step) -> bool:
        """Take the next step when it is none of its own line's; tell whether it was."""
        on_turn = (
            self.delivery.attempt(self.delivery.step_attempt_id) if self.delivery.step_attempt_id is not None else None
        )
        if self.delivery.step is Step.ALARM and step is not Step.ALARM:
            self.ring()
        elif on_turn is not None and on_turn.ended_at is not None:
            self.reach_turn()
            self.take(lifecycle.record_missing(self.delivery, on_turn.id, self.rules, self.now))
        else:
            return False
        return True

    def ring(self) -> None:
        """Let an alarm's hour strike."""
        assert self.delivery.step is Step.ALARM
        self.reach_turn()
        self.take(lifecycle.fire_alarms(self.delivery, self.rules, self.now))

    def place(self, wish: Cancellation | None = None) -> None:
        self.take(lifecycle.accept_order(self.delivery, self.store, wish, self.rules, self.now))

    def begin(self) -> None:
        """Write down the intent to create when that is due."""
        self.reach(Step.BOOK)
        self.drawn += 1
        change = lifecycle.begin_booking(self.delivery, self.drawn, f"token-{self.drawn}", self.rules, self.now)
        assert change is not None
        self.take(change)

    def answer(self, outcome: Booked | CarrierError, attempt: int | None = None) -> None:
        """Let the create be answered."""
        self.take(
            lifecycle.apply_create_outcome(self.delivery, attempt or self.attempt.id, outcome, self.rules, self.now)
        )

    def book(self, outcome: Booked | CarrierError | None = None) -> None:
        """Create, as `created` when no other outcome is given."""
        self.begin()
        self.answer(outcome or Booked(news("created", ref="R-1")))

    def offered(self, minutes: float) -> None:
        """Create, and be offered a pickup that many minutes later than the one asked for."""
        self.begin()
        asked = self.attempt.pickup_at
        offer = Offer(asked, asked + timedelta(minutes=minutes))
        self.answer(Booked(news("awaiting_confirmation", ref="R-1"), offer))

    def see(self, *seen: Observation, cause: Cause = Cause.POLL, attempt: int | None = None) -> None:
        this = attempt or self.attempt.id
        self.take(lifecycle.apply_observations(self.delivery, this, seen, self.rules, self.now, cause))

    def poll(self, *statuses: str) -> None:
        self.see(*(news(status) for status in statuses))

    def call(self, step: Step) -> None:
        """Write down the intent to confirm, amend or cancel when that is due."""
        self.reach(step)
        self.take(lifecycle.begin_call(self.delivery, step, self.rules, self.now))

    def confirm(self, outcome: Observation | CarrierError) -> None:
        self.call(Step.CONFIRM)
        self.take(lifecycle.apply_confirm_outcome(self.delivery, self.attempt.id, outcome, self.rules, self.now))

    def ask_cancel(self, **wish: Any) -> bool:
        """Wish for a cancel; tell whether that was anything new."""
        wished = Cancellation(order_id=self.order.order_id, **wish)
        change = lifecycle.apply_cancel_request(self.delivery, wished, self.rules, self.now, Cause.MESSAGE)
        self.take(change)
        return change is not None

    def cancel(self, outcome: CarrierError | None = None) -> None:
        """Ask the carrier when that is due, and be answered; no outcome means that it took the cancel."""
        self.call(Step.CANCEL)
        self.take(lifecycle.apply_cancel_outcome(self.delivery, self.attempt.id, outcome, self.rules, self.now))

    def look_up(self) -> timedelta:
        """Look a doubtful create up when that is due, and find nothing; tell how long after the last step that was."""
        waited = self.reach(Step.RECONCILE)
        self.take(
            lifecycle.record_not_found(self.delivery, self.attempt.id, self.attempt.lookups, self.rules, self.now)
        )
        return waited

    def unfindable(self) -> timedelta:
        waited = self.reach(Step.RECONCILE)
        self.take(lifecycle.no_lookup_available(self.delivery, self.rules, self.now))
        return waited

    def resolve(self, ref: str | None) -> None:
        self.take(lifecycle.resolve_unknown_outcome(self.delivery, ref, self.rules, self.now))

    def amend(self, order: Order) -> bool:
        change = lifecycle.apply_order_message(self.delivery, order, fingerprint(order), self.rules, self.now)
        self.take(change)
        return change is not None

    def change(self, **fields: Any) -> None:
        """Let the platform send the order again with another content."""
        more = {"revision": self.delivery.order.revision + 1, **fields}
        assert self.amend(self.delivery.order.model_copy(update=more))

    def carry(self, outcome: Observation | CarrierError | None = None) -> None:
        """Carry a change to the carrier when that is due, and be answered."""
        self.call(Step.AMEND)
        self.take(lifecycle.apply_amend_outcome(self.delivery, self.attempt.id, outcome, self.rules, self.now))

    def rule(self, word: str) -> bool:
        """Rule on an offer as a person; tell whether one waited for that."""
        change = lifecycle.decide_offer(self.delivery, OfferDecision(word), self.rules, self.now)
        self.take(change)
        return change is not None

    def retry(self) -> bool:
        """Want it to be tried again, as a person; tell whether that is possible."""
        change = lifecycle.retry(self.delivery, self.rules, self.now)
        assert (change is None) == (lifecycle.retry_blocker(self.delivery, self.now) is not None)
        self.take(change)
        return change is not None

    def with_terms(self, carrier: str, **changes: Any) -> None:
        """Change what a carrier can do."""
        terms = self.rules[carrier]
        self.rules[carrier] = replace(terms, capabilities=replace(terms.capabilities, **changes))


def check(before: Delivery, change: Change) -> None:
    """Hold a change against the invariants that every change must keep (I1, I9 and the sequence)."""
    after = change.delivery
    sequences = [event.sequence for event in change.events]
    assert sequences == list(range(before.sequence + 1, after.sequence + 1))
    assert [event.data.sequence for event in change.events] == sequences
    assert len([each for each in after.attempts if each.live and not each.surplus]) <= 1
    assert (after.step is None) == (after.next_run_at is None)
    assert after.step is not None or after.final
    if after.final:
        assert after.step in {None, Step.TRACK, Step.RECONCILE, Step.CANCEL}
        assert after.step_attempt is None or after.step_attempt.surplus or after.step_attempt.ended_at is not None
    if before.final and not after.final:
        assert [event.type for event in change.events if event.type == "delivery.reopened"] == ["delivery.reopened"]
    if after.active is not None:
        state = after.active.state
        assert after.status == (DeliveryStatus.QUEUED if state == SUBMITTING else state)
    assert {event.data.final for event in change.events if event.data.status in FINAL} <= {True}
    assert all(former < later for former, later in pairwise(each.number for each in after.attempts))


def refused(reason: Reason = Reason.VALIDATION, text: str = "") -> Refused:
    return Refused(reason, text)
