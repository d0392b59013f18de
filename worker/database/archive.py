"""What the archive needs of the database: the deliveries to move, where each was written, and how long each file is.

A delivery is deleted in the transaction that records its place. So a file is right up to the recorded length, and what
is behind it belongs to a transaction that did not commit.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, delete, func, select, update

from schemas.events import delivery_id
from worker.database import deliveries, event_feed, inbox, mapping, outbox, retention
from worker.database.batches import insert_new, insert_rows, is_one_of
from worker.database.tables import (
    ARCHIVE_FILE,
    ARCHIVED,
    DELIVERY,
    EVENT,
    OPERATOR_ACTION,
    PUBLICATION,
    WRITE_BACK,
)
from worker.domain.delivery import Delivery
from worker.domain.erasure import erase, erase_event


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archived delivery is: the name of the file, and where the part with the delivery begins in it."""

    file: str
    position: int


def oldest(connection: Connection, limit: datetime) -> list[Delivery]:
    """Lock and return the oldest deliveries that were placed before `limit`, have ended, and have no newer event.

    All of them were placed in the same month. A delivery is left out if an operator is needed, if its carrier is read
    again, if a courier may still come, if one of its events is unpublished, or if it has the newest event of the bus or
    of all.
    """
    newer = select(EVENT.c.position).where(EVENT.c.key == DELIVERY.c.id, EVENT.c.created_at >= limit).limit(1)
    old = (DELIVERY.c.created_at < limit) & retention.is_over() & newer.scalar_subquery().is_(None)
    query = select(DELIVERY.c.id, DELIVERY.c.created_at).where(old)
    query = query.order_by(DELIVERY.c.created_at).limit(retention.DELIVERIES)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    needed = _needed(connection, [row.id for row in rows])
    months = {row.id: month(row.created_at) for row in rows if row.id not in needed}
    first = next(iter(months.values()), None)
    return deliveries.load_in_order(connection, [each for each, its in months.items() if its == first])


def month(placed_at: datetime) -> str:
    """Return the month of a time in UTC: `2026-03`."""
    return f"{placed_at:%Y-%m}"


def _needed(connection: Connection, ids: Collection[str]) -> set[str]:
    """Return the deliveries whose events the relay or the feed still needs."""
    newest = select(func.max(EVENT.c.position)).scalar_subquery()
    waits = PUBLICATION.c.stream_id.is_(None) | (PUBLICATION.c.stream_id >= outbox.newest_stream_id(connection))
    query = select(EVENT.c.key).join(PUBLICATION, PUBLICATION.c.position == EVENT.c.position)
    return set(connection.scalars(query.where(EVENT.c.key.in_(ids), waits | (EVENT.c.position == newest))))


def documents(connection: Connection, found: Sequence[Delivery]) -> dict[str, bytes]:
    """Return a JSON document of each delivery with its order, attempts, events and operators' actions, by its id.

    A document contains the rows as they are stored, without personal data, even if these were not erased yet. A
    delivery whose personal data are still needed has none.
    """
    erased = [change.delivery for each in found if (change := erase(each)) is not None]
    ids = [each.id for each in erased]
    events, actions, write_backs = (
        _rows(connection, select(table).where(key.in_(ids)).order_by(*table.primary_key), key.name)
        for table, key in (
            (EVENT, EVENT.c.key),
            (OPERATOR_ACTION, OPERATOR_ACTION.c.delivery_id),
            (WRITE_BACK, WRITE_BACK.c.delivery_id),
        )
    )
    return {
        each.id: to_json(
            {
                "delivery_id": each.id,
                "source": each.source,
                "order_id": each.order.order_id,
                "delivery": mapping.dump(each),
                "placed_order": mapping.dump_order(each) | mapping.dump_store(each),
                "attempts": [mapping.dump(attempt) for attempt in each.attempts],
                "events": [{**row, "body": erase_event(row["body"])} for row in events.get(each.id, ())],
                "operator_actions": [{**row, "reason": ""} for row in actions.get(each.id, ())],
                "write_back": write_backs.get(each.id, ()),
            }
        )
        for each in erased
    }


def _rows(connection: Connection, query: Any, key: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row[key], []).append(dict(row))
    return found


def is_used(connection: Connection) -> bool:
    """Return whether this database has an archive."""
    return connection.scalar(select(ARCHIVE_FILE.c.name).limit(1)) is not None


def begin_file(connection: Connection, name: str) -> bool:
    """Record that this database writes a file; return False if it is recorded already."""
    return bool(insert_new(connection, ARCHIVE_FILE, [{"name": name, "size": 0}], "name"))


def newest_file(connection: Connection) -> str | None:
    """Return the file of the newest month that has deliveries; None if there is none."""
    found: str | None = connection.scalar(select(func.max(ARCHIVE_FILE.c.name)).where(ARCHIVE_FILE.c.size > 0))
    return found


def size(connection: Connection, name: str) -> int:
    """Return the recorded length of a file, which no other transaction changes until this one ends."""
    query = select(ARCHIVE_FILE.c.size).where(ARCHIVE_FILE.c.name == name)
    found: int = connection.execute(query.with_for_update()).scalar_one()
    return found


def finish(connection: Connection, place: Place, end: int, ids: Sequence[str]) -> None:
    """Record the place of deliveries and the new length of the file, and delete the deliveries with all about them."""
    insert_rows(
        connection, ARCHIVED, [{"delivery_id": each, "file": place.file, "place": place.position} for each in ids]
    )
    connection.execute(update(ARCHIVE_FILE).where(ARCHIVE_FILE.c.name == place.file).values(size=end))
    positions = list(connection.scalars(select(EVENT.c.position).where(EVENT.c.key.in_(ids))))
    connection.execute(delete(PUBLICATION).where(PUBLICATION.c.position.in_(positions)))
    connection.execute(delete(EVENT).where(EVENT.c.position.in_(positions)))
    event_feed.record_deleted(connection, max(positions, default=0))
    retention.delete_with_all(connection, ids)


def find(connection: Connection, name: str, source: str = "") -> dict[str, Place]:
    """Return the places of the archived deliveries with an id, or of the orders with an id, by the deliveries' ids.

    Without a source, an order is found only while a message of its source is stored.
    """
    ids = [delivery_id(source, name)] if source else inbox.delivery_ids(connection, name)
    return places(connection, [name, *ids])


def places(connection: Connection, ids: Iterable[str]) -> dict[str, Place]:
    """Return the places of those deliveries that are archived, by their ids."""
    these = is_one_of(connection.dialect.name, ARCHIVED.c.delivery_id, "ids")
    found = connection.execute(select(ARCHIVED).where(these), {"ids": list(ids)})
    return {row.delivery_id: Place(row.file, row.place) for row in found}
