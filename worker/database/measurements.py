"""What only the metrics measure in the database. Each query reads an index of open work, or only the newest rows.

The metrics get everything else from `worker.services.system_health`, as the troubles do.

No query reads all deliveries, so the cost grows with the open deliveries and with the events since the last scrape.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import JSON, ColumnElement, Connection, case, cast, func, select, text

from worker.database import deliveries, write_backs
from worker.database.tables import ATTEMPT, CALLBACK, CARRIER_CALL

_LIVE = text("ended_at IS NULL AND NOT surplus AND state <> 'queued'")
"""The condition of the index `attempt_live`. A database uses the index only if the texts are equal."""
_WAITING_CALLBACKS = (
    select(func.count()).select_from(CALLBACK).where(CALLBACK.c.result.is_(None), CALLBACK.c.attempt_id.is_not(None))
)
BOUNDS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""The bounds of the durations by which calls are counted, in milliseconds."""
CallKey = tuple[str, str, str]
"""The account, the operation and the verdict of calls."""


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
    """When the live attempt without a report for the longest time was last heard of, by carrier."""
    write_backs: int
    """The deliveries whose comparison with the platform is overdue or has failed."""
    waiting_callbacks: int
    """The stored callbacks of known attempts that are not applied yet."""
    callbacks_at: Mapping[str, datetime]
    """When the newest callback arrived, by account."""


@dataclass(frozen=True, slots=True)
class CallTimes:
    """The durations of calls."""

    count: int
    milliseconds: int
    """The sum of the durations."""
    within: tuple[int, ...]
    """For each of `BOUNDS`: how many calls took no longer."""

    def __add__(self, other: "CallTimes") -> "CallTimes":
        """Return the durations of the calls of both."""
        within = tuple(map(sum, zip(self.within, other.within, strict=True)))
        return CallTimes(self.count + other.count, self.milliseconds + other.milliseconds, within)


def measure(connection: Connection, names: Iterable[str], now: datetime) -> Measurements:
    """Measure the open work; `names` are the accounts whose carriers send callbacks."""
    unknown_since, read_at = _live_attempts(connection)
    return Measurements(
        deliveries=deliveries.status_counts(connection),
        attention=deliveries.attention_counts(connection),
        unknown_since=unknown_since,
        read_at=read_at,
        write_backs=write_backs.count_waiting(connection, now),
        waiting_callbacks=connection.scalar(_WAITING_CALLBACKS) or 0,
        callbacks_at=_callbacks_at(connection, names),
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


def newest_call(connection: Connection) -> int:
    """Return the position of the newest recorded call; 0 when there is none."""
    return connection.scalar(select(func.max(CARRIER_CALL.c.position))) or 0


def call_times(connection: Connection, after: int, until: int) -> dict[CallKey, CallTimes]:
    """Measure the durations of the calls that were recorded after one position, up to another."""
    calls = CARRIER_CALL.c
    key = (calls.account, calls.operation, calls.verdict)
    within = [func.count(case((calls.milliseconds <= bound, 1))) for bound in BOUNDS]
    query = select(*key, func.count(), func.sum(calls.milliseconds), *within)
    these = (calls.position > after) & (calls.position <= until)
    rows = connection.execute(query.where(these).group_by(*key))
    return {
        (account, operation, verdict): CallTimes(count, int(total), tuple(counts))
        for account, operation, verdict, count, total, *counts in rows
    }
