"""Work that no message started is a task for Flower, which learns of tasks from Celery's events."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from celery.events.event import Event
from celery.events.state import State
from structlog.testing import capture_logs

from worker.runtime.task_reports import TaskReports

SHOWN = ("name", "args", "state", "exception")


class Monitor:
    """A worker's event dispatcher, and what Celery's monitors make of its events."""

    enabled = True

    def __init__(self) -> None:
        self.state: Any = State()
        self.reports = TaskReports(lambda: self)
        self._clock = count(1)

    def send(self, kind: str, **fields: Any) -> None:
        event = Event(kind, hostname="worker@here", clock=next(self._clock), **fields)
        self.state.event({**event, "local_received": event["timestamp"]})

    def tasks(self) -> list[dict[str, Any]]:
        return [{name: getattr(task, name) for name in SHOWN} for task in self.state.tasks.values()]


def test_work_that_succeeds_is_a_task_that_succeeded() -> None:
    monitor, states = Monitor(), []
    monitor.reports.run("deliveries.book", ["cervo", ["d-1"]], lambda: states.extend(monitor.tasks()))
    task = {"name": "deliveries.book", "args": "['cervo', ['d-1']]", "exception": None}
    assert states == [{**task, "state": "STARTED"}]
    assert monitor.tasks() == [{**task, "state": "SUCCESS"}]


def test_work_that_fails_is_a_task_that_failed_and_its_error_is_logged_and_not_raised() -> None:
    monitor = Monitor()

    def fail() -> None:
        raise KeyError("+4566112233")

    with capture_logs() as logs:
        monitor.reports.run("deliveries.book", ["cervo", ["d-1"]], fail)
    assert [(each["state"], each["exception"]) for each in monitor.tasks()] == [("FAILURE", "KeyError")]
    assert [(each["event"], each["task"]) for each in logs] == [("task.failed", "deliveries.book")]


class Unreachable:
    """A dispatcher whose broker is away."""

    enabled = True

    def send(self, *_: Any, **__: Any) -> None:
        raise OSError("the broker is away")


class Disabled:
    """A dispatcher of a worker that sends no events."""

    enabled = False


@pytest.mark.parametrize("dispatcher", [lambda: None, Disabled, Unreachable])
def test_work_is_done_even_if_it_cannot_be_reported(dispatcher: Callable[[], Any]) -> None:
    done: list[str] = []
    TaskReports(dispatcher).run("deliveries.book", [], lambda: done.append("done"))
    assert done == ["done"]
