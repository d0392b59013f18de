from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import fakeredis
import pytest
import redis
from pydantic import TypeAdapter, ValidationError

from worker.http.account import Rate
from worker.http.call import Operation
from worker.resilience.rate_limiter import RateLimiter, Window, parse


@pytest.fixture
def budget(client: redis.Redis, prefix: str) -> RateLimiter:
    return RateLimiter(client, prefix)


@pytest.fixture
def age(client: redis.Redis, prefix: str) -> Callable[[float], None]:
    """Give a way to let seconds pass: everything that was taken moves back in time."""

    def back(seconds: float) -> None:
        for key in client.scan_iter(f"{prefix}*"):
            for member, _ in cast("list[tuple[bytes, float]]", client.zrange(key, 0, -1, withscores=True)):
                client.zincrby(key, -seconds * 10**6, member)

    return back


def take(budget: RateLimiter, rate: str, wanted: int = 1, operation: Operation = Operation.CREATE) -> int:
    return budget.take("account", rate, operation, wanted)[0]


def counted(client: redis.Redis, key: str) -> int:
    return client.zcard(key)


def test_a_rate_is_read_window_by_window() -> None:
    assert parse("1/second;80/minute;9/hour;4500/day") == (
        Window(1, 1),
        Window(80, 60),
        Window(9, 3600),
        Window(4500, 86400),
    )
    assert parse("") == ()


def test_an_account_without_a_rate_costs_nothing() -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    assert RateLimiter(fakeredis.FakeRedis(server=server)).take("account", "", Operation.CREATE, 1000) == (1000, 0.0)


def test_a_rate_of_no_calls_at_all_is_refused() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Rate).validate_python("80/minute;0/day")


class Outage:
    """A budget whose server may be away, and a clock of its own."""

    def __init__(self) -> None:
        self.server, self.now = fakeredis.FakeServer(), 0.0
        self.budget = RateLimiter(fakeredis.FakeRedis(server=self.server), clock=lambda: self.now)
        self.server.connected = False


def test_without_its_counters_a_process_gives_a_quarter_of_the_budget_to_what_cannot_wait() -> None:
    outage = Outage()
    money = [each for each in Operation if each not in {Operation.READ, Operation.ASK}]
    assert [take(outage.budget, "24/minute", 1, operation) for operation in money] == [1] * 6
    assert outage.budget.take("account", "24/minute", Operation.CREATE, 2) == (0, 60.0)


def test_without_its_counters_no_window_holds_more_than_its_quarter() -> None:
    outage = Outage()
    granted: list[tuple[int, int]] = []
    for second in range(0, 600, 7):
        outage.now = second
        granted.append((second, take(outage.budget, "20/minute;120/hour", second % 4)))
    within = [sum(count for at, count in granted if start <= at < start + 60) for start in range(600)]
    assert (max(within), sum(count for _, count in granted)) == (5, 30)


def test_a_quarter_of_one_call_is_one_in_four_times_the_time() -> None:
    outage = Outage()
    granted = []
    for outage.now in range(9):
        granted.append(take(outage.budget, "1/second"))
    assert granted == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_without_their_counters_reads_stop() -> None:
    assert Outage().budget.take("account", "20/minute", Operation.READ, 1) == (0, 5.0)


def test_a_server_that_is_away_is_asked_again_after_a_moment() -> None:
    outage = Outage()
    take(outage.budget, "20/minute")
    outage.server.connected = True
    granted = []
    for outage.now in (4.9, 5.0):
        granted.append(take(outage.budget, "20/minute", 20))
    assert granted == [4, 20]


def test_as_many_go_as_the_window_holds(budget: RateLimiter) -> None:
    assert [take(budget, "5/hour", 3) for _ in range(3)] == [3, 2, 0]


def test_what_is_not_wanted_is_not_taken(budget: RateLimiter) -> None:
    assert [take(budget, "5/hour", wanted) for wanted in (0, 5)] == [0, 5]


def test_calls_that_follow_each_other_closely_all_count(budget: RateLimiter, client: redis.Redis, prefix: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: take(budget, "20/hour"), range(100))) == 20
    assert counted(client, f"{prefix}account:3600") == 20


def test_calls_in_one_pipeline_all_count(budget: RateLimiter, client: redis.Redis, prefix: str) -> None:
    pipe = client.pipeline(transaction=False)
    for number in range(100):
        budget._take(keys=[f"{prefix}x"], args=[f"call {number}", 1, 3600, 20], client=pipe)
    assert sum(granted for granted, _ in pipe.execute()) == 20


def test_there_is_room_again_when_the_window_has_passed(budget: RateLimiter, age: Callable[[float], None]) -> None:
    take(budget, "5/hour", 5)
    age(3000)
    assert take(budget, "5/hour") == 0
    age(600)
    assert take(budget, "5/hour", 9) == 5


@pytest.mark.quirk("B-06")
def test_no_window_wherever_it_begins_holds_more_than_its_limit(
    budget: RateLimiter, age: Callable[[float], None]
) -> None:
    granted: list[tuple[int, int]] = []
    for minute in range(0, 600, 7):
        granted.append((minute, take(budget, "10/hour", minute % 4)))
        age(7 * 60)
    within = [sum(count for at, count in granted if start <= at < start + 60) for start in range(600)]
    assert max(within) == 10


