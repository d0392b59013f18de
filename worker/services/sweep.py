"""Enqueue a task for everything that is due. A wake-up task may be lost, because the sweep replaces it.

If no sweep has run for a while, because the broker or beat is away, a worker sweeps into a queue of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol
from uuid import uuid4

from schemas.stores import Store
from worker import log
from worker.clock import Clock
from worker.database import accounts, deliveries, due_work, leases, shops
from worker.database.accounts import Pause
from worker.database.database import Database
from worker.database.due_work import Due, Limits
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Step
from worker.domain.lifecycle import TermsByAccount
from worker.enqueue import BATCH, NO_ORDER_IDS, PLATFORM, OrderIds, WakeUp, carrier_queues, publish_task, step_tasks
from worker.errors import Unavailable
from worker.services import order_fetch, webhooks, write_back
from worker.services.account_health import AccountHealth
from worker.services.lost_commits import LostCommits
from worker.services.updates import Updates
from worker.services.write_back import WriteBack

logger = log.get(__name__)
CLAIM_LIMIT = 2000
"""The most deliveries that a sweep claims for each step at each carrier, and the most alarms that it fires."""
CALLBACKS = "callbacks"
"""The queue of callbacks."""
CALLBACKS_LIMIT = 200
"""The sweep adds callbacks to their queue only up to this number, because new callbacks have to wait behind them."""
FULL = 100
"""If more tasks than this wait in a queue, the sweep adds none, because their leases would expire in the queue."""
PLATFORM_FULL = 20
"""The same for the queue of the platform: a short queue, because a closed gate must not wait long behind other work."""
LEASE = "sweep"
LATE_SECONDS = 15.0
"""Seconds after the last sweep until a worker sweeps by itself."""
OWN_SWEEP_SECONDS = 4.0
"""The shortest time, in seconds, between two sweeps that workers make by themselves while beat sends none."""


class Queue(Protocol):
    """The queue into which a sweep sends tasks: the broker, or a queue within this process."""

    def send(self, tasks: Iterable[WakeUp], orders: OrderIds = NO_ORDER_IDS) -> object:
        """Enqueue tasks. `orders` are shown in Flower."""

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many tasks wait in each queue."""


def swept_at(holder: str, until: datetime) -> datetime:
    """Return when the last sweep ran, from the holder and the end of the sweep's lease."""
    return until - timedelta(seconds=LATE_SECONDS if holder == LEASE else OWN_SWEEP_SECONDS)


