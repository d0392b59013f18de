"""Invariants of a delivery, whatever carriers answer in whatever order; and every delivery can end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.order import fingerprint
from schemas.status import (
    FINAL,
    GOODS_WITH_COURIER,
    RANK,
    AttemptState,
    AttentionReason,
    CancelledBy,
    Cause,
    DeliveryStatus,
    Reason,
)
from tests.domain.scenario import START, DeliveryScenario, observed
from worker.carriers.port import Booked, Observation, Offer
from worker.domain import lifecycle, planner
from worker.domain.delivery import Attempt, Change, Step
from worker.domain.transitions import CARRIER_STATES, FINAL_STATES, TRANSITIONS, allows, allows_reassignment
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable

OWN_MOVES = {
    ("queued", "submitting"),
    ("submitting", "queued"),
    ("submitting", "submit_unknown"),
    ("submit_unknown", "rejected"),
    ("submit_unknown", "queued"),
    ("submit_unknown", "submitting"),
    ("awaiting_confirmation", "rejected"),
    ("queued", "rejected"),
}
"""The transitions that we make ourselves, beside those on a carrier's news."""
OUTCOME_OPEN = {AttemptState.SUBMITTING, AttemptState.SUBMIT_UNKNOWN}

statuses = st.sampled_from([DeliveryStatus(state) for state in sorted(CARRIER_STATES - {AttemptState.REJECTED})])
cancellers = st.sampled_from([None, *CancelledBy])
carrier_times = st.none() | st.integers(0, 3600).map(lambda second: START + timedelta(seconds=second))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Draw an observation: mostly a known status, sometimes an unknown word, sometimes with the carrier's time."""
    status = draw(st.none() | statuses)
    by = draw(cancellers) if status == DeliveryStatus.CANCELLED else None
    reopens = status not in {None, *FINAL} and draw(st.integers(0, 9)) == 0
    return observed(
        status, draw(st.sampled_from("ab")), carrier_time=draw(carrier_times), cancelled_by=by, reopens=reopens
    )


errors: st.SearchStrategy[CarrierError] = st.one_of(
    st.builds(Unavailable, st.just("down"), retry_after=st.none() | st.floats(0, 3600), account=st.booleans()),
    st.just(Uncertain("timed out")),
    st.builds(Refused, st.sampled_from(Reason)),
    st.just(Unreadable("HTML")),
)
booked = st.one_of(
    st.sampled_from("RS").map(lambda ref: Booked(observed("created", ref=ref))),
    st.integers(-30, 30).map(
        lambda minutes: Booked(
            observed("awaiting_confirmation", ref="R"), Offer(START, START + timedelta(minutes=10 + minutes))
        )
    ),
)