def test_no_window_holds_more_than_its_limit_whoever_asks(
    client: redis.Redis, prefix: str, age: Callable[[float], None]
) -> None:
    budgets = [RateLimiter(client, prefix) for _ in range(4)]
    wishes = [(budget, operation) for budget in budgets for operation in (Operation.READ, Operation.CREATE)]
    granted: list[tuple[int, int]] = []
    with ThreadPoolExecutor(len(wishes)) as pool:
        for minute in range(0, 240, 7):
            takings = pool.map(lambda wish: take(wish[0], "10/hour;60/day", 2, wish[1]), wishes)
            granted.append((minute, sum(takings)))
            age(7 * 60)
    within = [sum(count for at, count in granted if start <= at < start + 60) for start in range(240)]
    assert max(within) == 10


def test_the_time_until_the_next_call_is_told(budget: RateLimiter, age: Callable[[float], None]) -> None:
    assert budget.take("account", "2/hour", Operation.CREATE, 1) == (1, 0.0)
    age(600)
    assert budget.take("account", "2/hour", Operation.CREATE, 1) == (1, 0.0)
    granted, wait = budget.take("account", "2/hour", Operation.CREATE, 1)
    assert granted == 0
    assert wait == pytest.approx(3000, abs=30)


def test_whoever_gets_only_a_part_is_told_the_time_for_the_rest(budget: RateLimiter) -> None:
    granted, wait = budget.take("account", "2/hour", Operation.CREATE, 3)
    assert granted == 2
    assert wait == pytest.approx(3600, abs=30)


def test_the_longest_wait_of_all_windows_counts(budget: RateLimiter) -> None:
    rate = "1/minute;1/hour"
    take(budget, rate)
    assert budget.take("account", rate, Operation.CREATE, 1)[1] == pytest.approx(3600, abs=30)


def test_a_window_that_has_room_makes_nobody_wait(budget: RateLimiter) -> None:
    rate = "1/minute;5/hour"
    take(budget, rate)
    assert budget.take("account", rate, Operation.CREATE, 1)[1] == pytest.approx(60, abs=30)


@pytest.mark.quirk("B-06")
def test_a_call_is_taken_from_every_window_or_from_none(budget: RateLimiter, client: redis.Redis, prefix: str) -> None:
    rate = "2/minute;5/hour"
    assert [take(budget, rate, 4), take(budget, rate, 4)] == [2, 0]
    assert [counted(client, f"{prefix}account:{seconds}") for seconds in (60, 3600)] == [2, 2]


def test_the_longer_window_limits_what_the_shorter_would_let_go(
    budget: RateLimiter, age: Callable[[float], None]
) -> None:
    rate = "2/minute;5/hour"
    granted = []
    for _ in range(4):
        granted.append(take(budget, rate, 2))
        age(60)
    assert granted == [2, 2, 1, 0]


@pytest.mark.quirk("B-06")
def test_reads_leave_three_fifths_of_the_day_to_the_rest(budget: RateLimiter) -> None:
    assert [take(budget, "10/day", 9, Operation.READ), take(budget, "10/day", 1, Operation.READ)] == [4, 0]
    assert [take(budget, "10/day", 9), take(budget, "10/day")] == [6, 0]


def test_reads_stop_when_the_rest_has_used_the_day(budget: RateLimiter) -> None:
    assert [take(budget, "10/day", 8), take(budget, "10/day", 5, Operation.READ)] == [8, 2]


def test_reads_leave_a_quarter_of_a_shorter_window_to_the_rest(budget: RateLimiter) -> None:
    assert take(budget, "20/minute;1000/day", 20, Operation.READ) == 15
    assert take(budget, "20/minute;1000/day", 20) == 5


def test_of_a_window_for_one_call_reads_leave_the_time(budget: RateLimiter, age: Callable[[float], None]) -> None:
    granted = []
    for _ in range(2):
        granted.append(take(budget, "1/minute", 1, Operation.READ))
        age(61)
    assert granted == [1, 0]
    assert take(budget, "1/minute") == 1


def test_only_reads_and_what_a_person_asks_count_as_reads(budget: RateLimiter) -> None:
    others = [each for each in Operation if each not in {Operation.READ, Operation.ASK}]
    assert [take(budget, "100/day", 1, operation) for operation in others] == [1] * len(others)
    assert take(budget, "100/day", 1, Operation.ASK) == 1
    assert take(budget, "100/day", 100, Operation.READ) == 39


def test_a_share_that_is_no_whole_number_is_rounded_down(budget: RateLimiter) -> None:
    assert take(budget, "4/day", 3, Operation.READ) == 1


def test_accounts_do_not_share_a_budget(budget: RateLimiter) -> None:
    assert [budget.take(name, "1/hour", Operation.CREATE, 1)[0] for name in ("a", "b", "a")] == [1, 1, 0]


def test_processes_share_a_budget(client: redis.Redis, prefix: str) -> None:
    assert [take(RateLimiter(client, prefix), "1/hour") for _ in range(2)] == [1, 0]


def test_counters_that_are_no_longer_needed_are_forgotten(
    budget: RateLimiter, client: redis.Redis, prefix: str
) -> None:
    take(budget, "1/minute")
    assert 0 < client.pttl(f"{prefix}account:60") <= 60_000
