from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import cast

import fakeredis
import pytest
import redis
from pydantic import TypeAdapter, ValidationError

from worker.http.account import Rate
from worker.http.call import CallClass, Operation
from worker.resilience import rate_limiter
from worker.resilience.circuit_breaker import CLOSED, CircuitBreaker
from worker.resilience.rate_limiter import ACQUIRE, OUTAGE_SECONDS, RateLimiter, Window, parse


@pytest.fixture
def limiter(client: redis.Redis, prefix: str) -> RateLimiter:
    return RateLimiter(client, prefix)


@pytest.fixture
def age(client: redis.Redis, prefix: str) -> Callable[[float], None]:
    """Return a function that lets seconds pass: every counted call moves back in time."""

    def age(seconds: float) -> None:
        for key in client.scan_iter(f"{prefix}*"):
            for member, _ in cast("list[tuple[bytes, float]]", client.zrange(key, 0, -1, withscores=True)):
                client.zincrby(key, -seconds * 10**6, member)

    return age


def take(limiter: RateLimiter, rate: str, wanted: int = 1, operation: Operation = Operation.CREATE) -> int:
    return limiter.acquire("account", rate, operation, wanted)[0]


def counted(client: redis.Redis, key: str) -> int:
    return client.zcard(key)


def test_a_rate_is_parsed_into_windows() -> None:
    assert parse("1/second;80/minute;9/hour;4500/day") == (
        Window(1, 1),
        Window(80, 60),
        Window(9, 3600),
        Window(4500, 86400),
    )
    assert parse("") == ()


def test_an_account_without_a_rate_needs_no_redis() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    assert RateLimiter(fakeredis.FakeRedis(server=server)).acquire("account", "", Operation.CREATE, 1000) == (1000, 0.0)


def test_a_rate_of_zero_calls_is_rejected() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Rate).validate_python("80/minute;0/day")


class Outage:
    """A rate limiter with a clock of its own, whose server is unreachable."""

    def __init__(self) -> None:
        self.server, self.now = fakeredis.FakeServer(), 0.0
        self.limiter = RateLimiter(fakeredis.FakeRedis(server=self.server), clock=lambda: self.now)
        self.server.connected = False


def test_without_redis_a_process_allows_a_quarter_of_the_rate_to_calls_that_cannot_wait() -> None:
    outage = Outage()
    urgent = [each for each in Operation if each not in {Operation.READ, Operation.QUERY}]
    assert [take(outage.limiter, "24/minute", 1, operation) for operation in urgent] == [1] * 6
    assert outage.limiter.acquire("account", "24/minute", Operation.CREATE, 2) == (0, 60.0)


def test_without_redis_no_window_holds_more_than_a_quarter_of_its_limit() -> None:
    outage = Outage()
    granted: list[tuple[int, int]] = []
    for second in range(0, 600, 7):
        outage.now = second
        granted.append((second, take(outage.limiter, "20/minute;120/hour", second % 4)))
    within = [sum(count for at, count in granted if start <= at < start + 60) for start in range(600)]
    assert (max(within), sum(count for _, count in granted)) == (5, 30)


def test_a_quarter_of_one_call_is_one_call_in_four_times_the_time() -> None:
    outage = Outage()
    granted = []
    for outage.now in range(9):
        granted.append(take(outage.limiter, "1/second"))
    assert granted == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_without_redis_reads_stop() -> None:
    assert Outage().limiter.acquire("account", "20/minute", Operation.READ, 1) == (0, 5.0)


def test_all_that_use_an_unreachable_server_wait_for_it_only_once() -> None:
    server, now = fakeredis.FakeServer(), 0.0
    outage, client = rate_limiter.Outage(lambda: now), fakeredis.FakeRedis(server=server)
    limiter, breaker = RateLimiter(client, outage=outage), CircuitBreaker(client, outage=outage)
    server.connected = False
    assert limiter.used("account", "24/minute") is None
    server.connected = True
    assert (limiter.used("another", "24/minute"), breaker.statuses("another")) == (None, None)
    now = OUTAGE_SECONDS
    assert limiter.used("another", "24/minute") == {Window(24, 60): 0}
    assert breaker.statuses("another") == dict.fromkeys(CallClass, CLOSED)


