"""A purge goes on in a new task until nothing is left, whatever has to stay and whatever fails."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery.signals import before_task_publish
from sqlalchemy import insert

from tests.database.samples import rows
from tests.services.simulation import Simulation
from worker.database import diagnostics, leases, retention
from worker.database.database import Database
from worker.database.retention import PAGE
from worker.database.tables import CALLBACK
from worker.enqueue import PURGE
from worker.services.retention import LEASE, LEASE_SECONDS, Purged

OLD = timedelta(days=401)


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """Yield a simulation whose purge needs a task for each page."""
    with closing(Simulation(tmp_path)) as running:
        running.container.retention = replace(running.container.retention, most_pages=1)
        yield running


@pytest.fixture
def parts() -> Iterator[list[tuple[str, int]]]:
    """Record where each further part of a purge begins: the kind and the position."""
    seen: list[tuple[str, int]] = []

    def record(sender: str, body: Any, **_more: Any) -> None:
        if sender == PURGE:
            _, kind, after, _ = body[0]
            seen.append((kind, after))

    before_task_publish.connect(record)
    yield seen
    before_task_publish.disconnect(record)


def add_callbacks(simulation: Simulation, *results: str | None) -> None:
    """Store a callback with each of these results."""
    given = {"carrier": "borzo", "method": "POST", "query": "", "body": b""}
    at = {"received_at": simulation.now, "try_at": simulation.now}
    added = [{**given, **at, "id": f"{n}", "digest": f"{n}", "result": each} for n, each in enumerate(results)]
    with simulation.container.database.engine.begin() as connection:
        connection.execute(insert(CALLBACK), added)


def stored_callbacks(simulation: Simulation) -> set[str | None]:
    return {row["result"] for row in rows(simulation.container.database, "callback")}


def purge(simulation: Simulation) -> None:
    """Run the hourly task and the tasks that follow."""
    simulation.app.tasks[PURGE]()
    simulation.work()


def taken_by_another(database: Database, simulation: Simulation) -> bool:
    """Return whether another process can take the lease of the purge now; it has the lease then."""
    return database.write(leases.take, LEASE, "another", simulation.now, LEASE_SECONDS)


def test_a_purge_that_has_not_finished_goes_on_in_new_tasks(
    simulation: Simulation, parts: list[tuple[str, int]]
) -> None:
    add_callbacks(simulation, *["applied"] * (2 * PAGE + 1))
    simulation.now += OLD
    purge(simulation)
    assert rows(simulation.container.database, "callback") == []
    assert parts == [
        ("cancellations", 0), ("calls", 0), ("callbacks", 0), ("callbacks", PAGE), ("callbacks", 2 * PAGE),
        ("dead letters", 0), ("messages", 0), ("events", 0), ("deliveries", 0),
    ]  # fmt: skip


def test_rows_that_stay_do_not_keep_those_after_them(simulation: Simulation) -> None:
    add_callbacks(simulation, *[None] * PAGE, "applied")
    simulation.now += OLD
    purge(simulation)
    assert stored_callbacks(simulation) == {None}


def test_one_call_deletes_all_parts_and_returns_the_sums(simulation: Simulation) -> None:
    add_callbacks(simulation, *["applied"] * PAGE, None, *["applied"] * PAGE)
    simulation.now += OLD
    assert simulation.container.retention.delete_old().removed == {"callbacks": 2 * PAGE}


def test_a_purge_keeps_its_lease_between_its_parts_and_releases_it_at_the_end(simulation: Simulation) -> None:
    database = simulation.container.database
    simulation.app.tasks[PURGE]()
    assert not taken_by_another(database, simulation)
    simulation.work()
    assert taken_by_another(database, simulation)


def test_a_purge_ends_when_another_one_has_taken_its_lease(
    simulation: Simulation, parts: list[tuple[str, int]]
) -> None:
    simulation.app.tasks[PURGE]()
    simulation.now += timedelta(seconds=LEASE_SECONDS + 1)
    assert taken_by_another(simulation.container.database, simulation)
    simulation.work()
    assert parts == [("cancellations", 0)]


def test_a_part_that_the_broker_delivers_twice_runs_once(simulation: Simulation, parts: list[tuple[str, int]]) -> None:
    sent: list[list[Any]] = []
    before_task_publish.connect(lambda body, **_: sent.append(body[0]), weak=False, dispatch_uid="sent")
    simulation.app.tasks[PURGE]()
    before_task_publish.disconnect(dispatch_uid="sent")
    for _ in range(2):
        simulation.app.tasks[PURGE](*sent[0])
    assert parts == [("cancellations", 0), ("calls", 0)]


def test_a_purge_that_fails_leaves_its_lease_to_the_next_one(simulation: Simulation) -> None:
    with closing(FullDisk(simulation.container.settings.database_url)) as database:
        with pytest.raises(OSError, match="No space left on device"):
            replace(simulation.container.retention, database=database).delete_old()
        assert taken_by_another(database, simulation)
        purged = simulation.container.retention.delete_old()
    assert purged == Purged(Counter(), "another process purges, or one died less than five minutes ago")


def test_an_archive_gets_deliveries_before_all_old_events_are_read(
    tmp_path: Path, parts: list[tuple[str, int]]
) -> None:
    with closing(Simulation(tmp_path, ARCHIVE_FOLDER=str(tmp_path / "archive"))) as simulation:
        simulation.container.retention = replace(simulation.container.retention, most_pages=1)
        purge(simulation)
    assert [kind for kind, _ in parts][-2:] == ["deliveries", "events"]


class FullDisk(Database):
    """A database that cannot delete calls."""

    def write(self, change: Any, *args: Any, **kwargs: Any) -> Any:
        if change is retention.delete_calls:
            raise OSError("No space left on device")
        return super().write(change, *args, **kwargs)


def test_only_faults_of_the_archive_are_logged_as_such(simulation: Simulation) -> None:
    with closing(FullDisk(simulation.container.settings.database_url)) as database:
        failing = replace(simulation.container.retention, database=database)
        with structlog.testing.capture_logs() as lines, pytest.raises(OSError, match="No space left on device"):
            failing.delete_old()
    assert lines == []


def test_a_purge_ends_when_the_archive_fails(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file in place of the folder")
    with closing(Simulation(tmp_path, ARCHIVE_FOLDER=str(tmp_path / "archive"))) as simulation:
        simulation.container.retention = replace(simulation.container.retention, most_pages=1)
        simulation.place_at("cervo", "1")
        simulation.until(lambda it: it.delivery("1").step is None)
        simulation.now += OLD
        simulation.place_at("cervo", "2")
        purge(simulation)
        assert simulation.status("1") == "delivered"
        assert simulation.container.retention.delete_old().fault.startswith("not everything was archived: [Errno 17]")
        assert simulation.container.database.read(diagnostics.purged_at) == simulation.delivery("1").created_at
        (tmp_path / "archive").unlink()
        assert simulation.container.retention.delete_old().removed == {"deliveries": 1}
