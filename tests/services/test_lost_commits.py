"""After a fail-over to a standby that was behind, no create is sent until an operator says so."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select
from sqlmodel import SQLModel
from structlog.testing import capture_logs

from tests.services.simulation import Simulation
from tests.services.test_crash_recovery import before_a_reply, files, run_until_killed
from worker.bus import streams
from worker.bus.streams import Bus
from worker.database import accounts

TABLES = SQLModel.metadata.sorted_tables
Rows = dict[str, list[dict[str, Any]]]


class Failover:
    """A simulation whose database may lose its newest commits."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    def copy(self) -> Rows:
        """Return everything that is committed now, as a standby that is behind has it."""
        with self.simulation.container.database.engine.connect() as connection:
            return {each.name: [dict(row) for row in connection.execute(select(each)).mappings()] for each in TABLES}

    def promote(self, standby: Rows) -> None:
        """Continue with what a standby has."""
        with self.simulation.container.database.engine.begin() as connection:
            for table in reversed(TABLES):
                connection.execute(delete(table))
            for table in TABLES:
                if standby[table.name]:
                    connection.execute(insert(table), standby[table.name])


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def failover(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Failover]:
    with closing(Simulation(tmp_path, DATABASE_URL=request.getfixturevalue(request.param))) as simulation:
        yield Failover(simulation)


def lose_a_create(failover: Failover) -> None:
    """Create an order at Borzo, and fail over to a standby that has the order and not its attempt."""
    simulation = failover.simulation
    simulation.place(order_id="2010")
    simulation.work()
    simulation.place(store_id="21")
    standby = failover.copy()
    simulation.work()
    assert [simulation.published(each) for each in ("2010", "2011")] == [["queued", "created"]] * 2
    failover.promote(standby)
    assert simulation.delivery().attempts == ()


def holds(simulation: Simulation) -> list[tuple[str, str]]:
    """Return who holds all creates, and why; empty while nobody does."""
    paused = simulation.container.database.read(accounts.paused)
    return [(each.by, each.because) for name, each in paused.items() if name == accounts.EVERY_ACCOUNT]


def release(simulation: Simulation) -> None:
    """Let an operator end the hold."""
    assert simulation.container.database.write(accounts.resume, accounts.EVERY_ACCOUNT, "operator", simulation.now)


LOST = [("database", "events on the bus that the database has lost: 1")]


# --- the bus knows more than the database ---


@pytest.mark.fault("F-95")
def test_no_create_is_sent_after_the_database_lost_one_until_an_operator_releases_them(failover: Failover) -> None:
    simulation = failover.simulation
    lose_a_create(failover)
    simulation.place(order_id="2012")
    for _ in range(5):
        simulation.pass_time(30)
    assert (holds(simulation), simulation.statuses("2011", "2012")) == (LOST, ["queued", "queued"])
    assert (len(simulation.ledger()), simulation.status("2010")) == (2, "picked_up")
    release(simulation)
    simulation.pass_time()
    assert (holds(simulation), simulation.statuses("2011", "2012"), len(simulation.ledger())) == (
        [],
        ["created"] * 2,
        4,
    )


@pytest.mark.fault("F-95")
def test_the_hold_is_published_and_each_lost_event_is_logged_with_its_courier(failover: Failover) -> None:
    simulation = failover.simulation
    lose_a_create(failover)
    with capture_logs() as logged:
        simulation.pass_time()
        simulation.pass_time()
    lost = [each for each in logged if each["event"] == "database.event_lost"]
    assert lost == [
        {
            "event": "database.event_lost",
            "log_level": "error",
            "delivery_id": simulation.delivery().id,
            "order_id": "2011",
            "status": "created",
            "attempt": 1,
            "account": "borzo",
            "ref": simulation.ledger()[1][1],
        }
    ]
    release(simulation)
    simulation.pass_time()
    held, released = simulation.events("*")
    assert [(each["type"], each["data"]["carrier"], each["data"]["by"]) for each in (held, released)] == [
        ("carrier.paused", "*", "database"),
        ("carrier.resumed", "*", "operator"),
    ]


@pytest.mark.fault("F-95")
@pytest.mark.parametrize("task", ["timers.sweep", "events.publish"])
def test_the_sweep_and_the_relay_each_compare_the_bus_with_the_database(failover: Failover, task: str) -> None:
    simulation = failover.simulation
    lose_a_create(failover)
    simulation.app.tasks[task]()
    assert holds(simulation) == LOST


@pytest.mark.fault("F-95")
def test_the_sequence_of_a_delivery_continues_after_its_lost_events(failover: Failover) -> None:
    simulation = failover.simulation
    lose_a_create(failover)
    simulation.pass_time()
    simulation.cancel(store_id="21")
    simulation.pass_time()
    assert [each["data"]["sequence"] for each in simulation.events()] == [1, 2, 3]
    assert simulation.published() == ["queued", "created", "cancelled"]


