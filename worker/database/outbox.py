"""Events out: what has not been published, in order, and where it stands on the bus once it has."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection, bindparam, delete, func, select, update

from schemas.events import skipped_key
from worker.database.deliveries import insert_new
from worker.database.tables import DELIVERY, EVENT, IDENTITY, LEASE
from worker.domain.delivery import OutgoingEvent


def identity(connection: Connection) -> str:
    """Tell which database this is; it is named when it is first asked."""
    insert_new(connection, IDENTITY, [{"name": "database", "value": uuid4().hex}], "name")
    return str(connection.scalars(select(IDENTITY.c.value).where(IDENTITY.c.name == "database")).one())


def unpublished(connection: Connection, limit: int, but: Collection[str] = ()) -> list[OutgoingEvent]:
    """Read the oldest unpublished events, `but` not those of some keys. A key's order is that of its sequence.

    Never from a position on: a transaction that commits late would be overtaken by the next event of its key, and then
    count as told. The partial index makes this as cheap.
    """
    columns = (EVENT.c.position, EVENT.c.key, EVENT.c.sequence, EVENT.c.body)
    unpublished = EVENT.c.published_at.is_(None) & EVENT.c.key.not_in(list(but))
    query = select(*columns).where(unpublished).order_by(EVENT.c.position).limit(limit)
    return [OutgoingEvent(*row) for row in connection.execute(query)]


def mark_published(connection: Connection, published: Sequence[tuple[int, str]], now: datetime) -> None:
    """Note where events stand on the bus: pairs of position and place."""
    if not published:
        return
    statement = update(EVENT).where(EVENT.c.position == bindparam("at"))
    marks = [{"at": position, "bus": bus_id, "when": now} for position, bus_id in published]
    connection.execute(statement.values(published_at=bindparam("when"), stream_id=bindparam("bus")), marks)


def newest_stream_id(connection: Connection) -> str:
    """Tell the newest place at which an event is known to stand on the bus; empty while there is none."""
    return connection.scalar(select(func.max(EVENT.c.stream_id))) or ""


def requeue_lost(connection: Connection, standing: str, known: str, keep: int) -> int:
    """Take the events behind the place `standing` and up to `known` for unpublished; return how many there are.

    Of a bus that stands empty only the newest `keep` are wanted: it would hold no more of them.
    """
    lost = (EVENT.c.stream_id > standing) & (EVENT.c.stream_id <= known)
    if not standing:
        newest = select(EVENT.c.position).order_by(EVENT.c.position.desc())
        lost &= EVENT.c.position > (connection.scalar(newest.offset(max(keep, 1)).limit(1)) or 0)
    return connection.execute(update(EVENT).where(lost).values(published_at=None, stream_id=None)).rowcount


def has_unpublished(connection: Connection) -> bool:
    """Tell whether an event is unpublished."""
    query = select(EVENT.c.position).where(EVENT.c.published_at.is_(None)).limit(1)
    return connection.scalar(query) is not None


def count_unpublished(connection: Connection) -> int:
    """Count the unpublished events."""
    return connection.scalar(select(func.count()).where(EVENT.c.published_at.is_(None))) or 0


def event_keys(connection: Connection, order_id: str) -> list[str]:
    """Name the keys that an order's events have. Those of an order without a delivery are found by looking at all."""
    ids = list(connection.scalars(select(DELIVERY.c.id).where(DELIVERY.c.order_id == order_id)))
    if ids:
        return [*ids, *map(skipped_key, ids)]
    return list(connection.scalars(select(EVENT.c.key).where(EVENT.c.subject == order_id).distinct()))


def published_events(
    connection: Connection, keys: Sequence[str] | None, after: int, limit: int
) -> list[tuple[int, str]]:
    """Read events as they were told, those with these keys or all, oldest first, from a position on."""
    query = select(EVENT.c.position, EVENT.c.body).where(EVENT.c.position > after)
    if keys is not None:
        query = query.where(EVENT.c.key.in_(keys))
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
