from datetime import UTC, datetime, timedelta

import fakeredis
import pytest
import redis

from worker.http.call import CallClass
from worker.resilience.circuit_breaker import (
    CLOSED,
    TIMINGS,
    BreakerState,
    BreakerStatus,
    BreakerTimings,
    CircuitBreaker,
)


class Bench:
    """A breaker and its clock."""

    def __init__(self, client: redis.Redis, prefix: str, timings: BreakerTimings = TIMINGS) -> None:
        self._now = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
        self.breaker = CircuitBreaker(client, prefix, clock=lambda: self._now, timings=timings)

    def report(self, *, good: int = 0, bad: int = 0, kind: CallClass = CallClass.CREATE) -> None:
        self.breaker.record("account", kind, good=good, bad=bad)

    def ask(self, kind: CallClass = CallClass.CREATE, account: str = "account") -> tuple[str, int]:
        status = self.breaker.check(account, kind, 50)
        return status.state.value, round(status.wait)

    def probed(self, *, alive: bool) -> None:
        self.breaker.record_probe("account", CallClass.CREATE, alive=alive)

    def throttle(self, asked: float | None = None, kind: CallClass = CallClass.CREATE) -> None:
        self.breaker.throttle("account", kind, asked)

    def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def wait_until_half_open(self) -> int:
        """Let the open time pass; return how long it was."""
        state, wait = self.ask()
        assert state == "open"
        self.pass_time(wait + 1)
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
def test_a_breaker_opens_when_five_calls_and_half_of_all_have_failed(
    bench: Bench, good: int, bad: int, state: str
) -> None:
    bench.report(good=good)
    bench.report(bad=bad)
    assert bench.ask()[0] == state


def test_failures_of_half_a_minute_ago_no_longer_count(bench: Bench) -> None:
    for _ in range(3):
        bench.report(bad=4)
        bench.pass_time(31)
    assert bench.ask() == ("closed", 0)


def test_failures_in_both_halves_of_the_window_count_together(bench: Bench) -> None:
    bench.report(bad=3)
    bench.pass_time(16)
    bench.report(bad=2)
    assert bench.ask() == ("open", 30)


def test_each_class_of_calls_and_each_account_has_a_breaker_of_its_own(bench: Bench) -> None:
    bench.report(bad=5)
    assert [bench.ask(kind)[0] for kind in CallClass] == ["open", "closed", "closed"]
    assert bench.ask(account="another") == ("closed", 0)


def test_processes_share_the_breakers(client: redis.Redis, prefix: str) -> None:
    one, other = Bench(client, prefix), Bench(client, prefix)
    one.report(bad=3)
    other.report(bad=2)
    assert one.ask() == other.ask() == ("open", 30)


@pytest.mark.quirk("X-12")
def test_after_the_open_time_one_caller_at_a_time_probes(bench: Bench) -> None:
    bench.report(bad=5)
    bench.pass_time(31)
    assert [bench.ask() for _ in range(3)] == [("half_open", 0), ("open", 50), ("open", 50)]


def test_a_probe_without_a_result_is_replaced_by_the_next(bench: Bench) -> None:
    bench.report(bad=5)
    bench.pass_time(31)
    bench.ask()
    bench.pass_time(51)
    assert bench.ask() == ("half_open", 0)


def test_a_successful_probe_closes_the_breaker(bench: Bench) -> None:
    bench.report(bad=5)
    bench.pass_time(31)
    bench.ask()
    bench.probed(alive=True)
    assert bench.ask() == ("closed", 0)
    bench.report(bad=4)
    assert bench.ask() == ("closed", 0)


@pytest.mark.quirk("X-12")
def test_the_open_time_doubles_up_to_five_minutes(bench: Bench) -> None:
    bench.report(bad=5)
    times = []
    for _ in range(6):
        times.append(bench.wait_until_half_open())
        bench.probed(alive=False)
    assert times == [30, 60, 120, 240, 300, 300]


def test_the_open_time_also_doubles_when_probes_succeed_and_orders_fail(bench: Bench) -> None:
    times = []
    for _ in range(3):
        bench.report(bad=5)
        times.append(bench.wait_until_half_open())
        bench.probed(alive=True)
    assert times == [30, 60, 120]