@pytest.mark.fault("F-95")
def test_cancels_reads_and_callbacks_go_on_while_creates_are_held(failover: Failover) -> None:
    simulation = failover.simulation
    lose_a_create(failover)
    simulation.cancel(order_id="2010")
    simulation.until(lambda it: it.status("2010") == "cancelled")
    assert (holds(simulation), simulation.ledger("cancel")) == (LOST, simulation.ledger()[:1])


@pytest.mark.fault("F-95")
def test_a_held_order_moves_to_no_other_carrier_and_asks_for_an_operator_in_time(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path)
    simulation.container.lost_commits.hold("a test")
    simulation.place(store_id="17")  # which has a second carrier
    simulation.until(lambda it: it.delivery().attention == "not_dispatched_in_time")
    assert simulation.published() == ["queued", "delivery.attention_required"]
    assert simulation.delivery().carrier == "deliverit"
    simulation.close()


# --- no false alarm ---


def new_identity(simulation: Simulation) -> None:
    """Empty the table `identity`, as after restoring a backup."""
    with simulation.container.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM identity")
    del simulation.container.database.identity  # processes start after a restore


def flush(simulation: Simulation) -> None:
    """Empty Redis."""
    simulation.redis.flushall()


@pytest.mark.parametrize("restored", [new_identity, flush])
def test_a_restored_backup_with_a_new_identity_or_an_emptied_redis_holds_nothing(
    failover: Failover, restored: Callable[[Simulation], None]
) -> None:
    simulation = failover.simulation
    simulation.place(order_id="2010")
    backup = failover.copy()
    simulation.work()
    simulation.place()
    simulation.work()
    failover.promote(backup)
    restored(simulation)
    simulation.until(lambda it: it.status("2010") == "created")
    assert holds(simulation) == []


def test_a_new_database_beside_an_old_redis_holds_nothing(failover: Failover) -> None:
    simulation = failover.simulation
    empty = failover.copy()
    simulation.place()
    simulation.work()
    failover.promote(empty)
    new_identity(simulation)
    simulation.place()
    simulation.until(lambda it: it.status() == "created")
    assert holds(simulation) == []


FOREIGN = (
    b"",
    b"[]",
    b"{}",
    b"\xff",
    b"[" * 100_000,
    b'{"partitionkey": {}, "sequence": "1"}',
    b'{"partitionkey": "\\ud800", "sequence": "1"}',
    b'{"partitionkey": "one", "sequence": "x"}',
)


def test_events_that_were_published_and_not_marked_and_foreign_entries_are_no_loss(failover: Failover) -> None:
    simulation = failover.simulation
    simulation.place()
    simulation.work()
    with simulation.container.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE publication SET stream_id = NULL")
    for document in FOREIGN:
        simulation.redis.xadd("deliveries", {"event": document})
    simulation.redis.xadd("deliveries", {"other": "field"})
    simulation.container.lost_commits.check()
    assert holds(simulation) == []


def test_a_sweep_does_its_work_while_the_bus_is_away(failover: Failover) -> None:
    simulation = failover.simulation
    lose_a_create(failover)
    simulation.place(order_id="2012")
    simulation.container.bus = Bus(streams.connect("redis://127.0.0.1:1/0"), orders="orders", events="deliveries")
    simulation.pass_time()
    assert simulation.status("2012") == "created"


# --- the call journal knows more than the database ---


def lose_an_intent(failover: Failover) -> None:
    """Let a process die during a create, and fail over to a standby that does not have its intent."""
    simulation = failover.simulation
    simulation.place(order_id="2010")
    simulation.work()
    simulation.place(store_id="21")
    standby, gateway = failover.copy(), simulation.container.gateway
    before_a_reply(simulation, "borzo")
    run_until_killed(simulation)
    simulation.container.gateway = gateway
    failover.promote(standby)


@pytest.mark.fault("F-95")
def test_an_attempt_of_the_journal_that_the_database_does_not_know_holds_all_creates(failover: Failover) -> None:
    simulation = failover.simulation
    lose_an_intent(failover)
    with capture_logs() as logged:
        simulation.container.crash_recovery.recover()
    simulation.pass_time(60)
    assert holds(simulation) == [("database", "attempts in the call journal that the database has lost: 1")]
    assert (simulation.status(), len(simulation.ledger()), files(simulation)) == ("queued", 1, [])
    assert [len(each["references"]) for each in logged if each["event"] == "database.attempts_lost"] == [1]
    release(simulation)
    simulation.until(lambda it: it.status() == "created")


def test_a_journal_of_another_database_holds_nothing(failover: Failover) -> None:
    simulation = failover.simulation
    lose_an_intent(failover)
    new_identity(simulation)
    simulation.container.crash_recovery.recover()
    assert (holds(simulation), files(simulation)) == ([], [])
