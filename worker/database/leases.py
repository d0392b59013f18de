"""Leases: the right to do work that only one process may do at a time."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select, update

from worker.database.batches import insert_new
from worker.database.tables import LEASE

_TAKE = (
    update(LEASE)
    .where(
        LEASE.c.name == bindparam("this"),
        (LEASE.c.holder == bindparam("by")) | (LEASE.c.until < bindparam("now", type_=LEASE.c.until.type)),
    )
    .values(holder=bindparam("by"), until=bindparam("then", type_=LEASE.c.until.type))
)


def take(connection: Connection, name: str, holder: str, now: datetime, seconds: float) -> bool:
    """Take or renew a lease; return False while another holder has it."""
    until = now + timedelta(seconds=seconds)
    if insert_new(connection, LEASE, [{"name": name, "holder": holder, "until": until}], "name"):
        return True
    lease = {"this": name, "now": now, "by": holder, "then": until}
    return connection.execute(_TAKE, lease).rowcount == 1


def pass_on(connection: Connection, name: str, holder: str, to: str) -> bool:
    """Give a lease to another holder; return False if this holder does not have it any more."""
    query = update(LEASE).where(LEASE.c.name == name, LEASE.c.holder == holder).values(holder=to)
    return connection.execute(query).rowcount == 1


def holds(connection: Connection, name: str, holder: str) -> bool:
    """Lock a lease until the transaction ends, and return whether this holder has it."""
    query = select(LEASE.c.holder).where(LEASE.c.name == name).with_for_update()
    return connection.scalar(query) == holder


def find(connection: Connection, name: str) -> tuple[str, datetime] | None:
    """Return the last holder of a lease and the end of the lease; None when nobody has ever taken the lease."""
    row = connection.execute(select(LEASE.c.holder, LEASE.c.until).where(LEASE.c.name == name)).one_or_none()
    return None if row is None else (row.holder, row.until)


def find_all(connection: Connection, prefix: str) -> dict[str, datetime]:
    """Return the ends of the leases whose names begin with a prefix, by the rest of their names."""
    rows = connection.execute(select(LEASE.c.name, LEASE.c.until).where(LEASE.c.name.startswith(prefix)))
    return {row.name.removeprefix(prefix): row.until for row in rows}


def drop_ended(connection: Connection, prefix: str, before: datetime) -> None:
    """Delete the leases whose names begin with a prefix and which ended before a time."""
    connection.execute(delete(LEASE).where(LEASE.c.name.startswith(prefix), LEASE.c.until < before))


def drop(connection: Connection, name: str, holder: str) -> None:
    """Release a lease, if this holder still has it."""
    connection.execute(delete(LEASE).where(LEASE.c.name == name, LEASE.c.holder == holder))
