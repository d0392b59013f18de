"""Orders to fetch from the platform: named by a message with their id alone, or found there without any message."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from schemas.messages import found_order_message
from worker.database.tables import DELIVERY, MESSAGE
from worker.domain import schedule

FETCH_LEASE = timedelta(seconds=60)


def claim_fetches(connection: Connection, now: datetime, limit: int) -> list[tuple[str, str, str, int]]:
    """Hand out the messages whose order has yet to be fetched: source, message id, order id, and which try it is."""
    ripe = select(MESSAGE).where(MESSAGE.c.fetch_at <= now).order_by(MESSAGE.c.fetch_at).limit(limit)
    found = connection.execute(ripe.with_for_update(skip_locked=True)).all()
    for row in found:
        later = max(FETCH_LEASE, schedule.backoff(row.failures + 1, row.message_id))
        _mark(connection, row.source, row.message_id, fetch_at=now + later, failures=row.failures + 1)
    return [(row.source, row.message_id, row.order_id, row.failures + 1) for row in found]


def postpone_fetch(connection: Connection, source: str, message_id: str, tries: int, at: datetime) -> None:
    """Hand an order out again at another time; `tries` is how many there were."""
    _mark(connection, source, message_id, fetch_at=at, failures=tries)


def awaits_fetch(connection: Connection, now: datetime) -> bool:
    """Tell whether an order has yet to be fetched now."""
    return connection.scalar(select(MESSAGE.c.order_id).where(MESSAGE.c.fetch_at <= now).limit(1)) is not None


def mark_fetched(connection: Connection, source: str, message_id: str) -> None:
    """Note that an order named by its id alone has been fetched, or never will be."""
    _mark(connection, source, message_id, fetch_at=None)


def _mark(connection: Connection, source: str, message_id: str, **values: datetime | int | None) -> None:
    this = (MESSAGE.c.source == source) & (MESSAGE.c.message_id == message_id)
    connection.execute(update(MESSAGE).where(this).values(values))


def unknown_orders(connection: Connection, source: str, order_ids: Iterable[str]) -> set[str]:
    """Name those of these orders that have no delivery, whoever's they are, and were not found before."""
    wanted = {found_order_message(source, each).id: each for each in order_ids}
    there = select(DELIVERY.c.order_id).where(DELIVERY.c.order_id.in_(wanted.values()))
    found = select(MESSAGE.c.message_id).where(MESSAGE.c.message_id.in_(wanted))
    known = {*connection.scalars(there), *(wanted[identity] for identity in connection.scalars(found))}
    return set(wanted.values()) - known
