"""Delete or find what is too old, a page at a time: each page is one short transaction.

A page reads the next rows by an index, so no run reads a whole table. Only one process purges at a time: the one that
has the lease.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select, tuple_

from schemas.events import carrier_key
from schemas.status import FINAL, AttemptState
from worker.database import event_feed, outbox
from worker.database.tables import (
    ATTEMPT,
    CALLBACK,
    CARRIER_CALL,
    DEAD_LETTER,
    DELIVERY,
    EARLY_CANCELLATION,
    EVENT,
    MESSAGE,
    OPERATOR_ACTION,
    ORDER,
    PUBLICATION,
    WRITE_BACK,
)

PAGE = 1000
"""The most rows that one transaction reads or deletes."""
DELIVERIES = 200
"""The most deliveries that one transaction erases or deletes, with all that belongs to them."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one transaction did."""

    count: int
    """How many rows it deleted."""
    after: int | None = None
    """The position after which the next page begins; None when there is no next page."""


def delete_calls(connection: Connection, limit: datetime, after: int) -> Page:
    """Delete the calls that were sent before `limit`, of the page after a position."""
    rows = _page(connection, CARRIER_CALL, after, CARRIER_CALL.c.sent_at.label("at"))
    return _delete(connection, CARRIER_CALL, rows, [each.position for each in rows if each.at < limit], limit)


def delete_callbacks(connection: Connection, limit: datetime, after: int) -> Page:
    """Delete the callbacks that arrived before `limit` and have a result, of the page after a position."""
    rows = _page(connection, CALLBACK, after, CALLBACK.c.received_at.label("at"), CALLBACK.c.result)
    old = [each.position for each in rows if each.at < limit and each.result is not None]
    return _delete(connection, CALLBACK, rows, old, limit)


def delete_events(connection: Connection, limit: datetime, after: int, *, archived: bool = False) -> Page:
    """Delete the events that were published before `limit`, of the page after a position.

    These are kept: the events of a delivery that has not ended, or of any delivery if these are archived; the newest
    event of an account, because the next one gets the sequence after it; the event with the newest stream id, with
    which the relay compares the bus; and the newest event, with which the feed compares cursors.
    """
    rows = _page(connection, EVENT, after, EVENT.c.created_at.label("at"), EVENT.c.key, EVENT.c.subject)
    old = [each for each in rows if each.at < limit]
    accounts = {each.key for each in old if each.key == carrier_key(each.subject)}
    keys, newest = {each.key for each in old}, outbox.newest_stream_id(connection)
    lasts = select(func.max(EVENT.c.position)).where(EVENT.c.key.in_(accounts)).group_by(EVENT.c.key)
    kept = {*(connection.scalars(lasts) if accounts else ()), connection.scalar(select(func.max(EVENT.c.position)))}
    found = select(DELIVERY.c.id).where(DELIVERY.c.id.in_(keys))
    open_ = set(connection.scalars(found if archived else found.where(DELIVERY.c.status.not_in(FINAL))))
    positions = {each.position for each in old if each.key not in open_} - kept
    published = PUBLICATION.c.position.in_(positions) & (PUBLICATION.c.stream_id < newest)
    gone = list(connection.scalars(delete(PUBLICATION).where(published).returning(PUBLICATION.c.position)))
    event_feed.record_deleted(connection, max(gone, default=0))
    return _delete(connection, EVENT, rows, gone, limit)


def delete_dead_letters(connection: Connection, limit: datetime, _after: int) -> Page:
    """Delete the dead letters that an operator dealt with before `limit`."""
    return _delete_oldest(connection, DEAD_LETTER, DEAD_LETTER.c.settled_at < limit, DEAD_LETTER.c.settled_at)


def delete_cancellations(connection: Connection, limit: datetime, _after: int) -> Page:
    """Delete the cancellations that arrived before `limit`."""
    old = EARLY_CANCELLATION.c.received_at < limit
    return _delete_oldest(connection, EARLY_CANCELLATION, old, EARLY_CANCELLATION.c.received_at)


def delete_messages(connection: Connection, limit: datetime, _after: int) -> Page:
    """Delete the ids of the messages that arrived before `limit` and need no fetch."""
    old = (MESSAGE.c.received_at < limit) & MESSAGE.c.fetch_at.is_(None)
    return _delete_oldest(connection, MESSAGE, old, MESSAGE.c.received_at)


