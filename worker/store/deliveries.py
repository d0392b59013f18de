"""Deliveries and their attempts: load under lock, save what changed, hand out what is due."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from schemas.events import CloudEvent, event_id
from worker import schedule
from worker.delivery import Attempt, Change, Delivery, Step
from worker.store import rows
from worker.store.tables import AttemptRow, DeliveryRow, EventRow

DELIVERY: Table = DeliveryRow.__table__  # type: ignore[attr-defined]
ATTEMPT: Table = AttemptRow.__table__  # type: ignore[attr-defined]
EVENT: Table = EventRow.__table__  # type: ignore[attr-defined]

Decision = Callable[[Delivery], Change | None]


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that was handed out: what is to be done for it, and at which carrier."""

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
    statement = dialect.insert(table).values(list(values)).on_conflict_do_nothing()
    return {tuple(row) for row in connection.execute(statement.returning(*(table.c[name] for name in returned)))}


def load(connection: Connection, ids: Iterable[str], *, lock: bool = False) -> list[Delivery]:
    """Load deliveries with their attempts; locked ones always in the same order, so that no two loads deadlock."""
    wanted = select(DELIVERY).where(DELIVERY.c.id.in_(list(ids))).order_by(DELIVERY.c.id)
    found = connection.execute(wanted.with_for_update() if lock else wanted).mappings().all()
    attempts = _attempts(connection, [row["id"] for row in found])
    return [rows.load_delivery(row, attempts.get(row["id"], [])) for row in found]


def _attempts(connection: Connection, ids: Sequence[str]) -> dict[str, list[Attempt]]:
    grouped: dict[str, list[Attempt]] = {}
    query = select(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids)).order_by(ATTEMPT.c.number)
    for row in connection.execute(query).mappings() if ids else ():
        grouped.setdefault(row["delivery_id"], []).append(rows.load_attempt(row))
    return grouped


def change(connection: Connection, ids: Iterable[str], decide: Decision) -> list[Delivery]:
    """Lock deliveries, decide about each, and save what was decided; return those that changed."""
    pairs = [(before, decided) for before in load(connection, ids, lock=True) if (decided := decide(before))]
    save(connection, pairs)
    return [decided.delivery for _, decided in pairs]


def save(connection: Connection, pairs: Sequence[tuple[Delivery, Change]]) -> None:
    """Write changed deliveries, their attempts and their events."""
    if not pairs:
        return
    _update(connection, DELIVERY, [_row(change.delivery) for _, change in pairs])
    for before, change_ in pairs:
        after = change_.delivery
        if after.order is not before.order or after.store is not before.store:
            bulky = {name: value for name, value in rows.dump(after).items() if name in rows.BULKY}
            connection.execute(update(DELIVERY).where(DELIVERY.c.id == after.id).values(bulky))
    _save_attempts(connection, pairs)
    tell(connection, [change for _, change in pairs])


def _row(delivery: Delivery) -> dict[str, Any]:
    return {**rows.dump(delivery, leave=rows.CONSTANT | rows.BULKY), "key": delivery.id, "lease_until": None}


def _save_attempts(connection: Connection, pairs: Sequence[tuple[Delivery, Change]]) -> None:
    known = {attempt.id: attempt for before, _ in pairs for attempt in before.attempts}
    after = [attempt for _, change in pairs for attempt in change.delivery.attempts]
    # Ends are written before beginnings: the index of live attempts is checked row by row.
    changed = [attempt for attempt in after if attempt.id in known and attempt != known[attempt.id]]
    changed.sort(key=lambda attempt: attempt.live)
    _update(connection, ATTEMPT, [{**rows.dump(each, leave=rows.CONSTANT), "key": each.id} for each in changed])
    new = [rows.dump(attempt) for attempt in after if attempt.id not in known]
    if new:
        connection.execute(insert(ATTEMPT), new)


def _update(connection: Connection, table: Table, changed: list[dict[str, Any]]) -> None:
    if not changed:
        return
    columns = [name for name in changed[0] if name != "key"]
    statement = update(table).where(table.c.id == bindparam("key")).values({name: bindparam(name) for name in columns})
    connection.execute(statement, changed)


def add(connection: Connection, changes: Sequence[Change], now: datetime) -> set[str]:
    """Insert new deliveries with their first events; return the ids of those that were not there yet.

    What is due at once counts as handed out, because whoever adds it sends its hint.
    """
    fresh = [{**rows.dump(change.delivery), **_order_columns(change.delivery, now)} for change in changes]
    added = {key for (key,) in insert_new(connection, DELIVERY, fresh, "id")}
    tell(connection, [change for change in changes if change.delivery.id in added])
    return added


def _order_columns(delivery: Delivery, now: datetime) -> dict[str, Any]:
    due = delivery.next_run_at is not None and delivery.next_run_at <= now
    lease = now + schedule.LEASE if due else None
    return {"order_id": delivery.order.order_id, "store_id": delivery.order.store_id, "lease_until": lease}


def tell(connection: Connection, changes: Iterable[Change]) -> None:
    """Write events to the outbox, beside the change they tell of."""
    told = [
        {
            "key": change.delivery.id,
            "sequence": event.sequence,
            "type": event.type.value,
            "subject": change.delivery.order.order_id,
            "body": envelope(change.delivery, event.sequence, event.type, event.at, event.data),
            "created_at": event.at,
        }
        for change in changes
        for event in change.events
    ]
    if told:
        connection.execute(insert(EVENT), told)


def envelope(delivery: Delivery, sequence: int, kind: Any, at: datetime, data: Any) -> str:
    """Write an event as the CloudEvent that goes to the bus."""
    return CloudEvent.model_construct(
        id=event_id(delivery.id, sequence),
        type=kind,
        subject=delivery.order.order_id,
        time=at,
        partitionkey=delivery.id,
        sequence=str(sequence),
        data=data,
    ).model_dump_json()


def claim(
    connection: Connection, now: datetime, until: datetime, limit: int, except_carriers: Sequence[str]
) -> list[Due]:
    """Hand out what is due and not handed out already; concurrent claims never hand out the same delivery."""
    free = or_(DELIVERY.c.lease_until.is_(None), DELIVERY.c.lease_until < now)
    if except_carriers:
        free = free & or_(DELIVERY.c.carrier.is_(None), DELIVERY.c.carrier.not_in(except_carriers))
    ripe = (
        select(DELIVERY.c.id)
        .where(DELIVERY.c.next_run_at <= now, free)
        .order_by(DELIVERY.c.next_run_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(DELIVERY)
        .where(DELIVERY.c.id.in_(ripe.scalar_subquery()))
        .values(lease_until=until)
        .returning(DELIVERY.c.id, DELIVERY.c.step, DELIVERY.c.carrier)
    )
    return [Due(row.id, Step(row.step), row.carrier) for row in connection.execute(taken)]
