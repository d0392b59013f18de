"""Deliveries and their attempts: load under lock, save what changed, hand out what is due."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Table, bindparam, case, func, insert, null, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from schemas.status import FINAL, AttemptState
from worker.database import events, mapping, write_backs
from worker.database.tables import ATTEMPT, DELIVERY, EVENT
from worker.domain import schedule
from worker.domain.delivery import LOCAL_STEPS, Attempt, Change, Delivery, Step

_HOLD = text("SELECT pg_advisory_xact_lock(n) FROM unnest(CAST(:numbers AS bigint[])) AS n")

NOTHING: Mapping[str, Any] = {}
OPEN = (AttemptState.SUBMITTING.value, AttemptState.SUBMIT_UNKNOWN.value)
"""States in which nobody knows whether an attempt reached its carrier."""
_ON_TURN = (
    select(ATTEMPT.c.carrier).where(ATTEMPT.c.id == DELIVERY.c.step_attempt_id).correlate(DELIVERY).scalar_subquery()
)
_DESK = case((DELIVERY.c.step.in_(LOCAL_STEPS), null()), else_=func.coalesce(_ON_TURN, DELIVERY.c.carrier))
"""The carrier that the next step is for: that of the attempt whose turn it is, or who is asked next."""
T = TypeVar("T", bound=Delivery | Attempt)
Decision = Callable[[Delivery], Change | None]


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that was handed out: what is to be done for it, and at which carrier, None where it needs none."""

    id: str
    step: Step
    carrier: str | None


def insert_new(
    connection: Connection, table: Table, values: Sequence[Mapping[str, Any]], *returned: str
) -> set[tuple[Any, ...]]:
    """Insert the rows that are not there yet; return the named columns of those that were inserted."""
    if not values:
        return set()
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*(table.c[name] for name in returned))
    # Given as parameters, not as `values`: then the statement is compiled once, not for every number of rows.
    return {tuple(row) for row in connection.execute(statement, list(values))}


def load(connection: Connection, ids: Iterable[str], *, lock: bool = False) -> list[Delivery]:
    """Load deliveries with their attempts; locked ones always in the same order, so that no two loads deadlock."""
    wanted = select(DELIVERY).where(DELIVERY.c.id.in_(list(ids))).order_by(DELIVERY.c.id)
    found = connection.execute(wanted.with_for_update() if lock else wanted).mappings().all()
    attempts = _attempts(connection, [row["id"] for row in found])
    return [mapping.load_delivery(row, attempts.get(row["id"], [])) for row in found]


def find(connection: Connection, name: str) -> list[Delivery]:
    """Find deliveries by their id or by the platform's order id, newest first."""
    same = (DELIVERY.c.id == name) | (DELIVERY.c.order_id == name)
    query = select(DELIVERY.c.id).where(same).order_by(DELIVERY.c.created_at.desc())
    return _load_in_order(connection, connection.scalars(query).all())


def recent(connection: Connection, limit: int, *, unfinished: bool) -> list[Delivery]:
    """List deliveries, newest first; an unfinished one is not over, or is over and still waits for a person."""
    query = select(DELIVERY.c.id).order_by(DELIVERY.c.created_at.desc()).limit(limit)
    waits = DELIVERY.c.status.not_in(FINAL) | DELIVERY.c.attention.is_not(None)
    wanted = query.where(waits) if unfinished else query
    return _load_in_order(connection, connection.scalars(wanted).all())


def status_counts(connection: Connection) -> dict[str, int]:
    """Count the deliveries that are not over, by status."""
    # Asked for by its time, not by its step: of the two only the time has an index.
    waiting = select(DELIVERY.c.status, func.count()).where(
        DELIVERY.c.next_run_at.is_not(None), DELIVERY.c.status.not_in(FINAL)
    )
    return {row[0]: row[1] for row in connection.execute(waiting.group_by(DELIVERY.c.status))}


def attention_counts(connection: Connection) -> dict[str, int]:
    """Count the deliveries that wait for a person, by what they ask for."""
    counted: Counter[str] = Counter()
    query = select(DELIVERY.c.attention, func.count()).where(DELIVERY.c.attention.is_not(None))
    for words, count in connection.execute(query.group_by(DELIVERY.c.attention)):
        counted.update(dict.fromkeys(words.split(", "), count))
    return dict(counted)


def _load_in_order(connection: Connection, ids: Sequence[str]) -> list[Delivery]:
    found = {each.id: each for each in load(connection, ids)}
    return [found[key] for key in ids]


