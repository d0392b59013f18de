"""The inbox: all messages that were read, the orders to fetch, early cancellations and dead letters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid5

from sqlalchemy import Connection, RowMapping, Select, func, select, update

from schemas.events import NAMESPACE, EventType, OrderEvent, delivery_id
from schemas.messages import Cancellation, Message, OrderRef, found_order_message
from schemas.origin import UNKNOWN, Origin
from schemas.trace import Trace
from worker.database.batches import insert_new, is_one_of
from worker.database.outbox import add_once
from worker.database.tables import DEAD_LETTER, DELIVERY, EARLY_CANCELLATION, MESSAGE
from worker.domain import schedule

FETCH_LEASE = timedelta(seconds=60)


def _sources() -> Select[tuple[str]]:
    """Return the query for the sources of all messages. Each is looked up in the key after the source before it."""
    found = select(func.min(MESSAGE.c.source).label("source")).cte(recursive=True)
    following = select(func.min(MESSAGE.c.source)).where(MESSAGE.c.source > found.c.source).scalar_subquery()
    found = found.union_all(select(following).where(found.c.source.is_not(None)))
    return select(found.c.source)


_SOURCES = _sources()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An unreadable message in its original form, with the reason."""

    raw: bytes
    reason: str
    identity: str
    """The stream id or message id. It is the same when the message is read again, so the letter is stored only once."""
    has_fields: bool = False
    """True if `raw` is a JSON object with all fields of the stream entry; False if it is the entry's field `event`."""
    origin: Origin = UNKNOWN
    """What could still be read. It is published with the fault, and not stored."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """An order to fetch, and the message that named it."""

    source: str
    message_id: str
    order_id: str
    tries: int
    """The number of tries so far, including the one for which the message is claimed now."""
    trace: Trace | None = None


# --- messages ---------------------------------------------------------------------------------------------------------


def add_messages(connection: Connection, messages: Iterable[Message], now: datetime) -> list[Message]:
    """Store the messages that are not stored yet; return these messages without duplicates."""
    known: dict[tuple[str, str], Message] = {}
    for message in messages:
        known.setdefault((message.source, message.id), message)
    rows = [
        {
            "source": source,
            "message_id": identity,
            "received_at": now,
            "order_id": message.data.order_id,
            "fetch_at": now if isinstance(message.data, OrderRef) else None,
            "failures": 0,
            "traceparent": message.trace.traceparent if message.trace else None,
            "tracestate": message.trace.tracestate if message.trace else None,
        }
        for (source, identity), message in known.items()
    ]
    new = insert_new(connection, MESSAGE, rows, "source", "message_id")
    return [message for key, message in known.items() if key in new]


def backfilled(connection: Connection, messages: Sequence[Message]) -> set[str]:
    """Return the delivery ids of those messages whose order a back-fill has already found."""
    keys = {
        found_order_message(each.source, each.data.order_id).id: delivery_id(each.source, each.data.order_id)
        for each in messages
    }
    sources = {each.source for each in messages}  # the key of the table begins with the source
    known = select(MESSAGE.c.message_id).where(MESSAGE.c.source.in_(sources), MESSAGE.c.message_id.in_(keys))
    return {keys[identity] for identity in connection.scalars(known)} if keys else set()


def unknown_orders(connection: Connection, source: str, order_ids: Iterable[str]) -> set[str]:
    """Return the order ids that are new: no delivery of any source has them, and no earlier back-fill found them."""
    wanted = {found_order_message(source, each).id: each for each in order_ids}
    delivered = select(DELIVERY.c.order_id).where(DELIVERY.c.order_id.in_(wanted.values()))
    found = select(MESSAGE.c.message_id).where(MESSAGE.c.source == source, MESSAGE.c.message_id.in_(wanted))
    known = {*connection.scalars(delivered), *(wanted[identity] for identity in connection.scalars(found))}
    return set(wanted.values()) - known


def delivery_ids(connection: Connection, order_id: str) -> list[str]:
    """Return the ids that the delivery of an order may have: one for each source of the stored messages."""
    return [delivery_id(source, order_id) for source in connection.scalars(_SOURCES) if source is not None]


# --- orders to fetch --------------------------------------------------------------------------------------------------


def messages_about(connection: Connection, source: str, order_id: str) -> list[tuple[datetime, str]]:
    """Return the messages about an order, oldest first: the time of arrival and the message's id."""
    these = (MESSAGE.c.source == source) & (MESSAGE.c.order_id == order_id)
    query = select(MESSAGE.c.received_at, MESSAGE.c.message_id).where(these).order_by(MESSAGE.c.received_at)
    return [(row.received_at, row.message_id) for row in connection.execute(query)]


