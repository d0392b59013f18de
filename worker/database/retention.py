"""Delete or find what is too old, a page at a time: each page is one short transaction.

A page reads the next rows by an index, so no run reads a whole table. Only one process purges at a time: the one that
has the lease.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Table, and_, delete, func, select, tuple_

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
EXAMINED = 20
"""How many deliveries whose removal seems late are checked for events that the relay or the feed still needs."""
DURATIONS = (timedelta(days=1), timedelta(days=30))
"""How long before the limit deliveries are examined: most have their last event within a day, pre-orders later."""


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
    old = (DELIVERY.c.created_at < limit) & is_over(DELIVERY) & an_event.is_(None)
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
    query = select(DELIVERY.c.id).where(DELIVERY.c.erasable_since < limit, is_over(DELIVERY))
    return list(connection.scalars(query.order_by(DELIVERY.c.erasable_since).limit(DELIVERIES)))


def is_over(delivery: FromClause) -> ColumnElement[bool]:
    """Return the condition that a delivery has ended and that nothing about it waits.

    Something waits if an operator is needed, if its carrier is read again, or if a courier may still come.
    """
    live = select(ATTEMPT.c.id).where(
        ATTEMPT.c.delivery_id == delivery.c.id, ATTEMPT.c.ended_at.is_(None), ATTEMPT.c.state != AttemptState.QUEUED
    )
    return and_(
        delivery.c.status.in_(FINAL),
        delivery.c.next_run_at.is_(None),
        delivery.c.attention_reasons.is_(None),
        live.limit(1).scalar_subquery().is_(None),
    )


def has_no_event_since(delivery: FromClause, limit: datetime) -> ColumnElement[bool]:
    """Return the condition that no event of a delivery is newer than `limit`."""
    newer = select(EVENT.c.position).where(EVENT.c.key == delivery.c.id, EVENT.c.created_at >= limit).limit(1)
    return newer.scalar_subquery().is_(None)


def needed(connection: Connection, ids: Collection[str]) -> set[str]:
    """Return the deliveries whose events the relay or the feed still needs."""
    newest = select(func.max(EVENT.c.position)).scalar_subquery()
    waits = PUBLICATION.c.stream_id.is_(None) | (PUBLICATION.c.stream_id >= outbox.newest_stream_id(connection))
    query = select(EVENT.c.key).join(PUBLICATION, PUBLICATION.c.position == EVENT.c.position)
    return set(connection.scalars(query.where(EVENT.c.key.in_(ids), waits | (EVENT.c.position == newest))))


def removal_is_late(connection: Connection, limit: datetime, customers_limit: datetime) -> bool:
    """Return whether something is stored that should have been removed and that nothing keeps.

    That is a delivery that has had no event since `limit`, or customers' data that should have been erased before
    `customers_limit`.
    """
    pages = (_newest_old(connection, limit, before) for before in DURATIONS)
    return bool(erasable(connection, customers_limit)) or any(ids - needed(connection, ids) for ids in pages)


def _newest_old(connection: Connection, limit: datetime, before: timedelta) -> set[str]:
    """Return deliveries that have had no event since `limit` and that nothing keeps, of the newest before a time.

    Only a page is examined, however many deliveries stay for good reasons.
    """
    columns = ("id", "status", "next_run_at", "attention_reasons")
    newest = select(*(DELIVERY.c[name] for name in columns)).where(DELIVERY.c.created_at < limit - before)
    these = newest.order_by(DELIVERY.c.created_at.desc()).limit(DELIVERIES).subquery()
    query = select(these.c.id).where(is_over(these), has_no_event_since(these, limit)).limit(EXAMINED)
    return set(connection.scalars(query))


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
