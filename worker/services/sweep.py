"""The sweep enqueues a task for everything that is due. Any other task may be lost, because the sweep replaces it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.stores import Store
from worker.clock import Clock
from worker.database import callbacks, deliveries, inbox, outbox, shops
from worker.database.database import Database
from worker.database.deliveries import Due
from worker.domain import lifecycle
from worker.domain.delivery import LOCAL_STEPS, Change, Delivery, Step
from worker.domain.lifecycle import TermsByAccount
from worker.enqueue import BATCH, TaskQueue, WakeUp, carrier_queues, publish_task, step_tasks
from worker.errors import Unavailable
from worker.ordering_api import codec as ordering_codec
from worker.services import order_fetch
from worker.services.account_health import AccountHealth
from worker.services.updates import Updates
from worker.services.write_back import WriteBack

CLAIM_LIMIT = 2000
CALLBACKS_LIMIT = 200
"""The most callbacks on their queue. The sweep adds no more, because new callbacks would have to wait behind them."""
FULL = 100
"""With more waiting tasks than this, a queue gets no more, because their leases would expire there."""


@dataclass(frozen=True)
class Sweep:
    """Enqueue due deliveries, unpublished events, unapplied callbacks and orders to fetch."""

    database: Database
    health: AccountHealth
    write_back: WriteBack
    updates: Updates
    queue: TaskQueue
    terms: TermsByAccount
    file_shops: Mapping[str, Store]
    clock: Clock

    def run(self) -> None:
        """Enqueue a task for everything that is due, and run the steps that need no carrier."""
        now, full = self.clock(), self._full_accounts()
        due = self.database.write(deliveries.claim, now, CLAIM_LIMIT, except_carriers=full)
        free = CALLBACKS_LIMIT - self.queue.depths(["callbacks"]).get("callbacks", 0)
        waiting = self.database.write(callbacks.claim, now, free) if free > 0 else []
        groups = _by_step(due)
        tasks = self._step_tasks(groups)
        tasks += [("callbacks.apply", [callback_id]) for callback_id in waiting]
        tasks += self.health.due_probes()
        if ordering_codec.ACCOUNT not in full:
            tasks += self.write_back.due_tasks(now)
        if self.database.read(outbox.has_unpublished):
            tasks.append(publish_task())
        if self.database.read(inbox.has_due_fetch, now):
            tasks.append(order_fetch.TASK)
        self.queue.send(tasks)
        self._run_local_steps([each.id for each in due if each.step in LOCAL_STEPS], now)
        for (step, account), ids in groups.items():
            if account not in self.terms:  # an account that is no longer in the settings: its step must not stay due
                self.health.postpone(account, ids, step, Unavailable(f"no account is named {account}"))

    def _step_tasks(self, groups: Mapping[tuple[Step, str], Sequence[str]]) -> list[WakeUp]:
        """Return as few tasks as possible for each step: reads that share one request are in one task."""
        tasks: list[WakeUp] = []
        for (step, account), ids in groups.items():
            if account in self.terms:
                size = self.terms[account].capabilities.track_batch if step is Step.TRACK else BATCH
                tasks += step_tasks(step, account, ids, size)
        return tasks

    def _run_local_steps(self, ids: Sequence[str], now: datetime) -> None:
        """Route deliveries that wait for a store or a carrier, and fire alarms."""
        if not ids:
            return
        waiting = {each.order.store_id for each in self.database.read(deliveries.load, ids)}
        known_shops = {**self.file_shops, **self.database.read(shops.load_shops, waiting)}

        def decide(delivery: Delivery) -> Change | None:
            if delivery.step is not Step.ROUTE:
                return lifecycle.fire_alarms(delivery, self.terms, now)
            return lifecycle.route(delivery, known_shops.get(delivery.order.store_id), self.terms, now)

        self.updates.apply(ids, decide, now)

    def _full_accounts(self) -> list[str]:
        """Return the accounts whose queues are full, and the platform when its queue is."""
        queues = {queue: name for name in self.terms for queue in carrier_queues(name)}
        queues["platform"] = ordering_codec.ACCOUNT
        return sorted({queues[queue] for queue, depth in self.queue.depths(queues).items() if depth > FULL})


def _by_step(due: Sequence[Due]) -> dict[tuple[Step, str], list[str]]:
    groups: dict[tuple[Step, str], list[str]] = {}
    for each in due:
        if each.carrier is not None:
            groups.setdefault((each.step, each.carrier), []).append(each.id)
    return groups
