"""Report work as a task to Flower and other monitors, although no message of the broker started it."""

import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from worker import log

logger = log.get(__name__)


class TaskReports:
    """Sends the events that Celery sends for a task."""

    def __init__(self, dispatcher: Callable[[], Any]) -> None:
        """`dispatcher` returns Celery's event dispatcher; None while the worker is not connected to the broker."""
        self._dispatcher = dispatcher

    def run(self, name: str, arguments: Sequence[object], work: Callable[[], None]) -> None:
        """Run work as a task with this name and these arguments, which must contain no personal data.

        An error of the work is logged and reported, and not raised.
        """
        uuid, begun = str(uuid4()), time.monotonic()
        self._send("received", uuid, name=name, args=repr(arguments), kwargs="{}", retries=0, eta=None, root_id=uuid)
        self._send("started", uuid)
        try:
            work()
        except Exception as error:
            logger.exception("task.failed", task=name)
            self._send("failed", uuid, exception=type(error).__name__, traceback="")
        else:
            self._send("succeeded", uuid, result="None", runtime=time.monotonic() - begun)

    def _send(self, event: str, uuid: str, **fields: Any) -> None:
        dispatcher = self._dispatcher()
        if dispatcher is None or not dispatcher.enabled:
            return
        try:
            dispatcher.send(f"task-{event}", uuid=uuid, **fields)
        except Exception as error:  # noqa: BLE001 - a report must not disturb the work
            logger.warning("task.not_reported", error=type(error).__name__)
