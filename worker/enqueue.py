"""Wake-up tasks: Celery messages that say something is due. A lost one costs a second, because the sweep sends others."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from worker import log
from worker.domain.delivery import LOCAL_STEPS, Delivery, Step

logger = log.get(__name__)
BATCH = 25
TASKS: dict[Step, str] = {step: f"deliveries.{step.value}" for step in Step if step not in LOCAL_STEPS}
WakeUp = tuple[str, list[object]]
"""A task's name and its arguments; the app's routes know the queue."""


def carrier_queues(account: str) -> tuple[str, str]:
    """Return an account's two queues: money and reads never wait for each other."""
    return f"carrier.{account}", f"carrier.{account}.reads"


def publish_task() -> WakeUp:
    """Return the task that publishes events."""
    return "events.publish", []


def step_tasks(step: Step, account: str, ids: Sequence[str], size: int = BATCH) -> list[WakeUp]:
    """Return the tasks of one step at one account, each for so many deliveries."""
    return [(TASKS[step], [account, list(ids[at : at + size])]) for at in range(0, len(ids), size)]


class SingleFlight:
    """Work that one thread of a process does at a time, again for as long as it is requested meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._requested = False

    def request(self) -> bool:
        """Request another run after the one under way; return False when none is."""
        with self._lock:
            self._requested = self._running
            return self._running

    def run(self, work: Callable[[], bool]) -> None:
        """Run for as long as more is requested and `work` returns True; a call while another runs only requests."""
        if not self._begin():
            return
        try:
            while self._again(work()):
                pass
        except BaseException:
            self._again(helps=False)
            raise

    def _begin(self) -> bool:
        with self._lock:
            begins = not self._running
            self._running, self._requested = True, not begins
            return begins

    def _again(self, helps: bool) -> bool:  # noqa: FBT001 - what `work` returned
        with self._lock:
            self._running, self._requested = helps and self._requested, False
            return self._running


RELAYING = SingleFlight()
"""The relay of this process. Many changes need it at once, and a task for each would cost more than the relaying."""


@dataclass(frozen=True)
class TaskQueue:
    """Send wake-up tasks."""

    app: Celery

    def send(self, tasks: Iterable[WakeUp]) -> None:
        """Send tasks. A broker that is away is only logged; a relay under way in this process needs no message."""
        wanted = [task for task in tasks if task != publish_task() or not RELAYING.request()]
        if not wanted:
            return
        try:
            with self.app.producer_or_acquire() as producer:
                for name, arguments in wanted:
                    self.app.send_task(name, args=arguments, producer=producer)
        except (OperationalError, OSError) as error:
            logger.warning("task.send_failed", error=type(error).__name__, count=len(wanted))

    def enqueue_next_steps(self, changed: Iterable[Delivery], now: datetime, *, events: bool = False) -> None:
        """Send what follows at once from a change: the due next step of each delivery, and the publishing of events.

        `events` says that there are events besides those of the changed deliveries.
        """
        grouped: dict[tuple[Step, str], list[str]] = {}
        for delivery in changed:
            events = True
            if (
                delivery.step in TASKS
                and delivery.step_carrier
                and delivery.next_run_at
                and delivery.next_run_at <= now
            ):
                grouped.setdefault((delivery.step, delivery.step_carrier), []).append(delivery.id)
        tasks = [task for (step, account), ids in grouped.items() for task in step_tasks(step, account, ids)]
        self.send([*tasks, publish_task()] if events else tasks)

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many tasks wait in each queue."""
        with self.app.connection_or_acquire() as connection:
            channel = connection.default_channel
            return {queue: self._depth(channel, queue) for queue in queues}

    def _depth(self, channel: Any, queue: str) -> int:
        # Not passively: on Redis an empty queue is one that does not exist.
        declared: Any = self.app.amqp.queues[queue](channel).queue_declare()
        return int(declared.message_count)