@dataclass(frozen=True)
class Sweep:
    """Enqueue tasks for all that is due: deliveries, callbacks, probes, write-backs, events, fetches, subscribers."""

    database: Database
    lost_commits: LostCommits
    health: AccountHealth
    write_back: WriteBack
    updates: Updates
    queue: Queue
    terms: TermsByAccount
    file_shops: Mapping[str, Store]
    clock: Clock

    def run(self) -> None:
        """Enqueue a task for everything that is due, and do what needs no carrier."""
        self._sweep()
        self.database.write(leases.take, LEASE, LEASE, self.clock(), LATE_SECONDS)

    def run_if_late(self, queue: Queue) -> bool:
        """Sweep into `queue` if no process has swept lately; return whether this call swept."""
        if not self.database.write(leases.take, LEASE, uuid4().hex, self.clock(), OWN_SWEEP_SECONDS):
            return False
        logger.warning("sweep.taken_over")
        replace(self, queue=queue)._sweep()  # noqa: SLF001 - the same class
        return True

    def hand_over(self, tasks: Sequence[WakeUp]) -> None:
        """Make the work of these tasks due again at once, because this process drops them and others can do it."""
        claimed: dict[str, list[str]] = {}
        for name, arguments in tasks:
            ids: Any = arguments[-1] if arguments else []
            claimed.setdefault(name.partition(".")[0], []).extend(ids if isinstance(ids, list) else [ids])
        groups = (claimed.get(family, []) for family in ("deliveries", "callbacks", "platform"))
        self.database.write(due_work.release_all, self.clock(), *groups)

    def _sweep(self) -> None:
        self.lost_commits.check()  # before the claims, because a lost create would be due again
        now, pauses = self.clock(), self.database.read(accounts.paused)
        due = self.database.write(due_work.claim, now, self._limits(pauses))
        groups = _by_step(due.deliveries)
        tasks = self._step_tasks(groups)
        tasks += [("callbacks.apply", [callback_id]) for callback_id in due.callbacks]
        tasks += self.health.due_probes(pauses)
        compared = [*due.comparisons, *self.write_back.claim_probe(pauses, now)]
        tasks += [(write_back.TASK, [delivery_id]) for delivery_id in compared]
        if due.events:
            tasks.append(publish_task())
        if due.fetches:
            tasks.append(order_fetch.TASK)
        if due.subscribers and self.queue.depths([webhooks.QUEUE])[webhooks.QUEUE] <= FULL:
            tasks += [(webhooks.TASK, [subscriber]) for subscriber in due.subscribers]
        self.queue.send(tasks, due.order_ids)
        for step in due.unknown_steps:
            _log_unknown_step(step)
        if due.alarms:
            self._fire_alarms(now)
        if due.overdue:
            self.updates.apply(due.overdue, lambda each: lifecycle.give_way(each, self.terms, now), now)
        self._route([each.id for each in due.deliveries if each.step is Step.ROUTE], now)
        for (step, account), ids in groups.items():
            if account not in self.terms:  # the settings no longer have this account, and its steps must not stay due
                self.health.postpone(account, ids, step, Unavailable(f"no account is named {account}"))

    def _limits(self, pauses: Mapping[str, Pause]) -> Limits:
        """Return how much to claim: nothing for a queue that is full."""
        queues = [each for name in self.terms for each in carrier_queues(name)]
        depths = self.queue.depths([CALLBACKS, PLATFORM, *queues])
        free = CALLBACKS_LIMIT - depths.pop(CALLBACKS)
        full = {queue for queue, depth in depths.items() if depth > (PLATFORM_FULL if queue == PLATFORM else FULL)}
        busy, busy_reading = ([name for name in self.terms if carrier_queues(name)[kind] in full] for kind in (0, 1))
        comparisons = 0 if PLATFORM in full else self.write_back.claim_limit(pauses)
        return Limits(CLAIM_LIMIT, free, comparisons, except_carriers=busy, except_reads=busy_reading)

    def _step_tasks(self, groups: Mapping[tuple[Step, str], Sequence[str]]) -> list[WakeUp]:
        """Return the tasks for each step, as few as possible. Reads that share one request are in one task."""
        tasks: list[WakeUp] = []
        for (step, account), ids in groups.items():
            if account in self.terms:
                size = self.terms[account].capabilities.track_batch if step is Step.TRACK else BATCH
                tasks += step_tasks(step, account, ids, size)
        return tasks

    def _route(self, ids: Sequence[str], now: datetime) -> None:
        """Route deliveries that wait for a store or a carrier."""
        if not ids:
            return
        waiting = {each.order.store_id for each in self.database.read(deliveries.load, ids)}
        known_shops = {**self.file_shops, **self.database.read(shops.load_shops, waiting)}

        def decide(delivery: Delivery) -> Change | None:
            if delivery.step is not Step.ROUTE:
                return None
            return lifecycle.route(delivery, known_shops.get(delivery.order.store_id), self.terms, now)

        self.updates.apply(ids, decide, now)

    def _fire_alarms(self, now: datetime) -> None:
        """Fire the due alarms, whatever the next steps are and whether or not anybody runs them."""

        def decide(delivery: Delivery) -> Change | None:
            return lifecycle.fire_alarms(delivery, self.terms, now)

        if self.database.write(deliveries.update_alarmed, now, CLAIM_LIMIT, decide):
            self.queue.send([publish_task()])


@lru_cache(maxsize=100)
def _log_unknown_step(step: str) -> None:
    """Log a step that only a newer version of the program knows. Each step is logged once."""
    logger.warning("delivery.step_unknown", step=step)


def _by_step(due: Sequence[Due]) -> dict[tuple[Step, str], list[str]]:
    groups: dict[tuple[Step, str], list[str]] = {}
    for each in due:
        if each.carrier is not None:
            groups.setdefault((each.step, each.carrier), []).append(each.id)
    return groups
