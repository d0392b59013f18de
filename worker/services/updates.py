"""Change deliveries: lock the rows, decide, store the changes, then log and enqueue the next steps."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker import log
from worker.database import deliveries
from worker.database.connection import Connection
from worker.database.database import Database
from worker.database.deliveries import Decision
from worker.domain.delivery import Attempt, Change, Delivery
from worker.enqueue import TaskQueue

logger = log.get(__name__)
Update = Callable[[Connection, list[str], Decision], list[Change]]
"""Locks deliveries, stores the decision about each in one transaction, and returns the changes."""


@dataclass(frozen=True)
class Updates:
    """Change deliveries, and enqueue the tasks that the changes make due."""

    database: Database
    queue: TaskQueue

    def apply(
        self, ids: Iterable[str], decide: Decision, now: datetime, update: Update = deliveries.update
    ) -> list[Change]:
        """Lock deliveries, store the decision about each, and enqueue their next steps; return the changes."""
        changes = self.database.persist(update, list(ids), decide)
        self.follow_up(changes, now)
        return changes

    def apply_once(
        self, delivery_id: str, decide: Decision, now: datetime, update: Update = deliveries.update
    ) -> list[Change]:
        """Apply a decision at most once, even if its transaction is repeated; return the changes.

        A transaction is repeated when the answer to its commit is lost. If the delivery has changed since the first
        try, the delivery is not decided again, because the first commit may have succeeded. No change is then returned.
        """
        seen: list[Delivery] = []

        def decide_once(delivery: Delivery) -> Change | None:
            seen.append(delivery)
            return decide(delivery) if delivery == seen[0] else None

        return self.apply([delivery_id], decide_once, now, update)

    def follow_up(self, changes: Sequence[Change], now: datetime, *, events: bool = False) -> bool:
        """Log committed changes, and enqueue the next steps and the relay.

        Without any change, the relay is enqueued only if `events` is true. Return False if the broker is unreachable.
        """
        for change in changes:
            for each in change.passed_over:
                about = {**log_fields(change.delivery), "account": each.carrier}
                logger.info("carrier.passed_over", **about, reason=each.reason.value)
        return self.queue.enqueue_next_steps([change.delivery for change in changes], now, events=events)


def log_fields(delivery: Delivery, attempt: Attempt | None = None) -> dict[str, str | int]:
    """Return the fields of every log line about a delivery, or about one of its attempts."""
    order: dict[str, str | int] = {"order_id": delivery.order.order_id, "delivery_id": delivery.id}
    return order if attempt is None else {**order, "attempt": attempt.number, "account": attempt.carrier}
