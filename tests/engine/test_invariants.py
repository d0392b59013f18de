"""Whatever carriers answer, in whatever order: what must always hold of a delivery does, and it can always end."""

from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.status import FINAL, CancelledBy, Cause, DeliveryStatus, Reason
from tests.engine.life import START, Life, news
from worker import lifecycle
from worker.carriers.port import Booked, Observation, Offer
from worker.delivery import SUBMITTING, Attempt, Change, Step
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable
from worker.transitions import CARRIER_STATES, STICKY, allows, allows_back

OWN_MOVES = {
    ("queued", "submitting"),
    ("submitting", "queued"),
    ("submitting", "submit_unknown"),
    ("submit_unknown", "rejected"),
    ("awaiting_confirmation", "rejected"),
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

    life: Life

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
        self.life = Life(*carriers[:count])
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

    def is_due(self, *steps: Step) -> bool:
        return self.life.delivery.step in steps

    # --- tasks ---

    @precondition(lambda self: self.is_due(Step.BOOK))
    @rule()
    def begin(self) -> None:
        self.life.begin()

    @precondition(lambda self: self.life.delivery.attempts)
    @rule(outcome=booked | errors)
    def answer(self, outcome: Booked | CarrierError) -> None:
        life = self.life
        self.take(lifecycle.settle(life.delivery, life.attempt.id, outcome, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.RECONCILE))
    @rule(found=st.none() | observations() | errors)
    def reconcile(self, found: Observation | CarrierError | None) -> None:
        life = self.life
        life.reach(Step.RECONCILE)
        if life.attempt.state == SUBMITTING:
            self.take(lifecycle.lost(life.delivery, life.rules, life.now))
        elif not life.rules[life.attempt.carrier].capabilities.find:
            self.take(lifecycle.unfindable(life.delivery, life.rules, life.now))
        else:
            self.take(self.looked(found, Cause.RECONCILE))

    @precondition(lambda self: self.is_due(Step.TRACK))
    @rule(found=st.none() | observations() | errors)
    def track(self, found: Observation | CarrierError | None) -> None:
        self.life.reach(Step.TRACK)
        self.take(self.looked(found, Cause.POLL))

    def looked(self, found: Observation | CarrierError | None, cause: Cause) -> Change | None:
        life = self.life
        active = life.delivery.active
        assert active is not None
        if isinstance(found, CarrierError):
            return lifecycle.missed(life.delivery, active.id, found, life.rules, life.now)
        if found is not None:
            return lifecycle.observe(life.delivery, active.id, [found], life.rules, life.now, cause)
        if cause is Cause.POLL:
            return lifecycle.unseen(life.delivery, active.id, life.rules, life.now)
        return lifecycle.absent(life.delivery, active.id, active.lookups, life.rules, life.now)

    @precondition(lambda self: self.is_due(Step.CONFIRM))
    @rule(answer=st.sampled_from(["created", "rejected"]).map(news) | errors)
    def confirm(self, answer: Observation | CarrierError) -> None:
        life = self.life
        life.call(Step.CONFIRM)
        self.take(lifecycle.confirmed(life.delivery, life.attempt.id, answer, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.CANCEL))
    @rule(answer=st.none() | errors)
    def cancel(self, answer: CarrierError | None) -> None:
        life = self.life
        active = life.delivery.active
        assert active is not None
        life.call(Step.CANCEL)
        self.take(lifecycle.cancel_answered(life.delivery, active.id, answer, life.rules, life.now))

    @precondition(lambda self: self.is_due(Step.BOOK))
    @rule(error=errors)
    def put_off(self, error: CarrierError) -> None:
        self.take(lifecycle.put_off(self.life.delivery, error, self.life.rules, self.life.now))

    # --- callbacks and people ---

    @precondition(lambda self: self.life.delivery.attempts)
    @rule(said=observations(), which=st.integers(0, 5))
    def call_back(self, said: Observation, which: int) -> None:
        life = self.life
        attempt = life.delivery.attempts[which % len(life.delivery.attempts)]
        if attempt.state != "queued":  # no carrier has ever seen it
            self.take(lifecycle.observe(life.delivery, attempt.id, [said], life.rules, life.now, Cause.CALLBACK))

    @precondition(lambda self: self.is_due(Step.TRACK))
    @rule()
    def hint(self) -> None:
        self.take(lifecycle.look_now(self.life.delivery, self.life.rules, self.life.now))

    @precondition(lambda self: self.wishful and self.life.delivery.cancel is None)
    @rule()
    def wish_to_cancel(self) -> None:
        self.life.ask_cancel()

    @precondition(lambda self: self.life.delivery.status == "submit_unknown")
    @rule(ref=st.none() | st.just("R"))
    def resolve(self, ref: str | None) -> None:
        self.take(lifecycle.resolve(self.life.delivery, ref, self.life.rules, self.life.now))

    @precondition(lambda self: not self.life.delivery.final)
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
    def nobody_is_sent_for_what_is_to_be_cancelled(self) -> None:
        if self.life.delivery.cancel is not None:
            assert self.life.delivery.step not in {Step.BOOK, Step.ROUTE}

    def teardown(self) -> None:
        """Let everything go well from here on: the delivery ends."""
        if not hasattr(self, "life"):
            return
        for _ in range(30):
            if self.life.delivery.final:
                return
            self.go_well()
        raise AssertionError(f"it never ends: {self.life.state}")

    def go_well(self) -> None:
        life = self.life
        match life.delivery.step:
            case Step.BOOK:
                life.book()
            case Step.RECONCILE if life.attempt.state == SUBMITTING:
                life.answer(Booked(news("created")))
            case Step.RECONCILE if life.attempt.state == "submit_unknown":
                life.resolve("R")
            case Step.RECONCILE:
                life.look_up()
            case Step.CONFIRM:
                life.confirm(news("created"))
            case Step.CANCEL:
                life.cancel()
            case _:
                life.see(news("delivered"), attempt=life.delivery.active.id if life.delivery.active else None)


def may_follow(before: Attempt, after: Attempt) -> bool:
    """Tell whether an attempt may have come from one state to the other in one change."""
    if before.state in STICKY:
        # What ended goes on only when its carrier says so, and then as one of its carrier's states.
        return before.state == after.state or after.ended_at is None
    moved = before.state, after.state
    onward = allows(*moved, before.resume_to) or allows_back(*moved, before.resume_to)
    return before.state == after.state or moved in OWN_MOVES or onward


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),  # explaining a failure takes minutes
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
