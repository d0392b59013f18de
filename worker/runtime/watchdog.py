"""The watch: a worker that takes no more tasks ends itself, so that whoever started it starts it again.

A process can live on while its consumer is stuck, and then no supervisor would notice.
"""

import os
import threading
from typing import Any

from celery import bootsteps
from celery.worker import state

from worker import log
from worker.runtime import broker

logger = log.get(__name__)
LOOK_SECONDS = 5.0
PATIENCE = 12
"""Looks in a row without a sign of life: a minute. Looks and not seconds, for a machine may stand still."""
WEDGED = 70
"""The exit status."""


class HeartbeatCounter:
    """Counts how often in a row a consumer gave no sign of life."""

    def __init__(self) -> None:
        self.missed = 0
        self._seen = (0, 0, 0)

    def record(self, turns: int, restarts: int, tasks: int) -> None:
        """Compare a consumer's counts with those of before; a restart without any task is no sign of life."""
        before, self._seen = self._seen, (turns, restarts, tasks)
        alive = tasks > before[2] or (turns > before[0] and restarts == before[1])
        self.missed = 0 if alive else self.missed + 1


class Watchdog(bootsteps.StartStopStep):
    """Watches the worker's consumer from a thread of its own."""

    requires = ("celery.worker.components:Hub", "celery.worker.components:Timer")

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._turns = 0
        self._pulse = HeartbeatCounter()

    def include_if(self, parent: Any) -> bool:
        """Watch only a consumer that has an event loop."""
        return bool(parent.use_eventloop)

    def start(self, parent: Any) -> None:
        """Start watching."""
        self._stop.clear()
        parent.timer.call_repeatedly(LOOK_SECONDS / 2, self._turn)
        threading.Thread(target=self._run, args=(parent,), name="watch", daemon=True).start()

    def _turn(self) -> None:
        self._turns += 1

    def _run(self, parent: Any) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            if not self.look(parent):
                logger.critical("worker.wedged")
                os._exit(WEDGED)  # a thread that is stuck would keep any politer end waiting

    def look(self, parent: Any) -> bool:
        """Tell whether the worker is of use; while it ends, or its broker is away, nobody can say otherwise."""
        self._pulse.record(self._turns, parent.consumer.restart_count, state.all_total_count[0])
        ending = state.should_stop is not None or state.should_terminate is not None
        if self._pulse.missed and (ending or not _answers(parent.app)):
            self._pulse.missed = 0
        return self._pulse.missed < PATIENCE

    def stop(self, _parent: Any) -> None:
        """Stop watching."""
        self._stop.set()

    def terminate(self, parent: Any) -> None:
        """End as `stop` does."""
        self.stop(parent)


def _answers(app: Any) -> bool:
    try:
        broker.ping(app)
    except Exception:  # noqa: BLE001 - whatever is wrong with the broker, it is not the worker
        return False
    return True
