"""Whether callbacks come: when they could last be stored, which kinds are missing, and how many were refused."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, delete, func, insert, select, update

from worker.database import leases
from worker.database.batches import insert_new
from worker.database.tables import CALLBACK, DELIVERY, LEASE
from worker.domain.delivery import Step

HEARTBEAT = "callbacks"
"""The name of a row in the table of leases. The row is no lease: it stores when callbacks could last be stored."""
MISSING = "callbacks.missing"
"""The prefix of names in the table of leases. These rows are no leases: each records a missing kind of callback."""
REFUSED = "callbacks.refused"
"""The prefix of names of further rows. Each records how many callbacks of an account were refused."""
NEWEST = 1000
"""How many of an account's newest callbacks are examined to find the kinds of callbacks that are missing."""


def last_heartbeat(connection: Connection) -> datetime | None:
    """Return the time of the last heartbeat, at which callbacks could be stored; None before the first heartbeat."""
    return connection.scalar(select(LEASE.c.until).where(LEASE.c.name == HEARTBEAT))


def heartbeat(connection: Connection, now: datetime) -> None:
    """Record that callbacks can be stored now."""
    row = {"name": HEARTBEAT, "holder": "", "until": now}
    if not insert_new(connection, LEASE, [row], "name"):
        connection.execute(update(LEASE).where(LEASE.c.name == HEARTBEAT).values(until=now))


def entities_since(connection: Connection, carrier: str, since: datetime) -> dict[str, datetime]:
    """Return the kinds of objects (entities) in an account's callbacks, each with the time of its oldest callback.

    Of the account's newest `NEWEST` callbacks, only those that arrived after `since` are examined.
    """
    mine = select(CALLBACK.c.entity, CALLBACK.c.received_at).where(CALLBACK.c.carrier == carrier)
    newest = mine.order_by(CALLBACK.c.position.desc()).limit(NEWEST).subquery()
    query = select(newest.c.entity, func.min(newest.c.received_at).label("oldest")).group_by(newest.c.entity)
    recent = query.where(newest.c.received_at >= since, newest.c.entity.is_not(None))
    return {row.entity: row.oldest for row in connection.execute(recent)}


def mark_missing(connection: Connection, carrier: str, entity: str, now: datetime) -> bool:
    """Record that an account gets no callbacks about a kind of object; return False when this is recorded already."""
    row = {"name": f"{MISSING}.{carrier}.{entity}", "holder": "", "until": now}
    return bool(insert_new(connection, LEASE, [row], "name"))


def unmark_missing(connection: Connection, carrier: str, entity: str) -> None:
    """Record that an account gets callbacks about a kind of object again."""
    connection.execute(delete(LEASE).where(LEASE.c.name == f"{MISSING}.{carrier}.{entity}"))


def missing_kinds(connection: Connection) -> list[tuple[str, str, datetime]]:
    """Return the recorded missing kinds of callbacks: the account, the kind of object, and when it was recorded."""
    found = [(name.rpartition("."), at) for name, at in leases.find_all(connection, f"{MISSING}.").items()]
    return [(account, entity, at) for (account, _, entity), at in sorted(found)]


def record_refused(connection: Connection, counts: Mapping[str, int], now: datetime, since: datetime) -> None:
    """Record how many callbacks of each account were refused, and delete the records from before `since`."""
    rows = [{"name": f"{REFUSED}.{carrier}.{uuid4()}", "holder": str(n), "until": now} for carrier, n in counts.items()]
    connection.execute(insert(LEASE), rows)
    leases.drop_ended(connection, f"{REFUSED}.", since)


def refused(connection: Connection) -> list[tuple[str, int, datetime]]:
    """Return the records of refused callbacks, the oldest first: the account, their number, and the time."""
    rows = connection.execute(select(LEASE).where(LEASE.c.name.startswith(f"{REFUSED}.")).order_by(LEASE.c.until))
    return [(row.name.removeprefix(f"{REFUSED}.").rpartition(".")[0], int(row.holder), row.until) for row in rows]


def tracked_at(connection: Connection, carriers: Sequence[str]) -> list[str]:
    """Return the ids of the deliveries at these carriers whose next step is a read."""
    followed = select(DELIVERY.c.id).where(DELIVERY.c.step == Step.TRACK, DELIVERY.c.next_run_at.is_not(None))
    return list(connection.scalars(followed.where(DELIVERY.c.carrier.in_(carriers))))
