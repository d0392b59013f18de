"""Orders in: one message that came over Celery, and orders that are fetched from the platform by their id."""

import json
from typing import Any
from uuid import uuid4

from celery import Task, shared_task
from celery.worker.request import Request

from worker import enqueue, log
from worker.container import Container, container
from worker.errors import CarrierError
from worker.ordering_api import codec as ordering_codec
from worker.resilience.bulkhead import Admission
from worker.services import backfill, order_fetch

logger = log.get(__name__)


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
    """Fetch the orders that were named by their id alone; a platform that hangs has its part of the threads only."""
    made = container()
    if _paused(made):
        return
    if made.bulkhead.enter(ordering_codec.ACCOUNT, ("orders.fetch", []), reading=False) is not Admission.ADMITTED:
        return
    try:
        order_fetch.fetch(made)
    finally:
        enqueue.send(made.bulkhead.leave(ordering_codec.ACCOUNT, reading=False))


@shared_task(name="orders.backfill")
def find_missed() -> None:
    """Look for open orders whose message never came; one look at a time, the others leave it to that one."""
    made = container()
    holder = uuid4().hex
    if _paused(made) or not backfill.alone(made, holder):
        return
    try:
        backfill.take_in(made, backfill.find(made, until=made.clock() - backfill.ON_ITS_WAY))
    except CarrierError as error:
        logger.warning("backfill.failed", error=str(error))
    finally:
        made.database.drop_lease(backfill.LEASE, holder)


def _paused(made: Container) -> bool:
    """Tell whether a person wants the platform left alone. One that shuts us out is asked: it may let us in again."""
    pause = made.database.paused().get(ordering_codec.ACCOUNT)
    return pause is not None and pause.by == "operator"
