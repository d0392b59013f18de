import fakeredis
import pytest
import redis

from tests.services.simulation import age
from worker.resilience.circuit_breaker import CLOSED, BreakerState, BreakerStatus, CallClass, CircuitBreaker


class Bench:
    """A breaker, and the time that passes for it."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client, self._prefix = client, prefix
        self.breaker = CircuitBreaker(client, prefix)

    def report(self, *, good: int = 0, bad: int = 0, kind: CallClass = CallClass.CREATE) -> None:
        self.breaker.report("account", kind, good=good, bad=bad)

    def ask(self, kind: CallClass = CallClass.CREATE, account: str = "account") -> tuple[str, int]:
        word = self.breaker.ask(account, kind, 50)
        return word.state.value, round(word.wait)

    def probed(self, *, alive: bool) -> None:
        self.breaker.probed("account", CallClass.CREATE, alive=alive)

    def throttle(self, asked: float | None = None, kind: CallClass = CallClass.CREATE) -> None:
        self.breaker.throttle("account", kind, asked)

    def age(self, seconds: float) -> None:
        age(self._client, seconds, self._prefix)

    def reopen(self) -> int:
        """Let it open and its time pass, and tell how long it was."""
        state, wait = self.ask()
        assert state == "open"
        self.age(wait + 1)
        assert self.ask() == ("half_open", 0)
        return wait


@pytest.fixture
def bench(client: redis.Redis, prefix: str) -> Bench:
    return Bench(client, prefix)


@pytest.mark.fault("F-38")
@pytest.mark.quirk("X-12")
@pytest.mark.parametrize(
    ("good", "bad", "state"),
    [(0, 4, "closed"), (0, 5, "open"), (5, 5, "open"), (6, 5, "closed"), (100, 99, "closed"), (100, 100, "open")],
)
def test_it_opens_when_five_calls_and_half_of_all_have_failed(bench: Bench, good: int, bad: int, state: str) -> None:
    bench.report(good=good)
    bench.report(bad=bad)
    assert bench.ask()[0] == state


def test_what_failed_half_a_minute_ago_no_longer_counts(bench: Bench) -> None:
    for _ in range(3):
        bench.report(bad=4)
        bench.age(31)
    assert bench.ask() == ("closed", 0)


def test_failures_that_fall_on_both_sides_of_a_quarter_minute_count_together(bench: Bench) -> None:
    bench.report(bad=3)
    bench.age(16)
    bench.report(bad=2)
    assert bench.ask() == ("open", 30)


def test_each_kind_of_call_and_each_account_has_its_own(bench: Bench) -> None:
    bench.report(bad=5)
    assert [bench.ask(kind)[0] for kind in CallClass] == ["open", "closed", "closed"]
    assert bench.ask(account="another") == ("closed", 0)


def test_processes_share_it(client: redis.Redis, prefix: str) -> None:
    one, other = Bench(client, prefix), Bench(client, prefix)
    one.report(bad=3)
    other.report(bad=2)
    assert one.ask() == other.ask() == ("open", 30)


@pytest.mark.quirk("X-12")
def test_after_its_time_one_caller_at_a_time_is_told_to_probe(bench: Bench) -> None:
    bench.report(bad=5)
    bench.age(31)
    assert [bench.ask() for _ in range(3)] == [("half_open", 0), ("open", 50), ("open", 50)]


def test_a_probe_that_is_never_answered_for_gives_its_turn_to_the_next(bench: Bench) -> None:
    bench.report(bad=5)
    bench.age(31)
    bench.ask()
    bench.age(51)
    assert bench.ask() == ("half_open", 0)


def test_a_probe_that_is_answered_closes_it(bench: Bench) -> None:
    bench.report(bad=5)
    bench.age(31)
    bench.ask()
    bench.probed(alive=True)
    assert bench.ask() == ("closed", 0)
    bench.report(bad=4)
    assert bench.ask() == ("closed", 0)


@pytest.mark.quirk("X-12")
def test_it_is_open_for_twice_as_long_each_time_and_five_minutes_at_most(bench: Bench) -> None:
    bench.report(bad=5)
    times = []
    for _ in range(6):
        times.append(bench.reopen())
        bench.probed(alive=False)
    assert times == [30, 60, 120, 240, 300, 300]


def test_a_carrier_that_answers_probes_and_fails_orders_is_left_alone_for_longer_too(bench: Bench) -> None:
    times = []
    for _ in range(3):
        bench.report(bad=5)
        times.append(bench.reopen())
        bench.probed(alive=True)
    assert times == [30, 60, 120]


def test_after_ten_good_minutes_it_begins_anew(bench: Bench) -> None:
    bench.report(bad=5)
    bench.reopen()
    bench.probed(alive=True)
    bench.age(601)
    bench.report(bad=5)
    assert bench.ask() == ("open", 30)


def test_what_was_under_way_while_it_opened_says_nothing_more(bench: Bench) -> None:
    bench.report(bad=5)
    bench.report(bad=50)
    bench.age(31)
    bench.ask()
    bench.probed(alive=True)
    assert bench.ask() == ("closed", 0)


@pytest.mark.fault("F-34")
@pytest.mark.quirk("B-06")
@pytest.mark.parametrize(
    ("kind", "ever_after"), [(CallClass.CREATE, 300), (CallClass.CANCEL, 300), (CallClass.READ, 900)]
)
def test_too_many_requests_leave_it_alone_longer_each_time_and_reads_the_longest(
    bench: Bench, kind: CallClass, ever_after: int
) -> None:
    waits = []
    for _ in range(4):
        bench.throttle(kind=kind)
        waits.append(bench.ask(kind))
        bench.age(waits[-1][1] + 1)
    assert waits == [("throttled", 60), ("throttled", 120), ("throttled", ever_after), ("throttled", ever_after)]
    assert bench.ask(kind) == ("closed", 0)


def test_those_that_were_turned_away_together_count_once(bench: Bench) -> None:
    for _ in range(25):
        bench.throttle()
    assert bench.ask() == ("throttled", 60)


@pytest.mark.parametrize(("asked", "wait"), [(None, 60), (5.0, 60), (-5.0, 60), (240.0, 240)])
def test_the_carriers_own_longer_wish_is_honoured(bench: Bench, asked: float | None, wait: int) -> None:
    bench.throttle(asked)
    assert bench.ask() == ("throttled", wait)


def test_only_the_kind_that_was_turned_away_is_left_alone(bench: Bench) -> None:
    bench.throttle()
    assert [bench.ask(kind)[0] for kind in CallClass] == ["throttled", "closed", "closed"]


def test_showing_it_takes_no_turn_to_probe(bench: Bench) -> None:
    bench.report(bad=5)
    bench.age(31)
    open_ = BreakerStatus(BreakerState.OPEN)
    assert bench.breaker.statuses("account") == {
        CallClass.CREATE: open_,
        CallClass.CANCEL: CLOSED,
        CallClass.READ: CLOSED,
    }
    assert bench.ask() == ("half_open", 0)


def test_it_is_forgotten_an_hour_after_its_last_use(bench: Bench, client: redis.Redis, prefix: str) -> None:
    bench.report(good=1)
    assert 0 < client.ttl(f"{prefix}account:create") <= 3600


def test_with_redis_away_nothing_is_ever_held_back() -> None:
    server = fakeredis.FakeServer()
    breaker = CircuitBreaker(fakeredis.FakeRedis(server=server))
    breaker.report("account", CallClass.CREATE, good=0, bad=5)
    server.connected = False
    assert breaker.ask("account", CallClass.CREATE, 50) == CLOSED
    breaker.report("account", CallClass.CREATE, good=0, bad=5)
    breaker.throttle("account", CallClass.CREATE, None)
    breaker.probed("account", CallClass.CREATE, alive=False)
    assert (breaker.ask("account", CallClass.CREATE, 50), breaker.statuses("account")) == (CLOSED, None)