def delete_deliveries(connection: Connection, limit: datetime, _after: int) -> Page:
    """Delete the deliveries that were placed before `limit`, have ended and have no event, with all that is about them.

    A delivery is kept while something about it waits.
    """
    # Not EXISTS, for which PostgreSQL would read all events instead of the few of a page.
    an_event = select(EVENT.c.position).where(EVENT.c.key == DELIVERY.c.id).limit(1).scalar_subquery()
    old = (DELIVERY.c.created_at < limit) & is_over() & an_event.is_(None)
    query = select(DELIVERY.c.id).where(old).order_by(DELIVERY.c.created_at).limit(DELIVERIES)
    ids = list(connection.scalars(query.with_for_update(skip_locked=True)))
    delete_with_all(connection, ids)
    return Page(len(ids), 0 if len(ids) == DELIVERIES else None)


def delete_with_all(connection: Connection, ids: Collection[str]) -> None:
    """Delete deliveries with all that is about them, except their events."""
    attempts = select(ATTEMPT.c.id).where(ATTEMPT.c.delivery_id.in_(ids))
    for table, column, keys in (
        (CARRIER_CALL, CARRIER_CALL.c.attempt_id, attempts),
        (CALLBACK, CALLBACK.c.attempt_id, attempts),
        (ATTEMPT, ATTEMPT.c.delivery_id, ids),
        (ORDER, ORDER.c.delivery_id, ids),
        (WRITE_BACK, WRITE_BACK.c.delivery_id, ids),
        (EARLY_CANCELLATION, EARLY_CANCELLATION.c.delivery_id, ids),
        (OPERATOR_ACTION, OPERATOR_ACTION.c.delivery_id, ids),
        (DELIVERY, DELIVERY.c.id, ids),
    ):
        if ids:
            connection.execute(delete(table).where(column.in_(keys)))


def erasable(connection: Connection, limit: datetime) -> list[str]:
    """Return the ids of deliveries that ended before `limit`, and whose personal data are stored, the oldest first.

    A delivery is left out while something about it waits.
    """
    query = select(DELIVERY.c.id).where(DELIVERY.c.erasable_since < limit, is_over())
    return list(connection.scalars(query.order_by(DELIVERY.c.erasable_since).limit(DELIVERIES)))


def is_over() -> ColumnElement[bool]:
    """Return the condition that a delivery has ended and that nothing about it waits.

    Something waits if an operator is needed, if its carrier is read again, or if a courier may still come.
    """
    live = select(ATTEMPT.c.id).where(
        ATTEMPT.c.delivery_id == DELIVERY.c.id, ATTEMPT.c.ended_at.is_(None), ATTEMPT.c.state != AttemptState.QUEUED
    )
    return and_(
        DELIVERY.c.status.in_(FINAL),
        DELIVERY.c.next_run_at.is_(None),
        DELIVERY.c.attention_reasons.is_(None),
        live.limit(1).scalar_subquery().is_(None),
    )


def _page(connection: Connection, table: Table, after: int, *columns: ColumnElement[Any]) -> list[Any]:
    """Return the next rows after a position, in the order in which they were added."""
    query = select(table.c.position, *columns).where(table.c.position > after)
    return list(connection.execute(query.order_by(table.c.position).limit(PAGE)))


def _delete(connection: Connection, table: Table, page: list[Any], positions: list[int], limit: datetime) -> Page:
    if positions:
        connection.execute(delete(table).where(table.c.position.in_(positions)))
    more = len(page) == PAGE and page[-1].at < limit
    return Page(len(positions), page[-1].position if more else None)


def _delete_oldest(connection: Connection, table: Table, old: ColumnElement[bool], by: ColumnElement[Any]) -> Page:
    key = list(table.primary_key)
    # In a CTE, because PostgreSQL takes a second for a list of a thousand keys of two columns.
    oldest = select(*key).where(old).order_by(by).limit(PAGE).with_for_update(skip_locked=True).cte()
    deleted = delete(table).where(tuple_(*key).in_(select(oldest))).returning(key[0])
    count = len(connection.scalars(deleted).all())
    return Page(count, 0 if count == PAGE else None)
