"""What the metrics and the desk measure in the database. Each query reads an index of open work, or the newest rows.

No query reads all deliveries, so the cost grows with the open deliveries and with those of the measured time.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic_core import from_json
from sqlalchemy import JSON, ColumnElement, Connection, case, cast, func, or_, select, text

from schemas.events import EventType
from schemas.status import FINAL, DeliveryStatus
from worker.database import accounts, deliveries, diagnostics, due_work, leases, write_backs
from worker.database.accounts import Pause
from worker.database.tables import ATTEMPT, CALLBACK, DEAD_LETTER, DELIVERY, EVENT
from worker.domain.delivery import Step

_LIVE = text("ended_at IS NULL AND NOT surplus AND state <> 'queued'")
"""The condition of the index `attempt_live`. A database uses the index only if the texts are equal."""
_ENDED = '"final":true'
_DEAD_LETTERS = select(func.count()).select_from(DEAD_LETTER).where(DEAD_LETTER.c.settled_at.is_(None))
_WAITING_CALLBACKS = (
    select(func.count()).select_from(CALLBACK).where(CALLBACK.c.result.is_(None), CALLBACK.c.attempt_id.is_not(None))
)
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Measurements:
    """The state of the open work. A mapping lacks what does not exist, such as a carrier without a live attempt."""

    deliveries: Mapping[str, int]
    """The deliveries that are not final, by status."""
    attention: Mapping[str, int]
    """The deliveries that need an operator, by reason."""
    paused: Mapping[str, Pause]
    """The pauses by account."""
    due_since: Mapping[tuple[Step, str | None], datetime]
    """The earliest time at which a step is due, by step and carrier. It may be in the future."""
    unknown_since: Mapping[str, datetime]
    """When the oldest create with an unknown outcome was sent, by carrier."""
    read_at: Mapping[str, datetime]
    """When the live attempt without a report for the longest time was last heard of, by carrier."""
    unsent_events: int
    unsent_since: datetime | None
    """The time of the oldest event that is not on the bus."""
    write_backs: int
    """The deliveries whose comparison with the platform is overdue or has failed."""
    dead_letters: int
    """The dead letters that no operator has settled."""
    waiting_callbacks: int
    """The stored callbacks of known attempts that are not applied yet."""
    callbacks_at: Mapping[str, datetime]
    """When the newest callback arrived, by account."""
    sweep_lease: tuple[str, datetime] | None
    """The holder and the end of the sweep's lease; None before the first sweep."""


@dataclass(slots=True)
class OrderChanges:
    """The orders that were received, and the deliveries that ended, in a part of the outbox."""

    received: int = 0
    ended: Counter[tuple[DeliveryStatus, str]] = field(default_factory=Counter)
    """The number of ended deliveries by status and carrier; the carrier is empty if no carrier was chosen."""
    rejected: Counter[str] = field(default_factory=Counter)
    """The number of rejected deliveries by reason."""


def measure(connection: Connection, names: Iterable[str], now: datetime, sweep: str) -> Measurements:
    """Measure the open work; `names` are the accounts, and `sweep` is the name of the sweep's lease."""
    unknown_since, read_at = live_attempts(connection)
    unpublished = diagnostics.unpublished(connection)
    return Measurements(
        deliveries=deliveries.status_counts(connection),
        attention=deliveries.attention_counts(connection),
        paused=accounts.paused(connection),
        due_since={(each.step, each.carrier): each.at for each in due_work.oldest_steps(connection)},
        unknown_since=unknown_since,
        read_at=read_at,
        unsent_events=unpublished.count,
        unsent_since=unpublished.oldest,
        write_backs=write_backs.count_waiting(connection, now),
        dead_letters=connection.scalar(_DEAD_LETTERS) or 0,
        waiting_callbacks=connection.scalar(_WAITING_CALLBACKS) or 0,
        callbacks_at=callbacks_at(connection, names),
        sweep_lease=leases.find(connection, sweep),
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """How many orders are open, how those of the last day ended, and how old the oldest known status is."""

    open: int
    delivered: int
    undelivered: int
    """Ended without delivery."""
    oldest_read: tuple[str, datetime] | None
    """The carrier of the live attempt without a report for the longest time, and when it was last heard of."""


def figures(connection: Connection, since: datetime) -> Figures:
    """Return the figures of now. Of the ended deliveries, only those that were placed since a time are counted."""
    of_time = select(DELIVERY.c.status, func.count()).where(DELIVERY.c.created_at >= since)
    rows = connection.execute(of_time.where(DELIVERY.c.status.in_(FINAL)).group_by(DELIVERY.c.status))
    ended = {row[0]: row[1] for row in rows}
    delivered = ended.pop(DeliveryStatus.DELIVERED, 0)
    _, read_at = live_attempts(connection)
    oldest = min(read_at.items(), key=lambda each: each[1], default=None)
    return Figures(sum(deliveries.status_counts(connection).values()), delivered, sum(ended.values()), oldest)


def live_attempts(connection: Connection) -> tuple[dict[str, datetime], dict[str, datetime]]:
    """Return the oldest unknown outcome and the oldest read of all live attempts, by carrier."""
    submitted, heard = (_document_field(connection, name) for name in ("submitted_at", "heard_at"))
    unknown = ATTEMPT.c.state.in_(deliveries.UNKNOWN)
    query = select(
        ATTEMPT.c.carrier,
        func.min(case((unknown, submitted))).label("unknown_since"),
        func.min(case((~unknown, func.coalesce(heard, submitted)))).label("read_at"),
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


def newest_event(connection: Connection) -> int:
    """Return the position of the newest event; 0 when there is none."""
    return connection.scalar(select(func.max(EVENT.c.position))) or 0


def order_changes(connection: Connection, after: int, until: int) -> OrderChanges:
    """Count the orders received and ended in the events after one position, up to another."""
    counted = OrderChanges()
    these = (EVENT.c.position > after) & (EVENT.c.position <= until)
    either = or_(EVENT.c.sequence == 1, EVENT.c.body.contains(_ENDED))
    query = select(EVENT.c.sequence, EVENT.c.body).where(these, either).order_by(EVENT.c.position)
    for row in connection.execute(query, execution_options={"yield_per": _PAGE}):
        event = from_json(row.body)
        if event["type"] == EventType.STATUS_CHANGED:
            _count(counted, row.sequence, event["data"])
    return counted


def _count(counted: OrderChanges, sequence: int, data: Mapping[str, str | None]) -> None:
    status, previous = data["status"], data["previous_status"]
    counted.received += sequence == 1
    if status in FINAL and previous not in FINAL:
        counted.ended[DeliveryStatus(status), data["carrier"] or ""] += 1
        if status == DeliveryStatus.REJECTED:
            counted.rejected[data["reason"] or ""] += 1
