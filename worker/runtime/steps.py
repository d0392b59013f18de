"""Threads that the Celery worker runs beside its tasks; they start and stop with the worker.

They do not run in the worker's event loop, and their errors never end the worker.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, Protocol

from celery import bootsteps

from worker import log
from worker.container import container
from worker.database.connection import DatabaseError
from worker.enqueue import carrier_queues, queue_name
from worker.runtime.local_queue import LocalQueue
from worker.runtime.task_reports import TaskReports
from worker.services import ingest

logger = log.get(__name__)
PAUSE_SECONDS = 5.0
"""Seconds between two searches for abandoned journal files."""
SWEEP_CHECK_SECONDS = 5.0
"""Seconds between two checks for a late sweep.

This is longer than `sweep.OWN_SWEEP_SECONDS`, the lease of a worker's own sweep. So this lease ends before the next
check, and a sweep that beat enqueued can take the lease in between.
"""
NOTIFY_SECONDS = 15.0
"""Seconds between two searches for troubles to notify people of."""
TRIM_SECONDS = 60.0
"""Seconds between two trimmings of the streams."""
_UNIQUE = secrets.token_hex(3)


class Loop(Protocol):
    """Work that continues until `stop` is called."""

    def run(self) -> None:
        """Work until `stop` is called from another thread."""

    def stop(self) -> None:
        """Ask `run` to return after its current work."""


class Repeated:
    """Work that runs at once and then every few seconds; a failure does not end it."""

    def __init__(
        self, work: Callable[[], object], pause: float, failed: str, at_end: Callable[[], object] = lambda: None
    ) -> None:
        """Repeat `work`, with `pause` seconds in between, and call `at_end` once it is stopped.

        `failed` is the event to log after an error of `work`.
        """
        self._work, self._pause, self._failed, self._at_end = work, pause, failed, at_end
        self._stop = threading.Event()

    def run(self) -> None:
        """Repeat the work until `stop` is called, then end it."""
        while True:
            try:
                self._work()
            except Exception as error:
                logger.warning(self._failed, error=type(error).__name__, exc_info=not ingest.is_outage(error))
            if self._stop.wait(self._pause):
                break
        self._at_end()

    def stop(self) -> None:
        """Stop after the work that is under way."""
        self._stop.set()


class ThreadStep(bootsteps.StartStopStep):
    """A bootstep that runs a loop in a thread of its own."""

    requires: Any = ("celery.worker.components:Pool",)
    thread_name: ClassVar[str]
    join_seconds: ClassVar[float]
    """Seconds that a stopping worker waits for the thread. The next process repeats work that is cut off."""

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

    def stop_soon(self) -> None:
        """Let the loop end after its current work."""
        if self._loop:
            self._loop.stop()

    def stop(self, _parent: Any) -> None:
        """Stop the loop and wait for the thread."""
        self.stop_soon()
        if self._thread:
            self._thread.join(timeout=self.join_seconds)

    def terminate(self, parent: Any) -> None:
        """Do the same as `stop`."""
        self.stop(parent)


class OrdersReader(ThreadStep):
    """Reads the orders stream, and books new orders in threads of its own."""

    thread_name = "orders"
    join_seconds = ingest.BLOCK_MS / 1000 + ingest.PAUSE_SECONDS + 5

    def start(self, parent: Any) -> None:
        """Start the thread."""
        self._hostname = parent.hostname
        super().start(parent)

    def build(self) -> Loop:
        """Return the loop that reads the stream."""
        services = container()
        app, accounts = services.app, services.settings.accounts
        self._reports = TaskReports(app, self._hostname)
        threads = max(services.settings.worker_concurrency, len(accounts))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="booking")
        booking = services.direct_booking(lambda: served_accounts(app, accounts), self._threads, self._reports.run)
        return ingest.OrdersReader(services.bus, services.ingest, process_name(), booking)

    def stop(self, parent: Any) -> None:
        """Stop reading, and wait for the creates that are under way."""
        super().stop(parent)
        if self._thread and not self._thread.is_alive():  # otherwise, it may still have orders to book
            self._threads.shutdown()
            self._reports.close()

    def terminate(self, parent: Any) -> None:
        """Stop reading. The journal has the creates that are under way."""
        super().stop(parent)


def process_name() -> str:
    """Return the name of this process: its host, its number, and a text that no other process has.

    Two containers may have the same host name and the same number, and so may two machines from one image.
    """
    return f"{socket.gethostname()}.{os.getpid()}.{_UNIQUE}"


def served_accounts(app: Any, accounts: Iterable[str]) -> list[str]:
    """Return the accounts whose creates this worker sends, because it serves the queue of their creates."""
    served = {queue_name(queue) for queue in app.amqp.queues.consume_from.values()}
    return [account for account in accounts if carrier_queues(account)[0] in served]


class QuickStep(ThreadStep):
    """A thread step that stops before the reader of the orders does, because that one waits for its creates."""

    requires: Any = ("celery.worker.components:Pool", OrdersReader)


class JournalReader(QuickStep):
    """Settles the journal files that dead processes left on this host."""

    thread_name = "journal"
    join_seconds = 10.0

    def build(self) -> Loop:
        """Return the loop that settles the files."""
        return Repeated(container().crash_recovery.recover, PAUSE_SECONDS, "journal.recovery_failed")


class Trimmer(QuickStep):
    """Trims the streams, even while Redis is too full to accept the task `maintenance.purge`."""

    thread_name = "trimmer"
    join_seconds = 10.0

    def build(self) -> Loop:
        """Return the loop that trims the streams."""
        return Repeated(container().retention.trim, TRIM_SECONDS, "streams.trimming_failed")


class Sweeper(QuickStep):
    """Sweeps while the broker or beat is away, and records that this worker runs."""

    thread_name = "sweeper"
    join_seconds = 10.0
    _leaves = False

    def build(self) -> Loop:
        """Return the loop that sweeps whenever the last sweep is too old."""
        services, worker = container(), process_name()
        self._queue = LocalQueue(services.app, services.settings.worker_concurrency)

        def work() -> None:
            if not self._leaves:
                services.worker_heartbeats.record(worker)
            services.sweep.run_if_late(self._queue)

        return Repeated(work, SWEEP_CHECK_SECONDS, "sweep.failed", lambda: services.worker_heartbeats.end(worker))

    def say_goodbye(self) -> None:
        """Count no longer as running, because a worker that is asked to stop may be killed while its last calls run."""
        self._leaves = True
        container().worker_heartbeats.end(process_name())

    def stop(self, parent: Any) -> None:
        """Stop sweeping, and hand over the tasks of earlier sweeps that have not begun."""
        super().stop(parent)
        if self._loop:
            services, dropped = container(), self._queue.close()
            with suppress(DatabaseError):  # otherwise, this work is due again when its leases end
                services.sweep.hand_over(dropped)


class Notifier(QuickStep):
    """Notifies people of troubles."""

    thread_name = "notifier"
    join_seconds = 10.0

    def build(self) -> Loop:
        """Return the loop that notifies people of troubles."""
        return notifying()


class WebhooksStopper(bootsteps.StartStopStep):
    """Lets the requests to subscribers end when the worker stops. Otherwise, their events would be sent again."""

    requires = ("celery.worker.components:Pool",)

    def stop(self, _parent: Any) -> None:
        """Begin no further request, and wait for those under way."""
        container().webhook_sender.close()

    def terminate(self, parent: Any) -> None:
        """Do the same as `stop`."""
        self.stop(parent)


def notifying() -> Repeated:
    """Return the loop that notifies people of troubles, which workers and the web process run."""
    services, holder = container(), process_name()

    def work() -> None:
        if services.settings.notify:
            services.notifications.run(holder)

    return Repeated(work, NOTIFY_SECONDS, "notifications.failed", lambda: services.notifications.end(holder))
