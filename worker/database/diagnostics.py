"""What the database shows about work that does not go on. Each query reads an index, and returns few rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, or_, select, text

from worker.database import leases, outbox
from worker.database.tables import (
    ATTEMPT,
    DEAD_LETTER,
    DELIVERY,
    EVENT,
    MESSAGE,
    OPERATOR_ACTION,
    PUBLICATION,
    WRITE_BACK,
)
from worker.domain.attention import AskingGroup
from worker.domain.delivery import Step

PURGED = "purged"
"""The lease whose end is the end of the last purge that removed all that was too old."""
MOST_ASKING = 500
"""The most deliveries that need an operator whose ids are returned."""
MOST_OF_GROUP = 200
"""The most of these deliveries with the same reasons, platform, store and carrier."""
MOST_GROUPS = 1000
MOST_WAITING = 50
_NOW = bindparam("now", type_=DELIVERY.c.next_run_at.type)


@dataclass(frozen=True, slots=True)
class Asking:
    """The deliveries that need an operator."""

    counts: dict[AskingGroup, int]
    ids: Sequence[str]
    """The ids of the newest ones."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Deliveries whose step at a carrier waits: is overdue, or was postponed."""

    step: Step
    carrier: str | None
    count: int
    ids: Sequence[str]
    """The ids of those with the earliest alarms."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work that does not go on: how much, and since when; None when there is none."""

    count: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters with the same reason."""

    reason: str
    count: int
    oldest: datetime
    one_id: str
    """The id of one of them."""


_ASKING = DELIVERY.c.attention_reasons.is_not(None)
_GROUP = tuple(
    DELIVERY.c[name] for name in ("attention_reasons", "source", "store_id", "carrier", "step", "step_carrier")
)
_GROUPS = select(*_GROUP, func.count().label("number")).where(_ASKING).group_by(*_GROUP).limit(MOST_GROUPS)


def _asking_ids() -> Select[tuple[str]]:
    newest_first = DELIVERY.c.created_at.desc()
    place = func.row_number().over(partition_by=_GROUP, order_by=newest_first).label("place")
    numbered = select(DELIVERY.c.id, DELIVERY.c.created_at, place).where(_ASKING).subquery()
    few = select(numbered.c.id).where(numbered.c.place <= MOST_OF_GROUP)
    return few.order_by(numbered.c.created_at.desc()).limit(MOST_ASKING)


def _waiting(*, at_carrier: bool) -> Select[Any]:
    carrier = DELIVERY.c.step_carrier == bindparam("carrier") if at_carrier else DELIVERY.c.step_carrier.is_(None)
    this = (DELIVERY.c.step == bindparam("step")) & carrier & DELIVERY.c.next_run_at.is_not(None)
    waits = or_(DELIVERY.c.next_run_at <= _NOW, DELIVERY.c.retry_at > _NOW)
    found = select(DELIVERY.c.id, func.count().over().label("number")).where(this, waits)
    return found.order_by(DELIVERY.c.alarm_at.is_(None), DELIVERY.c.alarm_at).limit(MOST_WAITING)


_COMMIT_WAIT = text(
    "SELECT max(clock_timestamp() - query_start) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event = 'SyncRep'"
)
_ASKING_IDS = _asking_ids()
_WAITING_AT_CARRIER, _WAITING_AT_NONE = _waiting(at_carrier=True), _waiting(at_carrier=False)


def asking(connection: Connection) -> Asking:
    """Return the deliveries that need an operator: how many of each group, and the ids of the newest."""
    counts = {
        AskingGroup(tuple(reasons.split(", ")), *others): number
        for reasons, *others, number in connection.execute(_GROUPS)
    }
    return Asking(counts, list(connection.scalars(_ASKING_IDS)) if counts else [])


def waiting(connection: Connection, steps: Iterable[tuple[Step, str | None]], now: datetime) -> list[Waiting]:
    """Return the deliveries that wait for each of these steps at a carrier. A planned step does not wait."""
    found = []
    for step, carrier in steps:
        query = _WAITING_AT_NONE if carrier is None else _WAITING_AT_CARRIER
        values = {"step": step.value, "now": now} | ({} if carrier is None else {"carrier": carrier})
        rows = connection.execute(query, values).all()
        if rows:
            found.append(Waiting(step, carrier, rows[0].number, [row.id for row in rows]))
    return found


def reported_statuses(connection: Connection) -> list[str]:
    """Return the ids of the deliveries with a live attempt for which an unmapped status was ever reported."""
    reported = ATTEMPT.c.ended_at.is_(None) & ATTEMPT.c.reported_anomalies.is_not(None)
    return list(connection.scalars(select(ATTEMPT.c.delivery_id).where(reported).limit(MOST_ASKING)))


def unpublished(connection: Connection) -> Backlog:
    """Return how many events are unpublished, and the time of the first."""
    waits = PUBLICATION.c.stream_id.is_(None)
    first = select(func.min(PUBLICATION.c.position)).where(waits).scalar_subquery()
    oldest = connection.scalar(select(EVENT.c.created_at).where(EVENT.c.position == first))
    if oldest is None:
        return Backlog(0, None)
    return Backlog(outbox.count_unpublished(connection), oldest)


def commit_wait(connection: Connection) -> timedelta | None:
    """Return how long the oldest commit of our role has waited for a synchronous standby; None if none waits."""
    return connection.scalar(_COMMIT_WAIT) if connection.dialect.name == "postgresql" else None


def purged_at(connection: Connection) -> datetime | None:
    """Return when a purge last removed all that was too old.

    Before the first one, that is when the oldest delivery was placed; None if there is no delivery.
    """
    found = leases.find(connection, PURGED)
    if found is not None:
        return found[1]
    oldest: datetime | None = connection.scalar(select(func.min(DELIVERY.c.created_at)))
    return oldest


def record_purge(connection: Connection, now: datetime) -> None:
    """Record that a purge has removed all that was too old."""
    leases.take(connection, PURGED, PURGED, now, 0)


def dead_letters(connection: Connection) -> list[DeadLetters]:
    """Return the waiting dead letters by their reasons, the most frequent first."""
    oldest, one = func.min(DEAD_LETTER.c.received_at).label("oldest"), func.min(DEAD_LETTER.c.id).label("one")
    query = (
        select(DEAD_LETTER.c.reason, func.count().label("number"), oldest, one)
        .where(DEAD_LETTER.c.settled_at.is_(None))
        .group_by(DEAD_LETTER.c.reason)
    )
    found = connection.execute(query.order_by(func.count().desc(), DEAD_LETTER.c.reason))
    return [DeadLetters(row.reason, row.number, row.oldest, row.one) for row in found]


def failing_fetches(connection: Connection, failures: int) -> Backlog:
    """Return how many orders could not be fetched after this many tries, and when the first was named."""
    failing = MESSAGE.c.fetch_at.is_not(None) & (MESSAGE.c.failures >= failures)
    row = connection.execute(select(func.count(), func.min(MESSAGE.c.received_at)).where(failing)).one()
    return Backlog(*row)


def failing_write_backs(connection: Connection, failures: int) -> Backlog:
    """Return how many deliveries could not be compared with the platform after this many tries."""
    failing = WRITE_BACK.c.due_at.is_not(None) & (WRITE_BACK.c.failures >= failures)
    row = connection.execute(select(func.count(), func.min(WRITE_BACK.c.due_at)).where(failing)).one()
    return Backlog(*row)


def pulse(connection: Connection) -> tuple[int | None, int | None]:
    """Return two numbers. Each event and each action of an operator changes one of them."""
    newest = (select(func.max(table.c.position)).scalar_subquery() for table in (EVENT, OPERATOR_ACTION))
    events, actions = connection.execute(select(*newest)).one()
    return events, actions
