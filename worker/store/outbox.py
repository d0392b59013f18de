"""Events out: what has not been published, in order, and where it stands on the bus once it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Table, bindparam, delete, func, select, update

from worker.store.deliveries import insert_new
from worker.store.tables import EventRow, LeaseRow

EVENT: Table = EventRow.__table__  # type: ignore[attr-defined]
LEASE: Table = LeaseRow.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Unsent:
    """An event waiting for the bus."""

    position: int
    key: str
    sequence: int
    body: str


def unsent(connection: Connection, limit: int) -> list[Unsent]:
    """Read the oldest unpublished events. Within a key their order is that of the sequence.

    A high-water mark would lose events whose transaction commits late; the partial index makes this as cheap.
    """
    columns = (EVENT.c.position, EVENT.c.key, EVENT.c.sequence, EVENT.c.body)
    query = select(*columns).where(EVENT.c.published_at.is_(None)).order_by(EVENT.c.position).limit(limit)
    return [Unsent(*row) for row in connection.execute(query)]


def sent(connection: Connection, published: Sequence[tuple[int, str | None]], now: datetime) -> None:
    """Note where events stand on the bus: pairs of position and bus id."""
    if not published:
        return
    statement = update(EVENT).where(EVENT.c.position == bindparam("at"))
    marks = [{"at": position, "bus": bus_id, "when": now} for position, bus_id in published]
    connection.execute(statement.values(published_at=bindparam("when"), bus_id=bindparam("bus")), marks)


def waiting(connection: Connection) -> int:
    """Count the unpublished events."""
    return connection.scalar(select(func.count()).where(EVENT.c.published_at.is_(None))) or 0


def told(connection: Connection, order_id: str | None, after: int, limit: int) -> list[tuple[int, str]]:
    """Read events as they were told, oldest first, from a position on."""
    query = select(EVENT.c.position, EVENT.c.body).where(EVENT.c.position > after)
    if order_id is not None:
        query = query.where(EVENT.c.subject == order_id)
    return [(row.position, row.body) for row in connection.execute(query.order_by(EVENT.c.position).limit(limit))]


def take_lease(connection: Connection, name: str, holder: str, now: datetime, seconds: float) -> bool:
    """Take or renew the right to do what only one may do at a time; false while another holds it."""
    until = now + timedelta(seconds=seconds)
    if insert_new(connection, LEASE, [{"name": name, "holder": holder, "until": until}], "name"):
        return True
    mine_or_free = (LEASE.c.holder == holder) | (LEASE.c.until < now)
    statement = update(LEASE).where(LEASE.c.name == name, mine_or_free).values(holder=holder, until=until)
    return connection.execute(statement).rowcount == 1


def drop_lease(connection: Connection, name: str, holder: str) -> None:
    """Give the right back."""
    connection.execute(delete(LEASE).where(LEASE.c.name == name, LEASE.c.holder == holder))
