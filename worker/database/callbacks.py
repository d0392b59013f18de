"""Callbacks: stored unparsed before they are answered, and applied afterwards."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Select, bindparam, delete, func, or_, select, update

from worker.carriers.port import Callback, CallbackKey
from worker.database import deliveries
from worker.database.connection import insert_new
from worker.database.tables import ATTEMPT, CALLBACK, DELIVERY, LEASE
from worker.domain.delivery import Change, Step

WAKE_UP_WAIT = timedelta(seconds=2)
"""How long the sweep leaves a new callback to its own wake-up task."""
APPLIED_AT_ONCE = 100
"""The most callbacks of one attempt that one task applies."""
HEARTBEAT = "callbacks"
"""The name of a lease that only stores when callbacks could last be stored."""
MISSING = "callbacks.missing"
"""The start of the names of leases that only store which callbacks are missing."""
NEWEST = 1000
"""The number of newest callbacks in which a kind of callback is missed."""
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-dv-signature"})


@dataclass(frozen=True, slots=True)
class StoredCallback:
    """A callback as it was stored; `result` is None until it was applied."""

    id: str
    carrier: str
    callback: Callback
    received_at: datetime
    result: str | None
    attempt_id: int | None = None
    """The attempt that it is about; None while that is unknown."""


NO_KEY = CallbackKey()


def save(
    connection: Connection,
    carrier: str,
    callback: Callback,
    now: datetime,
    key: CallbackKey = NO_KEY,
    attempt_id: int | None = None,
) -> str | None:
    """Store a callback and return its id; None when an equal signed one is stored already (B-83, B-92).

    An unsigned callback has no time, so an equal one may report a change back to an earlier status (C-53).
    """
    identity = str(uuid4())
    signed = callback.token is None
    digest = sha256(callback.query.encode() + b"\n" + callback.body).hexdigest() if signed else identity
    headers = {name: value for name, value in callback.headers.items() if name not in SECRET_HEADERS}
    row = {
        "id": identity,
        "carrier": carrier,
        "digest": digest,
        "method": callback.method,
        "headers": headers,
        "query": callback.query,
        "token": callback.token,
        "attempt_id": attempt_id,
        "ref": key.ref,
        "entity": key.entity,
        "reported_at": key.reported_at,
        "body": callback.body,
        "received_at": now,
        "try_at": now + WAKE_UP_WAIT,
        "result": None,
    }
    return identity if insert_new(connection, CALLBACK, [row], "id") else None


def load(connection: Connection, callback_id: str) -> StoredCallback | None:
    """Load a callback."""
    return next(iter(_load(connection, select(CALLBACK).where(CALLBACK.c.id == callback_id))), None)


def _load(connection: Connection, query: Select[Any]) -> list[StoredCallback]:
    return [
        StoredCallback(
            id=row["id"],
            carrier=row["carrier"],
            callback=Callback(
                method=row["method"],
                body=row["body"],
                headers=row["headers"] or {},
                query=row["query"],
                token=row["token"],
            ),
            received_at=row["received_at"],
            result=row["result"],
            attempt_id=row["attempt_id"],
        )
        for row in connection.execute(query).mappings()
    ]


def waiting(connection: Connection, attempt_id: int) -> list[StoredCallback]:
    """Load the waiting callbacks of an attempt in the carrier's order, and by their arrival where it gave no time."""
    query = select(CALLBACK).where(CALLBACK.c.attempt_id == attempt_id, CALLBACK.c.result.is_(None))
    in_order = query.order_by(CALLBACK.c.reported_at.asc().nulls_first(), CALLBACK.c.position)
    return _load(connection, in_order.limit(APPLIED_AT_ONCE))


def attach(connection: Connection, callback_id: str, attempt_id: int) -> None:
    """Record the attempt of a callback that arrived before its attempt was known, and of all with the same order."""
    this = select(CALLBACK.c.carrier, CALLBACK.c.ref).where(CALLBACK.c.id == callback_id).cte()
    same = (CALLBACK.c.carrier == select(this.c.carrier).scalar_subquery()) & (
        CALLBACK.c.ref == select(this.c.ref).scalar_subquery()
    )
    unknown = update(CALLBACK).where(CALLBACK.c.attempt_id.is_(None), CALLBACK.c.result.is_(None))
    connection.execute(unknown.where(or_(CALLBACK.c.id == callback_id, same)).values(attempt_id=attempt_id))


def settle(connection: Connection, callback_id: str, result: str) -> bool:
    """Record the result of a callback; return False when it already has a result."""
    waiting = update(CALLBACK).where(CALLBACK.c.id == callback_id, CALLBACK.c.result.is_(None))
    return connection.execute(waiting.values(result=result)).rowcount == 1


