"""Orders in: one message that came over Celery, and orders that are fetched from the platform by their id."""

from typing import Any

from celery import shared_task
from celery.worker.request import Request

from schemas.ordering import read_order
from schemas.orders import MalformedError, Message
from worker import hints, intake, log, platform
from worker.errors import CarrierError, Refused
from worker.store import Dead, Intake
from worker.wiring import House, house

logger = log.get(__name__)
FETCH_LIMIT = 20


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


@shared_task(name="orders.receive")
def receive(event: dict[str, Any]) -> None:
    """Accept one message; the same as an entry of the orders stream."""
    identity = f"{event.get('source')}/{event.get('id')}" if isinstance(event, dict) else repr(event)[:200]
    intake.take_in(house(), [(identity, event)])


receive.Request = f"{__name__}:Redacted"


@shared_task(name="orders.fetch")
def fetch() -> None:
    """Fetch the orders that were named by their id alone."""
    made = house()
    for source, message_id, wanted in made.store.to_fetch(made.now(), FETCH_LIMIT):
        batch = _fetched(made, source, message_id, wanted.order_id)
        if batch is None:
            continue
        now = made.now()
        changed = made.store.fetched(source, message_id, batch, made.rules, now)
        hints.after(changed, now, told=True)


def _fetched(made: House, source: str, message_id: str, order_id: str) -> Intake | None:
    """Fetch one order; None when it must be tried again."""
    settings = made.settings.ordering
    raw = f'{{"order_id": "{order_id}"}}'.encode()
    identity = f"{source}/{message_id}"
    if not settings.base_url:
        return Intake(
            dead=[Dead(raw, "ORDER_SYNC_ORDERING__BASE_URL is not set: the order cannot be fetched", identity)]
        )
    try:
        reply = made.gateway.one(platform.ACCOUNT, platform.fetch(settings, order_id))
        order = read_order(platform.read_order(reply), settings.project)
    except (MalformedError, Refused) as error:
        return Intake(dead=[Dead(raw, str(error), identity)])
    except CarrierError as error:
        logger.warning("order.fetch_failed", order_id=order_id, error=str(error))
        return None
    message = Message(source=source, id=message_id, type="order.placed", data=order)
    return Intake([message], file_stores=made.file_shops, fetched=True)
