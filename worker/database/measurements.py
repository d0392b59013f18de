"""What the metrics measure in the database. Each query reads an index of open work, or only the newest rows.

No query reads all deliveries, so the cost grows with the open deliveries and with the events since the last scrape.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, ColumnElement, Connection, case, cast, func, select, text

from worker.database import accounts, deliveries, diagnostics, due_work, leases, write_backs
from worker.database.accounts import Pause
from worker.database.tables import ATTEMPT, CALLBACK, DEAD_LETTER
from worker.domain.delivery import Step

_LIVE = text("ended_at IS NULL AND NOT surplus AND state <> 'queued'")
"""The condition of the index `attempt_live`. A database uses the index only if the texts are equal."""
_DEAD_LETTERS = select(func.count()).select_from(DEAD_LETTER).where(DEAD_LETTER.c.settled_at.is_(None))
_WAITING_CALLBACKS = (
    select(func.count()).select_from(CALLBACK).where(CALLBACK.c.result.is_(None), CALLBACK.c.attempt_id.is_not(None))
)


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


def measure(connection: Connection, names: Iterable[str], now: datetime, sweep: str) -> Measurements:
    """Measure the open work; `names` are the accounts, and `sweep` is the name of the sweep's lease."""
    unknown_since, read_at = _live_attempts(connection)
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
        callbacks_at=_callbacks_at(connection, names),
        sweep_lease=leases.find(connection, sweep),
    )


def _live_attempts(connection: Connection) -> tuple[dict[str, datetime], dict[str, datetime]]:
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


def _callbacks_at(connection: Connection, names: Iterable[str]) -> dict[str, datetime]:
    newest = select(CALLBACK.c.received_at).order_by(CALLBACK.c.position.desc()).limit(1)
    found = {name: connection.scalar(newest.where(CALLBACK.c.carrier == name)) for name in names}
    return {name: received_at for name, received_at in found.items() if received_at is not None}
