"""Fetching orders from the platform by their id, and what becomes of each."""

import json
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from uuid import uuid4

from schemas.ordering import read_order
from schemas.orders import MalformedError, Message
from worker import enqueue, log
from worker.container import Container
from worker.database.inbox import DeadLetter, Intake
from worker.errors import CarrierError, Held, Refused, Throttled
from worker.http.call import Reply
from worker.ordering_api import codec as ordering_codec
from worker.services.ingest import note_strange

logger = log.get(__name__)
FETCH_LIMIT = 2
"""Orders fetched at each sweep: as many as the platform is asked for in a second (O-01)."""
FETCH_TRIES = 10
"""After so many, at least ten minutes, an order that cannot be fetched becomes a dead letter that somebody sees."""
UNKNOWN_TRIES = 3
"""The same for an order that the platform does not know: its message may overtake its own transaction."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order that a message named by its id alone."""

    source: str
    message_id: str
    order_id: str
    tries: int


def fetch(made: Container) -> list[tuple[str, str]]:
    """Fetch the orders whose turn it is; tell for each, by its id, what became of it."""
    settings = made.settings.ordering
    wanted = [Wanted(*each) for each in made.database.to_fetch(made.clock(), FETCH_LIMIT)]
    if not settings.base_url:
        reason = "ORDER_SYNC_ORDERING__BASE_URL is not set: the order cannot be fetched"
        return [(each.order_id, _bury(made, each, reason)) for each in wanted]
    calls = {each: ordering_codec.fetch(settings, each.order_id) for each in wanted}
    groups = made.gateway.send(ordering_codec.ACCOUNT, calls, max_body=ordering_codec.MAX_BODY)
    outcomes = dict(chain.from_iterable(group.items() for group in groups))
    return [(each.order_id, _take_in(made, each, outcomes[each])) for each in wanted]


def _take_in(made: Container, wanted: Wanted, outcome: Reply | CarrierError) -> str:
    """Take a fetched order in; what came to nothing is tried again when its time comes."""
    try:
        if isinstance(outcome, CarrierError):
            raise outcome
        order = read_order(ordering_codec.read_order(outcome, wanted.order_id), made.settings.ordering.project)
    except MalformedError as error:
        return _bury(made, wanted, str(error))
    except CarrierError as error:
        return _missed(made, wanted, error)
    message = Message(source=wanted.source, id=wanted.message_id, type="order.placed", data=order)
    note_strange([message])
    gate = made.settings.ordering.gate
    return _store(made, wanted, Intake([message], file_stores=made.file_shops, fetched=True, gate=gate))


def _missed(made: Container, wanted: Wanted, error: CarrierError) -> str:
    """Leave an order for its next try, or give it up."""
    if isinstance(error, Held) and not isinstance(error, Throttled):
        return _put_off(made, wanted, error)
    logger.warning("order.fetch_failed", order_id=wanted.order_id, error=str(error))
    unknown = isinstance(error, Refused)
    if wanted.tries >= (UNKNOWN_TRIES if unknown else FETCH_TRIES):
        return _bury(made, wanted, str(error) if unknown else f"the platform cannot be asked: {error}")
    return f"again later: {error}"


def _put_off(made: Container, wanted: Wanted, held: Held) -> str:
    """Try again as soon as our own budget allows: that is nobody's failure."""
    at = made.clock() + timedelta(seconds=held.retry_after or 1.0)
    made.database.put_fetch_off(wanted.source, wanted.message_id, wanted.tries - 1, at)
    return f"again later: {held}"


def _bury(made: Container, wanted: Wanted, reason: str) -> str:
    """Keep a message that cannot be fetched as one that can be replayed: under a new id, for a repeat does nothing."""
    document = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": wanted.source,
        "type": "order.placed",
        "data": {"order_id": wanted.order_id},
    }
    letter = DeadLetter(json.dumps(document).encode(), reason, f"{wanted.source}/{wanted.message_id}")
    _store(made, wanted, Intake(dead=[letter]))
    return f"a dead letter: {reason}"


def _store(made: Container, wanted: Wanted, batch: Intake) -> str:
    now = made.clock()
    changed = made.database.fetched(wanted.source, wanted.message_id, batch, made.terms, now)
    enqueue.enqueue_next_steps(changed, now, told=True)
    return "taken in" if changed else "nothing to do: known, or not to be dispatched"
