"""Report work as a task to Flower and other monitors, although no message of the broker started it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Any
from uuid import uuid4

from celery import Celery

from worker import log

logger = log.get(__name__)
MAX_WAITING = 1000
"""The most reports that wait to be sent. While the broker is away, further reports are dropped."""
RETRY_SECONDS = 5.0
CHECK_SECONDS = 0.5
"""Seconds between two checks whether more reports will come."""
Report = tuple[str, dict[str, Any]]


class TaskReports:
    """Sends the events that Celery sends for a task, in a thread of its own, so that no work waits for the broker."""

    def __init__(self, app: Celery, hostname: str) -> None:
        """`hostname` is the worker's name for Celery."""
        self._app, self._hostname = app, hostname
        self._waiting: Queue[Report] = Queue(MAX_WAITING)
        self._closed = threading.Event()
        threading.Thread(target=self._send_all, name="task-reports", daemon=True).start()

    def run(self, name: str, arguments: str, work: Callable[[], str]) -> None:
        """Run work as a task with this name and these arguments, as Flower shows them, without personal data.

        The work returns its problems in one line. With problems, the task is reported as failed. An error of the work
        is logged and reported, and not raised.
        """
        uuid, began = str(uuid4()), time.monotonic()
        self._report("received", uuid, name=name, args=arguments, kwargs="{}", retries=0, eta=None, root_id=uuid)
        self._report("started", uuid)
        try:
            problems = work()
        except Exception as error:
            logger.exception("task.failed", task=name)
            self._report("failed", uuid, exception=type(error).__name__)
            return
        if problems:
            self._report("failed", uuid, exception=problems)
        else:
            self._report("succeeded", uuid, result="None", runtime=time.monotonic() - began)

    def close(self) -> None:
        """Let the thread end after it has sent the reports that wait."""
        self._closed.set()

    def _report(self, event: str, uuid: str, **fields: Any) -> None:
        with suppress(Full):
            self._waiting.put_nowait((f"task-{event}", {"uuid": uuid, "timestamp": time.time(), **fields}))

    def _next(self) -> Report | None:
        """Return the next report; None when no more will come."""
        while True:
            with suppress(Empty):
                return self._waiting.get(timeout=CHECK_SECONDS)
            if self._closed.is_set():
                return None

    def _send_all(self) -> None:
        while True:
            try:
                with self._app.events.default_dispatcher(self._hostname) as dispatcher:
                    while report := self._next():
                        kind, fields = report
                        dispatcher.send(kind, **fields)
                    return
            except Exception as error:  # noqa: BLE001 - a report that cannot be sent is dropped
                logger.warning("task.not_reported", error=type(error).__name__)
                if self._closed.wait(RETRY_SECONDS):
                    return
