"""Callbacks. Each is stored unparsed before it is answered, and applied later."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter
from sqlalchemy import Connection, Select, bindparam, func, or_, select, update

from worker.carriers.port import Callback, CallbackKey
from worker.database import deliveries
from worker.database.batches import insert_new, is_one_of
from worker.database.tables import ATTEMPT, CALLBACK, DELIVERY
from worker.domain.callback_decision import CallbackDecision
from worker.domain.delivery import Change

WAKE_UP_WAIT = timedelta(seconds=2)
"""The sweep does not claim a new callback for this long, because the callback's own wake-up task should apply it."""
APPLIED_AT_ONCE = 100
"""The most callbacks of one attempt that one task applies."""
SECRET_HEADERS = frozenset({"authorization", "cookie", "x-dv-signature"})

_WAITING = (
    select(CALLBACK.c.id, CALLBACK.c.received_at, CALLBACK.c.attempt_id)
    .where(CALLBACK.c.result.is_(None), CALLBACK.c.try_at <= bindparam("now", type_=CALLBACK.c.try_at.type))
    .order_by(CALLBACK.c.attempt_id.is_(None), CALLBACK.c.try_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_FIRST_TRY = select(func.min(CALLBACK.c.try_at)).where(CALLBACK.c.result.is_(None))
_FOUND = select(ATTEMPT.c.delivery_id, ATTEMPT.c.id, DELIVERY.c.order_id).join(
    DELIVERY, DELIVERY.c.id == ATTEMPT.c.delivery_id
)


NO_KEY = CallbackKey()
_DECISION = TypeAdapter(CallbackDecision)


@dataclass(frozen=True, slots=True)
class StoredCallback:
    """A stored callback. `result` is None while the callback waits."""

    id: str
    carrier: str
    callback: Callback
    received_at: datetime
    result: str | None
    attempt_id: int | None = None
    """The attempt that the callback is about; None while the attempt is unknown."""
    key: CallbackKey = NO_KEY
    """What identified the attempt and ordered the callback when it arrived, without the attempt's id and token."""
    decision: CallbackDecision | None = None
    """The meaning of the callback; None unless it was applied."""


@dataclass(frozen=True, slots=True)
class FoundAttempt:
    """The attempt that a callback is about."""

    delivery_id: str
    attempt_id: int
    order_id: str


def next_try(connection: Connection) -> datetime | None:
    """Return when the next stored callback is tried; None if none waits."""
    found: datetime | None = connection.scalar(_FIRST_TRY)
    return found


def save(
    connection: Connection,
    carrier: str,
    callback: Callback,
    now: datetime,
    key: CallbackKey = NO_KEY,
    attempt_id: int | None = None,
) -> str | None:
    """Store a callback and return its id; return None when the same signed callback is stored already (B-83, B-92).

    An unsigned callback is always stored. It contains no time, so an identical callback may report a return to an
    earlier status (C-53).
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
    """Load a callback; None when the id is unknown."""
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
            key=CallbackKey(ref=row["ref"], reported_at=row["reported_at"], entity=row["entity"]),
            decision=_DECISION.validate_json(row["decision"]) if row["decision"] else None,
        )
        for row in connection.execute(query).mappings()
    ]


def waiting(connection: Connection, attempt_id: int) -> list[StoredCallback]:
    """Load at most `APPLIED_AT_ONCE` waiting callbacks of an attempt, ordered by the carrier's times.

    Callbacks without a time come first, in the order of their arrival.
    """
    query = select(CALLBACK).where(CALLBACK.c.attempt_id == attempt_id, CALLBACK.c.result.is_(None))
    in_order = query.order_by(CALLBACK.c.reported_at.asc().nulls_first(), CALLBACK.c.position)
    return _load(connection, in_order.limit(APPLIED_AT_ONCE))


def of_attempts(connection: Connection, attempt_ids: Collection[int]) -> list[StoredCallback]:
    """Load the callbacks of attempts in the order of their arrival."""
    query = select(CALLBACK).where(CALLBACK.c.attempt_id.in_(attempt_ids))
    return _load(connection, query.order_by(CALLBACK.c.position))


def attach(connection: Connection, callback_id: str, attempt_id: int) -> None:
    """Record the attempt of a callback that arrived before the attempt was known.

    The attempt is also recorded for all other callbacks that wait without an attempt and contain the same order id.
    """
    this = select(CALLBACK.c.carrier, CALLBACK.c.ref).where(CALLBACK.c.id == callback_id).cte()
    same = (CALLBACK.c.carrier == select(this.c.carrier).scalar_subquery()) & (
        CALLBACK.c.ref == select(this.c.ref).scalar_subquery()
    )
    unknown = update(CALLBACK).where(CALLBACK.c.attempt_id.is_(None), CALLBACK.c.result.is_(None))
    connection.execute(unknown.where(or_(CALLBACK.c.id == callback_id, same)).values(attempt_id=attempt_id))


def settle(connection: Connection, callback_id: str, result: str, decision: CallbackDecision | None = None) -> bool:
    """Record the result of a callback and what it meant; return False when it already has a result."""
    waiting = update(CALLBACK).where(CALLBACK.c.id == callback_id, CALLBACK.c.result.is_(None))
    document = _DECISION.dump_json(decision, exclude_defaults=True).decode() if decision else None
    return connection.execute(waiting.values(result=result, decision=document)).rowcount == 1


def claim(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Claim waiting callbacks whose wake-up task was lost or whose attempt was not known yet; return their ids.

    Callbacks of known attempts come first. The older a callback is, the less often it is claimed. A callback of an
    unknown attempt is claimed even less often, because it becomes due when an attempt gets the carrier's order id.
    """
    found = connection.execute(_WAITING, {"now": now, "most": limit}).all()
    later = [
        {"this": row.id, "then": now + _next_wait(now - row.received_at, known=row.attempt_id is not None)}
        for row in found
    ]
    if later:
        statement = update(CALLBACK).where(CALLBACK.c.id == bindparam("this")).values(try_at=bindparam("then"))
        connection.execute(statement, later)
    return [row.id for row in found]


def release(connection: Connection, ids: Collection[str], now: datetime) -> None:
    """Make claimed callbacks due again at once."""
    waiting = update(CALLBACK).where(CALLBACK.c.id.in_(ids), CALLBACK.c.result.is_(None))
    connection.execute(waiting.values(try_at=now))


def _next_wait(age: timedelta, *, known: bool) -> timedelta:
    if known:
        return min(max(age, timedelta(seconds=2)), timedelta(minutes=10))
    return min(max(10 * age, timedelta(minutes=1)), timedelta(hours=12))


def find_attempt(connection: Connection, carrier: str, key: CallbackKey) -> FoundAttempt | None:
    """Find the attempt of a callback by our reference, else by the token, else by the carrier's order id.

    Return None when no attempt is found.
    """
    known = (
        (ATTEMPT.c.id, key.attempt_id),
        (ATTEMPT.c.token, key.token),
        (ATTEMPT.c.ref, key.ref),
    )
    for column, value in known:
        if value is None:
            continue
        row = connection.execute(_FOUND.where(ATTEMPT.c.carrier == carrier, column == value)).first()
        if row is not None:
            return FoundAttempt(*row)
    return None


def order_ids(connection: Connection, callback_ids: Collection[str]) -> dict[str, str]:
    """Return the platform's ids of the orders that these callbacks are about, by the callback's id, where known."""
    if not callback_ids:
        return {}
    query = select(CALLBACK.c.id, DELIVERY.c.order_id).join(ATTEMPT, ATTEMPT.c.id == CALLBACK.c.attempt_id)
    found = query.join(DELIVERY, DELIVERY.c.id == ATTEMPT.c.delivery_id).where(CALLBACK.c.id.in_(callback_ids))
    return {row.id: row.order_id for row in connection.execute(found)}


def attempts_by_ref(connection: Connection, carrier: str, refs: Collection[str]) -> dict[str, int]:
    """Return the ids of the attempts with these order ids of a carrier, by the order id."""
    these = is_one_of(connection.dialect.name, ATTEMPT.c.ref, "refs")
    query = select(ATTEMPT.c.ref, ATTEMPT.c.id).where(ATTEMPT.c.carrier == carrier, these)
    return {row.ref: row.id for row in connection.execute(query, {"refs": list(refs)})}


def apply(
    connection: Connection,
    callback_id: str,
    result: str,
    delivery_id: str,
    decide: deliveries.Decision,
    decision: CallbackDecision | None = None,
) -> list[Change]:
    """Record the result of a callback and what it meant, and save the decided change.

    Do nothing if the callback has a result already.
    """
    if not settle(connection, callback_id, result, decision):
        return []
    return deliveries.update(connection, [delivery_id], decide)
