"""Store messages: a batch becomes deliveries, updates, cancel requests and dead letters in one transaction."""

import threading
from collections.abc import Container, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from schemas.events import EventType, OrderEvent, delivery_id, skipped_key
from schemas.json_reader import MalformedError
from schemas.messages import Cancellation, Message, read_fields, read_message
from schemas.order import DeliveryType, Order, fingerprint
from schemas.ordering import INBOUND, ProjectDefaults, reaction_to
from schemas.origin import read_origin
from schemas.status import Cause, DeliveryStatus
from schemas.stores import Store
from worker import log, tracing
from worker.bus.port import OUTAGES, Bus, Entry, Fields, dump_fields, time_of
from worker.clock import Clock
from worker.database import accounts, archive, deliveries, inbox, outbox, shops
from worker.database.connection import Connection, is_transient
from worker.database.database import Database
from worker.database.inbox import DeadLetter
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Gate
from worker.domain.lifecycle import TermsByAccount
from worker.services.direct_booking import Bookings, DirectBooking
from worker.services.updates import Updates

logger = log.get(__name__)
READ_COUNT = 100
BLOCK_MS = 1000
PAUSE_SECONDS = 1.0
Document = bytes | Fields
"""The unparsed message: the content of the field `event`, or all fields if the stream entry has other fields, too."""


