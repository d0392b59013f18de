"""Messages in: a batch becomes deliveries, amendments, wishes and dead letters in one transaction."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import uuid5

from sqlalchemy import Connection, RowMapping, select, update

from schemas.events import NAMESPACE, EventType, OrderEvent, delivery_id, skipped_key
from schemas.ordering import reaction_to
from schemas.orders import Cancellation, DeliveryType, Message, Order, OrderRef, fingerprint, found_order_message
from schemas.status import Cause, DeliveryStatus
from schemas.stores import Store
from worker.database import deliveries, events, shops
from worker.database.deliveries import insert_new
from worker.database.tables import DEAD_LETTER, EARLY_CANCELLATION, EVENT, MESSAGE
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Gate


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be read: as it came, and why."""

    raw: bytes
    reason: str
    identity: str
    """What makes it the same dead letter when it comes again: its place in the stream, or its message id."""


@dataclass(frozen=True, slots=True)
class Intake:
    """One batch: what could be read, what could not, and the directory as its file has it."""

    messages: Sequence[Message] = ()
    dead: Sequence[DeadLetter] = ()
    file_stores: Mapping[str, Store] = field(default_factory=dict)
    fetched: bool = False
    """Whether these are orders fetched for messages that are in the inbox already."""
    gate: str = Gate.PLACED
    """What the shop must have done before a courier is asked for a new order."""


def take_in(connection: Connection, batch: Intake, rules: lifecycle.TermsByAccount, now: datetime) -> list[Delivery]:
    """Take a batch in; return the deliveries it made or changed. A message that came before changes nothing."""
    there = deliveries.lock_orders(
        connection, [delivery_id(each.source, each.data.order_id) for each in batch.messages]
    )
    save_dead_letters(connection, batch.dead, now)
    fresh = list(batch.messages) if batch.fetched else _fresh(connection, batch.messages, now)
    wanted = [message for message in fresh if isinstance(message.data, Order)]
    named = {order.store_id for message in fresh if isinstance(order := message.data, Order)}
    stores = {**batch.file_stores, **shops.load_shops(connection, named)}
    wishes = [message for message in fresh if isinstance(message.data, Cancellation)]
    changed = _place(connection, wanted, there, stores, batch, rules, now)
    return changed + _wish(connection, wishes, rules, now)


def _fresh(connection: Connection, messages: Sequence[Message], now: datetime) -> list[Message]:
    known: dict[tuple[str, str], Message] = {}
    for message in messages:
        known.setdefault((message.source, message.id), message)
    inbox = [
        {
            "source": source,
            "message_id": identity,
            "received_at": now,
            "order_id": message.data.order_id,
            "fetch_at": now if isinstance(message.data, OrderRef) else None,
            "failures": 0,
        }
        for (source, identity), message in known.items()
    ]
    new = insert_new(connection, MESSAGE, inbox, "source", "message_id")
    return [message for key, message in known.items() if key in new]


def _skip(connection: Connection, message: Message, now: datetime) -> bool:
    """Answer an order that is not ours to dispatch with `order.skipped`, once."""
    order = message.data
    assert isinstance(order, Order)  # noqa: S101 - chosen by the caller
    reason = None if order.delivery_type is DeliveryType.DELIVERY else order.delivery_type.value
    reason = reason or reaction_to(order.status).skips
    if reason is None:
        return False
    key = skipped_key(delivery_id(message.source, order.order_id))
    data = OrderEvent(order_id=order.order_id, order_source=message.source, message_id=message.id, reason=reason)
    _tell_once(connection, key, EventType.SKIPPED, order.order_id, data, now)
    return True


def save_dead_letters(connection: Connection, dead: Sequence[DeadLetter], now: datetime) -> None:
    """Keep unreadable messages with their reasons, and say so once each."""
    for letter in dead:
        key = str(uuid5(NAMESPACE, f"dead letter\n{letter.identity}"))
        row = {"id": key, "raw": letter.raw, "reason": letter.reason, "received_at": now, "settled_at": None}
        if insert_new(connection, DEAD_LETTER, [row], "id"):
            data = OrderEvent(dead_letter_id=key, reason=letter.reason)
            _tell_once(connection, key, EventType.QUARANTINED, key, data, now)


def _tell_once(
    connection: Connection, key: str, kind: EventType, subject: str, data: OrderEvent, now: datetime
) -> None:
    insert_new(connection, EVENT, [events.row(kind, key, 1, subject, data, now)], "key")


