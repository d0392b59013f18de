"""A worker without a broker runs the tasks of its sweeps in its own threads."""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.services.simulation import Simulation
from worker.runtime.local_queue import LocalQueue

SAFETY_SECONDS = 20


@pytest.fixture
def queue(simulation: Simulation) -> Iterator[LocalQueue]:
    with closing(LocalQueue(simulation.app, 1)) as opened:
        yield opened


@pytest.fixture
def simulation(tmp_path: Any) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path)) as running:
        yield running


class Task:
    """A task that runs until it may end."""

    def __init__(self, app: Any, name: str, error: Exception | None = None) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        self.seen: list[tuple[object, ...]] = []

        def run(*arguments: object) -> None:
            self.seen.append(arguments)
            self.begun.release()
            assert self.may_end.wait(SAFETY_SECONDS)
            if error:
                raise error

        app.tasks[name] = run


def await_end(queue: LocalQueue) -> None:
    """Wait until every task has ended."""
    ended = threading.Event()
    while any(queue.depths(["carrier.cervo", "carrier.cervo.reads"]).values()):
        ended.wait(0.005)


@pytest.mark.fault("F-93")
def test_tasks_run_and_count_in_their_queue_until_they_end(simulation: Simulation, queue: LocalQueue) -> None:
    task = Task(simulation.app, "deliveries.book")
    queue.send([("deliveries.book", ["cervo", ["a"]]), ("deliveries.book", ["cervo", ["b"]])])
    assert task.begun.acquire(timeout=SAFETY_SECONDS)
    assert queue.depths(["carrier.cervo", "carrier.cervo.reads"]) == {"carrier.cervo": 2, "carrier.cervo.reads": 0}
    task.may_end.set()
    await_end(queue)
    assert task.seen == [("cervo", ["a"]), ("cervo", ["b"])]


@pytest.mark.fault("F-93")
def test_a_task_that_fails_is_logged_and_counts_no_more(simulation: Simulation, queue: LocalQueue) -> None:
    task = Task(simulation.app, "deliveries.track", ValueError("a bug"))
    task.may_end.set()
    with capture_logs() as logs:
        queue.send([("deliveries.track", ["cervo", []])])
        await_end(queue)
    assert [(each["event"], each["task"]) for each in logs] == [("task.failed", "deliveries.track")]


def test_a_queue_that_is_closed_drops_the_tasks_that_have_not_begun(simulation: Simulation, queue: LocalQueue) -> None:
    task = Task(simulation.app, "deliveries.book")
    queue.send([("deliveries.book", ["cervo", [each]]) for each in "abc"])
    assert task.begun.acquire(timeout=SAFETY_SECONDS)
    dropped = queue.close()
    task.may_end.set()
    assert (task.seen, dropped) == (
        [("cervo", ["a"])],
        [("deliveries.book", ["cervo", ["b"]]), ("deliveries.book", ["cervo", ["c"]])],
    )
