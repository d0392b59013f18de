"""The statements of the database room, as its functions really send them, each with the plan of PostgreSQL.

Before a statement runs, the same statement is run with EXPLAIN (ANALYZE, BUFFERS) and rolled back. At the end of each
function, everything is rolled back.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import md5
from importlib import import_module
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, event
from sqlmodel import SQLModel

import worker.database
from schemas.events import CarrierEvent, EventType, OrderEvent
from schemas.messages import Cancellation
from schemas.status import AttentionReason, DeliveryStatus
from tests.database import samples
from tests.database.year import Year
from worker.carriers.port import Callback, CallbackKey
from worker.database import (
    accounts,
    archive,
    attempt_events,
    callback_health,
    callbacks,
    carrier_calls,
    clock,
    deliveries,
    diagnostics,
    due_work,
    erasure,
    event_feed,
    inbox,
    leases,
    measurements,
    notices,
    operator_actions,
    outbox,
    retention,
    search,
    shops,
    subscribers,
    write_backs,
)
from worker.database.archive import Place
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.database.due_work import Limits
from worker.database.event_feed import Wanted
from worker.database.inbox import DeadLetter
from worker.database.notices import Notice
from worker.database.outbox import Stored
from worker.database.search import Filter
from worker.domain.delivery import Change, Delivery, Step
from worker.domain.operator import OperatorAction
from worker.domain.subscriber import BlockedKey, Progress
from worker.http.call import Verdict
from worker.ordering_api.write_policy import WriteBackState

ACCOUNTS = ("borzo", "cervo", "deliverit")
DAY = timedelta(days=1)
INDEXES = frozenset(str(index.name) for table in SQLModel.metadata.tables.values() for index in table.indexes)
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
BIG = (
    "attempt",
    "callback",
    "carrier_call",
    "delivery",
    "event",
    "message",
    "operator_action",
    "placed_order",
    "publication",
    "write_back",
)
"""The tables that have at least as many rows as one delivery in thirty, for a month or longer."""
Call = Callable[[Connection, Year], object]


def delivery_id(number: int) -> str:
    """Return the id of a delivery of the year."""
    return str(UUID(md5(str(number).encode()).hexdigest()))


def attempt_id(number: int) -> int:
    """Return the id of the attempt of a delivery of the year."""
    return int(number * 4503599627 % 9007199254740992)


def _ids(year: Year, count: int) -> list[str]:
    """Return the ids of deliveries that are active."""
    return [delivery_id(year.newest - number) for number in range(count)]


def _old(year: Year, count: int) -> list[str]:
    """Return the ids of deliveries that have ended, from all months."""
    return [delivery_id(1 + number * (year.ended - 1) // count) for number in range(count)]


def _touch(delivery: Delivery) -> Change:
    """Change a delivery and its attempts, and add no event."""
    attempts = tuple(replace(each, lookups=each.lookups + 1) for each in delivery.attempts)
    return Change(replace(delivery, failures=delivery.failures + 1, attempts=attempts))


def _add(connection: Connection, year: Year, count: int) -> None:
    (like,) = deliveries.load(connection, [delivery_id(year.newest)])
    ids = [delivery_id(-number) for number in range(count)]
    deliveries.lock_orders(connection, ids)
    new = [replace(like, id=each, order=like.order.model_copy(update={"order_id": each}), attempts=()) for each in ids]
    deliveries.add(connection, [Change(each) for each in new], year.now)


def _store(connection: Connection, year: Year) -> None:
    subscriber = subscribers.lock(connection, "s1")
    assert subscriber is not None
    row = BlockedKey(delivery_id(year.newest), year.newest * 5, year.now, year.now)
    (known, *_) = subscribers.blocked(connection, "s1")
    progress = Progress(subscriber, blocked=((None, row),), freed=(known,), recovered=True)
    subscribers.store(connection, subscriber, progress, year.now)


def _call(year: Year) -> RecordedCall:
    sent = (attempt_id(year.newest), year.now, "create", delivery_id(year.newest), "cervo")
    return RecordedCall(*sent, 100, 200, Verdict.ANSWERED, None, "POST /orders", "{}")


_EVENT = CarrierEvent(carrier="cervo", by="operator", because="x", since=samples.NOW)
_CALLBACK = Callback("POST", b"{}", {}, "", None)
_NOTICE = Notice("telegram", "key", "title", samples.NOW)
_PHONE = "20304"

CALLS: Mapping[str, Call] = {
    "accounts.account_metadata": lambda c, _: accounts.account_metadata(c, "cervo"),
    "accounts.drop_mapping": lambda c, _: accounts.drop_mapping(c, "cervo", "order:99"),
    "accounts.pause": lambda c, y: accounts.pause(c, "cervo", "operator", "x", y.now),
    "accounts.paused": lambda c, _: accounts.paused(c),
    "accounts.put_account_metadata": lambda c, _: accounts.put_account_metadata(c, "cervo", {"company": "1"}),
    "accounts.put_mapping": lambda c, y: accounts.put_mapping(c, "cervo", "order:99", DeliveryStatus.CREATED, y.now),
    "accounts.resume": lambda c, y: (
        accounts.pause(c, "cervo", "operator", "x", y.now),
        accounts.resume(c, "cervo", "operator", y.now),
    ),
    "accounts.status_mappings": lambda c, _: accounts.status_mappings(c),
    "accounts.unmapped_statuses": lambda c, _: accounts.unmapped_statuses(c),
    "archive.begin_file": lambda c, _: archive.begin_file(c, "2026-01.jsonl.gz"),
    "archive.documents": lambda c, y: archive.documents(c, _loaded(c, y)),
    "archive.find": lambda c, y: archive.find(c, str(y.ended)),
    "archive.finish": lambda c, y: archive.finish(c, Place("2026-01.jsonl.gz", 0), 9, _old(y, 3)),
    "archive.is_used": lambda c, _: archive.is_used(c),
    "archive.newest_file": lambda c, _: archive.newest_file(c),
    "archive.oldest": lambda c, y: archive.oldest(c, y.now - 364 * DAY),
    "archive.places": lambda c, y: archive.places(c, _ids(y, 20)),
    "archive.size": lambda c, _: archive.begin_file(c, "2026-01.jsonl.gz") and archive.size(c, "2026-01.jsonl.gz"),
    "attempt_events.between": lambda c, y: attempt_events.between(c, y.newest * 5 - 1000, y.newest * 5),
    "attempt_events.newest_position": lambda c, _: attempt_events.newest_position(c),
    "attempt_events.position_before": lambda c, y: attempt_events.position_before(c, y.now - 100 * DAY),
    "callback_health.entities_since": lambda c, y: callback_health.entities_since(c, "cervo", y.now - DAY),
    "callback_health.heartbeat": lambda c, y: callback_health.heartbeat(c, y.now),
    "callback_health.last_heartbeat": lambda c, _: callback_health.last_heartbeat(c),
    "callback_health.mark_missing": lambda c, y: callback_health.mark_missing(c, "cervo", "order", y.now),
    "callback_health.missing_kinds": lambda c, _: callback_health.missing_kinds(c),
    "callback_health.record_refused": lambda c, y: callback_health.record_refused(c, {"cervo": 2}, y.now, y.now - DAY),
    "callback_health.refused": lambda c, _: callback_health.refused(c),
    "callback_health.tracked_at": lambda c, _: callback_health.tracked_at(c, ["cervo"]),
    "callback_health.unmark_missing": lambda c, _: callback_health.unmark_missing(c, "cervo", "order"),
    "callbacks.apply": lambda c, y: callbacks.apply(c, _callback(y), "applied", delivery_id(y.newest), _touch),
    "callbacks.attach": lambda c, y: callbacks.attach(c, _callback(y), attempt_id(y.newest)),
    "callbacks.attempts_by_ref": lambda c, y: callbacks.attempts_by_ref(c, "cervo", [f"R{y.newest}", "R1"]),
    "callbacks.claim": lambda c, y: callbacks.claim(c, y.now, 20),
    "callbacks.find_attempt": lambda c, y: callbacks.find_attempt(c, "cervo", CallbackKey(ref=f"R{y.newest}")),
    "callbacks.load": lambda c, y: callbacks.load(c, _callback(y)),
    "callbacks.next_try": lambda c, _: callbacks.next_try(c),
    "callbacks.of_attempts": lambda c, y: callbacks.of_attempts(c, [attempt_id(y.newest)]),
    "callbacks.order_ids": lambda c, y: callbacks.order_ids(c, [_callback(y)]),
    "callbacks.release": lambda c, y: callbacks.release(c, [_callback(y)], y.now),
    "callbacks.save": lambda c, y: callbacks.save(c, "cervo", _CALLBACK, y.now, attempt_id=attempt_id(y.newest)),
    "callbacks.settle": lambda c, y: callbacks.settle(c, _callback(y), "applied"),
    "callbacks.waiting": lambda c, y: callbacks.waiting(c, attempt_id(y.newest)),
    "carrier_calls.newest_position": lambda c, _: carrier_calls.newest_position(c),
    "carrier_calls.of_attempts": lambda c, y: carrier_calls.of_attempts(c, [attempt_id(y.newest)]),
    "carrier_calls.recent": lambda c, y: carrier_calls.recent(c, y.now - DAY),
    "carrier_calls.record": lambda c, y: carrier_calls.record(c, [_call(y)]),
    "carrier_calls.times_between": lambda c, _: carrier_calls.times_between(c, 1000, 1500),
    "clock.agree": lambda c, y: clock.agree(c, lambda: y.now),
    "clock.read_clock": lambda c, _: clock.read_clock(c),
    "clock.shared_time": lambda c, _: clock.shared_time(c),
    "deliveries.add": lambda c, y: _add(c, y, 30),
    "deliveries.advance_sequence": lambda c, y: deliveries.advance_sequence(c, delivery_id(y.newest), 99),
    "deliveries.attention_counts": lambda c, _: deliveries.attention_counts(c),
    "deliveries.find": lambda c, y: deliveries.find(c, str(y.ended)),
    "deliveries.journalled_attempts": lambda c, _: deliveries.journalled_attempts(c, "host.1.2.log", [attempt_id(1)]),
    "deliveries.known_attempts": lambda c, y: deliveries.known_attempts(c, [attempt_id(1), attempt_id(y.newest)]),
    "deliveries.load": lambda c, y: deliveries.load(c, _old(y, 50), lock=True),
    "deliveries.load_in_order": lambda c, y: deliveries.load_in_order(c, _old(y, 50)),
    "deliveries.lock_orders": lambda c, y: deliveries.lock_orders(c, [*_ids(y, 20), delivery_id(0)]),
    "deliveries.order_ids": lambda c, y: deliveries.order_ids(c, _ids(y, 50)),
    "deliveries.status_counts": lambda c, _: deliveries.status_counts(c),
    "deliveries.update": lambda c, y: deliveries.update(c, _ids(y, 30), _touch),
    "deliveries.update_alarmed": lambda c, y: deliveries.update_alarmed(c, y.now, 2000, _touch),
    "diagnostics.asking": lambda c, _: diagnostics.asking(c),
    "diagnostics.commit_wait": lambda c, _: diagnostics.commit_wait(c),
    "diagnostics.dead_letters": lambda c, _: diagnostics.dead_letters(c),
    "diagnostics.failing_fetches": lambda c, _: diagnostics.failing_fetches(c, 3),
    "diagnostics.failing_write_backs": lambda c, _: diagnostics.failing_write_backs(c, 3),
    "diagnostics.pulse": lambda c, _: diagnostics.pulse(c),
    "diagnostics.purged_at": lambda c, _: diagnostics.purged_at(c),
    "diagnostics.record_purge": lambda c, y: diagnostics.record_purge(c, y.now),
    "diagnostics.reported_statuses": lambda c, _: diagnostics.reported_statuses(c),
    "diagnostics.unpublished": lambda c, _: diagnostics.unpublished(c),
    "diagnostics.waiting": lambda c, y: diagnostics.waiting(c, [(Step.TRACK, "cervo"), (Step.ROUTE, None)], y.now),
    "due_work.claim": lambda c, y: due_work.claim(c, y.now, Limits(2000, callbacks=20, comparisons=20)),
    "due_work.claim_deliveries": lambda c, y: due_work.claim_deliveries(c, y.now, 2000),
    "due_work.next_due": lambda c, _: due_work.next_due(c),
    "due_work.oldest_steps": lambda c, _: due_work.oldest_steps(c),
    "due_work.overdue": lambda c, y: due_work.overdue(c, y.now, 100),
    "due_work.release": lambda c, y: due_work.release(c, _ids(y, 100), y.now, y.now),
    "due_work.release_all": lambda c, y: due_work.release_all(c, y.now, _ids(y, 50), [_callback(y)], _ids(y, 20)),
    "due_work.unknown_steps": lambda c, _: due_work.unknown_steps(c),
    "erasure.dead_letters_about": lambda c, y: erasure.dead_letters_about(c, str(y.ended)),
    "erasure.delete_dead_letters": lambda c, _: erasure.delete_dead_letters(c, [delivery_id(1)]),
    "erasure.delete_records": lambda c, y: erasure.delete_records(c, [Change(each) for each in _loaded(c, y)]),
    "erasure.erase_events": lambda c, y: erasure.erase_events(c, delivery_id(y.ended)),
    "erasure.has_unpublished": lambda c, y: erasure.has_unpublished(c, delivery_id(y.ended)),
    "event_feed.begin_generation": lambda c, _: event_feed.begin_generation(c),
    "event_feed.deleted_until": lambda c, _: event_feed.deleted_until(c),
    "event_feed.events": lambda c, y: event_feed.events(c, y.ended, y.ended + 1000, 500, Wanted()),
    "event_feed.generation": lambda c, _: event_feed.generation(c),
    "event_feed.observe": lambda c, _: event_feed.observe(c),
    "event_feed.record_deleted": lambda c, _: event_feed.record_deleted(c, 1),
    "inbox.add_cancellation": lambda c, y: inbox.add_cancellation(c, delivery_id(0), Cancellation(order_id="0"), y.now),
    "inbox.add_messages": lambda c, y: inbox.add_messages(c, [samples.message(samples.order("new"))], y.now),
    "inbox.backfilled": lambda c, _: inbox.backfilled(c, [samples.message(samples.order("1"))]),
    "inbox.cancellations": lambda c, y: inbox.cancellations(c, _ids(y, 20)),
    "inbox.claim_fetches": lambda c, y: inbox.claim_fetches(c, y.now, 20),
    "inbox.dead_letter": lambda c, _: inbox.dead_letter(c, delivery_id(1)),
    "inbox.dead_letters": lambda c, _: inbox.dead_letters(c, 50),
    "inbox.delivery_ids": lambda c, y: inbox.delivery_ids(c, str(y.ended)),
    "inbox.mark_fetched": lambda c, _: inbox.mark_fetched(c, "platform", "1"),
    "inbox.messages_about": lambda c, y: inbox.messages_about(c, "platform", str(y.ended)),
    "inbox.postpone_fetch": lambda c, y: inbox.postpone_fetch(c, "platform", "1", 1, y.now),
    "inbox.save_dead_letters": lambda c, y: inbox.save_dead_letters(c, [DeadLetter(b"{", "x", "1")], y.now),
    "inbox.settle_dead_letter": lambda c, y: inbox.settle_dead_letter(c, delivery_id(1), y.now),
    "inbox.unknown_orders": lambda c, y: inbox.unknown_orders(c, "platform", [str(y.ended - n) for n in range(50)]),
    "inbox.waiting_fetches": lambda c, _: inbox.waiting_fetches(c, 50),
    "leases.drop": lambda c, _: leases.drop(c, "purge", "me"),
    "leases.drop_ended": lambda c, y: leases.drop_ended(c, "x", y.now),
    "leases.find": lambda c, _: leases.find(c, "purge"),
    "leases.find_all": lambda c, _: leases.find_all(c, "worker."),
    "leases.holds": lambda c, _: leases.holds(c, "purge", "me"),
    "leases.pass_on": lambda c, _: leases.pass_on(c, "purge", "me", "you"),
    "leases.take": lambda c, y: leases.take(c, "purge", "me", y.now, 60),
    "measurements.callbacks_at": lambda c, _: measurements.callbacks_at(c, ACCOUNTS),
    "measurements.live_attempts": lambda c, _: measurements.live_attempts(c),
    "measurements.measure": lambda c, y: measurements.measure(c, ACCOUNTS, y.now),
    "measurements.overview": lambda c, y: measurements.overview(c, y.now - DAY),
    "notices.load": lambda c, _: notices.load(c),
    "notices.replace": lambda c, _: notices.replace(c, [_NOTICE], [replace(_NOTICE, notified=True)]),
    "operator_actions.newest": lambda c, _: operator_actions.newest(c, 50),
    "operator_actions.of_delivery": lambda c, y: operator_actions.of_delivery(c, delivery_id(y.ended)),
    "operator_actions.of_kind": lambda c, y: operator_actions.of_kind(c, "db restored", y.now - DAY),
    "operator_actions.record": lambda c, y: operator_actions.record(c, OperatorAction(y.now, "maria", "x", "x", None)),
    "outbox.add": lambda c, y: outbox.add(
        c, [outbox.event_row(EventType.CARRIER_PAUSED, delivery_id(0), 1, "x", _EVENT, y.now)]
    ),
    "outbox.add_once": lambda c, y: outbox.add_once(
        c, EventType.QUARANTINED, delivery_id(0), "x", OrderEvent(reason="x"), y.now
    ),
    "outbox.add_test": lambda c, y: outbox.add_test(c, EventType.CARRIER_PAUSED, delivery_id(0), _EVENT, y.now),
    "outbox.count": lambda c, y: outbox.count(c, _chosen(y)),
    "outbox.count_unpublished": lambda c, _: outbox.count_unpublished(c),
    "outbox.events": lambda c, y: outbox.events(c, after=y.ended, limit=1000),
    "outbox.events of an order": lambda c, y: outbox.events(c, keys=[delivery_id(y.ended)]),
    "event_feed.events of an order": lambda c, y: event_feed.events(
        c, 0, y.newest * 5, 100, Wanted(keys=[delivery_id(y.ended)])
    ),
    "outbox.has_unpublished": lambda c, _: outbox.has_unpublished(c),
    "outbox.identity": lambda c, _: outbox.identity(c),
    "outbox.lost": lambda c, y: outbox.lost(c, {(key, 1): "{}" for key in _ids(y, 100)}),
    "outbox.mark_published": lambda c, y: outbox.mark_published(c, [(y.newest * 5 - n, "1-1") for n in range(20)]),
    "outbox.newest": lambda c, y: outbox.newest(c, delivery_id(y.ended)),
    "outbox.newest_stream_id": lambda c, _: outbox.newest_stream_id(c),
    "outbox.newest_time": lambda c, _: outbox.newest_time(c),
    "outbox.requeue": lambda c, y: outbox.requeue(c, [y.ended, y.ended + 1]),
    "outbox.requeue_lost": lambda c, y: outbox.requeue_lost(c, _stream_id(y, 100), _stream_id(y, 20), 1000),
    "outbox.requeue_lost of all": lambda c, y: outbox.requeue_lost(c, "", _stream_id(y, 20), 100),
    "outbox.stored": lambda c, y: outbox.stored(c, _chosen(y), 500),
    "outbox.stored of an order": lambda c, y: outbox.stored(c, Stored([delivery_id(y.ended)], upto=y.newest * 5), 500),
    "outbox.unpublished": lambda c, _: outbox.unpublished(c, 500, [delivery_id(1)]),
    "outbox.waiting": lambda c, y: outbox.waiting(c, [y.ended, y.newest * 5]),
    "retention.delete_callbacks": lambda c, y: retention.delete_callbacks(c, y.now - 29 * DAY, 0),
    "retention.delete_calls": lambda c, y: retention.delete_calls(c, y.now - 29 * DAY, 0),
    "retention.delete_cancellations": lambda c, y: retention.delete_cancellations(c, y.now - 89 * DAY, 0),
    "retention.delete_dead_letters": lambda c, y: retention.delete_dead_letters(c, y.now + DAY, 0),
    "retention.delete_deliveries": lambda c, y: retention.delete_deliveries(c, y.now - 364 * DAY, 0),
    "retention.delete_events": lambda c, y: retention.delete_events(c, y.now - 364 * DAY, 0),
    "retention.delete_messages": lambda c, y: retention.delete_messages(c, y.now - 364 * DAY, 0),
    "retention.erasable": lambda c, y: retention.erasable(c, y.now - 89 * DAY),
    "search.event_keys": lambda c, y: search.event_keys(c, str(y.ended)),
    "search.event_keys of an unknown order": lambda c, _: search.event_keys(c, "unknown"),
    "search.find": lambda c, y: search.find(c, str(y.ended), ACCOUNTS),
    "search.find by the carrier's id": lambda c, y: search.find(c, f"R{y.ended}", ACCOUNTS),
    "search.find of an unknown order": lambda c, _: search.find(c, "unknown", ACCOUNTS),
    "search.find_by_phone": lambda c, y: search.find_by_phone(c, _PHONE, y.now),
    "search.owners": lambda c, y: search.owners(c, "cervo", [f"R{y.newest - n}" for n in range(50)], [attempt_id(1)]),
    "search.placed": lambda c, y: search.placed(c, y.now - 100 * DAY, y.now - 99 * DAY, 100),
    "search.search": lambda c, _: search.search(c, Filter(), 50),
    "search.search by attention": lambda c, _: search.search(
        c, Filter(attention=AttentionReason.OUTCOME_UNKNOWN.value), 50
    ),
    "search.search by a carrier": lambda c, _: search.search(c, Filter(carrier="cervo"), 50),
    "search.search by a carrier that has none": lambda c, _: search.search(c, Filter(carrier="none"), 50),
    "search.search by a store": lambda c, _: search.search(c, Filter(store="17"), 50),
    "search.search by a store that has none": lambda c, _: search.search(c, Filter(store="none"), 50),
    "search.search by an open status": lambda c, _: search.search(c, Filter(status=DeliveryStatus.ON_HOLD), 50),
    "search.search by a rare final status": lambda c, _: search.search(c, Filter(status=DeliveryStatus.FAILED), 50),
    "search.search of the unfinished": lambda c, _: search.search(c, Filter(unfinished=True), 50),
    "search.search page 20": lambda c, _: search.search(c, Filter(), 50, skip=1000),
    "shops.load_shops": lambda c, _: shops.load_shops(c, ["17"]),
    "shops.save_shops": lambda c, y: shops.save_shops(c, samples.SHOPS, y.now),
    "subscribers.add": lambda c, _: subscribers.add(c, replace(_subscriber(c), id="s9")),
    "subscribers.block": lambda c, y: subscribers.block(c, "s1", BlockedKey(delivery_id(1), 1, y.now, y.now)),
    "subscribers.blocked": lambda c, _: subscribers.blocked(c, "s1"),
    "subscribers.due": lambda c, y: subscribers.due(c, y.now),
    "subscribers.enabled": lambda c, _: subscribers.enabled(c),
    "subscribers.load": lambda c, _: subscribers.load(c, "s1"),
    "subscribers.lock": lambda c, _: subscribers.lock(c, "s1"),
    "subscribers.make_due": lambda c, y: subscribers.make_due(c, "s1", y.now),
    "subscribers.remove": lambda c, _: subscribers.remove(c, "s1"),
    "subscribers.rewind": lambda c, _: subscribers.rewind(c, _subscriber(c), 1000),
    "subscribers.save": lambda c, _: subscribers.save(c, _subscriber(c)),
    "subscribers.skip": lambda c, y: subscribers.skip(c, "s1", delivery_id(1), 9, y.now),
    "subscribers.states": lambda c, _: subscribers.states(c),
    "subscribers.store": _store,
    "write_backs.claim": lambda c, y: write_backs.claim(c, y.now, 100),
    "write_backs.count_waiting": lambda c, y: write_backs.count_waiting(c, y.now),
    "write_backs.lease": lambda c, y: write_backs.lease(c, delivery_id(y.newest), y.now, y.now),
    "write_backs.make_due": lambda c, y: write_backs.make_due(c, _ids(y, 20), y.now),
    "write_backs.release": lambda c, y: write_backs.release(c, delivery_id(y.newest), y.now, WriteBackState(), y.now),
    "write_backs.write_back_state": lambda c, y: write_backs.write_back_state(c, delivery_id(y.ended)),
}
"""A call of each function of the database room, by the name of the function and what is special about the call."""
ELSEWHERE = {
    "batches.insert_new": "used by the others",
    "batches.insert_rows": "used by the others",
    "batches.update_rows": "used by the others",
    "connection.alone": "locks for an upgrade",
    "connection.without_limit": "sets a limit",
    "deliveries.add_events": "a part of deliveries.add and deliveries.update",
    "retention.delete_with_all": "a part of retention.delete_deliveries and archive.finish",
    "deliveries.set_all": "used by accounts.resume, due_work.release and shops.save_shops",
    "write_backs.schedule_changed": "a part of deliveries.add and deliveries.update",
}
"""The functions that have no call of their own, and why."""


def _callback(year: Year) -> str:
    """Return the id of a callback of a delivery at Cervo that waits."""
    number = next(each for each in range(year.newest, 0, -1) if each % 3 == 0 and each % 1000)
    return str(UUID(md5(f"1c{number}".encode()).hexdigest()))


def _chosen(year: Year) -> Stored:
    return Stored(since=year.now - 2 * DAY, until=year.now - DAY, after=year.newest * 5 - 1000, upto=year.newest * 5)


def _loaded(connection: Connection, year: Year) -> list[Delivery]:
    return deliveries.load(connection, _old(year, 2))


def _stream_id(year: Year, back: int) -> str:
    return f"{1_700_000_000_000 + year.newest * 5 - back}-0000000000"


def _subscriber(connection: Connection) -> Any:
    return subscribers.lock(connection, "s2")


def public_functions() -> set[str]:
    """Return the functions of the database room that get a connection."""
    modules = [import_module(f"worker.database.{each.name}") for each in pkgutil.iter_modules(worker.database.__path__)]
    return {
        f"{module.__name__.removeprefix('worker.database.')}.{name}"
        for module in modules
        for name, each in vars(module).items()
        if inspect.isfunction(each) and each.__module__ == module.__name__ and not name.startswith("_")
        if next(iter(inspect.signature(each).parameters), None) == "connection"
    }


@dataclass(frozen=True)
class Plan:
    """A statement and how PostgreSQL ran it."""

    statement: str
    tree: Mapping[str, Any]

    @property
    def milliseconds(self) -> float:
        """The time of the server for planning and running."""
        return float(self.tree["Planning Time"] + self.tree["Execution Time"])

    @property
    def buffers(self) -> int:
        """The pages that were used, of the cache or of the disk."""
        top = self.tree["Plan"]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

    @property
    def text(self) -> str:
        """The statement, and a line for each node: what it reads by which index, and how many rows it returned."""
        return "\n".join([self.statement, *_lines(self.tree["Plan"])])

    def reads(self, rows: Mapping[str, float]) -> set[str]:
        """Return the indexes by which the plan reads big tables, and the tables of which it reads most rows.

        `rows` are the numbers of the rows of the big tables.
        """
        return {read for node in self.nodes for read in _reads(node, rows)}

    @property
    def nodes(self) -> Iterator[Mapping[str, Any]]:
        """The nodes of the plan, from the top."""
        left = [self.tree["Plan"]]
        while left:
            node = left.pop(0)
            left = [*node.get("Plans", ()), *left]
            yield node


def _reads(node: Mapping[str, Any], rows: Mapping[str, float]) -> Iterator[str]:
    table, index = str(node.get("Relation Name")), node.get("Index Name")
    if node["Node Type"] == "Bitmap Index Scan":
        yield from [str(index)] if str(index).startswith(BIG) else []
    elif table in rows and "Scan" in node["Node Type"]:
        removed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        if (
            node["Node Type"] == "Seq Scan"
            or (node["Actual Rows"] + removed) * node["Actual Loops"] > rows[table] * 0.75
        ):
            yield f"ALL OF {table}"
        yield from [str(index)] if index else []


def _lines(node: Mapping[str, Any], depth: int = 1) -> Iterator[str]:
    what = " ".join(str(node[name]) for name in ("Node Type", "Relation Name", "Index Name") if name in node)
    yield f"{'  ' * depth}{what}: {node['Actual Rows']} rows, {node['Actual Loops']} times"
    for each in node.get("Plans", ()):
        yield from _lines(each, depth + 1)


def run(database: Database, call: Call, year: Year) -> list[Plan]:
    """Call a function in a transaction that is rolled back; return its statements with their plans."""
    with database.engine.connect() as connection, collected(database) as plans:
        call(connection, year)
        connection.rollback()
    return plans


@contextmanager
def collected(database: Database) -> Iterator[list[Plan]]:
    """Collect the plan of each statement of a database."""
    plans: list[Plan] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's
        if not statement.lstrip().startswith(EXPLAINED):
            return
        for each in parameters if many else [parameters]:
            with cursor.connection.transaction(force_rollback=True), cursor.connection.cursor() as own:
                own.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", each)
                plans.append(Plan(statement, own.fetchone()[0][0]))

    event.listen(database.engine, "before_cursor_execute", explain)
    yield plans
    event.remove(database.engine, "before_cursor_execute", explain)
