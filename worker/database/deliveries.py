"""Deliveries and their attempts: load and lock them, save their changes."""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from secrets import randbits
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    func,
    or_,
    select,
    text,
)
from sqlalchemy import update as update_where

from schemas.status import FINAL, AttemptState
from worker import log
from worker.database import mapping, outbox, write_backs
from worker.database.batches import insert_rows, is_one_of, update_rows
from worker.database.tables import ATTEMPT, CALLBACK, DELIVERY, ORDER
from worker.domain import schedule
from worker.domain.delivery import Change, Delivery, replace

logger = log.get(__name__)
UNKNOWN = (AttemptState.SUBMITTING.value, AttemptState.SUBMIT_UNKNOWN.value)
"""The states of an attempt whose create may or may not have reached the carrier."""
_LOCK_ORDERS = text("SELECT pg_advisory_xact_lock(n) FROM unnest(CAST(:numbers AS bigint[])) AS n")
Decision = Callable[[Delivery], Change | None]


# --- reading ----------------------------------------------------------------------------------------------------------


def load(connection: Connection, ids: Iterable[str], *, lock: bool = False) -> list[Delivery]:
    """Load deliveries with their attempts; with `lock`, lock the rows in the order of their ids to avoid deadlocks.

    A delivery with a value that only a newer version of the program knows is left out and logged once.
    """
    wanted = list(ids)
    if not wanted:
        return []
    these, their_orders, their_attempts = _statements(connection.dialect.name, lock=lock)
    found = connection.execute(these, {"ids": wanted}).mappings().all()
    # A join would return orders and attempts as they were before this transaction waited for a lock.
    keys = {"ids": [row["id"] for row in found]}
    orders = {row["delivery_id"]: row for row in connection.execute(their_orders, keys).mappings()}
    attempts: dict[str, list[RowMapping]] = {}
    for row in connection.execute(their_attempts, keys).mappings():
        attempts.setdefault(row["delivery_id"], []).append(row)
    loaded = (_load(row, orders, attempts.get(row["id"], ())) for row in found)
    return [delivery for delivery in loaded if delivery is not None]


@lru_cache
def _statements(dialect: str, *, lock: bool) -> tuple[Select[Any], ...]:
    """Return the statements that load deliveries, their orders and their attempts."""
    these = select(*mapping.LOADED[DELIVERY]).where(is_one_of(dialect, DELIVERY.c.id, "ids")).order_by(DELIVERY.c.id)
    orders = select(ORDER).where(is_one_of(dialect, ORDER.c.delivery_id, "ids"))
    attempts = select(*mapping.LOADED[ATTEMPT]).where(is_one_of(dialect, ATTEMPT.c.delivery_id, "ids"))
    return these.with_for_update() if lock else these, orders, attempts.order_by(ATTEMPT.c.number)


def _load(row: RowMapping, orders: Mapping[str, RowMapping], attempts: Iterable[RowMapping]) -> Delivery | None:
    try:
        return mapping.load_delivery(row, orders[row["id"]], attempts)
    except (KeyError, ValueError):
        _log_unreadable(row["id"])
        return None


@lru_cache(maxsize=10_000)
def _log_unreadable(delivery_id: str) -> None:
    """Log once that this version cannot read a delivery; log only the id, because the values may be personal data."""
    logger.error("delivery.unreadable", delivery_id=delivery_id)


def find(connection: Connection, name: str) -> list[Delivery]:
    """Find deliveries by their id or by the platform's order id, newest first."""
    same = (DELIVERY.c.id == name) | (DELIVERY.c.order_id == name)
    query = select(DELIVERY.c.id).where(same).order_by(DELIVERY.c.created_at.desc())
    return load_in_order(connection, connection.scalars(query).all())


