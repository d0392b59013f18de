"""Whatever carriers answer, in whatever order: what must always hold of a delivery does, and it can always end."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.order import fingerprint
from schemas.status import FINAL, GOODS_WITH_COURIER, RANK, CancelledBy, Cause, DeliveryStatus, Reason
from tests.domain.scenario import START, DeliveryScenario, news
from worker.carriers.port import Booked, Observation, Offer
from worker.domain import lifecycle, planner
from worker.domain.delivery import SUBMITTING, Attempt, Change, Step
from worker.domain.transitions import CARRIER_STATES, ONWARD, STICKY, allows, allows_back
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable

OWN_MOVES = {
    ("queued", "submitting"),
    ("submitting", "queued"),
    ("submitting", "submit_unknown"),
    ("submit_unknown", "rejected"),
    ("submit_unknown", "queued"),
    ("awaiting_confirmation", "rejected"),
    ("queued", "rejected"),
}
"""What we do with an attempt ourselves, beside what a carrier's news may do."""
DOUBTFUL = {SUBMITTING, "submit_unknown"}

words = st.sampled_from(sorted(CARRIER_STATES - {DeliveryStatus.REJECTED}))
makers = st.sampled_from([None, *CancelledBy])
stamps = st.none() | st.integers(0, 3600).map(lambda second: START + timedelta(seconds=second))


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Draw what a carrier may say: mostly known words, sometimes an unknown one, sometimes with its own time."""
    status = draw(st.none() | words)
    by = draw(makers) if status == DeliveryStatus.CANCELLED else None
    reopens = status not in {None, *FINAL} and draw(st.integers(0, 9)) == 0
    return news(status, draw(st.sampled_from("ab")), stamp=draw(stamps), cancelled_by=by, reopens=reopens)


errors: st.SearchStrategy[CarrierError] = st.one_of(
    st.builds(Unavailable, st.just("down"), retry_after=st.none() | st.floats(0, 3600), account=st.booleans()),
    st.just(Uncertain("timed out")),
    st.builds(Refused, st.sampled_from(Reason)),
    st.just(Unreadable("HTML")),
)
booked = st.one_of(
    st.just(Booked(news("created", ref="R"))),
    st.integers(-30, 30).map(
        lambda minutes: Booked(
            news("awaiting_confirmation", ref="R"), Offer(START, START + timedelta(minutes=10 + minutes))
        )
    ),
)


class Lives(RuleBasedStateMachine):
    """One delivery under everything that tasks, callbacks and people may do to it."""

    life: DeliveryScenario

    wishful: bool

    @initialize(
        carriers=st.permutations(["cervo", "borzo", "deliverit"]),
        count=st.integers(1, 3),
        wishful=st.booleans(),
        first=st.none() | booked | errors,
    )
    def place(self, carriers: list[str], count: int, first: Booked | CarrierError | None, *, wishful: bool) -> None:
        """Place an order; it has been sent to its first carrier, and mostly been answered."""
        self.wishful = wishful
        self.life = DeliveryScenario(*carriers[:count])
        self.life.place()
        self.life.begin()
        if first is not None:
            self.answer(first)

    def take(self, change: Change | None) -> None:
        """Take a change and hold every attempt's move against the transition table (I4)."""
        before = {attempt.id: attempt for attempt in self.life.delivery.attempts}
        self.life.take(change)
        for attempt in self.life.delivery.attempts:
            if attempt.id in before:
                assert may_follow(before[attempt.id], attempt), (before[attempt.id].state, attempt.state)
        if change is not None:
            announced(before, change)

    def is_due(self, *steps: Step) -> bool:
        return self.life.delivery.step in steps

    @property
    def on_turn(self) -> Attempt:
        found = self.life.delivery.step_attempt
        assert found is not None
        return found

    @contextmanager
    def once(self) -> Iterator[None]:
        """Hold what is done against doing it for ever: what changed nothing is not due again at once."""
        before = self.life.delivery
        yield
        after = self.life.delivery
        if after.next_run_at is not None and after.next_run_at <= self.life.now:
            done, due = (
                (before.step, before.step_attempt_id, before.step_carrier),
                (after.step, after.step_attempt_id, after.step_carrier),
            )
            assert done != due or before.attempts != after.attempts

    # --- tasks ---

    @precondition(lambda self: self.is_due(Step.ROUTE))
    @rule()
    def route(self) -> None:
        life = self.life
        life.reach_turn()
        store = life.store.model_copy(update={"store_id": life.delivery.order.store_id})
        with self.once():
            self.take(lifecycle.route(life.delivery, store, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.BOOK))
    @rule()
    def begin(self) -> None:
        self.life.begin()

    @precondition(lambda self: self.life.drawn)
    @rule(outcome=booked | errors, which=st.integers(0, 5))
    def answer(self, outcome: Booked | CarrierError, which: int = 0) -> None:
        """Answer a create: mostly the last one, sometimes one that was written off long ago."""
        life = self.life
        attempt = life.drawn - which % life.drawn if which > 2 else life.drawn
        if life.delivery.attempt(attempt) is not None:
            self.take(lifecycle.apply_create_outcome(life.delivery, attempt, outcome, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.RECONCILE))
    @rule(found=st.none() | observations() | errors)
    def reconcile(self, found: Observation | CarrierError | None) -> None:
        life, attempt = self.life, self.on_turn
        life.reach_turn()
        with self.once():
            if attempt.state == SUBMITTING:
                self.take(lifecycle.mark_outcome_unknown(life.delivery, life.rules, life.now))
            elif attempt.state == "submit_unknown" and not life.rules[attempt.carrier].capabilities.find:
                self.take(lifecycle.no_lookup_available(life.delivery, life.rules, life.now))
            else:
                self.look(attempt, found, Cause.RECONCILE)

    @precondition(lambda self: self.is_due(Step.TRACK))
    @rule(found=st.none() | observations() | errors)
    def track(self, found: Observation | CarrierError | None) -> None:
        self.life.reach_turn()
        with self.once():
            self.look(self.on_turn, found, Cause.POLL)

    def look(self, attempt: Attempt, found: Observation | CarrierError | None, cause: Cause) -> None:
        life = self.life
        if isinstance(found, Observation):
            self.see(attempt, found, cause)
            return
        if isinstance(found, CarrierError):
            self.take(lifecycle.record_read_failure(life.delivery, attempt.id, found, life.rules, life.now))
        elif cause is Cause.POLL:
            self.take(lifecycle.record_missing(life.delivery, attempt.id, life.rules, life.now))
        else:
            self.take(lifecycle.record_not_found(life.delivery, attempt.id, attempt.lookups, life.rules, life.now))
        if (
            attempt.live and attempt.rank >= RANK[DeliveryStatus.CREATED]
        ):  # absence proves nothing once it was created (I13)
            after = life.delivery.attempt(attempt.id)
            assert after is not None
            assert (after.state, after.live) == (attempt.state, True)

    def see(self, attempt: Attempt, said: Observation, cause: Cause) -> None:
        """Let something be seen of an attempt; one too many never enters the delivery's own story."""
        before, life = self.life.delivery, self.life
        self.take(lifecycle.apply_observations(before, attempt.id, [said], life.rules, life.now, cause))
        if attempt.surplus:
            after = life.delivery
            assert (after.status, after.courier, after.carrier) == (before.status, before.courier, before.carrier)

    @precondition(lambda self: self.is_due(Step.CONFIRM))
    @rule(answer=st.sampled_from(["created", "rejected"]).map(news) | errors)
    def confirm(self, answer: Observation | CarrierError) -> None:
        life, attempt = self.life, self.on_turn
        life.reach_turn()
        self.take(lifecycle.begin_call(life.delivery, Step.CONFIRM, life.rules, life.now))
        self.take(lifecycle.apply_confirm_outcome(life.delivery, attempt.id, answer, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.AMEND))
    @rule(answer=st.none() | observations() | errors, answered=st.booleans(), change_meanwhile=st.booleans())
    def carry(self, answer: Observation | CarrierError | None, *, answered: bool, change_meanwhile: bool) -> None:
        """Carry a change; sometimes another one comes meanwhile, sometimes the process dies with the answer."""
        life, attempt = self.life, self.on_turn
        assert (life.delivery.cancel_request, attempt.surplus, attempt.live) == (None, False, True)
        life.reach_turn()
        self.take(lifecycle.begin_call(life.delivery, Step.AMEND, life.rules, life.now))
        if change_meanwhile:
            self.change(notes="z")
        if answered:
            self.take(lifecycle.apply_amend_outcome(life.delivery, attempt.id, answer, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.CANCEL))
    @rule(answer=st.none() | errors, answered=st.booleans())
    def cancel(self, answer: CarrierError | None, *, answered: bool) -> None:
        """Ask for a cancel; sometimes the process dies with its answer."""
        life, attempt = self.life, self.on_turn
        life.reach_turn()
        self.take(lifecycle.begin_call(life.delivery, Step.CANCEL, life.rules, life.now))
        if answered:
            self.take(lifecycle.apply_cancel_outcome(life.delivery, attempt.id, answer, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.BOOK, Step.CONFIRM, Step.AMEND, Step.CANCEL, Step.TRACK))
    @rule(error=errors)
    def put_off(self, error: CarrierError) -> None:
        with self.once():
            self.take(lifecycle.postpone(self.life.delivery, error, self.life.rules, self.life.now))

    @precondition(lambda self: self.is_due(Step.ALARM))
    @rule()
    def ring(self) -> None:
        self.life.ring()

    # --- callbacks, carriers out of order, and people ---

    @precondition(lambda self: self.life.delivery.attempts)
    @rule(said=observations(), which=st.integers(0, 5))
    def call_back(self, said: Observation, which: int) -> None:
        life = self.life
        attempt = life.delivery.attempts[which % len(life.delivery.attempts)]
        if attempt.state != "queued":  # no carrier has ever seen it
            self.see(attempt, said, Cause.CALLBACK)

    @precondition(lambda self: self.life.delivery.attempts)
    @rule(ref=st.sampled_from(["X", "Y", "R"]))
    def find_another(self, ref: str) -> None:
        life = self.life
        first = life.delivery.attempts[0].id
        self.take(lifecycle.record_duplicates(life.delivery, first, [ref], life.rules, life.now, Cause.RECONCILE))

    @precondition(lambda self: self.life.delivery.attempts)
    @rule(which=st.integers(0, 5))
    def hint(self, which: int) -> None:
        life = self.life
        attempt = life.delivery.attempts[which % len(life.delivery.attempts)]
        self.take(lifecycle.schedule_read_now(life.delivery, life.rules, life.now, attempt.id))

    @precondition(lambda self: self.wishful and self.life.delivery.cancel is None)
    @rule()
    def wish_to_cancel(self) -> None:
        self.life.ask_cancel()

    @precondition(lambda self: self.life.delivery.status == "submit_unknown")
    @rule(ref=st.none() | st.just("R"))
    def resolve(self, ref: str | None) -> None:
        self.take(lifecycle.resolve_unknown_outcome(self.life.delivery, ref, self.life.rules, self.life.now))

    @rule(notes=st.sampled_from("abc"), store=st.sampled_from(["17", "17", "18"]))
    def change(self, notes: str, store: str = "17") -> None:
        """Let the platform change the order; who has been sent is never taken back by it."""
        life, revision = self.life, self.life.delivery.order.revision + 1
        more = {"revision": revision, "notes": notes, "store_id": store}
        order, before = life.delivery.order.model_copy(update=more), life.delivery.active
        self.take(lifecycle.apply_order_message(life.delivery, order, fingerprint(order), life.rules, life.now))
        assert (life.delivery.active and life.delivery.active.id) == (before and before.id)

    @precondition(lambda self: self.life.delivery.status == "awaiting_confirmation")
    @rule(word=st.sampled_from(["accept", "deny"]))
    def rule_on_the_offer(self, word: str) -> None:
        self.life.rule(word)

    @precondition(lambda self: self.life.delivery.attempts)
    @rule(carrier=st.sampled_from(["cervo", "borzo", "deliverit"]), word=st.sampled_from("ab"), means=words)
    def explain(self, carrier: str, word: str, means: DeliveryStatus) -> None:
        """Say what a word means that nobody knew."""
        life = self.life
        self.take(lifecycle.reapply_mappings(life.delivery, carrier, {f"order:{word}": means}, life.rules, life.now))

    @rule()
    def retry(self) -> None:
        """Try again, as a person: never while a courier may be out (I1)."""
        out = any(each.live for each in self.life.delivery.attempts)
        assert not (self.life.retry() and out)

    @rule(seconds=st.integers(1, 1200))
    def wait(self, seconds: int) -> None:
        self.life.wait(seconds)

    # --- what holds ---

    @invariant()
    def at_most_one_create_is_unsettled_and_nothing_is_created_beside_it(self) -> None:
        life = self.life
        assert sum(each.state in DOUBTFUL for each in life.delivery.attempts) <= 1
        if life.delivery.active is not None or life.delivery.final:
            assert lifecycle.begin_booking(life.delivery, 999, "token", life.rules, life.now) is None

    @invariant()
    def the_sequence_has_no_gap(self) -> None:
        assert [event.sequence for event in self.life.events] == list(range(1, self.life.delivery.sequence + 1))

    @invariant()
    def what_is_not_over_is_due_within_two_hours(self) -> None:
        delivery = self.life.delivery
        if not delivery.final:
            assert delivery.next_run_at is not None
            assert delivery.next_run_at <= self.life.now + timedelta(hours=2)

    @invariant()
    def a_courier_too_many_is_due_within_a_quarter_of_an_hour(self) -> None:
        """Nobody who may still be stopped is forgotten, whatever else goes on (I9)."""
        delivery, now = self.life.delivery, self.life.now
        if any(
            each.surplus and each.live and now - each.changed_at < timedelta(hours=23) for each in delivery.attempts
        ):
            assert delivery.next_run_at is not None
            assert delivery.next_run_at <= now + timedelta(hours=1)  # as long as a carrier may make us wait

    @invariant()
    def a_change_is_carried_or_on_its_way_or_a_person_knows(self) -> None:
        life, delivery, attempt = self.life, self.life.delivery, self.life.delivery.active
        if attempt is None or attempt.sent_fingerprint in {None, delivery.fingerprint}:
            return
        if (delivery.cancel_request or attempt.cancel_requested) and not attempt.cancel_refused:
            return
        if attempt.amend_refused:
            assert "order_changed_after_dispatch" in {event.data.reason_text for event in self.life.events}
        elif attempt.state not in {*DOUBTFUL, "awaiting_confirmation"}:
            assert attempt.rank < GOODS_WITH_COURIER
            assert (
                attempt.pending_fingerprint is not None
                or planner._main(delivery, life.rules, life.now).step is Step.AMEND
            )

    @invariant()
    def nobody_is_asked_to_tell_a_carrier_that_has_nothing_any_more(self) -> None:
        delivery = self.life.delivery
        if all(not each.live and each.rank < GOODS_WITH_COURIER for each in delivery.attempts):
            assert "order_changed_after_dispatch" not in delivery.asks

    @invariant()
    def nobody_is_sent_to_a_shop_that_the_order_has_left(self) -> None:
        assert not (self.life.delivery.step is Step.BOOK and self.life.delivery.store_changed)

    @invariant()
    def nobody_is_sent_for_what_is_to_be_cancelled(self) -> None:
        if self.life.delivery.cancel_request is not None:
            assert self.life.delivery.step not in {Step.BOOK, Step.ROUTE, Step.AMEND}

    def teardown(self) -> None:
        """Let everything go well from here on: the delivery ends, and whoever is too many is gone or told of."""
        if not hasattr(self, "life"):
            return
        for _ in range(60):
            if self.life.delivery.next_run_at is None:
                break
            self.go_well()
        delivery = self.life.delivery
        assert (delivery.final, delivery.next_run_at) == (True, None), self.life.turn
        if any(each.surplus and each.live for each in delivery.attempts):
            assert "surplus_courier" in {event.data.reason_text for event in self.life.events}

    def go_well(self) -> None:
        life, attempt = self.life, self.life.delivery.step_attempt
        match life.delivery.step:
            case Step.ROUTE:
                life.wait(3 * 3600)  # nobody is left to ask
                self.route()
            case Step.BOOK:
                life.book()
            case Step.ALARM:
                life.ring()
            case Step.CONFIRM:
                life.confirm(news("created"))
            case Step.AMEND:
                life.carry()
            case Step.CANCEL:
                self.cancel(None, answered=True)
            case Step.RECONCILE if attempt is not None and attempt.state == SUBMITTING:
                life.answer(Booked(news("created")), attempt.id)
            case Step.RECONCILE if attempt is not None and attempt.state == "submit_unknown":
                life.resolve("R")
            case Step.RECONCILE:
                self.reconcile(None)
            case _:
                self.track(news(self.ends_as()))

    def ends_as(self) -> str:
        """Tell what the attempt on turn shows when all goes well."""
        attempt = self.on_turn
        if attempt.ended_at is not None:
            return attempt.state
        return "cancelled" if attempt.surplus else "delivered"


