"""Work that no message started is a task for Flower, which learns of tasks from Celery's events."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

from celery.events.event import Event
from celery.events.state import State
from structlog.testing import capture_logs

from worker.runtime.task_reports import MAX_WAITING, TaskReports

SHOWN = ("name", "args", "state", "exception")


class Monitor:
    """A Celery app whose event dispatcher feeds the state that Celery's monitors keep."""

    def __init__(self) -> None:
        self.state: Any = State()
        self.events = self
        self.ended = threading.Event()
        self.reports = TaskReports(self, "worker@here")  # type: ignore[arg-type]

    @contextmanager
    def default_dispatcher(self, hostname: str) -> Iterator["Monitor"]:
        self.hostname = hostname
        yield self
        self.ended.set()

    def send(self, kind: str, **fields: Any) -> None:
        event = Event(kind, hostname=self.hostname, clock=1, **fields)
        self.state.event({**event, "local_received": event["timestamp"]})

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks after all reports were sent."""
        self.reports.close()
        assert self.ended.wait(10)
        return [{name: getattr(task, name) for name in SHOWN} for task in self.state.tasks.values()]


def test_work_that_succeeds_is_a_task_that_succeeded() -> None:
    monitor = Monitor()
    monitor.reports.run("deliveries.book cervo", "2011", lambda: "")
    task = {"name": "deliveries.book cervo", "args": "2011", "exception": None, "state": "SUCCESS"}
    assert monitor.tasks() == [task]


def test_work_that_returns_problems_is_a_task_that_failed_because_of_them_and_nothing_is_logged() -> None:
    monitor = Monitor()
    with capture_logs() as logs:
        monitor.reports.run("deliveries.book cervo", "2011", lambda: "1 outcome unknown")
    assert [(each["state"], each["exception"]) for each in monitor.tasks()] == [("FAILURE", "1 outcome unknown")]
    assert logs == []


def test_work_that_is_not_over_is_a_task_that_has_started() -> None:
    monitor, states = Monitor(), []

    def look() -> str:
        states.extend(monitor.tasks())
        return ""

    monitor.reports.run("deliveries.book", "", look)
    assert [each["state"] for each in states] == ["STARTED"]


def test_work_that_fails_is_a_task_that_failed_and_its_error_is_logged_and_not_raised() -> None:
    monitor = Monitor()

    def fail() -> str:
        raise KeyError("+4566112233")

    with capture_logs() as logs:
        monitor.reports.run("deliveries.book cervo", "2011", fail)
    assert [(each["state"], each["exception"]) for each in monitor.tasks()] == [("FAILURE", "KeyError")]
    assert [(each["event"], each["task"]) for each in logs] == [("task.failed", "deliveries.book cervo")]


class Hanging:
    """A Celery app whose broker never answers."""

    def __init__(self) -> None:
        self.events = self
        self.released = threading.Event()

    @contextmanager
    def default_dispatcher(self, _hostname: str) -> Iterator[SimpleNamespace]:
        self.released.wait()
        yield SimpleNamespace(send=lambda *_, **__: None)

    def close(self) -> None:
        self.released.set()


def test_no_work_waits_for_a_broker_that_hangs_however_many_reports_there_are() -> None:
    done: list[int] = []
    with closing(Hanging()) as app:
        reports = TaskReports(app, "worker@here")  # type: ignore[arg-type]

        def work() -> str:
            done.append(len(done))
            return ""

        for _ in range(MAX_WAITING):
            reports.run("deliveries.book", "", work)
        reports.close()
    assert done == list(range(MAX_WAITING))


class Unreachable:
    """A Celery app whose broker is away."""

    def __init__(self) -> None:
        self.events = self
        self.tried = threading.Event()

    def default_dispatcher(self, _hostname: str) -> Any:
        self.tried.set()
        raise OSError("the broker is away")


def test_the_thread_of_the_reports_ends_although_the_broker_is_away() -> None:
    app = Unreachable()
    reports = TaskReports(app, "worker@here")  # type: ignore[arg-type]
    assert app.tried.wait(10)
    reports.close()
    for thread in threading.enumerate():
        if thread.name == "task-reports":
            thread.join(10)
    assert "task-reports" not in {thread.name for thread in threading.enumerate()}
