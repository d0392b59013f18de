"""Wake-up tasks: Celery messages that say only that something may be due.

The sweep replaces a lost task, because it enqueues everything that is due in the database.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils.functional import LRUCache

from worker import log
from worker.domain.delivery import Delivery, Step

logger = log.get(__name__)
BATCH = 25
TASKS: dict[Step, str] = {step: f"deliveries.{step.value}" for step in Step if step is not Step.ROUTE}
PUBLISH = "events.publish"
PURGE = "maintenance.purge"
PLATFORM = "platform"
"""The queue of the tasks that call the Ordering platform."""
WakeUp = tuple[str, list[object]]
"""A task's name and its arguments. The app's routes choose the queue."""
OrderIds = Mapping[str, str]
"""The platform's ids of orders, by the id of their delivery."""
NO_ORDER_IDS: OrderIds = MappingProxyType({})
MAX_ORDERS = 10_000
"""The most orders of which a process remembers the id for Flower."""
MAX_SHOWN = 200
"""The most characters of the ids that Flower shows of one task."""


class SingleFlight:
    """Lets only one thread of a process do some work at a time. Requests during a run cause one more run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._requested = False
        self.stopped = False
        """Whether no further run begins in this process. A run that is under way should end early."""

    def stop(self) -> None:
        """Let no further run begin, because the process ends and another one does the work."""
        self.stopped = True

    def request(self) -> bool:
        """Request another run after the current run, and return True.

        If the work is not running or was stopped, only return False.
        """
        with self._lock:
            self._requested = self._running and not self.stopped
            return self._requested

    def run(self, work: Callable[[], bool]) -> None:
        """Run the work, unless it was stopped. If another thread is running it, only request another run.

        If another run was requested meanwhile and `work` returned True, run it again. If `work` returned False, another
        run would not help, and the request is dropped.
        """
        if self.stopped or not self._begin():
            return
        try:
            while self._continue(work()):
                pass
        except BaseException:
            self._continue(helps=False)
            raise

    def _begin(self) -> bool:
        with self._lock:
            begins = not self._running
            self._running, self._requested = True, not begins
            return begins

    def _continue(self, helps: bool) -> bool:  # noqa: FBT001 - the result of the work
        with self._lock:
            self._running, self._requested = helps and self._requested, False
            return self._running


@dataclass(frozen=True)
class TaskQueue:
    """Sends wake-up tasks to the Celery queues."""

    app: Celery
    relay: SingleFlight = field(default_factory=SingleFlight)
    """The relay of this process.

    Many changes need the relay at the same time. One message for each change would cost more than the relay itself.
    """
    orders: LRUCache[str, str] = field(default_factory=lambda: LRUCache(limit=MAX_ORDERS))
    """The orders of the last tasks, for Flower: a task that waited for a slot is sent again by its delivery ids."""

    def send(self, tasks: Iterable[WakeUp], orders: OrderIds = NO_ORDER_IDS) -> bool:
        """Send wake-up tasks. If the broker is unreachable, log it and return False: the next sweep replaces them.

        Flower shows the id of an order that `orders` has or had lately, and otherwise the id of the delivery.
        If the relay is running in this process, another run is requested, and no task is sent for the relay.
        """
        self.orders.update(orders)
        wanted = [task for task in tasks if task != publish_task() or not self.relay.request()]
        if not wanted:
            return True
        try:
            with self.app.producer_or_acquire() as producer:
                for name, arguments in wanted:
                    shadow, argsrepr = shown_name(name, arguments), shown_arguments(arguments, self.orders)
                    self.app.send_task(name, args=arguments, shadow=shadow, argsrepr=argsrepr, producer=producer)
        except (OperationalError, OSError) as error:
            logger.warning("task.left_to_sweep", error=type(error).__name__, count=len(wanted))
            return False
        return True

    def enqueue_next_steps(self, changed: Iterable[Delivery], now: datetime, *, events: bool = False) -> bool:
        """Send the tasks that are due after a change: the next steps of the changed deliveries, and the relay.

        If no delivery was changed, the relay's task is sent only if `events` is true. Return False if nothing was sent
        because the broker is unreachable.
        """
        due: dict[tuple[Step, str], list[str]] = {}
        orders: dict[str, str] = {}
        for delivery in changed:
            events = True
            step, account = delivery.step, delivery.step_carrier
            if step in TASKS and account and delivery.next_run_at and delivery.next_run_at <= now:
                due.setdefault((step, account), []).append(delivery.id)
                orders[delivery.id] = delivery.order.order_id
        tasks = [task for (step, account), ids in due.items() for task in step_tasks(step, account, ids)]
        return self.send([*tasks, publish_task()] if events else tasks, orders)

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many tasks wait in each queue. Raises OperationalError when the broker is unreachable."""
        with self.app.connection_or_acquire() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)  # by default, kombu retries for ever
            channel = connection.default_channel
            return {queue: self._depth(channel, queue) for queue in queues}

    def _depth(self, channel: Any, queue: str) -> int:
        # The declaration is active, because a passive declaration fails on Redis for an empty queue.
        declared: Any = self.app.amqp.queues[queue](channel).queue_declare()
        return int(declared.message_count)


