"""Store the messages that come over HTTP. Their senders wait for the answer, so a refused message is no dead letter."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.events import delivery_id, rfc3339
from schemas.messages import Message
from schemas.order import Order, fingerprint
from worker import log
from worker.clock import Clock
from worker.database import deliveries, due_work, inbox, outbox
from worker.database.connection import Connection
from worker.database.database import Database
from worker.domain.delivery import Change
from worker.services.ingest import Ingest, log_unread
from worker.services.updates import Updates

logger = log.get(__name__)


class OtherContentError(Exception):
    """The order is known with other content under the same revision."""


@dataclass(frozen=True)
class OrderRequests:
    """Store messages one by one, and read the state of deliveries."""

    database: Database
    ingest: Ingest
    updates: Updates
    clock: Clock

    def store(self, message: Message) -> list[Change]:
        """Store a message; return the changes, for `follow_up`. A repeated message changes nothing.

        Raises OtherContentError, and the errors of the database.
        """
        changes = self.database.write(self._store, message, self.clock())
        log_unread([message])
        logger.info("orders.accepted", messages=1, changed=len(changes), source=message.source)
        return changes

    def follow_up(self, changes: Sequence[Change]) -> None:
        """Send the wake-up tasks of stored changes. If the broker is unreachable, the next sweep finds the work."""
        now = self.clock()
        if not self.updates.follow_up(changes, now, events=True):
            new = [each.delivery.id for each in changes if not each.delivery.attempts]
            # The first lease of a new order is for its task, which was not sent.
            self.database.write(due_work.release, new, now, now)

    def state(self, source: str, order_id: str) -> dict[str, Any] | None:
        """Return the `DeliveryState` of an order as JSON; None if the order has no delivery."""
        event = self.database.read(outbox.newest, delivery_id(source, order_id))
        return {**json.loads(event)["data"], "as_of": rfc3339(self.clock())} if event else None

    def _store(self, connection: Connection, message: Message, now: datetime) -> list[Change]:
        if isinstance(message.data, Order):
            _refuse_other_content(connection, message, message.data)
        return self.ingest.store_in(connection, [message], [], now)


def _refuse_other_content(connection: Connection, message: Message, order: Order) -> None:
    """Raise OtherContentError if the order is known with other content under the same revision.

    A late message about an order that back-fill has found is no conflict, because its content is not applied.
    """
    key = delivery_id(message.source, order.order_id)
    deliveries.lock_orders(connection, [key])
    for known in deliveries.load(connection, [key]):
        same = known.order.revision != order.revision or known.fingerprint == fingerprint(order)
        late = message.type == "order.placed" and inbox.backfilled(connection, [message])
        if not same and not late:
            raise OtherContentError(f"revision: {order.revision} is known with other content; send a greater one")
