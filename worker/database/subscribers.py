"""The subscribers that get events over HTTP: their cursors, and the keys whose events they have not accepted."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from schemas.events import EventType
from worker.database.batches import insert_new
from worker.database.tables import BLOCKED_KEY, EVENT, LEASE, SUBSCRIBER
from worker.domain.delivery import OutgoingEvent
from worker.domain.subscriber import BlockedKey, Progress, Subscriber

LEASE_PREFIX = "webhooks."
"""The beginning of the name of the lease of a subscriber's deliverer."""
ENABLED = SUBSCRIBER.c.disabled_at.is_(None)
_KEYS = [BLOCKED_KEY.c[each.name] for each in fields(BlockedKey)]


@dataclass(frozen=True, slots=True)
class SubscriberState:
    """A subscriber, and what it has not accepted yet."""

    subscriber: Subscriber
    waiting_since: datetime | None
    """When the oldest of the events that it has not accepted came up; None when it has accepted all."""
    blocked: int
    """For how many keys an event is not accepted, or is to be sent again."""


def add(connection: Connection, subscriber: Subscriber) -> bool:
    """Add a subscriber; return False if there is one with this id."""
    return bool(insert_new(connection, SUBSCRIBER, [_row(subscriber)], "id"))


def remove(connection: Connection, subscriber_id: str) -> bool:
    """Delete a subscriber; return False if there is none with this id."""
    connection.execute(delete(BLOCKED_KEY).where(BLOCKED_KEY.c.subscriber_id == subscriber_id))
    return connection.execute(delete(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id)).rowcount > 0


def load(connection: Connection, subscriber_id: str) -> Subscriber | None:
    """Return a subscriber; None if there is none with this id."""
    row = connection.execute(select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id)).mappings().one_or_none()
    return None if row is None else _subscriber(row)


def lock(connection: Connection, subscriber_id: str) -> Subscriber | None:
    """Return a subscriber, which no other transaction changes until this one ends; None if there is none."""
    query = select(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _subscriber(row)


def save(connection: Connection, subscriber: Subscriber) -> None:
    """Write a subscriber that was locked."""
    connection.execute(update(SUBSCRIBER).where(SUBSCRIBER.c.id == subscriber.id).values(_row(subscriber)))


def enabled(connection: Connection) -> list[str]:
    """Return the ids of the subscribers that get events."""
    return list(connection.scalars(select(SUBSCRIBER.c.id).where(ENABLED).order_by(SUBSCRIBER.c.id)))


def due(connection: Connection, now: datetime) -> list[str]:
    """Return the ids of the subscribers that have something to get now, and that no process is sending to."""
    newest = select(func.max(EVENT.c.position)).scalar_subquery()
    retries = exists().where(BLOCKED_KEY.c.subscriber_id == SUBSCRIBER.c.id, BLOCKED_KEY.c.try_at <= now)
    leased = exists().where(LEASE.c.name == LEASE_PREFIX + SUBSCRIBER.c.id, LEASE.c.until >= now)
    ready = and_(ENABLED, or_(SUBSCRIBER.c.try_at.is_(None), SUBSCRIBER.c.try_at <= now), ~leased)
    query = select(SUBSCRIBER.c.id).where(ready, or_(SUBSCRIBER.c.position < newest, retries))
    return list(connection.scalars(query.order_by(SUBSCRIBER.c.id)))


# --- blocked keys -----------------------------------------------------------------------------------------------------


def blocked(connection: Connection, subscriber_id: str) -> list[BlockedKey]:
    """Return the blocked keys of a subscriber, the first that is due first."""
    rows = connection.execute(
        select(*_KEYS).where(BLOCKED_KEY.c.subscriber_id == subscriber_id).order_by(BLOCKED_KEY.c.try_at)
    )
    return [BlockedKey(**row) for row in rows.mappings()]


def events_of(
    connection: Connection, key: str, start: int, end: int, types: Sequence[str], limit: int
) -> tuple[list[OutgoingEvent], bool]:
    """Return the events of a key between two positions, oldest first, and whether these are all.

    The result contains only events of `types`, if there are any. At most `limit` events are read.
    """
    query = select(EVENT.c.position, EVENT.c.key, EVENT.c.sequence, EVENT.c.body)
    these = query.where(EVENT.c.key == key, EVENT.c.position.between(start, end))
    rows = connection.execute(these.order_by(EVENT.c.sequence).limit(limit)).all()
    found = [OutgoingEvent(*row) for row in rows]
    members = tuple(f'"type":"{each}"' for each in types)
    wanted = [each for each in found if not members or any(member in each.body for member in members)]
    return wanted, len(rows) < limit


def store(connection: Connection, before: Subscriber, progress: Progress, now: datetime) -> None:
    """Store what follows from a batch for a subscriber that was locked.

    `before` is the subscriber when the batch began. What an operator has changed since then stays: a row that begins at
    another position than the batch, and a cursor that was moved back.
    """
    after = progress.subscriber
    save(connection, after)
    mine = BLOCKED_KEY.c.subscriber_id == before.id
    for each in progress.freed:
        connection.execute(delete(BLOCKED_KEY).where(mine, BLOCKED_KEY.c.key == each.key, BLOCKED_KEY.c.position == each.position))
    for row in progress.blocked:
        put_blocked(connection, before.id, row)
    if progress.recovered:
        connection.execute(update(BLOCKED_KEY).where(mine, BLOCKED_KEY.c.try_at > now).values(try_at=now))