class AnyScenario(RuleBasedStateMachine):
    """One delivery, and everything that tasks, callbacks and operators may do to it."""

    scenario: DeliveryScenario
    may_cancel: bool

    @initialize(
        carriers=st.permutations(["cervo", "borzo", "deliverit"]),
        count=st.integers(1, 3),
        may_cancel=st.booleans(),
        first=st.none() | booked | errors,
        resubmits=st.booleans(),
    )
    def place(
        self,
        carriers: list[str],
        count: int,
        first: Booked | CarrierError | None,
        *,
        may_cancel: bool,
        resubmits: bool,
    ) -> None:
        """Place an order and send it to its first carrier, which mostly answers."""
        self.may_cancel = may_cancel
        self.scenario = DeliveryScenario(*carriers[:count])
        self.scenario.change_capabilities("cervo", resubmits=resubmits)
        self.scenario.place()
        self.scenario.begin_booking()
        if first is not None:
            self.answer(first)

    def apply(self, change: Change | None) -> None:
        """Apply a change and check every attempt's transition against the table (I4)."""
        before = {attempt.id: attempt for attempt in self.scenario.delivery.attempts}
        self.scenario.apply(change)
        for attempt in self.scenario.delivery.attempts:
            if attempt.id in before:
                assert may_follow(before[attempt.id], attempt), (before[attempt.id].state, attempt.state)
        if change is not None:
            check_surplus_is_published(before, change)

    def is_due(self, *steps: Step) -> bool:
        return self.scenario.delivery.step in steps

    def is_alarm_due(self) -> bool:
        """Return whether an alarm is due already or before the next step."""
        alarm_at = self.scenario.delivery.alarm_at
        return alarm_at is not None and (alarm_at <= self.scenario.now or alarm_at == self.scenario.due_at)

    @property
    def step_attempt(self) -> Attempt:
        found = self.scenario.delivery.step_attempt
        assert found is not None
        return found

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Check that a step which changed nothing is not due again at once, which would repeat it for ever."""
        before = self.scenario.delivery
        yield
        after = self.scenario.delivery
        if after.next_run_at is not None and after.next_run_at <= self.scenario.now:
            done, due = (
                (before.step, before.step_attempt_id, before.step_carrier),
                (after.step, after.step_attempt_id, after.step_carrier),
            )
            assert done != due or before.attempts != after.attempts

    # --- tasks ---

    @precondition(lambda self: self.is_due(Step.ROUTE))
    @rule()
    def route(self) -> None:
        scenario = self.scenario
        scenario.wait_for_next_step()
        store = scenario.store.model_copy(update={"store_id": scenario.delivery.order.store_id})
        with self.progress():
            self.apply(lifecycle.route(scenario.delivery, store, scenario.terms, scenario.now))

    @precondition(lambda self: self.is_due(Step.BOOK))
    @rule()
    def begin(self) -> None:
        self.scenario.begin_booking()

    @precondition(lambda self: self.scenario.last_attempt_id)
    @rule(outcome=booked | errors, which=st.integers(0, 5))
    def answer(self, outcome: Booked | CarrierError, which: int = 0) -> None:
        """Answer a create: mostly the last one, sometimes one that counted as never created."""
        scenario = self.scenario
        attempt = scenario.last_attempt_id - which % scenario.last_attempt_id if which > 2 else scenario.last_attempt_id
        if scenario.delivery.attempt(attempt) is not None:
            self.apply(
                lifecycle.apply_create_outcome(scenario.delivery, attempt, outcome, scenario.terms, scenario.now)
            )

    @precondition(lambda self: self.is_due(Step.RECONCILE))
    @rule(found=st.none() | observations() | errors)
    def reconcile(self, found: Observation | CarrierError | None) -> None:
        scenario, attempt = self.scenario, self.step_attempt
        scenario.wait_for_next_step()
        with self.progress():
            if attempt.state == AttemptState.SUBMITTING:
                self.apply(lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now))
            elif attempt.state == AttemptState.SUBMIT_UNKNOWN and not scenario.terms[attempt.carrier].capabilities.find:
                self.apply(lifecycle.no_lookup_available(scenario.delivery, scenario.terms, scenario.now))
            else:
                self.apply_read(attempt, found, Cause.RECONCILE)

    @precondition(lambda self: self.is_due(Step.TRACK))
    @rule(found=st.none() | observations() | errors)
    def track(self, found: Observation | CarrierError | None) -> None:
        self.scenario.wait_for_next_step()
        with self.progress():
            self.apply_read(self.step_attempt, found, Cause.POLL)

    def apply_read(self, attempt: Attempt, found: Observation | CarrierError | None, cause: Cause) -> None:
        scenario = self.scenario
        if isinstance(found, Observation):
            self.observe(attempt, found, cause)
            return
        if isinstance(found, CarrierError):
            self.apply(
                lifecycle.record_read_failure(scenario.delivery, attempt.id, found, scenario.terms, scenario.now)
            )
        elif cause is Cause.POLL:
            self.apply(lifecycle.record_missing(scenario.delivery, attempt.id, scenario.terms, scenario.now))
        else:
            self.apply(lifecycle.record_not_found(scenario.delivery, attempt, scenario.terms, scenario.now))
        if attempt.live and attempt.rank >= RANK[DeliveryStatus.CREATED]:  # absence proves nothing then (I13)
            after = scenario.delivery.attempt(attempt.id)
            assert after is not None
            assert (after.state, after.live) == (attempt.state, True)

    def observe(self, attempt: Attempt, said: Observation, cause: Cause) -> None:
        """Observe an attempt; a surplus one never changes the delivery's own status."""
        before, scenario = self.scenario.delivery, self.scenario
        self.apply(lifecycle.apply_observations(before, attempt.id, [said], scenario.terms, scenario.now, cause))
        if attempt.surplus:
            after = scenario.delivery
            assert (after.status, after.courier, after.carrier) == (before.status, before.courier, before.carrier)

    @precondition(lambda self: self.is_due(Step.CONFIRM))
    @rule(answer=st.sampled_from(["created", "rejected"]).map(observed) | errors)
    def confirm(self, answer: Observation | CarrierError) -> None:
        scenario, attempt = self.scenario, self.step_attempt
        scenario.wait_for_next_step()
        self.apply(lifecycle.begin_call(scenario.delivery, Step.CONFIRM, scenario.terms, scenario.now))
        self.apply(lifecycle.apply_confirm_outcome(scenario.delivery, attempt.id, answer, scenario.terms, scenario.now))

    @precondition(lambda self: self.is_due(Step.AMEND))
    @rule(answer=st.none() | observations() | errors, answered=st.booleans(), change_meanwhile=st.booleans())
    def amend(self, answer: Observation | CarrierError | None, *, answered: bool, change_meanwhile: bool) -> None:
        """Amend the order; sometimes it changes again meanwhile, sometimes the process is lost with the answer."""
        scenario, attempt = self.scenario, self.step_attempt
        assert (scenario.delivery.cancel_request, attempt.surplus, attempt.live) == (None, False, True)
        scenario.wait_for_next_step()
        self.apply(lifecycle.begin_call(scenario.delivery, Step.AMEND, scenario.terms, scenario.now))
        if change_meanwhile:
            self.change_order(notes="z")
        if answered:
            self.apply(
                lifecycle.apply_amend_outcome(scenario.delivery, attempt.id, answer, scenario.terms, scenario.now)
            )

    @precondition(lambda self: self.is_due(Step.CANCEL))
    @rule(answer=st.none() | errors, answered=st.booleans())
    def cancel(self, answer: CarrierError | None, *, answered: bool) -> None:
        """Request a cancel; sometimes the process is lost with the answer."""
        scenario, attempt = self.scenario, self.step_attempt
        scenario.wait_for_next_step()
        self.apply(lifecycle.begin_call(scenario.delivery, Step.CANCEL, scenario.terms, scenario.now))
        if answered:
            self.apply(
                lifecycle.apply_cancel_outcome(scenario.delivery, attempt.id, answer, scenario.terms, scenario.now)
            )

    @precondition(lambda self: self.is_due(Step.BOOK, Step.CONFIRM, Step.AMEND, Step.CANCEL, Step.TRACK))
    @rule(error=errors)
    def postpone(self, error: CarrierError) -> None:
        with self.progress():
            self.apply(lifecycle.postpone(self.scenario.delivery, error, self.scenario.terms, self.scenario.now))

    @precondition(lambda self: self.is_alarm_due())
    @rule()
    def fire_alarms(self) -> None:
        self.scenario.fire_alarms()

    # --- callbacks, carriers out of order, the platform and operators ---

    @precondition(lambda self: self.scenario.delivery.attempts)
    @rule(said=observations(), which=st.integers(0, 5))
    def call_back(self, said: Observation, which: int) -> None:
        scenario = self.scenario
        attempt = scenario.delivery.attempts[which % len(scenario.delivery.attempts)]
        self.observe(attempt, said, Cause.CALLBACK)

    @precondition(lambda self: self.scenario.delivery.attempts)
    @rule(ref=st.sampled_from(["X", "Y", "R"]))
    def find_duplicate(self, ref: str) -> None:
        scenario = self.scenario
        first = scenario.delivery.attempts[0].id
        self.apply(
            lifecycle.record_duplicates(scenario.delivery, first, [ref], scenario.terms, scenario.now, Cause.RECONCILE)
        )

    @precondition(lambda self: self.scenario.delivery.attempts)
    @rule(which=st.integers(0, 5))
    def wake_up(self, which: int) -> None:
        scenario = self.scenario
        attempt = scenario.delivery.attempts[which % len(scenario.delivery.attempts)]
        self.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now, attempt.id))

    @precondition(lambda self: self.may_cancel and self.scenario.delivery.cancel_request is None)
    @rule()
    def request_cancel(self) -> None:
        self.scenario.request_cancel()

    @precondition(lambda self: self.scenario.delivery.status == "submit_unknown")
    @rule(ref=st.none() | st.just("R"))
    def resolve(self, ref: str | None) -> None:
        self.apply(
            lifecycle.resolve_unknown_outcome(self.scenario.delivery, ref, self.scenario.terms, self.scenario.now)
        )

    @rule(notes=st.sampled_from("abc"), store=st.sampled_from(["17", "17", "18"]))
    def change_order(self, notes: str, store: str = "17") -> None:
        """Change the order; that never ends an active attempt."""
        scenario, revision = self.scenario, self.scenario.delivery.order.revision + 1
        more = {"revision": revision, "notes": notes, "store_id": store}
        order, before = scenario.delivery.order.model_copy(update=more), scenario.delivery.active
        self.apply(
            lifecycle.apply_order_message(scenario.delivery, order, fingerprint(order), scenario.terms, scenario.now)
        )
        assert (scenario.delivery.active and scenario.delivery.active.id) == (before and before.id)

    @precondition(lambda self: self.scenario.delivery.status == "awaiting_confirmation")
    @rule(decision=st.sampled_from(["accept", "deny"]))
    def decide_offer(self, decision: str) -> None:
        self.scenario.decide_offer(decision)

    @precondition(lambda self: self.scenario.delivery.attempts)
    @rule(carrier=st.sampled_from(["cervo", "borzo", "deliverit"]), word=st.sampled_from("ab"), means=statuses)
    def map_status(self, carrier: str, word: str, means: DeliveryStatus) -> None:
        """Map an unknown word to a status."""
        scenario = self.scenario
        self.apply(
            lifecycle.reapply_mappings(
                scenario.delivery, carrier, {f"order:{word}": means}, scenario.terms, scenario.now
            )
        )

    @rule()
    def retry(self) -> None:
        """Retry, which is impossible while a courier may be out (I1)."""
        out = any(each.live for each in self.scenario.delivery.attempts)
        assert not (self.scenario.retry() and out)

    @rule(seconds=st.integers(1, 1200))
    def wait(self, seconds: int) -> None:
        self.scenario.wait(seconds)

    # --- invariants ---

    @invariant()
    def at_most_one_create_has_an_open_outcome_and_no_other_begins(self) -> None:
        scenario = self.scenario
        assert sum(each.state in OUTCOME_OPEN for each in scenario.delivery.attempts) <= 1
        if scenario.delivery.active is not None or scenario.delivery.final:
            again = lifecycle.begin_booking(scenario.delivery, 999, "token", scenario.terms, scenario.now)
            assert again is None or again.begun in again.delivery.attempts[: len(scenario.delivery.attempts)]

    @invariant()
    def the_sequence_has_no_gap(self) -> None:
        assert [event.sequence for event in self.scenario.events] == list(range(1, self.scenario.delivery.sequence + 1))

    @invariant()
    def a_delivery_that_is_not_final_is_due_within_two_hours(self) -> None:
        delivery = self.scenario.delivery
        if not delivery.final:
            assert delivery.next_run_at is not None
            assert delivery.next_run_at <= self.scenario.now + timedelta(hours=2)

    @invariant()
    def a_surplus_courier_is_due_within_an_hour(self) -> None:
        """A surplus courier is never forgotten, whatever else goes on (I9)."""
        delivery, now = self.scenario.delivery, self.scenario.now
        if any(
            each.surplus and each.live and now - each.changed_at < timedelta(hours=23) for each in delivery.attempts
        ):
            assert delivery.next_run_at is not None
            assert delivery.next_run_at <= now + timedelta(hours=1)  # the longest wait that a carrier may request

    @invariant()
    def a_step_gives_way_only_if_the_delivery_says_so(self) -> None:
        scenario = self.scenario
        if not scenario.delivery.may_give_way:
            assert lifecycle.give_way(scenario.delivery, scenario.terms, scenario.now + timedelta(hours=1)) is None

    @invariant()
    def a_changed_order_is_amended_or_an_operator_is_asked_for(self) -> None:
        scenario, delivery, attempt = self.scenario, self.scenario.delivery, self.scenario.delivery.active
        if attempt is None or attempt.sent_fingerprint in {None, delivery.fingerprint}:
            return
        if (delivery.cancel_request or attempt.cancel_requested) and not attempt.cancel_refused:
            return
        if attempt.amend_refused:
            assert "order_changed_after_dispatch" in {event.data.reason_text for event in self.scenario.events}
        elif attempt.state not in {*OUTCOME_OPEN, "awaiting_confirmation"}:
            assert attempt.rank < GOODS_WITH_COURIER
            first = Step.AMEND if attempt.prompted_at is None else Step.TRACK  # a requested read decides first
            assert (
                attempt.pending_fingerprint is not None
                or planner.main_step(delivery, scenario.terms, scenario.now).step is first
            )

    @invariant()
    def no_operator_is_asked_for_about_a_carrier_that_has_no_order(self) -> None:
        delivery = self.scenario.delivery
        if all(not each.live and each.rank < GOODS_WITH_COURIER for each in delivery.attempts):
            assert AttentionReason.ORDER_CHANGED_AFTER_DISPATCH not in delivery.attention_reasons

    @invariant()
    def no_courier_is_requested_to_a_store_that_the_order_has_left(self) -> None:
        assert not (self.scenario.delivery.step is Step.BOOK and self.scenario.delivery.store_changed)

    @invariant()
    def no_courier_is_requested_for_an_order_that_is_to_be_cancelled(self) -> None:
        if self.scenario.delivery.cancel_request is not None:
            assert self.scenario.delivery.step not in {Step.BOOK, Step.ROUTE, Step.AMEND}

    def teardown(self) -> None:
        """Let every call succeed from here on: the delivery ends, and a surplus courier is gone or published."""
        if not hasattr(self, "scenario"):
            return
        for _ in range(60):
            if self.scenario.delivery.next_run_at is None:
                break
            self.succeed()
        delivery = self.scenario.delivery
        assert (delivery.final, delivery.next_run_at) == (True, None), self.scenario.next_step
        if any(each.surplus and each.live for each in delivery.attempts):
            assert "surplus_courier" in {event.data.reason_text for event in self.scenario.events}

    def succeed(self) -> None:
        scenario, attempt = self.scenario, self.scenario.delivery.step_attempt
        match scenario.delivery.step:
            case _ if scenario.delivery.alarm_at == scenario.due_at:
                scenario.fire_alarms()
            case Step.ROUTE:
                scenario.wait(3 * 3600)  # no carrier is left to ask
                self.route()
            case Step.BOOK:
                scenario.book()
            case Step.CONFIRM:
                scenario.confirm(observed("created"))
            case Step.AMEND:
                scenario.amend()
            case Step.CANCEL:
                self.cancel(None, answered=True)
            case Step.RECONCILE if attempt is not None and attempt.state == AttemptState.SUBMITTING:
                scenario.answer_create(Booked(observed("created")), attempt.id)
            case Step.RECONCILE if attempt is not None and attempt.state == AttemptState.SUBMIT_UNKNOWN:
                scenario.resolve("R")
            case Step.RECONCILE:
                self.reconcile(None)
            case _:
                self.track(observed(self.ends_as()))

    def ends_as(self) -> str:
        """Return the final status of the attempt that the next step is about, when every call succeeds."""
        attempt = self.step_attempt
        if attempt.ended_at is not None:
            return attempt.state
        return "cancelled" if attempt.surplus else "delivered"