def announced(before: dict[int, Attempt], change: Change) -> None:
    """Hold every attempt that came to be one too many against what is told: a conflict, once (I1)."""
    new = [
        each.number
        for each in change.delivery.attempts
        if each.surplus and (each.id not in before or not before[each.id].surplus)
    ]
    told = [event.data.attempt for event in change.events if event.type == "delivery.conflict"]
    assert set(new) <= set(told)
    assert len(told) == len(set(told))


def may_follow(before: Attempt, after: Attempt) -> bool:
    """Tell whether an attempt may have come from one state to the other in one change."""
    if before.state in STICKY:
        # What ended goes on only when its carrier says so, and then as one of its carrier's states.
        return before.state == after.state or after.ended_at is None or after.state == DeliveryStatus.DELIVERED
    moved = before.state, after.state
    onward = allows(*moved, before.resume_to) or allows_back(*moved, before.resume_to)
    return before.state == after.state or moved in OWN_MOVES or onward


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=120,
    stateful_step_count=30,
    database=None,
    phases=(Phase.generate, Phase.shrink),  # explaining a failure takes minutes
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


# --- the same in whatever order it comes ------------------------------------------------------------------------------

ENDS = ["delivered", "cancelled", "failed"]


@st.composite
def lives_told_twice(draw: st.DrawFn) -> tuple[list[tuple[Cause, Observation]], str]:
    """Draw a life at a carrier, told by callbacks and by polls: each in order and with gaps, but not in step."""
    path, state = [DeliveryStatus.CREATED.value], DeliveryStatus.CREATED.value
    for _ in range(draw(st.integers(0, 6))):
        onward = sorted(ONWARD[state] - STICKY - {DeliveryStatus.ON_HOLD})
        state = draw(st.sampled_from(onward)) if onward else state
        path.append(state)
    path.append(draw(st.sampled_from(ENDS)))
    told = [news(word, stamp=START + timedelta(seconds=at)) for at, word in enumerate(path)]
    sources = [[each for each in told[:-1] if draw(st.booleans())] + told[-1:] for _ in range(2)]
    causes = [Cause.CALLBACK] * len(sources[0]) + [Cause.POLL] * len(sources[1])
    order = draw(st.permutations(causes))
    lines = {Cause.CALLBACK: iter(sources[0]), Cause.POLL: iter(sources[1])}
    return [(cause, next(lines[cause])) for cause in order], path[-1]


@settings(max_examples=150, database=None, derandomize=True)
@given(lives_told_twice())
def test_what_two_sources_tell_in_their_own_order_ends_the_same_however_they_mix(
    life_told: tuple[list[tuple[Cause, Observation]], str],
) -> None:
    told, end = life_told
    life = DeliveryScenario("borzo")
    life.place()
    life.book()
    for cause, said in told:
        life.see(said, cause=cause)
    assert life.delivery.status == end