def queue_name(queue: Any) -> str:
    """Return our name of a queue, which is its alias on RabbitMQ, where its own name has a prefix."""
    return str(queue.alias or queue.name)


def carrier_queues(account: str) -> tuple[str, str]:
    """Return the names of an account's two queues. The second is for the task `track`, the first for all other tasks.

    With two queues, calls that change something and reads of statuses never delay each other.
    """
    return f"carrier.{account}", f"carrier.{account}.reads"


def queue_of(step: Step, account: str | None) -> str:
    """Return the queue of the task that runs a step; the sweep runs a step that calls no carrier."""
    return "timers" if account is None else carrier_queues(account)[step is Step.TRACK]


def publish_task() -> WakeUp:
    """Return the wake-up task of the relay, which publishes the events."""
    return PUBLISH, []


def log_fields(name: str, arguments: Sequence[object]) -> dict[str, object]:
    """Return the fields of every log line of a task: its name, its account, and its delivery if it is about one."""
    match name.partition(".")[0], arguments:
        case "deliveries", [account, [delivery_id]]:
            return {"task": name, "account": account, "delivery_id": delivery_id}
        case "deliveries" | "carriers", [account, *_]:
            return {"task": name, "account": account}
        case "platform", [delivery_id]:
            return {"task": name, "delivery_id": delivery_id}
        case "callbacks", [callback_id]:
            return {"task": name, "callback_id": callback_id}
        case "webhooks", [subscriber]:
            return {"task": name, "subscriber": subscriber}
    return {"task": name}


def shown_name(name: str, arguments: Sequence[object]) -> str:
    """Return the name under which Flower shows a task: with the account, if the task calls a carrier."""
    return f"{name} {arguments[0]}" if name.startswith(("deliveries.", "carriers.")) else name


def shown_arguments(arguments: Sequence[object], orders: OrderIds) -> str:
    """Return the ids that Flower shows of a task: of its orders, as far as they are known; at most `MAX_SHOWN`."""
    ids: Any = arguments[-1] if arguments else []
    shown = [str(orders.get(each, each)) for each in (ids if isinstance(ids, list) else [ids])]
    text = ", ".join(shown)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN].rpartition(',')[0]}, ... ({len(shown)} ids)"


def step_tasks(step: Step, account: str, delivery_ids: Sequence[str], size: int = BATCH) -> list[WakeUp]:
    """Return the tasks of one step at one account, each for at most `size` deliveries."""
    starts = range(0, len(delivery_ids), size)
    return [(TASKS[step], [account, list(delivery_ids[start : start + size])]) for start in starts]


def join_tasks(task: WakeUp, other: WakeUp) -> WakeUp | None:
    """Return one task that does the work of two, or None if they cannot be joined.

    Two tasks can be joined if they are the same step at the same account, and if the joined task is not too large.
    """
    match (task, other):
        case (name, [account, list(ids)]), (other_name, [other_account, list(more)]):
            joined = list(dict.fromkeys([*ids, *more]))
            if (name, account) == (other_name, other_account) and len(joined) <= max(BATCH, len(ids)):
                return name, [account, joined]
    return None