def check_surplus_is_published(before: dict[int, Attempt], change: Change) -> None:
    """Check that every attempt that became surplus is published as one conflict (I1)."""
    new = [
        each.number
        for each in change.delivery.attempts
        if each.surplus and (each.id not in before or not before[each.id].surplus)
    ]
    published = [event.data.attempt for event in change.events if event.type == "delivery.conflict"]
    assert set(new) <= set(published)
    assert len(published) == len(set(published))


def may_follow(before: Attempt, after: Attempt) -> bool:
    """Return whether one change may take an attempt from one state to the other."""
    if before.state in FINAL_STATES or (before.state == AttemptState.QUEUED and after.state != AttemptState.SUBMITTING):
        # An attempt that ended or was never sent goes on only when its carrier says so, in one of the carrier's states.
        return before.state == after.state or after.ended_at is None or after.state == AttemptState.DELIVERED
    moved = before.state, after.state
    onward = allows(*moved, before.resume_to) or allows_reassignment(*moved, before.resume_to)
    return before.state == after.state or moved in OWN_MOVES or onward


TestAnyScenario = AnyScenario.TestCase
TestAnyScenario.settings = settings(
    stateful_step_count=30,
    database=None,
    phases=(Phase.generate, Phase.shrink),  # explaining a failure takes minutes
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


# --- the order of news does not matter ------------------------------------------------------------------------------

ENDS = ["delivered", "cancelled", "failed"]


@st.composite
def two_reports(draw: st.DrawFn) -> tuple[list[tuple[Cause, Observation]], str]:
    """Draw one carrier order as callbacks and as polls report it: each in order and with gaps, interleaved."""
    path, state = [AttemptState.CREATED], AttemptState.CREATED
    for _ in range(draw(st.integers(0, 6))):
        forward = sorted(TRANSITIONS[state].forward - FINAL_STATES - {AttemptState.ON_HOLD})
        state = draw(st.sampled_from(forward)) if forward else state
        path.append(state)
    path.append(AttemptState(draw(st.sampled_from(ENDS))))
    published = [observed(word, carrier_time=START + timedelta(seconds=at)) for at, word in enumerate(path)]
    sources = [[each for each in published[:-1] if draw(st.booleans())] + published[-1:] for _ in range(2)]
    causes = [Cause.CALLBACK] * len(sources[0]) + [Cause.POLL] * len(sources[1])
    order = draw(st.permutations(causes))
    lines = {Cause.CALLBACK: iter(sources[0]), Cause.POLL: iter(sources[1])}
    return [(cause, next(lines[cause])) for cause in order], path[-1]


@settings(database=None, derandomize=True)
@given(two_reports())
def test_callbacks_and_polls_that_interleave_end_in_the_same_status(
    reports: tuple[list[tuple[Cause, Observation]], str],
) -> None:
    published, end = reports
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    for cause, said in published:
        scenario.observe(said, cause=cause)
    assert scenario.delivery.status == end


# --- slow reads, late callbacks and a carrier's clock that is minutes off ---------------------------------------------

JOURNEY = ["created", "courier_assigned", "pickup_enroute", "pickup_arrived", "picked_up", "dropoff_enroute"]
"""The statuses of an undisturbed delivery before its end."""


@dataclass(frozen=True)
class Report:
    """One report of a carrier: when it reached us, when its read began, and the status that the carrier had."""

    at: int
    heard: int
    shows: int
    """The place of the status in the carrier's own history."""
    cause: Cause


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """Draw a carrier's history: some couriers give up before the pickup, and the last one ends it."""
    history: list[str] = []
    for _ in range(draw(st.integers(0, 2))):
        history += JOURNEY[: draw(st.integers(2, 4))]
    if draw(st.booleans()):
        return [*history, *JOURNEY, "delivered"]
    return [*history, *JOURNEY[: draw(st.integers(1, 4))], "cancelled"]


@st.composite
def reports(draw: st.DrawFn, history: list[str]) -> list[Report]:
    """Draw reads of up to 45 seconds and callbacks that are up to two minutes late; some callbacks are lost.

    The status at place n of the history begins n x 10 seconds after the create.
    """
    seen = []
    for place in range(1, len(history)):
        if draw(st.booleans()):
            at = place * 10 + draw(st.integers(0, 120))
            seen.append(Report(at, at, place, Cause.CALLBACK))
    for _ in range(draw(st.integers(0, 6))):
        began = draw(st.integers(0, len(history) * 10 + 60))
        answered = began + draw(st.integers(0, 20))
        at = answered + draw(st.integers(0, 25))
        seen.append(Report(at, began, min(answered // 10, len(history) - 1), Cause.POLL))
    return sorted(seen, key=lambda each: each.at)


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    """Return whether a list is another one with some of its elements left out."""
    left = iter(whole)
    return all(each in left for each in part)


@pytest.mark.fault("F-75", "F-76")
@settings(max_examples=3 * settings().max_examples, database=None, derandomize=True)
@given(st.data(), histories(), st.integers(-600, 600))
def test_the_published_story_is_the_carrier_s_own_whatever_overlaps(
    data: st.DataObject, history: list[str], skew: int
) -> None:
    """Each status is published in the carrier's order, a first milestone at once, and the end is the carrier's."""
    scenario, newest, highest = DeliveryScenario("borzo"), 0, RANK[DeliveryStatus.CREATED]
    scenario.place()
    scenario.book()
    for report in data.draw(reports(history)):
        scenario.now = START + timedelta(seconds=report.at)
        status, called_back = history[report.shows], report.cause is Cause.CALLBACK
        time = START + timedelta(seconds=report.shows * 10 + skew) if called_back else None
        heard = START + timedelta(seconds=report.heard)
        scenario.observe(observed(status, carrier_time=time), cause=report.cause, heard=heard, attempt=1)
        rank, told = RANK[DeliveryStatus(status)], RANK[scenario.delivery.status]
        if called_back and report.shows > newest and rank > highest:
            assert scenario.delivery.status == status
        newest = max(newest, report.shows)
        highest = max(highest, told) if told >= highest else RANK[DeliveryStatus.DELIVERED]
    scenario.wait(600)
    scenario.observe(observed(history[-1]), attempt=1)
    published = [event.data.status for event in scenario.events if event.type == "delivery.status_changed"]
    assert is_subsequence([each for each in published if each != "queued"], history)
    assert scenario.delivery.status == history[-1]
    assert not {"delivery.reopened", "delivery.conflict"} & {event.type for event in scenario.events}
