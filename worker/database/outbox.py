"""The outbox: every event in order. A published event also has the id of its entry on the bus."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, tuple_, update

from schemas.events import (
    DATA_SCHEMAS,
    EVENT_SOURCE,
    TEST_SOURCE,
    TEST_SUBJECT,
    CloudEvent,
    EventData,
    EventType,
    OrderEvent,
    event_id,
    written_sequence,
)
from schemas.trace import Trace
from worker.database.batches import Rows, insert_new, insert_rows, update_rows
from worker.database.connection import without_limit
from worker.database.tables import EVENT, IDENTITY, PUBLICATION
from worker.domain.delivery import OutgoingEvent

_WAITS = PUBLICATION.c.stream_id.is_(None)
_UNPUBLISHED = (
    select(EVENT.c.position, EVENT.c.key, EVENT.c.sequence, EVENT.c.body)
    .join(PUBLICATION, PUBLICATION.c.position == EVENT.c.position)
    .where(_WAITS, EVENT.c.key.not_in(bindparam("except_keys", expanding=True)))
    .order_by(PUBLICATION.c.position)
    .limit(bindparam("most"))
)
_NEWEST_STREAM_ID = select(func.max(PUBLICATION.c.stream_id)).where(PUBLICATION.c.stream_id.is_not(None))
_FIRST_UNPUBLISHED = select(PUBLICATION.c.position).where(_WAITS).limit(1)


def event_row(
    kind: EventType,
    key: str,
    sequence: int,
    subject: str,
    data: EventData,
    at: datetime,
    trace: Trace | None = None,
    source: str = EVENT_SOURCE,
) -> dict[str, Any]:
    """Build the row of an event; its body is the CloudEvent that is published."""
    event = CloudEvent.model_construct(
        id=event_id(key, sequence),
        source=source,
        type=kind,
        subject=subject,
        time=at,
        dataschema=DATA_SCHEMAS[type(data)],
        partitionkey=key,
        sequence=written_sequence(sequence),
        traceparent=trace.traceparent if trace else None,
        tracestate=trace.tracestate if trace else None,
        data=data,
    )
    body = event.model_dump_json()
    return {"key": key, "sequence": sequence, "subject": subject, "body": body, "created_at": at}


def add(connection: Connection, rows: Rows) -> None:
    """Add events, which the relay then publishes."""
    insert_rows(connection, EVENT, rows, also=PUBLICATION)


def add_test(connection: Connection, kind: EventType, key: str, data: EventData, now: datetime) -> None:
    """Add a test event. Its key has no other event, so the events of deliveries and accounts are not affected."""
    add(connection, [event_row(kind, key, 1, TEST_SUBJECT, data, now, source=TEST_SOURCE)])


def add_once(
    connection: Connection,
    kind: EventType,
    key: str,
    subject: str,
    data: OrderEvent,
    now: datetime,
    trace: Trace | None = None,
) -> None:
    """Add the only event that a key ever has, unless the event exists already."""
    added = insert_new(connection, EVENT, [event_row(kind, key, 1, subject, data, now, trace)], "position")
    insert_rows(connection, PUBLICATION, [{"position": position} for (position,) in added])


def identity(connection: Connection) -> str:
    """Return the id of this database; the first call creates it."""
    insert_new(connection, IDENTITY, [{"name": "database", "value": uuid4().hex}], "name")
    return str(connection.scalars(select(IDENTITY.c.value).where(IDENTITY.c.name == "database")).one())


def unpublished(connection: Connection, limit: int, except_keys: Collection[str] = ()) -> list[OutgoingEvent]:
    """Return the oldest unpublished events, except the events of `except_keys`.

    The events of each key are in the order of their sequence. An unpublished event may have a lower position than
    published events, because its transaction committed late. Therefore the query searches the whole outbox. A partial
    index keeps the query fast.
    """
    found = connection.execute(_UNPUBLISHED, {"except_keys": list(except_keys), "most": limit})
    return [OutgoingEvent(*row) for row in found]


def mark_published(connection: Connection, published: Sequence[tuple[int, str]]) -> None:
    """Record that events were published. `published` contains the position and the stream id of each event."""
    update_rows(connection, PUBLICATION, [{"position": at, "stream_id": stream_id} for at, stream_id in published])


def newest_stream_id(connection: Connection) -> str:
    """Return the newest stream id of all events; empty when no event has a stream id."""
    return connection.scalar(_NEWEST_STREAM_ID) or ""


def requeue_lost(connection: Connection, surviving: str, known: str, keep: int) -> int:
    """Mark the events with stream ids after `surviving`, up to `known`, as unpublished; return their number.

    An empty `surviving` means that the stream lost everything. Then only the newest `keep` events are marked, because
    the stream is trimmed to that number.
    """
    without_limit(connection)
    lost = (PUBLICATION.c.stream_id > surviving) & (PUBLICATION.c.stream_id <= known)
    if not surviving:
        newest = select(PUBLICATION.c.position).order_by(PUBLICATION.c.position.desc())
        lost &= PUBLICATION.c.position > (connection.scalar(newest.offset(max(keep, 1)).limit(1)) or 0)
    return connection.execute(update(PUBLICATION).where(lost).values(stream_id=None)).rowcount


@dataclass(frozen=True, slots=True)
class Stored:
    """Which stored events are chosen: by their keys, their time, and their positions."""

    keys: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    """The position after which no older event than `since` has to be examined."""
    upto: int = 0
    """The newest position when the events were chosen."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a query."""
        return [
            (EVENT.c.position > self.after) & (EVENT.c.position <= self.upto),
            *([EVENT.c.key.in_(self.keys)] if self.keys is not None else []),
            *([EVENT.c.created_at >= self.since] if self.since else []),
            *([EVENT.c.created_at < self.until] if self.until else []),
        ]