@dataclass(frozen=True)
class Ingest:
    """Store messages, and the orders that were fetched for messages."""

    database: Database
    updates: Updates
    terms: TermsByAccount
    file_shops: Mapping[str, Store]
    """The stores of the directory's file. A store in the database takes precedence."""
    defaults: ProjectDefaults
    """Values for fields that orders of the Ordering platform do not have."""
    gate: Gate
    """The gate of new orders: what the shop must have done before a carrier is asked."""
    stale_after: timedelta
    """A new order is rejected if it was wanted longer ago than this."""
    clock: Clock

    def store_documents(
        self, documents: Sequence[tuple[str, Document]], direct_booking: DirectBooking | None = None
    ) -> None:
        """Parse and store documents in one transaction. Raises the errors of the database.

        Each document is paired with its identity, the id of its stream entry or of its message. Without
        `direct_booking`, tasks book all new orders.
        """
        parsed, letters = self.parse(documents)
        has_orders = any(isinstance(message.data, Order) for message in parsed)
        booking = direct_booking.open() if direct_booking and has_orders else nullcontext()
        with tracing.received(parsed) as messages, booking as bookings:
            changes = self.store(messages, letters, bookings)
        log_unread(messages)
        if letters:
            reasons = sorted({each.reason for each in letters})
            logger.warning("orders.quarantined", count=len(letters), reasons=reasons)
        if messages:
            logger.info("orders.accepted", messages=len(messages), changed=len(changes))

    def parse(self, documents: Sequence[tuple[str, Document]]) -> tuple[list[Message], list[DeadLetter]]:
        """Parse documents; return the messages, and a dead letter for each document that cannot be read.

        If a message has no time and its identity is the id of a stream entry, the time of the entry is used.
        """
        messages, letters = [], []
        for identity, document in documents:
            try:
                message = _read(document, self.defaults)
            except MalformedError as error:
                letters.append(_dead_letter(document, str(error), identity))
            else:
                messages.append(message if message.time else replace(message, time=time_of(identity)))
        return messages, letters

    def store(
        self,
        messages: Sequence[Message],
        letters: Sequence[DeadLetter] = (),
        bookings: Bookings | None = None,
    ) -> list[Change]:
        """Store messages and dead letters; return the changes. A repeated message changes nothing."""
        now = self.clock()
        changes = self.database.write(self.store_in, messages, letters, now, bookings)
        if bookings is not None:
            bookings.send(changes, now)
        self.updates.follow_up(changes, now, events=bool(messages or letters))
        return changes

    def store_fetched(self, source: str, message_id: str, message: Message) -> list[Change]:
        """Store the order that was fetched for a message. Storing it twice has no further effect."""
        now = self.clock()
        changes = self.database.persist(self._store_fetched, source, message_id, message, now)
        self.updates.follow_up(changes, now, events=True)
        return changes

    def dead_letter_fetch(self, source: str, message_id: str, letter: DeadLetter) -> None:
        """Store the dead letter of a message whose order cannot be fetched."""
        self.database.persist(_dead_letter_fetch, source, message_id, letter, self.clock())
        self.updates.follow_up([], self.clock(), events=True)

    # --- in one transaction -------------------------------------------------------------------------------------------

    def store_in(
        self,
        connection: Connection,
        messages: Sequence[Message],
        letters: Sequence[DeadLetter],
        now: datetime,
        bookings: Bookings | None = None,
    ) -> list[Change]:
        """Store messages and dead letters in the caller's transaction; return the changes."""
        existing = _lock(connection, messages)
        inbox.save_dead_letters(connection, letters, now)
        fresh = inbox.add_messages(connection, messages, now)
        cancellations = [(_key(each), each.data) for each in fresh if isinstance(each.data, Cancellation)]
        for key, cancellation in cancellations:
            inbox.add_cancellation(connection, key, cancellation, now)
        changes = self._place(connection, fresh, existing, now, bookings)
        return changes + self._cancel(connection, cancellations, now)

    def _store_fetched(
        self, connection: Connection, source: str, message_id: str, message: Message, now: datetime
    ) -> list[Change]:
        inbox.mark_fetched(connection, source, message_id)
        existing = _lock(connection, [message])
        return self._place(connection, [message], existing, now, fetched=True)

    def _place(
        self,
        connection: Connection,
        messages: Sequence[Message],
        existing: Container[str],
        now: datetime,
        bookings: Bookings | None = None,
        *,
        fetched: bool = False,
    ) -> list[Change]:
        """Create the deliveries of new orders, and apply the messages about known orders.

        A message about an archived order changes nothing.
        """
        orders = [(_key(message), message, message.data) for message in messages if isinstance(message.data, Order)]
        known_shops = {**self.file_shops, **shops.load_shops(connection, {order.store_id for _, _, order in orders})}
        cancellations = inbox.cancellations(connection, [key for key, _, _ in orders])
        archived = archive.places(connection, [key for key, _, _ in orders if key not in existing])
        new: dict[str, Change] = {}
        again: list[tuple[str, Message, Order]] = []
        for key, message, order in orders:
            if key in existing or key in new:
                again.append((key, message, order))
            elif key in archived:
                logger.info("order.archived", order_id=order.order_id, delivery_id=key, message_id=message.id)
            elif (reason := _skip_reason(order)) is not None:
                _skip(connection, key, message, reason, now)
            else:
                delivery = self._new_delivery(key, message, order, now)
                shop, cancellation = known_shops.get(order.store_id), cancellations.get(key)
                stale = lifecycle.is_stale(order, message.time, now - self.stale_after)
                new[key] = lifecycle.accept_order(delivery, shop, cancellation, self.terms, now, stale=stale)
        if bookings is not None and new:
            paused, changing = accounts.paused(connection), {key for key, _, _ in again}
            # An order that a later message of the batch may change is booked by a task, as it is then.
            new = {
                key: change if key in changing else bookings.begin(change, paused, now) for key, change in new.items()
            }
        added = deliveries.add(connection, new.values(), now)
        return [*added, *self._update(connection, again, now, fetched=fetched)]

    def _new_delivery(self, key: str, message: Message, order: Order, now: datetime) -> Delivery:
        if message.is_backfilled:
            # Messages may count revisions from one. With the API's revision, a number of seconds, they would look old.
            order = order.model_copy(update={"revision": 1})
        return Delivery(
            id=key,
            source=message.source,
            order=lifecycle.with_ready_time(order, now),
            store=None,
            fingerprint=fingerprint(order),
            status=DeliveryStatus.QUEUED,
            trace=message.trace,
            created_at=now,
            changed_at=now,
            gate=lifecycle.closed_gate(self.gate, order),
        )

    def _update(
        self, connection: Connection, again: Sequence[tuple[str, Message, Order]], now: datetime, *, fetched: bool
    ) -> list[Change]:
        """Apply messages about known orders.

        Two kinds of messages only repeat an order that we already have: a message from back-fill, and the late
        `order.placed` message of an order that back-fill has found. Only the status of such a message is applied.
        """
        backfilled = set() if fetched else inbox.backfilled(connection, [message for _, message, _ in again])
        changes: list[Change] = []
        for key, message, order in again:
            is_copy = message.is_backfilled or (key in backfilled and message.type == "order.placed")
            status = partial(lifecycle.apply_platform_status, status=order.status, terms=self.terms, now=now)
            content = partial(
                lifecycle.apply_order_message, order=order, fingerprint=fingerprint(order), terms=self.terms, now=now
            )
            changes += deliveries.update(connection, [key], status if is_copy else content)
        return changes

    def _cancel(
        self, connection: Connection, cancellations: Sequence[tuple[str, Cancellation]], now: datetime
    ) -> list[Change]:
        changes: list[Change] = []
        for key, cancellation in cancellations:
            decide = partial(
                lifecycle.apply_cancel_request, request=cancellation, terms=self.terms, now=now, cause=Cause.MESSAGE
            )
            changes += deliveries.update(connection, [key], decide)
        return changes


def _key(message: Message) -> str:
    return delivery_id(message.source, message.data.order_id)


def _lock(connection: Connection, messages: Sequence[Message]) -> set[str]:
    return deliveries.lock_orders(connection, map(_key, messages))


