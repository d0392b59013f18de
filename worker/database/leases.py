"""Leases: the right to do work that only one process may do at a time."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from worker.database.connection import insert_new
from worker.database.tables import LEASE


def take(connection: Connection, name: str, holder: str, now: datetime, seconds: float) -> bool:
    """Take or renew a lease; return False while another holder has it."""
    until = now + timedelta(seconds=seconds)
    if insert_new(connection, LEASE, [{"name": name, "holder": holder, "until": until}], "name"):
        return True
    mine_or_free = (LEASE.c.holder == holder) | (LEASE.c.until < now)
    statement = update(LEASE).where(LEASE.c.name == name, mine_or_free).values(holder=holder, until=until)
    return connection.execute(statement).rowcount == 1


def holds(connection: Connection, name: str, holder: str) -> bool:
    """Lock a lease until the transaction ends, and return whether this holder has it."""
    query = select(LEASE.c.holder).where(LEASE.c.name == name).with_for_update()
    return connection.scalar(query) == holder


def drop(connection: Connection, name: str, holder: str) -> None:
    """Release a lease, if this holder still has it."""
    connection.execute(delete(LEASE).where(LEASE.c.name == name, LEASE.c.holder == holder))