def count(connection: Connection, chosen: Stored) -> int:
    """Count the chosen events."""
    return connection.scalar(select(func.count()).select_from(EVENT).where(*chosen.conditions())) or 0


def stored(connection: Connection, chosen: Stored, limit: int) -> list[OutgoingEvent]:
    """Return the chosen events, oldest first."""
    query = select(EVENT.c.position, EVENT.c.key, EVENT.c.sequence, EVENT.c.body).where(*chosen.conditions())
    return [OutgoingEvent(*row) for row in connection.execute(query.order_by(EVENT.c.position).limit(limit))]


def requeue(connection: Connection, positions: Collection[int]) -> None:
    """Mark events as unpublished."""
    connection.execute(update(PUBLICATION).where(PUBLICATION.c.position.in_(positions)).values(stream_id=None))


def waiting(connection: Connection, positions: Collection[int]) -> bool:
    """Return whether any of these events is unpublished."""
    these = select(PUBLICATION.c.position).where(_WAITS, PUBLICATION.c.position.in_(positions))
    return connection.scalar(these.limit(1)) is not None


def lost(connection: Connection, published: Mapping[tuple[str, int], str]) -> set[tuple[str, int]]:
    """Return the key and sequence of each published event that the outbox lacks or contains with another body."""
    events = select(EVENT.c.key, EVENT.c.sequence, EVENT.c.body)
    found = connection.execute(events.where(tuple_(EVENT.c.key, EVENT.c.sequence).in_(list(published))))
    return set(published) - {(row.key, row.sequence) for row in found if published[row.key, row.sequence] == row.body}


def has_unpublished(connection: Connection) -> bool:
    """Return whether any event is unpublished."""
    return connection.scalar(_FIRST_UNPUBLISHED) is not None


def newest_time(connection: Connection) -> datetime | None:
    """Return when the newest event was stored; None when there is no event."""
    return connection.scalar(select(EVENT.c.created_at).order_by(EVENT.c.position.desc()).limit(1))


def newest(connection: Connection, key: str) -> str | None:
    """Return the body of the newest event of a key; None if the key has no event."""
    return connection.scalar(select(EVENT.c.body).where(EVENT.c.key == key).order_by(EVENT.c.sequence.desc()).limit(1))


def count_unpublished(connection: Connection) -> int:
    """Count the unpublished events."""
    return connection.scalar(select(func.count()).select_from(PUBLICATION).where(_WAITS)) or 0


def events(
    connection: Connection, *, keys: Sequence[str] | None = None, after: int = 0, limit: int = 1000
) -> list[tuple[int, str]]:
    """Return the events after a position, oldest first, as pairs of position and body.

    With `keys`, return only the events of these keys.
    """
    query = select(EVENT.c.position, EVENT.c.body).where(EVENT.c.position > after)
    if keys is not None:
        query = query.where(EVENT.c.key.in_(keys))
    return [(row.position, row.body) for row in connection.execute(query.order_by(EVENT.c.position).limit(limit))]
