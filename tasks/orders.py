"""Orders in: one message that came over Celery, and orders that are fetched from the platform."""

import json
from typing import Any

from celery import Task, shared_task
from celery.worker.request import Request

from worker.container import container


class Redacted(Request):
    """A request whose arguments nobody sees: `orders.receive` is the only task that carries an order (X-07)."""

    def __init__(self, *what: Any, **more: Any) -> None:
        super().__init__(*what, **more)
        self._argsrepr = self._kwargsrepr = "<redacted>"  # what the sender wrote of them may be everything

    def info(self, safe: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - as Celery calls it
        """Tell `inspect`, and so Flower, what is under way, and nothing of the order."""
        return super().info(safe=True)


class Private(Task):  # type: ignore[type-arg]
    """A task with such requests, in whichever app it runs."""

    Request = f"{__name__}:{Redacted.__name__}"


@shared_task(name="orders.receive", base=Private)
def receive(event: Any) -> None:
    """Accept one message: put it on the orders stream, where it waits until it can be stored.

    Celery would drop a task that meets a database which is away.
    """
    container().bus.add_order(json.dumps(event, default=repr))


@shared_task(name="orders.fetch")
def fetch() -> None:
    """Fetch the orders that were named by their id alone."""
    container().order_fetch.fetch_due()


@shared_task(name="orders.backfill")
def backfill() -> None:
    """Find the platform's open orders whose message never came."""
    container().backfill.run()