def _place(
    connection: Connection,
    messages: Sequence[Message],
    there: Container[str],
    stores: Mapping[str, Store],
    batch: Intake,
    rules: lifecycle.TermsByAccount,
    now: datetime,
) -> list[Delivery]:
    keyed = [(delivery_id(message.source, message.data.order_id), message) for message in messages]
    wishes = _wishes(connection, [key for key, _ in keyed])
    new: dict[str, Change] = {}
    again: list[tuple[str, Message]] = []
    for key, message in keyed:
        if key in there or key in new:
            again.append((key, message))
        elif not _skip(connection, message, now):
            blank = _blank(key, message, batch.gate, now)
            new[key] = lifecycle.accept_order(blank, stores.get(blank.order.store_id), wishes.get(key), rules, now)
    deliveries.add(connection, list(new.values()), now)
    amended = _amend(connection, again, rules, now, fetched=batch.fetched)
    return [change.delivery for change in new.values()] + amended


def _blank(key: str, message: Message, gate: str, now: datetime) -> Delivery:
    order = message.data
    assert isinstance(order, Order)  # noqa: S101 - chosen by the caller
    if message.is_backfilled:
        # The platform's own messages may count their revisions from one, and its API's copy in seconds.
        order = order.model_copy(update={"revision": 1})
    return Delivery(
        id=key,
        source=message.source,
        order=lifecycle.with_ready_time(order, now),
        store=None,
        fingerprint=fingerprint(order),
        status=DeliveryStatus.QUEUED,
        created_at=now,
        changed_at=now,
        gate=lifecycle.closed_gate(Gate(gate), order),
    )


def _amend(
    connection: Connection,
    again: Sequence[tuple[str, Message]],
    rules: lifecycle.TermsByAccount,
    now: datetime,
    *,
    fetched: bool,
) -> list[Delivery]:
    """Take in what came about orders that are known. Of a copy, only the status is news: its form may differ."""
    found = set() if fetched else _found(connection, [message for _, message in again])
    changed: list[Delivery] = []
    for key, message in again:
        order = message.data
        assert isinstance(order, Order)  # noqa: S101 - chosen by the caller
        copy = message.is_backfilled or (key in found and message.type == "order.placed")
        said = partial(lifecycle.apply_platform_status, status=order.status, terms=rules, now=now)
        update_ = partial(
            lifecycle.apply_order_message, order=order, fingerprint=fingerprint(order), terms=rules, now=now
        )
        changed += deliveries.update_locked(connection, [key], said if copy else update_)
    return changed


def _found(connection: Connection, messages: Sequence[Message]) -> set[str]:
    """Name the deliveries of those orders that were found at the platform before their message came."""
    keys = {
        found_order_message(each.source, each.data.order_id).id: delivery_id(each.source, each.data.order_id)
        for each in messages
    }
    known = select(MESSAGE.c.message_id).where(MESSAGE.c.message_id.in_(keys))
    return {keys[identity] for identity in connection.scalars(known)} if keys else set()


def _wishes(connection: Connection, keys: Sequence[str]) -> dict[str, Cancellation]:
    found = connection.execute(
        select(EARLY_CANCELLATION.c.delivery_id, EARLY_CANCELLATION.c.body).where(
            EARLY_CANCELLATION.c.delivery_id.in_(keys)
        )
    )
    return {row.delivery_id: Cancellation.model_validate_json(row.body) for row in found}


def _wish(
    connection: Connection, messages: Sequence[Message], rules: lifecycle.TermsByAccount, now: datetime
) -> list[Delivery]:
    changed: list[Delivery] = []
    for message in messages:
        wish = message.data
        assert isinstance(wish, Cancellation)  # noqa: S101 - chosen by the caller
        key = delivery_id(message.source, wish.order_id)
        row = {"delivery_id": key, "body": wish.model_dump_json(), "received_at": now}
        insert_new(connection, EARLY_CANCELLATION, [row], "delivery_id")
        decide = partial(lifecycle.apply_cancel_request, request=wish, terms=rules, now=now, cause=Cause.MESSAGE)
        changed += deliveries.update_locked(connection, [key], decide)
    return changed


def dead_letters(connection: Connection, limit: int) -> list[RowMapping]:
    """List the dead letters that wait for somebody, newest first."""
    query = select(DEAD_LETTER).where(DEAD_LETTER.c.settled_at.is_(None))
    return list(connection.execute(query.order_by(DEAD_LETTER.c.received_at.desc()).limit(limit)).mappings())


def dead_letter(connection: Connection, identity: str) -> bytes | None:
    """Read what a dead letter holds; None when there is no such letter that waits for somebody."""
    waiting = (DEAD_LETTER.c.id == identity) & DEAD_LETTER.c.settled_at.is_(None)
    return connection.scalar(select(DEAD_LETTER.c.raw).where(waiting))


def settle(connection: Connection, identity: str, now: datetime) -> None:
    """Take a dead letter off the list."""
    connection.execute(update(DEAD_LETTER).where(DEAD_LETTER.c.id == identity).values(settled_at=now))
