"""What only the metrics or the desk measure. Each query reads an index of open work, or only the newest rows.

The metrics get everything else from `worker.services.system_health`, as the troubles do.

No query reads all deliveries, so the cost grows with the open deliveries and with those of the measured time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, ColumnElement, Connection, case, cast, func, select, text

from schemas.status import FINAL, DeliveryStatus
from worker.database import deliveries, write_backs
from worker.database.tables import ATTEMPT, CALLBACK, DELIVERY, MESSAGE, WRITE_BACK

_LIVE = text("ended_at IS NULL AND NOT surplus AND state <> 'queued'")
"""The condition of the index `attempt_live`. A database uses the index only if the texts are equal."""
_WAITING_CALLBACKS = select(func.count().label("number"), func.min(CALLBACK.c.received_at).label("since")).where(
    CALLBACK.c.result.is_(None), CALLBACK.c.attempt_id.is_not(None)
)
_PLATFORM_TIMES = (
    select(func.min(MESSAGE.c.fetch_at)).where(MESSAGE.c.fetch_at.is_not(None)),
    select(func.min(WRITE_BACK.c.due_at)).where(WRITE_BACK.c.due_at.is_not(None)),
)


@dataclass(frozen=True, slots=True)
class Measurements:
    """The state of the open work. A mapping lacks what does not exist, such as a carrier without a live attempt."""

    deliveries: Mapping[str, int]
    """The deliveries that are not final, by status."""
    attention: Mapping[str, int]
    """The deliveries that need an operator, by reason."""
    unknown_since: Mapping[str, datetime]
    """When the oldest create with an unknown outcome was sent, by carrier."""
    read_at: Mapping[str, datetime]
    """When the live attempt without a report for the longest time last reported, by carrier."""
    write_backs: int
    """The deliveries whose comparison with the platform is overdue or has failed."""
    waiting_callbacks: int
    """The stored callbacks of known attempts that are not applied yet."""
    callback_since: datetime | None
    """When the oldest of these callbacks came."""
    platform_due: datetime | None
    """When the earliest fetch or comparison of an order at the platform is due."""
    callbacks_at: Mapping[str, datetime]
    """When the newest callback arrived, by account."""


def measure(connection: Connection, names: Iterable[str], now: datetime) -> Measurements:
    """Measure the open work; `names` are the accounts whose carriers send callbacks."""
    unknown_since, read_at = live_attempts(connection)
    waiting = connection.execute(_WAITING_CALLBACKS).one()
    platform = filter(None, [connection.scalar(query) for query in _PLATFORM_TIMES])
    return Measurements(
        deliveries=deliveries.status_counts(connection),
        attention=deliveries.attention_counts(connection),
        unknown_since=unknown_since,
        read_at=read_at,
        write_backs=write_backs.count_waiting(connection, now),
        waiting_callbacks=waiting.number,
        callback_since=waiting.since,
        platform_due=min(platform, default=None),
        callbacks_at=callbacks_at(connection, names),
    )


@dataclass(frozen=True, slots=True)
class Overview:
    """How many orders are open, how those of the last day ended, and how old the oldest known status is."""

    open: int
    delivered: int
    undelivered: int
    """Ended without delivery."""
    oldest_read: tuple[str, datetime] | None
    """The carrier of the live attempt without a report for the longest time, and when it last reported."""


def overview(connection: Connection, since: datetime) -> Overview:
    """Count the open orders, and how those ended that were placed since a time."""
    these = (DELIVERY.c.created_at >= since) & DELIVERY.c.status.in_(FINAL)
    rows = connection.execute(select(DELIVERY.c.status, func.count()).where(these).group_by(DELIVERY.c.status))
    ended = {row[0]: row[1] for row in rows}
    delivered = ended.pop(DeliveryStatus.DELIVERED, 0)
    _, read_at = live_attempts(connection)
    oldest = min(read_at.items(), key=lambda each: each[1], default=None)
    return Overview(sum(deliveries.status_counts(connection).values()), delivered, sum(ended.values()), oldest)


def live_attempts(connection: Connection) -> tuple[dict[str, datetime], dict[str, datetime]]:
    """Return the oldest unknown outcome and the oldest read of all live attempts, by carrier."""
    submitted, last_report = (_document_field(connection, name) for name in ("submitted_at", "last_report_at"))
    unknown = ATTEMPT.c.state.in_(deliveries.UNKNOWN)
    query = select(
        ATTEMPT.c.carrier,
        func.min(case((unknown, submitted))).label("unknown_since"),
        func.min(case((~unknown, func.coalesce(last_report, submitted)))).label("read_at"),
    )
    rows = connection.execute(query.where(_LIVE).group_by(ATTEMPT.c.carrier)).all()
    unknown_since = {row.carrier: datetime.fromisoformat(row.unknown_since) for row in rows if row.unknown_since}
    return unknown_since, {row.carrier: datetime.fromisoformat(row.read_at) for row in rows if row.read_at}


def _document_field(connection: Connection, name: str) -> ColumnElement[str]:
    if connection.dialect.name == "postgresql":
        return func.json_extract_path_text(cast(ATTEMPT.c.document, JSON), name)
    return func.json_extract(ATTEMPT.c.document, f"$.{name}")


def callbacks_at(connection: Connection, names: Iterable[str]) -> dict[str, datetime]:
    """Return when the newest callback of each account arrived."""
    newest = select(CALLBACK.c.received_at).order_by(CALLBACK.c.position.desc()).limit(1)
    found = {name: connection.scalar(newest.where(CALLBACK.c.carrier == name)) for name in names}
    return {name: received_at for name, received_at in found.items() if received_at is not None}