def test_an_unreachable_server_is_asked_again_after_five_seconds() -> None:
    outage = Outage()
    take(outage.limiter, "20/minute")
    outage.server.connected = True
    granted = []
    for outage.now in (4.9, 5.0):
        granted.append(take(outage.limiter, "20/minute", 20))
    assert granted == [4, 20]


def test_as_many_calls_are_granted_as_the_window_holds(limiter: RateLimiter) -> None:
    assert [take(limiter, "5/hour", 3) for _ in range(3)] == [3, 2, 0]


def test_calls_that_are_not_wanted_are_not_counted(limiter: RateLimiter) -> None:
    assert [take(limiter, "5/hour", wanted) for wanted in (0, 5)] == [0, 5]


def test_calls_in_quick_succession_all_count(limiter: RateLimiter, client: redis.Redis, prefix: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: take(limiter, "20/hour"), range(100))) == 20
    assert counted(client, f"{prefix}account:3600") == 20


def test_calls_in_one_pipeline_all_count(client: redis.Redis, prefix: str) -> None:
    acquire, pipe = client.register_script(ACQUIRE), client.pipeline(transaction=False)
    for number in range(100):
        acquire(keys=[f"{prefix}x"], args=[f"call {number}", 1, 3600, 20], client=pipe)
    assert sum(granted for granted, _ in pipe.execute()) == 20


def test_calls_are_granted_again_when_the_window_has_passed(limiter: RateLimiter, age: Callable[[float], None]) -> None:
    take(limiter, "5/hour", 5)
    age(3000)
    assert take(limiter, "5/hour") == 0
    age(600)
    assert take(limiter, "5/hour", 9) == 5


@pytest.mark.quirk("B-06")
def test_no_window_holds_more_than_its_limit_wherever_it_begins(
    limiter: RateLimiter, age: Callable[[float], None]
) -> None:
    granted: list[tuple[int, int]] = []
    for minute in range(0, 600, 7):
        granted.append((minute, take(limiter, "10/hour", minute % 4)))
        age(7 * 60)
    within = [sum(count for at, count in granted if start <= at < start + 60) for start in range(600)]
    assert max(within) == 10


def test_no_window_holds_more_than_its_limit_whichever_process_asks(
    client: redis.Redis, prefix: str, age: Callable[[float], None]
) -> None:
    limiters = [RateLimiter(client, prefix) for _ in range(4)]
    callers = [(limiter, operation) for limiter in limiters for operation in (Operation.READ, Operation.CREATE)]
    granted: list[tuple[int, int]] = []
    with ThreadPoolExecutor(len(callers)) as pool:
        for minute in range(0, 240, 7):
            grants = pool.map(lambda caller: take(caller[0], "10/hour;60/day", 2, caller[1]), callers)
            granted.append((minute, sum(grants)))
            age(7 * 60)
    within = [sum(count for at, count in granted if start <= at < start + 60) for start in range(240)]
    assert max(within) == 10


def test_the_time_until_the_next_call_is_returned(limiter: RateLimiter, age: Callable[[float], None]) -> None:
    assert limiter.acquire("account", "2/hour", Operation.CREATE, 1) == (1, 0.0)
    age(600)
    assert limiter.acquire("account", "2/hour", Operation.CREATE, 1) == (1, 0.0)
    granted, wait = limiter.acquire("account", "2/hour", Operation.CREATE, 1)
    assert granted == 0
    assert wait == pytest.approx(3000, abs=30)


def test_a_partial_grant_returns_the_time_until_the_rest(limiter: RateLimiter) -> None:
    granted, wait = limiter.acquire("account", "2/hour", Operation.CREATE, 3)
    assert granted == 2
    assert wait == pytest.approx(3600, abs=30)


def test_the_longest_wait_of_all_windows_is_returned(limiter: RateLimiter) -> None:
    rate = "1/minute;1/hour"
    take(limiter, rate)
    assert limiter.acquire("account", rate, Operation.CREATE, 1)[1] == pytest.approx(3600, abs=30)