def _dead_letter_fetch(connection: Connection, source: str, message_id: str, letter: DeadLetter, now: datetime) -> None:
    inbox.mark_fetched(connection, source, message_id)
    inbox.save_dead_letters(connection, [letter], now)


def _skip_reason(order: Order) -> str | None:
    """Return why we do not dispatch an order; None when we dispatch it."""
    if order.delivery_type is not DeliveryType.DELIVERY:
        return order.delivery_type.value
    return reaction_to(order.status).skips


def _skip(connection: Connection, key: str, message: Message, reason: str, now: datetime) -> None:
    """Publish `order.skipped` once for an order."""
    order_id = message.data.order_id
    data = OrderEvent(order_id=order_id, order_source=message.source, message_id=message.id, reason=reason)
    outbox.add_once(connection, EventType.SKIPPED, skipped_key(key), order_id, data, now, message.trace)


def _read(document: Document, defaults: ProjectDefaults) -> Message:
    return read_message(document, defaults) if isinstance(document, bytes) else read_fields(document, defaults)


def _dead_letter(document: Document, reason: str, identity: str) -> DeadLetter:
    raw = document if isinstance(document, bytes) else dump_fields(document)
    has_fields = not isinstance(document, bytes)
    return DeadLetter(raw, reason, identity, has_fields, read_origin(document))


def _letter_of(entry: Entry) -> DeadLetter:
    """Return the dead letter of a message that the bus gave up."""
    return _dead_letter(entry.fields or entry.document, entry.fault, entry.id)


def log_unread(messages: Sequence[Message]) -> None:
    """Log the fields that the parser ignored or changed, and the undocumented statuses of the platform (O-25)."""
    for message in messages:
        if message.ignored:
            about = {"order_id": message.data.order_id, "delivery_id": _key(message)}
            logger.warning("order.fields_ignored", **about, fields=sorted(message.ignored))
    statuses = {message.data.status for message in messages if isinstance(message.data, Order)}
    if unknown := statuses - INBOUND.keys() - {None}:
        logger.warning("platform.status_unknown", statuses=sorted(map(str, unknown)))


class OrdersReader:
    """Read the orders stream until it is stopped: parse, store, acknowledge."""

    def __init__(self, bus: Bus, ingest: Ingest, consumer: str, direct_booking: DirectBooking | None = None) -> None:
        """Without `direct_booking`, tasks book all orders."""
        self._bus, self._ingest, self._consumer, self._direct_booking = bus, ingest, consumer, direct_booking
        self._stop = threading.Event()
        self._pending_first = True  # entries that this consumer read but did not acknowledge come first

    def run(self) -> None:
        """Read until stopped, then leave the group. After a failure, pause, and read unacknowledged entries again."""
        while not self._stop.is_set():
            try:
                self.step()
            except Exception as error:
                self._pending_first = True
                logger.warning("orders.read_failed", error=type(error).__name__, exc_info=not is_outage(error))
                self._stop.wait(PAUSE_SECONDS)
        with suppress(*OUTAGES):  # another reader then claims its entries after a minute
            self._bus.leave(self._consumer)

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Read and store one batch; return the number of its entries."""
        entries = self._bus.read(self._consumer, READ_COUNT, block_ms, mine=self._pending_first)
        self._pending_first = self._pending_first and bool(entries)
        if entries:
            self._store(entries)
            self._bus.acknowledge(entries)
        return len(entries)

    def _store(self, entries: Sequence[Entry]) -> None:
        if given_up := [_letter_of(entry) for entry in entries if entry.fault]:
            logger.error("orders.given_up", count=len(given_up))
            self._ingest.store([], given_up)
        self._store_documents([(entry.id, entry.fields or entry.document) for entry in entries if not entry.fault])

    def _store_documents(self, documents: Sequence[tuple[str, Document]]) -> None:
        if not documents:
            return
        try:
            self._ingest.store_documents(documents, self._direct_booking)
        except Exception as error:
            if is_outage(error):
                raise
            logger.warning("orders.batch_failed", error=type(error).__name__, exc_info=True)
            self._store_one_by_one(documents)

    def _store_one_by_one(self, documents: Sequence[tuple[str, Document]]) -> None:
        """Store each document in its own transaction. A document that cannot be stored becomes a dead letter."""
        for identity, document in documents:
            try:
                self._ingest.store_documents([(identity, document)])
            except Exception as error:
                if is_outage(error):
                    raise
                logger.exception("orders.storing_failed", entry=identity)
                letter = _dead_letter(document, f"it cannot be stored: {type(error).__name__}", identity)
                self._ingest.store([], [letter])

    def stop(self) -> None:
        """Stop after the batch that is being stored."""
        self._stop.set()


def is_outage(error: Exception) -> bool:
    """Return whether the database, Redis or RabbitMQ is unreachable or busy, so that a retry may succeed."""
    return is_transient(error) or isinstance(error, OUTAGES)