def order_ids(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Return the platform's ids of the orders of these deliveries, by the delivery's id."""
    if not ids:
        return {}
    query = select(DELIVERY.c.id, DELIVERY.c.order_id).where(DELIVERY.c.id.in_(ids))
    return {row.id: row.order_id for row in connection.execute(query)}


def load_in_order(connection: Connection, ids: Collection[str]) -> list[Delivery]:
    """Load deliveries in the order of these ids."""
    found = {each.id: each for each in load(connection, ids)}
    return [found[key] for key in ids if key in found]


def status_counts(connection: Connection) -> dict[str, int]:
    """Count the deliveries that are not final, by status."""
    # The condition on the time of the next step lets the query use an index; the status has none.
    waiting = select(DELIVERY.c.status, func.count()).where(
        DELIVERY.c.next_run_at.is_not(None), DELIVERY.c.status.not_in(FINAL)
    )
    return {row[0]: row[1] for row in connection.execute(waiting.group_by(DELIVERY.c.status))}


def attention_counts(connection: Connection) -> dict[str, int]:
    """Count the deliveries that wait for an operator, by reason."""
    counted: Counter[str] = Counter()
    query = select(DELIVERY.c.attention_reasons, func.count()).where(DELIVERY.c.attention_reasons.is_not(None))
    for reasons, count in connection.execute(query.group_by(DELIVERY.c.attention_reasons)):
        counted.update(dict.fromkeys(reasons.split(", "), count))
    return dict(counted)


def journalled_attempts(
    connection: Connection, journal_file: str, attempts: Iterable[int]
) -> list[tuple[str, int, str]]:
    """Return the delivery id, attempt id and carrier of each attempt that a journal file concerns.

    These are the attempts in `attempts`, and all active attempts with this `journal_file` and no known outcome yet.
    """
    open_ = ATTEMPT.c.ended_at.is_(None) & ~ATTEMPT.c.surplus & ATTEMPT.c.state.in_(UNKNOWN)
    named = (ATTEMPT.c.journal_file == journal_file) & open_
    query = select(ATTEMPT.c.delivery_id, ATTEMPT.c.id, ATTEMPT.c.carrier).where(
        or_(named, ATTEMPT.c.id.in_(list(attempts)))
    )
    return [(row.delivery_id, row.id, row.carrier) for row in connection.execute(query.order_by(ATTEMPT.c.id))]


def known_attempts(connection: Connection, attempts: Collection[int]) -> set[int]:
    """Return which of these attempts exist."""
    return set(connection.scalars(select(ATTEMPT.c.id).where(ATTEMPT.c.id.in_(attempts))))


# --- changing ---------------------------------------------------------------------------------------------------------


def lock_orders(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Lock the deliveries with these ids, even those that do not exist yet; return the ids that exist.

    Two readers may store an order and its cancellation at the same time. Without the lock, neither reader would see the
    message of the other.
    """
    wanted = sorted(set(ids))
    if connection.dialect.name == "postgresql":  # on SQLite only one transaction writes
        connection.execute(_LOCK_ORDERS, {"numbers": [UUID(key).int >> 65 for key in wanted]})
    these = is_one_of(connection.dialect.name, DELIVERY.c.id, "ids")
    existing = select(DELIVERY.c.id).where(these).order_by(DELIVERY.c.id)
    return set(connection.scalars(existing.with_for_update(), {"ids": wanted}))


def advance_sequence(connection: Connection, delivery_id: str, sequence: int) -> None:
    """Set the stored sequence of a delivery to `sequence` if the stored one is lower; ignore an unknown delivery."""
    behind = (DELIVERY.c.id == delivery_id) & (DELIVERY.c.sequence < sequence)
    connection.execute(update_where(DELIVERY).where(behind).values(sequence=sequence, version=DELIVERY.c.version + 1))


def update(
    connection: Connection,
    ids: Iterable[str],
    decide: Decision,
    known: Collection[Delivery] = (),
    store: Callable[[Connection, Sequence[Change]], None] | None = None,
) -> list[Change]:
    """Lock deliveries, call `decide` for each, and save the changes; return the changes as they are stored.

    `known` are deliveries as they were read or stored before. A known delivery is not read again unless it has changed.
    `store` stores more in the same transaction.
    """
    found = _lock(connection, list(ids), known) if known else load(connection, ids, lock=True)
    changes = _save(connection, [(before, change) for before in found if (change := decide(before))], lease_until=None)
    if store is not None:
        store(connection, changes)
    return changes


def _lock(connection: Connection, ids: Sequence[str], known: Iterable[Delivery]) -> list[Delivery]:
    """Lock deliveries and return them. Load only those whose version is not the version of the known delivery."""
    rows = connection.execute(_versions(connection.dialect.name), {"ids": ids})
    stored = {row.id: row.version for row in rows}
    unchanged = {each.id: each for each in known if stored.get(each.id) == each.version}
    return [*unchanged.values(), *load(connection, stored.keys() - unchanged.keys())]


@lru_cache
def _versions(dialect: str) -> Select[Any]:
    these = select(DELIVERY.c.id, DELIVERY.c.version).where(is_one_of(dialect, DELIVERY.c.id, "ids"))
    return these.order_by(DELIVERY.c.id).with_for_update()


def update_alarmed(connection: Connection, now: datetime, limit: int, decide: Decision) -> list[Change]:
    """Decide about the deliveries with a due alarm, the oldest alarm first, and save the decisions; return the changes.

    Their leases go on. A delivery that another transaction has locked is left for the next time. Deliveries that this
    version cannot read keep their alarms, and those behind them are decided about all the same.
    """
    due = select(DELIVERY.c.id).where(DELIVERY.c.alarm_at <= now).order_by(DELIVERY.c.alarm_at, DELIVERY.c.id)
    found: list[Delivery] = []
    for start in range(0, sys.maxsize, limit):
        ids = connection.scalars(due.limit(limit).offset(start).with_for_update(skip_locked=True)).all()
        found += load(connection, ids)
        if len(ids) < limit or len(found) >= limit:
            break
    return _save(connection, [(before, change) for before in found if (change := decide(before))])


def _save(connection: Connection, pairs: Sequence[tuple[Delivery, Change]], **always: Any) -> list[Change]:
    """Write changed deliveries, with the columns `always` in their rows, their attempts and their events.

    Return the changes as they are stored.
    """
    if not pairs:
        return []
    changes = _with_versions(change for _, change in pairs)
    changed = [(before, change.delivery) for (before, _), change in zip(pairs, changes, strict=True)]
    update_rows(connection, DELIVERY, [{**mapping.dump(after), **always} for _, after in changed])
    _save_orders(connection, changed)
    _save_attempts(connection, changed)
    add_events(connection, changes)
    write_backs.schedule_changed(connection, changed)
    return changes


def _with_versions(changes: Iterable[Change]) -> list[Change]:
    # A version is random. A database that has lost commits may count to the same number again with another content.
    return [replace(each, delivery=replace(each.delivery, version=randbits(62))) for each in changes]


def _save_orders(connection: Connection, changed: Sequence[tuple[Delivery, Delivery]]) -> None:
    """Write the orders and the stores that have changed, each without the other.

    A newer version may have stored more fields. They are kept in an order of which only the state has changed, and are
    lost in one with another content, as are the old values of the fields that this version knows.
    """
    orders = [(before, after) for before, after in changed if after.order is not before.order]
    kept = [after.id for before, after in orders if after.fingerprint == before.fingerprint]
    query = select(ORDER.c.delivery_id, ORDER.c.order).where(ORDER.c.delivery_id.in_(kept))
    stored = {row.delivery_id: row.order for row in connection.execute(query)} if kept else {}
    update_rows(
        connection, ORDER, [mapping.dump_order(after, before, stored.get(after.id)) for before, after in orders]
    )
    stores = [after for before, after in changed if after.store is not before.store]
    update_rows(connection, ORDER, [mapping.dump_store(each) for each in stores])


def _save_attempts(connection: Connection, changed: Sequence[tuple[Delivery, Delivery]]) -> None:
    known = {attempt.id: attempt for before, _ in changed for attempt in before.attempts}
    after = [attempt for _, delivery in changed for attempt in delivery.attempts]
    # Attempts that have ended are written first, because the index of live attempts is checked row by row.
    differing = [attempt for attempt in after if attempt.id in known and attempt != known[attempt.id]]
    for live in (False, True):
        update_rows(connection, ATTEMPT, [mapping.dump(attempt) for attempt in differing if attempt.live is live])
    insert_rows(connection, ATTEMPT, [mapping.dump(attempt) for attempt in after if attempt.id not in known])
    refs: dict[str, set[str]] = {}
    for each in after:
        if each.ref is not None and (each.id not in known or known[each.id].ref != each.ref):
            refs.setdefault(each.carrier, set()).add(each.ref)
    for carrier, found in refs.items():
        _make_callbacks_due(connection, carrier, found)


def _make_callbacks_due(connection: Connection, carrier: str, refs: Iterable[str]) -> None:
    """Make due the waiting callbacks that name one of these order ids, because an attempt now has the id."""
    early = update_where(CALLBACK).where(CALLBACK.c.result.is_(None), CALLBACK.c.attempt_id.is_(None))
    due = early.where(CALLBACK.c.carrier == carrier, is_one_of(connection.dialect.name, CALLBACK.c.ref, "refs"))
    connection.execute(due.values(try_at=CALLBACK.c.received_at), {"refs": list(refs)})


def add(connection: Connection, placed: Iterable[Change], now: datetime) -> list[Change]:
    """Insert new deliveries with their attempts and their first events; return the changes as they are stored.

    The caller has locked their orders. A delivery that is due at once gets a lease, because its wake-up task is sent
    after the transaction.
    """
    changes = _with_versions(placed)
    new = [change.delivery for change in changes]
    insert_rows(connection, DELIVERY, [{**mapping.dump(each), "lease_until": _first_lease(each, now)} for each in new])
    insert_rows(connection, ORDER, [mapping.dump_order(each) | mapping.dump_store(each) for each in new])
    insert_rows(connection, ATTEMPT, [mapping.dump(attempt) for each in new for attempt in each.attempts])
    add_events(connection, changes)
    write_backs.schedule_changed(connection, [(None, each) for each in new])
    return changes


def _first_lease(delivery: Delivery, now: datetime) -> datetime | None:
    due = delivery.next_run_at is not None and delivery.next_run_at <= now
    return now + schedule.LEASE if due else None


def add_events(connection: Connection, changes: Iterable[Change]) -> None:
    """Write the events of changes to the outbox."""
    rows = [
        outbox.event_row(
            event.type, delivery.id, event.sequence, delivery.order.order_id, event.data, event.at, delivery.trace
        )
        for change in changes
        for delivery in [change.delivery]
        for event in change.events
    ]
    outbox.add(connection, rows)


def set_all(connection: Connection, which: ColumnElement[bool], **values: Any) -> int:
    """Write values to the deliveries that match `which`; return the number of deliveries.

    The rows are locked in the order of their ids, as in `load`. To avoid deadlocks, a transaction that also locks rows
    of other tables must lock those rows first.
    """
    locked = select(DELIVERY.c.id).where(which).order_by(DELIVERY.c.id).with_for_update().cte()
    statement = (
        update_where(DELIVERY)
        .where(DELIVERY.c.id.in_(select(locked.c.id)))
        .values(**values, version=DELIVERY.c.version + 1)
    )
    return len(connection.execute(statement.returning(DELIVERY.c.id)).all())  # SQLite counts no rows after a WITH