def test_a_window_that_is_not_full_causes_no_wait(limiter: RateLimiter) -> None:
    rate = "1/minute;5/hour"
    take(limiter, rate)
    assert limiter.acquire("account", rate, Operation.CREATE, 1)[1] == pytest.approx(60, abs=30)


@pytest.mark.quirk("B-06")
def test_a_call_counts_in_every_window_or_in_none(limiter: RateLimiter, client: redis.Redis, prefix: str) -> None:
    rate = "2/minute;5/hour"
    assert [take(limiter, rate, 4), take(limiter, rate, 4)] == [2, 0]
    assert [counted(client, f"{prefix}account:{seconds}") for seconds in (60, 3600)] == [2, 2]


def test_the_longer_window_limits_what_the_shorter_would_grant(
    limiter: RateLimiter, age: Callable[[float], None]
) -> None:
    rate = "2/minute;5/hour"
    granted = []
    for _ in range(4):
        granted.append(take(limiter, rate, 2))
        age(60)
    assert granted == [2, 2, 1, 0]


@pytest.mark.quirk("B-06")
def test_reads_leave_three_fifths_of_a_day_to_other_calls(limiter: RateLimiter) -> None:
    assert [take(limiter, "10/day", 9, Operation.READ), take(limiter, "10/day", 1, Operation.READ)] == [4, 0]
    assert [take(limiter, "10/day", 9), take(limiter, "10/day")] == [6, 0]


def test_reads_stop_when_other_calls_have_used_the_day(limiter: RateLimiter) -> None:
    assert [take(limiter, "10/day", 8), take(limiter, "10/day", 5, Operation.READ)] == [8, 2]


def test_reads_leave_a_quarter_of_a_shorter_window_to_other_calls(limiter: RateLimiter) -> None:
    assert take(limiter, "20/minute;1000/day", 20, Operation.READ) == 15
    assert take(limiter, "20/minute;1000/day", 20) == 5


def test_reads_use_a_window_of_one_call_less_often(limiter: RateLimiter, age: Callable[[float], None]) -> None:
    granted = []
    for _ in range(2):
        granted.append(take(limiter, "1/minute", 1, Operation.READ))
        age(61)
    assert granted == [1, 0]
    assert take(limiter, "1/minute") == 1


def test_only_reads_and_questions_of_an_operator_count_as_reads(limiter: RateLimiter) -> None:
    others = [each for each in Operation if each not in {Operation.READ, Operation.QUERY}]
    assert [take(limiter, "100/day", 1, operation) for operation in others] == [1] * len(others)
    assert take(limiter, "100/day", 1, Operation.QUERY) == 1
    assert take(limiter, "100/day", 100, Operation.READ) == 39


def test_a_fractional_share_is_rounded_down(limiter: RateLimiter) -> None:
    assert take(limiter, "4/day", 3, Operation.READ) == 1


def test_accounts_do_not_share_a_limit(limiter: RateLimiter) -> None:
    assert [limiter.acquire(name, "1/hour", Operation.CREATE, 1)[0] for name in ("a", "b", "a")] == [1, 1, 0]


def test_processes_share_a_limit(client: redis.Redis, prefix: str) -> None:
    assert [take(RateLimiter(client, prefix), "1/hour") for _ in range(2)] == [1, 0]


def test_unused_counters_expire(limiter: RateLimiter, client: redis.Redis, prefix: str) -> None:
    take(limiter, "1/minute")
    assert 0 < client.pttl(f"{prefix}account:60") <= 60_000


def test_a_limiter_with_a_clock_counts_by_it_and_not_by_the_clock_of_redis(client: redis.Redis, prefix: str) -> None:
    now = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
    limiter = RateLimiter(client, prefix, now=lambda: now)
    assert limiter.acquire("account", "3/minute", Operation.CREATE, 5) == (3, 60.0)
    now += timedelta(seconds=59)
    assert limiter.acquire("account", "3/minute", Operation.CREATE, 1) == (0, 1.0)
    assert limiter.used("account", "3/minute") == {Window(3, 60): 3}
    now += timedelta(seconds=1)
    assert take(limiter, "3/minute", 5) == 3
