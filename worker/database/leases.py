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


def holds(connection: Connection, name: str, holder: str) -> bool:
    """Lock a lease until the transaction ends, and return whether this holder has it."""
    query = select(LEASE.c.holder).where(LEASE.c.name == name).with_for_update()
    return connection.scalar(query) == holder


def drop(connection: Connection, name: str, holder: str) -> None:
    """Release a lease, if this holder still has it."""
    connection.execute(delete(LEASE).where(LEASE.c.name == name, LEASE.c.holder == holder))
