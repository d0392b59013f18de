"""What is stored about one delivery's past: its messages and callbacks."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, select

from worker.database.tables import CALLBACK, MESSAGE


def messages(connection: Connection, source: str, order_id: str) -> list[tuple[datetime, str]]:
    """Return the messages about an order, oldest first: the time of arrival and the message's id.

    No index serves this query, because an index would cost every message more than this rare query is worth.
    """
    these = (MESSAGE.c.source == source) & (MESSAGE.c.order_id == order_id)
    query = select(MESSAGE.c.received_at, MESSAGE.c.message_id).where(these).order_by(MESSAGE.c.received_at)
    return [(row.received_at, row.message_id) for row in connection.execute(query)]


def callbacks(
    connection: Connection, attempt_ids: Collection[int]
) -> list[tuple[datetime, str, str | None, str | None]]:
    """Return the callbacks of attempts in the order of their arrival.

    Each is the time of arrival, the carrier, the kind of object that it is about, and its result.
    """
    columns = (CALLBACK.c.received_at, CALLBACK.c.carrier, CALLBACK.c.entity, CALLBACK.c.result)
    query = select(*columns).where(CALLBACK.c.attempt_id.in_(attempt_ids)).order_by(CALLBACK.c.position)
    return [(row.received_at, row.carrier, row.entity, row.result) for row in connection.execute(query)]