def lock_orders(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Make other transactions about these orders wait, whether or not they are there; return the ids that are.

    Two readers may have an order and its cancellation at once: neither would see what the other has not committed.
    """
    wanted = sorted(set(ids))
    if connection.dialect.name == "postgresql":  # on SQLite only one transaction writes
        connection.execute(_HOLD, {"numbers": [UUID(key).int >> 65 for key in wanted]})
    there = select(DELIVERY.c.id).where(DELIVERY.c.id.in_(wanted)).order_by(DELIVERY.c.id)
    return set(connection.scalars(there.with_for_update()))


def _attempts(connection: Connection, ids: Sequence[str]) -> dict[str, list[Attempt]]:
    grouped: dict[str, list[Attempt]] = {}
    query = select(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids)).order_by(ATTEMPT.c.number)
    for row in connection.execute(query).mappings() if ids else ():
        grouped.setdefault(row["delivery_id"], []).append(mapping.load_attempt(row))
    return grouped


def journalled(connection: Connection, page: str, attempts: Iterable[int]) -> list[tuple[str, int, str]]:
    """Name what a journal's page may settle, these attempts and whatever is open: delivery, attempt and carrier."""
    open_ = ATTEMPT.c.ended_at.is_(None) & ~ATTEMPT.c.surplus & ATTEMPT.c.state.in_(OPEN)
    query = select(ATTEMPT.c.delivery_id, ATTEMPT.c.id, ATTEMPT.c.carrier).where(
        ATTEMPT.c.journal_file == page, or_(open_, ATTEMPT.c.id.in_(list(attempts)))
    )
    return [(row.delivery_id, row.id, row.carrier) for row in connection.execute(query.order_by(ATTEMPT.c.id))]


def update_locked(connection: Connection, ids: Iterable[str], decide: Decision) -> list[Delivery]:
    """Lock deliveries, decide about each, and save what was decided; return those that changed."""
    pairs = [(before, decided) for before in load(connection, ids, lock=True) if (decided := decide(before))]
    save(connection, pairs)
    return [decided.delivery for _, decided in pairs]


def save(connection: Connection, pairs: Sequence[tuple[Delivery, Change]]) -> None:
    """Write changed deliveries, their attempts and their events."""
    if not pairs:
        return
    _update(connection, DELIVERY, [(before, change.delivery) for before, change in pairs], {"lease_until": None})
    for before, change_ in pairs:
        after = change_.delivery
        if after.order is not before.order or after.store is not before.store:
            apart = {**mapping.dump(after, mapping.APART), "store_id": after.order.store_id}
            connection.execute(update(DELIVERY).where(DELIVERY.c.id == after.id).values(apart))
    _save_attempts(connection, pairs)
    add_events(connection, [change for _, change in pairs])
    write_backs.schedule_changed(connection, [(before, change.delivery) for before, change in pairs])


def _save_attempts(connection: Connection, pairs: Sequence[tuple[Delivery, Change]]) -> None:
    known = {attempt.id: attempt for before, _ in pairs for attempt in before.attempts}
    after = [attempt for _, change in pairs for attempt in change.delivery.attempts]
    # Ends are written before beginnings: the index of live attempts is checked row by row.
    changed = [attempt for attempt in after if attempt.id in known and attempt != known[attempt.id]]
    changed.sort(key=lambda attempt: attempt.live)
    _update(connection, ATTEMPT, [(known[each.id], each) for each in changed])
    new = [mapping.dump(attempt) for attempt in after if attempt.id not in known]
    if new:
        connection.execute(insert(ATTEMPT), new)


def _update(
    connection: Connection, table: Table, changed: Sequence[tuple[T, T]], always: Mapping[str, Any] = NOTHING
) -> None:
    """Write the columns in which any of these differs from what it was; the statement is the same for all."""
    if not changed:
        return
    columns = mapping.differing(changed)
    written = [{**mapping.dump(after, columns), **always, "key": after.id} for _, after in changed]
    values: dict[str, Any] = {name: bindparam(name) for name in (*columns, *always)}
    connection.execute(update(table).where(table.c.id == bindparam("key")).values(values), written)


def add(connection: Connection, changes: Sequence[Change], now: datetime) -> None:
    """Insert new deliveries, whose ids are held, with their first events.

    What is due at once counts as handed out, because whoever adds it sends its hint.
    """
    if changes:
        new = [{**mapping.dump(change.delivery), **_order_columns(change.delivery, now)} for change in changes]
        connection.execute(insert(DELIVERY), new)
        add_events(connection, changes)
        write_backs.schedule_changed(connection, [(None, change.delivery) for change in changes])


def _order_columns(delivery: Delivery, now: datetime) -> dict[str, Any]:
    due = delivery.next_run_at is not None and delivery.next_run_at <= now
    lease = now + schedule.LEASE if due else None
    return {"order_id": delivery.order.order_id, "store_id": delivery.order.store_id, "lease_until": lease}


def add_events(connection: Connection, changes: Iterable[Change]) -> None:
    """Write events to the outbox, beside the change they tell of."""
    told = [
        events.row(event.type, change.delivery.id, event.sequence, change.delivery.order.order_id, event.data, event.at)
        for change in changes
        for event in change.events
    ]
    if told:
        connection.execute(insert(EVENT), told)


def claim(
    connection: Connection, now: datetime, until: datetime, limit: int, except_carriers: Sequence[str]
) -> list[Due]:
    """Hand out what is due and not handed out already; concurrent claims never hand out the same delivery."""
    free = or_(DELIVERY.c.lease_until.is_(None), DELIVERY.c.lease_until < now)
    if except_carriers:
        free = free & or_(_DESK.is_(None), _DESK.not_in(except_carriers))
    ripe = (
        select(DELIVERY.c.id)
        .where(DELIVERY.c.next_run_at <= now, free)
        .order_by(DELIVERY.c.next_run_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte()  # a plain subquery may be run once for each row, and then its limit limits nothing
    )
    taken = (
        update(DELIVERY)
        .where(DELIVERY.c.id.in_(select(ripe.c.id)))
        .values(lease_until=until)
        .returning(DELIVERY.c.id, DELIVERY.c.step, _DESK.label("desk"))
    )
    return [Due(row.id, Step(row.step), row.desk) for row in connection.execute(taken)]


def release(connection: Connection, ids: Iterable[str], now: datetime, until: datetime) -> None:
    """Shorten the lease of deliveries that were handed out and are still due."""
    still_due = DELIVERY.c.id.in_(list(ids)) & (DELIVERY.c.next_run_at <= now)
    connection.execute(update(DELIVERY).where(still_due).values(lease_until=until))
