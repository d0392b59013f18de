from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from tests.database.samples import place
from worker.clock import FRESH, Correction, SharedClock, since_boot
from worker.config.settings import load
from worker.container import Container, utc_now
from worker.database import clock as shared
from worker.database import deliveries, due_work
from worker.database.database import Database
from worker.domain.delivery import Change, Step

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Host:
    """A machine that shares a database. Its background readings wait for `read_in_background`."""

    def __init__(self, database: "DatabaseClock", booted: float = 0.0) -> None:
        self.booted, self.waiting = booted, list[Callable[[], None]]()
        self.now = SharedClock(database.read, database.agree, self.ticks, self.waiting.append)
        self.database = database

    def ticks(self) -> float:
        return self.database.passed + self.booted

    def read_in_background(self) -> None:
        for work in self.waiting:
            work()
        self.waiting.clear()

    def run(self, seconds: float) -> None:
        """Let time pass, and read the clock whenever a reading is due."""
        for _ in range(int(seconds)):
            self.database.passed += 1
            self.now()
            self.read_in_background()


class DatabaseClock:
    """A database's clock, the true time, and the correction that the hosts have agreed on."""

    def __init__(self) -> None:
        self.passed, self.ahead, self.slow = 0.0, timedelta(), 0.0
        self.unreachable = False
        self.readings = 0
        self.correction = Correction()

    @property
    def true(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def agree(self, own: Callable[[], datetime]) -> timedelta | None:
        if self.unreachable:
            raise OperationalError("", None, Exception("unreachable"))
        before, now = self.correction, self.true + self.ahead
        self.correction = before.agreed(now, own())
        return before.shared(now) - self.correction.shared(now) if self.correction.since != before.since else None

    def read(self) -> datetime:
        self.readings += 1
        if self.unreachable:
            raise OperationalError("", None, Exception("unreachable"))
        self.passed += self.slow / 2
        read = self.correction.shared(self.true + self.ahead)
        self.passed += self.slow / 2
        return read


def claim(database: Database, host: Host) -> None:
    """Store an order that is due now, and claim it."""
    ids = place(database)
    database.persist(deliveries.update, ids, lambda each: Change(replace(each, step=Step.BOOK, next_run_at=host.now())))
    assert [due.id for due in database.write(due_work.claim_deliveries, host.now(), 10)] == ids


@pytest.mark.fault("F-51")
def test_two_hosts_have_the_same_time_whatever_their_own_clocks_show() -> None:
    database = DatabaseClock()
    first, second = Host(database), Host(database, booted=86_400.0)
    assert first.now() == second.now() == NOON
    database.passed = 7.0
    assert first.now() == second.now() == NOON + 7 * SECOND


def test_between_two_readings_the_database_is_not_asked() -> None:
    database = DatabaseClock()
    host = Host(database)
    for passed in range(int(FRESH)):
        database.passed = float(passed)
        host.now()
    assert (database.readings, host.waiting) == (1, [])


def test_an_old_reading_is_renewed_in_one_background_thread() -> None:
    database = DatabaseClock()
    host = Host(database)
    host.now()
    database.passed, database.ahead = FRESH, 5 * SECOND
    assert (host.now(), host.now(), len(host.waiting)) == (NOON + 10 * SECOND, NOON + 10 * SECOND, 1)
    host.read_in_background()
    assert host.now() == NOON + 15 * SECOND
    assert database.readings == 2


def test_a_slow_reading_counts_as_made_half_way() -> None:
    database = DatabaseClock()
    database.slow = 4.0
    assert Host(database).now() == NOON + 4 * SECOND


def test_during_an_outage_of_the_database_the_last_reading_goes_on() -> None:
    database = DatabaseClock()
    host = Host(database)
    host.now()
    database.unreachable, database.passed = True, FRESH
    host.now()
    host.read_in_background()
    database.passed = FRESH + 5
    assert (host.now(), host.waiting) == (NOON + 15 * SECOND, [])
    database.passed = 2 * FRESH
    host.now()
    assert len(host.waiting) == 1


def test_there_is_no_time_until_the_database_has_been_read() -> None:
    database = DatabaseClock()
    database.unreachable = True
    host = Host(database)
    with pytest.raises(OperationalError):
        host.now()
    database.unreachable = False
    assert host.now() == NOON


@pytest.mark.fault("F-51")
def test_the_monotonic_clock_never_goes_back() -> None:
    assert 0 < since_boot() <= since_boot()


@pytest.mark.fault("F-51")
@pytest.mark.parametrize("wrong", [timedelta(hours=-1), timedelta(minutes=5), timedelta(hours=1)])
def test_a_lease_ends_on_time_on_a_host_whose_own_clock_is_wrong(database: Database, wrong: timedelta) -> None:
    """Its wall clock is not read: only the time between two readings counts."""
    clock = DatabaseClock()
    right, other = Host(clock), Host(clock, booted=wrong.total_seconds() + 7200)
    claim(database, right)
    clock.passed = 30.0
    assert database.write(due_work.claim_deliveries, other.now(), 10) == []
    clock.passed = 31.0
    assert len(database.write(due_work.claim_deliveries, other.now(), 10)) == 1


# --- the database's clock is set ---


@pytest.mark.fault("F-89")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_lease_lasts_as_long_as_it_should_although_the_database_s_clock_is_set(
    database: Database, hours: int
) -> None:
    """Back, nothing would be due for an hour; forward, every lease and every quarantine would have ended at once."""
    clock = DatabaseClock()
    first, second = Host(clock), Host(clock, booted=86_400.0)
    second.now()
    claim(database, first)
    clock.ahead = timedelta(hours=hours)
    first.run(14)
    second.run(14)
    started_later = Host(clock)
    for host in (first, second, started_later):
        assert database.write(due_work.claim_deliveries, host.now(), 10) == []
    first.run(5)
    assert len(database.write(due_work.claim_deliveries, started_later.now(), 10)) == 1


@pytest.mark.fault("F-89")
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_step_is_told_once_whatever_the_number_of_hosts(hours: int) -> None:
    clock = DatabaseClock()
    hosts = [Host(clock, booted=100.0 * number) for number in range(3)]
    for host in hosts:
        host.run(11)
    clock.ahead = timedelta(hours=hours)
    with capture_logs() as logs:
        for host in hosts * 3:
            host.run(11)
    assert logs == [{"event": "clock.stepped", "log_level": "warning", "seconds": 3600 * hours}]


@pytest.mark.fault("F-89")
def test_after_a_step_the_shared_time_approaches_the_database_s_clock_slowly() -> None:
    clock = DatabaseClock()
    host = Host(clock)
    host.now()
    clock.ahead = timedelta(minutes=-2)
    differences = []
    for _ in range(5):
        host.run(600)
        differences.append(round((host.now() - clock.true - clock.ahead).total_seconds()))
    assert differences == [90, 60, 30, 0, 0]


@pytest.mark.fault("F-89")
def test_a_step_that_is_taken_back_leaves_no_difference() -> None:
    clock = DatabaseClock()
    host = Host(clock)
    host.run(11)
    for ahead in (timedelta(hours=-1), timedelta()):
        clock.ahead = ahead
        host.run(40)
        assert abs(host.now() - clock.true) < 5 * SECOND


@pytest.mark.fault("F-89")
def test_a_host_that_was_paused_follows_the_others() -> None:
    """A hypervisor may pause a machine without its monotonic clock noticing."""
    clock = DatabaseClock()
    working, paused = Host(clock), Host(clock)
    paused.run(11)
    working.run(3600)
    paused.booted -= 3600
    with capture_logs() as logs:
        paused.run(1)
        paused.read_in_background()
        working.run(11)
        paused.run(11)
    assert [abs(host.now() - clock.true) < SECOND for host in (working, paused)] == [True, True]
    assert logs == []


def test_a_step_during_an_outage_of_the_database_is_noticed_afterwards() -> None:
    clock = DatabaseClock()
    host = Host(clock)
    host.now()
    clock.unreachable = True
    host.run(30)
    clock.unreachable, clock.ahead = False, timedelta(hours=-1)
    host.run(30)
    assert abs(host.now() - clock.true) < 5 * SECOND


@pytest.mark.fault("F-89")
@pytest.mark.parametrize("hours", [-1, 1])
def test_postgresql_keeps_the_correction_for_every_host(postgres_url: str, hours: int) -> None:
    """A host whose own time differs by an hour finds what it would find after a step of an hour the other way."""
    with closing(Database(postgres_url)) as database:
        assert database.write(shared.agree, partial(database.read, shared.shared_time)) is None
        before = database.read(shared.shared_time)
        with psycopg.connect(postgres_url) as other:  # nobody has used the time since
            other.execute("UPDATE clock SET used = used - interval '1 day'")
        step = database.write(shared.agree, lambda: datetime.now(UTC) + timedelta(hours=hours))
        assert step is not None
        assert abs(step + timedelta(hours=hours)) < 5 * SECOND
        assert abs(database.read(shared.shared_time) - before - timedelta(hours=hours)) < 5 * SECOND
        assert database.write(shared.agree, lambda: datetime.now(UTC) + timedelta(hours=hours)) is None


def test_a_host_that_is_suspended_during_the_comparison_corrects_nothing(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        before = database.read(shared.shared_time)
        times = iter([before - timedelta(hours=1), before])
        assert database.write(shared.agree, lambda: next(times)) is None
        assert abs(database.read(shared.shared_time) - before) < 5 * SECOND


# --- which clock ---


def make(url: str) -> Container:
    return Container(load({"ORDER_SYNC_DATABASE_URL": url, "ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0"}))


def test_with_postgresql_the_clock_is_the_database_s(postgres_url: str) -> None:
    made = make(postgres_url)
    read = made.database.read(shared.shared_time)
    assert read.tzinfo is not None
    assert isinstance(made.clock, SharedClock)
    assert read <= made.clock() <= made.database.read(shared.shared_time) + SECOND
    made.close()


def test_with_sqlite_the_clock_is_the_machine_s(tmp_path: Path) -> None:
    assert make(f"sqlite:///{tmp_path}/order-sync.db").clock is utc_now


@pytest.mark.fault("F-111")
def test_a_reading_that_waited_long_for_its_connection_does_not_move_the_time_of_its_host() -> None:
    database, waits = DatabaseClock(), iter([0.0, 12.0])

    def read() -> datetime:
        database.passed += next(waits)
        return database.read()

    clock = SharedClock(read, database.agree, lambda: database.passed, lambda work: work())
    clock()
    database.passed += FRESH
    clock()
    assert clock() == database.true
