"""Orders in: one message that came over Celery, and orders that are fetched from the platform by their id."""

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import uuid4

from celery import Task, shared_task
from celery.worker.request import Request

from schemas.ordering import read_order
from schemas.orders import MalformedError, Message
from worker import hints, log, platform
from worker.carriers.port import Reply
from worker.errors import CarrierError, Refused
from worker.store import Dead, Intake
from worker.wiring import House, house

logger = log.get(__name__)
FETCH_LIMIT = 2
"""Orders fetched at each sweep: as many as the platform is asked for in a second (O-01)."""
FETCH_TRIES = 10
"""After so many, at least ten minutes, an order that cannot be fetched becomes a dead letter that somebody sees."""
MAX_BODY = 1_000_000


class Redacted(Request):
    """A request whose arguments nobody sees: `orders.receive` is the only task that carries an order."""

    @property
    def argsrepr(self) -> str:
        """Say nothing of the order."""
        return "<redacted>"

    @property
    def kwargsrepr(self) -> str:
        """Say nothing of the order."""
        return "<redacted>"


@shared_task(name="orders.receive", base=Task)
def receive(event: Any) -> None:
    """Accept one message: put it on the orders stream, where it waits until it can be stored.

    Celery would drop a task that meets a database which is away.
    """
    house().bus.place(json.dumps(event, default=repr))


receive.Request = f"{__name__}:Redacted"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An order that a message named by its id alone."""

    source: str
    message_id: str
    order_id: str
    tries: int


@shared_task(name="orders.fetch")
def fetch() -> None:
    """Fetch the orders that were named by their id alone."""
    made = house()
    settings = made.settings.ordering
    wanted = [_Wanted(*each) for each in made.store.to_fetch(made.now(), FETCH_LIMIT)]
    if not settings.base_url:
        for each in wanted:
            _bury(made, each, "ORDER_SYNC_ORDERING__BASE_URL is not set: the order cannot be fetched")
        return
    calls = {id(call := platform.fetch(settings, each.order_id)): (call, each) for each in wanted}
    groups = made.gateway.send(platform.ACCOUNT, [call for call, _ in calls.values()], max_body=MAX_BODY)
    for call, outcome in chain.from_iterable(groups):
        _take_in(made, calls[id(call)][1], outcome)


def _take_in(made: House, wanted: _Wanted, outcome: Reply | CarrierError) -> None:
    """Take a fetched order in; what came to nothing is tried again when its time comes."""
    try:
        if isinstance(outcome, CarrierError):
            raise outcome
        order = read_order(platform.read_order(outcome), made.settings.ordering.project)
    except (MalformedError, Refused) as error:
        _bury(made, wanted, str(error))
    except CarrierError as error:
        logger.warning("order.fetch_failed", order_id=wanted.order_id, error=str(error))
        if wanted.tries >= FETCH_TRIES:
            _bury(made, wanted, f"the platform cannot be asked: {error}")
    else:
        message = Message(source=wanted.source, id=wanted.message_id, type="order.placed", data=order)
        _store(made, wanted, Intake([message], file_stores=made.file_shops, fetched=True))


def _bury(made: House, wanted: _Wanted, reason: str) -> None:
    """Keep a message that cannot be fetched as one that can be replayed: under a new id, for a repeat does nothing."""
    document = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": wanted.source,
        "type": "order.placed",
        "data": {"order_id": wanted.order_id},
    }
    letter = Dead(json.dumps(document).encode(), reason, f"{wanted.source}/{wanted.message_id}")
    _store(made, wanted, Intake(dead=[letter]))


def _store(made: House, wanted: _Wanted, batch: Intake) -> None:
    now = made.now()
    changed = made.store.fetched(wanted.source, wanted.message_id, batch, made.rules, now)
    hints.after(changed, now, told=True)
