from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.database.samples import place
from worker.clock import FRESH, SharedClock, since_boot
from worker.config.settings import load
from worker.container import Container, utc_now
from worker.database import deliveries
from worker.database.database import Database
from worker.domain.delivery import Change, Step

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Host:
    """A machine that shares a database. Its background readings wait for `read_in_background`."""

    def __init__(self, database: "DatabaseClock", booted: float = 0.0) -> None:
        self.booted, self.waiting = booted, list[Callable[[], None]]()
        self.now = SharedClock(database.read, self.ticks, self.waiting.append)
        self.database = database

    def ticks(self) -> float:
        return self.database.passed + self.booted

    def read_in_background(self) -> None:
        for work in self.waiting:
            work()
        self.waiting.clear()


class DatabaseClock:
    """A database's clock, and the true time."""

    def __init__(self) -> None:
        self.passed, self.ahead, self.slow = 0.0, timedelta(), 0.0
        self.unreachable = False
        self.readings = 0

    def read(self) -> datetime:
        self.readings += 1
        if self.unreachable:
            raise OperationalError("", None, Exception("unreachable"))
        self.passed += self.slow / 2
        read = NOON + timedelta(seconds=self.passed) + self.ahead
        self.passed += self.slow / 2
        return read


def claim(database: Database, host: Host) -> None:
    """Store an order that is due now, and claim it."""
    ids = place(database)
    database.persist(deliveries.update, ids, lambda each: Change(replace(each, step=Step.BOOK, next_run_at=host.now())))
    assert [due.id for due in database.write(deliveries.claim, host.now(), 10)] == ids


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
    database.passed, database.ahead = FRESH, timedelta(minutes=5)
    assert (host.now(), host.now(), len(host.waiting)) == (NOON + 10 * SECOND, NOON + 10 * SECOND, 1)
    host.read_in_background()
    assert host.now() == NOON + 10 * SECOND + timedelta(minutes=5)
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
    assert database.write(deliveries.claim, other.now(), 10) == []
    clock.passed = 31.0
    assert len(database.write(deliveries.claim, other.now(), 10)) == 1


def test_a_jump_of_the_database_s_clock_counts_from_the_next_reading(database: Database) -> None:
    clock = DatabaseClock()
    host = Host(clock)
    claim(database, host)
    clock.ahead = timedelta(hours=1)
    assert database.write(deliveries.claim, host.now(), 10) == []


def make(url: str) -> Container:
    return Container(load({"ORDER_SYNC_DATABASE_URL": url, "ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0"}))


def test_with_postgresql_the_clock_is_the_database_s(postgres_url: str) -> None:
    made = make(postgres_url)
    read = made.database.time()
    assert read.tzinfo is not None
    assert isinstance(made.clock, SharedClock)
    assert read <= made.clock() <= made.database.time() + SECOND
    made.close()


def test_with_sqlite_the_clock_is_the_machine_s(tmp_path: Path) -> None:
    assert make(f"sqlite:///{tmp_path}/order-sync.db").clock is utc_now
