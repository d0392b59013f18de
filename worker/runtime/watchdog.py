"""The watchdog ends a worker that no longer consumes tasks, so that its supervisor starts it again.

The process of a stuck consumer still runs, so no supervisor would notice. While the worker consumes tasks, the watchdog
touches a file (`ORDER_SYNC_HEARTBEAT_PATH`), whose age is a liveness check that costs nothing.
"""

import os
import threading
from contextlib import suppress
from typing import Any

from celery import bootsteps
from celery.worker import state

from worker import log
from worker.config.settings import load
from worker.runtime import broker

logger = log.get(__name__)
CHECK_SECONDS = 5.0
PATIENCE = 12
"""The number of consecutive checks without a heartbeat after which the worker is ended: about a minute.

Checks are counted instead of seconds, because the machine may have been suspended.
"""
WEDGED = 70
"""The exit status of a worker that the watchdog ended."""


class HeartbeatCounter:
    """Counts the consecutive checks that found no heartbeat of the consumer."""

    def __init__(self) -> None:
        self.missed = 0
        self._seen = (0, 0, 0)

    def record(self, turns: int, restarts: int, tasks: int) -> None:
        """Compare the consumer's counts with the counts of the previous check.

        A new task is a heartbeat. A turn of the event loop is a heartbeat only if the consumer has not restarted since
        the previous check.
        """
        before, self._seen = self._seen, (turns, restarts, tasks)
        alive = tasks > before[2] or (turns > before[0] and restarts == before[1])
        self.missed = 0 if alive else self.missed + 1


class Watchdog(bootsteps.StartStopStep):
    """Checks the worker's consumer from a thread of its own."""

    requires = ("celery.worker.components:Hub", "celery.worker.components:Timer")

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._turns = 0
        self._heartbeats = HeartbeatCounter()
        self._file = load().heartbeat_path

    def include_if(self, parent: Any) -> bool:
        """Return whether the worker has an event loop. Without an event loop, there is no watchdog."""
        return bool(parent.use_eventloop)

    def start(self, parent: Any) -> None:
        """Start the thread."""
        self._stop.clear()
        parent.timer.call_repeatedly(CHECK_SECONDS / 2, self.turn)
        threading.Thread(target=self._run, args=(parent,), name="watchdog", daemon=True).start()

    def turn(self) -> None:
        """Record that the event loop ran once more."""
        self._turns += 1

    def _run(self, parent: Any) -> None:
        while not self._stop.wait(CHECK_SECONDS):
            if not self.check(parent):
                logger.critical("worker.wedged")
                os._exit(WEDGED)  # a normal exit would wait for the stuck thread

    def check(self, parent: Any) -> bool:
        """Return whether the worker consumes tasks. A worker that is ending or has no broker counts as healthy."""
        self._heartbeats.record(self._turns, parent.consumer.restart_count, state.all_total_count[0])
        ending = state.should_stop is not None or state.should_terminate is not None
        if self._heartbeats.missed and (ending or not _responds(parent.app)):
            self._heartbeats.missed = 0
        if self._file is not None and not self._heartbeats.missed:
            with suppress(OSError):  # a full or read-only disk makes the file old, but must not end the worker
                self._file.touch()
        return self._heartbeats.missed < PATIENCE

    def stop(self, _parent: Any) -> None:
        """Stop the thread."""
        self._stop.set()

    def terminate(self, parent: Any) -> None:
        """Do the same as `stop`."""
        self.stop(parent)


def _responds(app: Any) -> bool:
    try:
        broker.ping(app)
    except Exception:  # noqa: BLE001 - any error is one of the broker, not of the worker
        return False
    return True