def claim_fetches(connection: Connection, now: datetime, limit: int) -> list[Fetch]:
    """Claim messages whose order must be fetched; return the fetches."""
    due = select(MESSAGE).where(MESSAGE.c.fetch_at <= now).order_by(MESSAGE.c.fetch_at).limit(limit)
    found = connection.execute(due.with_for_update(skip_locked=True)).all()
    for row in found:
        later = max(FETCH_LEASE, schedule.backoff(row.failures + 1, row.message_id))
        _set_fetch(connection, row.source, row.message_id, fetch_at=now + later, failures=row.failures + 1)
    return [
        Fetch(row.source, row.message_id, row.order_id, row.failures + 1, Trace.read(row.traceparent, row.tracestate))
        for row in found
    ]


def postpone_fetch(connection: Connection, source: str, message_id: str, tries: int, at: datetime) -> None:
    """Postpone the next fetch of an order; `tries` is the number of tries so far."""
    _set_fetch(connection, source, message_id, fetch_at=at, failures=tries)


def mark_fetched(connection: Connection, source: str, message_id: str) -> None:
    """Record that an order was fetched, or that its fetch was given up."""
    _set_fetch(connection, source, message_id, fetch_at=None)


def waiting_fetches(connection: Connection, limit: int) -> list[RowMapping]:
    """Return the messages whose order must still be fetched, the one with the next try first."""
    waiting = select(MESSAGE).where(MESSAGE.c.fetch_at.is_not(None)).order_by(MESSAGE.c.fetch_at).limit(limit)
    return list(connection.execute(waiting).mappings())


def _set_fetch(connection: Connection, source: str, message_id: str, **values: datetime | int | None) -> None:
    this = (MESSAGE.c.source == source) & (MESSAGE.c.message_id == message_id)
    connection.execute(update(MESSAGE).where(this).values(values))


# --- cancellations ----------------------------------------------------------------------------------------------------


def add_cancellation(connection: Connection, key: str, cancellation: Cancellation, now: datetime) -> None:
    """Store the first cancellation of a delivery, even if its order has not come yet; ignore later cancellations."""
    row = {"delivery_id": key, "body": cancellation.model_dump_json(), "received_at": now}
    insert_new(connection, EARLY_CANCELLATION, [row], "delivery_id")


def cancellations(connection: Connection, keys: Sequence[str]) -> dict[str, Cancellation]:
    """Return the stored cancellations of deliveries, by delivery id."""
    columns = (EARLY_CANCELLATION.c.delivery_id, EARLY_CANCELLATION.c.body)
    these = is_one_of(connection.dialect.name, EARLY_CANCELLATION.c.delivery_id, "keys")
    found = connection.execute(select(*columns).where(these), {"keys": keys})
    return {row.delivery_id: Cancellation.model_validate_json(row.body) for row in found}


# --- dead letters -----------------------------------------------------------------------------------------------------


def save_dead_letters(connection: Connection, letters: Iterable[DeadLetter], now: datetime) -> None:
    """Store dead letters, and add one event for each new one."""
    for letter in letters:
        key = str(uuid5(NAMESPACE, f"dead letter\n{letter.identity}"))
        row = {
            "id": key,
            "raw": letter.raw,
            "has_fields": letter.has_fields,
            "reason": letter.reason,
            "received_at": now,
            "settled_at": None,
        }
        if insert_new(connection, DEAD_LETTER, [row], "id"):
            add_once(connection, EventType.QUARANTINED, key, key, _quarantined(key, letter), now, letter.origin.trace)


def _quarantined(key: str, letter: DeadLetter) -> OrderEvent:
    origin = letter.origin
    return OrderEvent(
        order_id=origin.order_id,
        order_source=origin.source,
        message_id=origin.message_id,
        dead_letter_id=key,
        reason=letter.reason,
    )


def dead_letters(connection: Connection, limit: int) -> list[RowMapping]:
    """Return the dead letters that wait for an operator, newest first."""
    query = select(DEAD_LETTER).where(DEAD_LETTER.c.settled_at.is_(None))
    return list(connection.execute(query.order_by(DEAD_LETTER.c.received_at.desc()).limit(limit)).mappings())


def dead_letter(connection: Connection, identity: str) -> DeadLetter | None:
    """Return a dead letter; None when the id is unknown or an operator has dealt with the letter."""
    waiting = (DEAD_LETTER.c.id == identity) & DEAD_LETTER.c.settled_at.is_(None)
    row = connection.execute(select(DEAD_LETTER).where(waiting)).one_or_none()
    return DeadLetter(row.raw, row.reason, row.id, has_fields=row.has_fields) if row else None


def settle_dead_letter(connection: Connection, identity: str, now: datetime) -> None:
    """Record that an operator has dealt with a dead letter."""
    connection.execute(update(DEAD_LETTER).where(DEAD_LETTER.c.id == identity).values(settled_at=now))
