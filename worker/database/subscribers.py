"""The subscribers that get events over HTTP: their cursors, and the keys whose events they have not accepted."""

from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, delete, exists, func, or_, select, update

from schemas.events import EventType
from worker.database.batches import insert_new
from worker.database.tables import BLOCKED_KEY, EVENT, LEASE, SUBSCRIBER
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
    # What is being sent does not count for a later subscriber with the same id.
    connection.execute(delete(LEASE).where(LEASE.c.name == LEASE_PREFIX + subscriber_id))
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


def store(connection: Connection, before: Subscriber, progress: Progress, now: datetime) -> None:
    """Store what follows from a batch, for a subscriber that was locked.

    What an operator has changed since the batch began stays: a row that begins at another position than then.
    """
    save(connection, progress.subscriber)
    mine = BLOCKED_KEY.c.subscriber_id == before.id
    for each in progress.freed:
        this = (BLOCKED_KEY.c.key == each.key) & (BLOCKED_KEY.c.position == each.position)
        connection.execute(delete(BLOCKED_KEY).where(mine, this))
    for known, row in progress.blocked:
        if known is None:
            block(connection, before.id, row)
        else:
            this = (BLOCKED_KEY.c.key == row.key) & (BLOCKED_KEY.c.position == known.position)
            connection.execute(update(BLOCKED_KEY).where(mine, this).values(asdict(row)))
    if progress.recovered:
        make_due(connection, before.id, now)


def block(connection: Connection, subscriber_id: str, row: BlockedKey) -> None:
    """Let the events of a key be sent from a position on. If the key is blocked already, the lower position counts."""
    values = {"subscriber_id": subscriber_id, **asdict(row)}
    if not insert_new(connection, BLOCKED_KEY, [values], "key"):
        this = (BLOCKED_KEY.c.subscriber_id == subscriber_id) & (BLOCKED_KEY.c.key == row.key)
        connection.execute(update(BLOCKED_KEY).where(this, BLOCKED_KEY.c.position > row.position).values(asdict(row)))


def make_due(connection: Connection, subscriber_id: str, now: datetime) -> None:
    """Let the events of all blocked keys be tried again now."""
    these = (BLOCKED_KEY.c.subscriber_id == subscriber_id) & (BLOCKED_KEY.c.try_at > now)
    connection.execute(update(BLOCKED_KEY).where(these).values(try_at=now))


def rewind(connection: Connection, subscriber: Subscriber, position: int) -> None:
    """Move the cursor of a locked subscriber back, so that every event after a position is sent again."""
    these = (BLOCKED_KEY.c.subscriber_id == subscriber.id) & (BLOCKED_KEY.c.position > position)
    connection.execute(delete(BLOCKED_KEY).where(these))
    save(connection, replace(subscriber, position=min(subscriber.position, position)))


def skip(connection: Connection, subscriber_id: str, key: str, position: int, now: datetime) -> None:
    """Let the events of a blocked key be sent from a higher position on."""
    this = (BLOCKED_KEY.c.subscriber_id == subscriber_id) & (BLOCKED_KEY.c.key == key)
    connection.execute(update(BLOCKED_KEY).where(this).values(position=position, try_at=now, error=None))


# --- the state --------------------------------------------------------------------------------------------------------


def states(connection: Connection) -> list[SubscriberState]:
    """Return the state of every subscriber, in the order of their ids."""
    following = select(EVENT.c.created_at).where(EVENT.c.position > SUBSCRIBER.c.position)
    keys = BLOCKED_KEY.c.subscriber_id == SUBSCRIBER.c.id
    query = select(
        SUBSCRIBER,
        following.order_by(EVENT.c.position).limit(1).scalar_subquery().label("next_at"),
        select(func.min(BLOCKED_KEY.c.since)).where(keys).scalar_subquery().label("blocked_since"),
        select(func.count()).select_from(BLOCKED_KEY).where(keys).scalar_subquery().label("blocked"),
    )
    return [
        SubscriberState(
            _subscriber(row),
            min(filter(None, (row["next_at"], row["blocked_since"])), default=None),
            row["blocked"],
        )
        for row in connection.execute(query.order_by(SUBSCRIBER.c.id)).mappings()
    ]


def _row(subscriber: Subscriber) -> dict[str, Any]:
    return {**asdict(subscriber), "types": list(subscriber.types), "secrets": list(subscriber.secrets)}


def _subscriber(row: RowMapping) -> Subscriber:
    values = {each.name: row[each.name] for each in fields(Subscriber)}
    types = tuple(EventType(each) for each in row["types"])
    return Subscriber(**{**values, "types": types, "secrets": tuple(row["secrets"])})