def claim(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Claim callbacks to apply: their wake-up task was lost, or their attempt was not known yet.

    Callbacks of our attempts come first. Older callbacks are claimed less often, and seldom if their attempt is still
    unknown, because the attempt makes them due as soon as it gets their reference.
    """
    columns = select(CALLBACK.c.id, CALLBACK.c.received_at, CALLBACK.c.attempt_id)
    due = columns.where(CALLBACK.c.result.is_(None), CALLBACK.c.try_at <= now)
    ours_first = due.order_by(CALLBACK.c.attempt_id.is_(None), CALLBACK.c.try_at)
    found = connection.execute(ours_first.limit(limit).with_for_update(skip_locked=True)).all()
    later = [
        {"this": row.id, "then": now + _next_wait(now - row.received_at, known=row.attempt_id is not None)}
        for row in found
    ]
    if later:
        statement = update(CALLBACK).where(CALLBACK.c.id == bindparam("this")).values(try_at=bindparam("then"))
        connection.execute(statement, later)
    return [row.id for row in found]


def _next_wait(age: timedelta, *, known: bool) -> timedelta:
    if known:
        return min(max(age, timedelta(seconds=2)), timedelta(minutes=10))
    return min(max(10 * age, timedelta(minutes=1)), timedelta(hours=12))


def find_attempt(connection: Connection, carrier: str, key: CallbackKey) -> tuple[str, int] | None:
    """Find the delivery and attempt of a callback: by our reference, by its token, or by the carrier's id."""
    known = (
        (ATTEMPT.c.id, key.attempt_id),
        (ATTEMPT.c.token, key.token),
        (ATTEMPT.c.ref, key.ref),
    )
    for column, value in known:
        if value is None:
            continue
        query = select(ATTEMPT.c.delivery_id, ATTEMPT.c.id).where(ATTEMPT.c.carrier == carrier, column == value)
        row = connection.execute(query).first()
        if row is not None:
            return row.delivery_id, row.id
    return None


def attempts_by_ref(connection: Connection, carrier: str, refs: Collection[str]) -> dict[str, int]:
    """Return the attempts that have these ids at a carrier, by the carrier's id."""
    query = select(ATTEMPT.c.ref, ATTEMPT.c.id).where(ATTEMPT.c.carrier == carrier, ATTEMPT.c.ref.in_(refs))
    return {row.ref: row.id for row in connection.execute(query)}


def last_heartbeat(connection: Connection) -> datetime | None:
    """Return when callbacks could last be stored; None when they never could."""
    return connection.scalar(select(LEASE.c.until).where(LEASE.c.name == HEARTBEAT))


def heartbeat(connection: Connection, now: datetime) -> None:
    """Record that callbacks can be stored now."""
    row = {"name": HEARTBEAT, "holder": "", "until": now}
    if not insert_new(connection, LEASE, [row], "name"):
        connection.execute(update(LEASE).where(LEASE.c.name == HEARTBEAT).values(until=now))


def entities_since(connection: Connection, carrier: str, since: datetime) -> dict[str, datetime]:
    """Return the entities of an account's newest callbacks, each with the time of the oldest of these callbacks."""
    mine = select(CALLBACK.c.entity, CALLBACK.c.received_at).where(CALLBACK.c.carrier == carrier)
    newest = mine.order_by(CALLBACK.c.position.desc()).limit(NEWEST).subquery()
    query = select(newest.c.entity, func.min(newest.c.received_at).label("oldest")).group_by(newest.c.entity)
    recent = query.where(newest.c.received_at >= since, newest.c.entity.is_not(None))
    return {row.entity: row.oldest for row in connection.execute(recent)}


def mark_missing(connection: Connection, carrier: str, entity: str, now: datetime) -> bool:
    """Record that an account gets no callbacks about an entity; return False when that is recorded already."""
    row = {"name": f"{MISSING}.{carrier}.{entity}", "holder": "", "until": now}
    return bool(insert_new(connection, LEASE, [row], "name"))


def unmark_missing(connection: Connection, carrier: str, entity: str) -> None:
    """Record that an account gets callbacks about an entity again."""
    connection.execute(delete(LEASE).where(LEASE.c.name == f"{MISSING}.{carrier}.{entity}"))


def tracked_at(connection: Connection, carriers: Sequence[str]) -> list[str]:
    """Return the deliveries that are followed at these carriers."""
    followed = select(DELIVERY.c.id).where(DELIVERY.c.step == Step.TRACK, DELIVERY.c.next_run_at.is_not(None))
    return list(connection.scalars(followed.where(DELIVERY.c.carrier.in_(carriers))))


def apply(
    connection: Connection, callback_id: str, result: str, delivery_id: str, decide: deliveries.Decision
) -> list[Change]:
    """Record the result of a callback and its effect in one transaction."""
    if not settle(connection, callback_id, result):
        return []
    return deliveries.update(connection, [delivery_id], decide)
