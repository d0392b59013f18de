"""Threads that the Celery worker runs beside its tasks; they start and stop with the worker.

They do not run in the worker's event loop, and their errors never end the worker.
"""

import os
import socket
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from celery import bootsteps

from worker import log
from worker.container import container
from worker.services import ingest

logger = log.get(__name__)
PAUSE_SECONDS = 5.0
"""Seconds between two checks of the journal."""


class Loop(Protocol):
    """Work that continues until `stop` is called."""

    def run(self) -> None:
        """Work until `stop` is called from another thread."""

    def stop(self) -> None:
        """Ask `run` to return after its current work."""


class Repeated:
    """Work that runs at once and then every few seconds; a failure does not end it."""

    def __init__(self, work: Callable[[], None], pause: float = PAUSE_SECONDS) -> None:
        self._work, self._pause = work, pause
        self._stop = threading.Event()

    def run(self) -> None:
        """Work until it is stopped."""
        while True:
            try:
                self._work()
            except Exception:
                logger.exception("journal.recovery_failed")
            if self._stop.wait(self._pause):
                return

    def stop(self) -> None:
        """Stop after the work that is under way."""
        self._stop.set()


class ThreadStep(bootsteps.StartStopStep):
    """A loop in a thread of its own."""

    requires = ("celery.worker.components:Pool",)
    thread_name: ClassVar[str]
    join_seconds: ClassVar[float]
    """How long a stopping worker waits for the thread. The next process repeats interrupted work."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None

    def build(self) -> Loop:
        """Return the loop that the thread runs."""
        raise NotImplementedError

    def start(self, _parent: Any) -> None:
        """Start the thread."""
        self._loop = self.build()
        self._thread = threading.Thread(target=self._loop.run, name=self.thread_name, daemon=True)
        self._thread.start()

    def stop(self, _parent: Any) -> None:
        """Stop the loop and wait for the thread."""
        if self._loop and self._thread:
            self._loop.stop()
            self._thread.join(timeout=self.join_seconds)

    def terminate(self, parent: Any) -> None:
        """Do the same as `stop`."""
        self.stop(parent)


class OrdersReader(ThreadStep):
    """Reads the orders stream."""

    thread_name = "orders"
    join_seconds = ingest.BLOCK_MS / 1000 + ingest.PAUSE_SECONDS + 5

    def build(self) -> Loop:
        """Return the reader of this process."""
        services = container()
        return ingest.OrdersReader(services.bus, services.ingest, f"{socket.gethostname()}.{os.getpid()}")


class JournalReader(ThreadStep):
    """Applies what dead processes left in the call journal of this host."""

    thread_name = "journal"
    join_seconds = 10.0

    def build(self) -> Loop:
        """Return the recovery of this process."""
        return Repeated(container().crash_recovery.recover)
