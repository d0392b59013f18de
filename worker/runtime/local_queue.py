"""The queue that a worker uses while the broker or beat is away. The worker runs the tasks in its own threads."""

import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from worker import log
from worker.enqueue import NO_ORDER_IDS, OrderIds, WakeUp, log_fields, queue_name

logger = log.get(__name__)


class LocalQueue:
    """A queue within this process that replaces the broker. The wake-up tasks run in threads of this process."""

    def __init__(self, app: Any, threads: int) -> None:
        self._app = app
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="local-queue")
        self._depths: Counter[str] = Counter()
        self._waiting: dict[Future[None], WakeUp] = {}
        self._lock = threading.Lock()

    def send(self, tasks: Iterable[WakeUp], orders: OrderIds = NO_ORDER_IDS) -> None:  # noqa: ARG002 - for Flower
        """Run tasks as soon as threads are free."""
        for name, arguments in tasks:
            queue = queue_name(self._app.amqp.router.route({}, name, args=arguments)["queue"])
            self._count(queue, 1)
            future = self._executor.submit(self._run, queue, name, arguments)
            self._waiting[future] = name, arguments
            future.add_done_callback(self._waiting.pop)

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many tasks of each queue wait or run."""
        with self._lock:
            return {queue: self._depths[queue] for queue in queues}

    def close(self) -> list[WakeUp]:
        """Drop the tasks that have not begun, and return them. Their work stays due in the database."""
        dropped = dict(self._waiting)
        self._executor.shutdown(wait=False, cancel_futures=True)
        return [task for future, task in dropped.items() if future.cancelled()]

    def _run(self, queue: str, name: str, arguments: list[object]) -> None:
        try:
            self._app.tasks[name](*arguments)
        except Exception:
            logger.exception("task.failed", **log_fields(name, arguments))
        finally:
            self._count(queue, -1)

    def _count(self, queue: str, change: int) -> None:
        with self._lock:
            self._depths[queue] += change