def test_after_ten_good_minutes_the_open_time_is_short_again(bench: Bench) -> None:
    bench.report(bad=5)
    bench.wait_until_half_open()
    bench.probed(alive=True)
    bench.pass_time(601)
    bench.report(bad=5)
    assert bench.ask() == ("open", 30)


def test_calls_under_way_while_it_opened_do_not_count(bench: Bench) -> None:
    bench.report(bad=5)
    bench.report(bad=50)
    bench.pass_time(31)
    bench.ask()
    bench.probed(alive=True)
    assert bench.ask() == ("closed", 0)


@pytest.mark.fault("F-34")
@pytest.mark.quirk("B-06")
@pytest.mark.parametrize(
    ("kind", "ever_after"), [(CallClass.CREATE, 300), (CallClass.CHANGE, 300), (CallClass.READ, 900)]
)
def test_too_many_requests_hold_calls_back_longer_each_time_and_reads_the_longest(
    bench: Bench, kind: CallClass, ever_after: int
) -> None:
    waits = []
    for _ in range(4):
        bench.throttle(kind=kind)
        waits.append(bench.ask(kind))
        bench.pass_time(waits[-1][1] + 1)
    assert waits == [("throttled", 60), ("throttled", 120), ("throttled", ever_after), ("throttled", ever_after)]
    assert bench.ask(kind) == ("closed", 0)


def test_calls_that_were_rejected_together_count_once(bench: Bench) -> None:
    for _ in range(25):
        bench.throttle()
    assert bench.ask() == ("throttled", 60)


@pytest.mark.parametrize(("asked", "wait"), [(None, 60), (5.0, 60), (-5.0, 60), (240.0, 240)])
def test_a_longer_wait_that_the_carrier_asks_for_is_respected(bench: Bench, asked: float | None, wait: int) -> None:
    bench.throttle(asked)
    assert bench.ask() == ("throttled", wait)


def test_only_the_rejected_class_of_calls_is_held_back(bench: Bench) -> None:
    bench.throttle()
    assert [bench.ask(kind)[0] for kind in CallClass] == ["throttled", "closed", "closed"]


def test_showing_the_statuses_starts_no_probe(bench: Bench) -> None:
    bench.report(bad=5)
    bench.pass_time(31)
    open_ = BreakerStatus(BreakerState.OPEN)
    assert bench.breaker.statuses("account") == {
        CallClass.CREATE: open_,
        CallClass.CHANGE: CLOSED,
        CallClass.READ: CLOSED,
    }
    assert bench.ask() == ("half_open", 0)


def test_without_a_clock_of_its_own_a_breaker_uses_the_server_s(client: redis.Redis, prefix: str) -> None:
    breaker = CircuitBreaker(client, prefix)
    breaker.record("account", CallClass.READ, good=0, bad=5)
    status = breaker.check("account", CallClass.READ, 50)
    assert (status.state, 29 < status.wait <= 30) == (BreakerState.OPEN, True)


def test_the_durations_of_a_breaker_can_be_set(client: redis.Redis, prefix: str) -> None:
    bench = Bench(client, prefix, BreakerTimings(open=1.5, throttle=(2, 4, 8)))
    bench.throttle()
    assert bench.ask() == ("throttled", 2)
    bench.report(kind=CallClass.READ, bad=5)
    assert bench.breaker.check("account", CallClass.READ, 50) == BreakerStatus(BreakerState.OPEN, 1.5)


def test_a_breaker_expires_an_hour_after_its_last_use(bench: Bench, client: redis.Redis, prefix: str) -> None:
    bench.report(good=1)
    assert 0 < client.ttl(f"{prefix}account:create") <= 3600


def test_without_redis_every_call_is_allowed() -> None:
    server = fakeredis.FakeServer()
    breaker = CircuitBreaker(fakeredis.FakeRedis(server=server))
    breaker.record("account", CallClass.CREATE, good=0, bad=5)
    server.connected = False
    assert breaker.check("account", CallClass.CREATE, 50) == CLOSED
    breaker.record("account", CallClass.CREATE, good=0, bad=5)
    breaker.throttle("account", CallClass.CREATE, None)
    breaker.record_probe("account", CallClass.CREATE, alive=False)
    assert (breaker.check("account", CallClass.CREATE, 50), breaker.statuses("account")) == (CLOSED, None)
