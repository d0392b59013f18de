"""The tasks that accept a message sent over Celery, and fetch orders from the Ordering platform."""

import json
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Reject
from celery.worker.request import Request

from worker.bus.port import OUTAGES
from worker.container import container

HIDDEN = "<redacted>"
RETRY_SECONDS = 5


class Redacted(Request):
    """A request whose repr hides an order's personal data from logs, task events and Flower (X-07).

    `orders.receive` is the only task that carries an order.
    """

    def __init__(self, *what: Any, **more: Any) -> None:
        super().__init__(*what, **more)
        self._argsrepr = self._kwargsrepr = HIDDEN  # the sender's own repr may show the whole order

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - as Celery calls it
        """Return what `inspect` and Flower show of a running task, without its arguments."""
        return super().info(safe=True)


class OrderTask(Task):  # type: ignore[type-arg]
    """A task that carries an order. Its arguments are hidden in every Celery app that runs it (X-07).

    No sweep can replace the task, so it stays in the broker while the bus is unreachable: Celery would acknowledge a
    task that fails.
    """

    Request = f"{__name__}:{Redacted.__name__}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; while the bus is unreachable, run it again after `RETRY_SECONDS`."""
        try:
            return super().__call__(*args, **kwargs)
        except OUTAGES as outage:
            again: Any = self.retry
            try:
                raise again(exc=outage, countdown=RETRY_SECONDS, max_retries=None, argsrepr=HIDDEN, kwargsrepr=HIDDEN)
            except Reject:  # the broker is unreachable, too
                raise Reject(type(outage).__name__, requeue=True) from outage


@shared_task(name="orders.receive", base=OrderTask)
def receive(event: Any) -> None:
    """Put a message on the orders stream. The message waits there until it can be stored.

    The task does not write to the database: Celery would lose the message if the database were unreachable.
    """
    container().bus.add_order(json.dumps(event, default=repr))


@shared_task(name="orders.fetch")
def fetch() -> str:
    """Fetch the orders of messages that contain only an order id."""
    return container().order_fetch.fetch_due()


@shared_task(name="orders.backfill")
def backfill() -> None:
    """Find the Ordering platform's open orders for which no message came. Store a message for each.

    `orders.fetch` fetches these orders later.
    """
    container().backfill.run()
