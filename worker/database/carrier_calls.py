"""The record of calls: what was sent to a carrier for an attempt, and how the carrier answered.

A call is stored in the transaction that stores its outcome, so the record and the state never differ.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import Connection, case, func, select

from worker.database.batches import insert_new
from worker.database.tables import CARRIER_CALL
from worker.http.call import Verdict

MEASURED = 5000
"""How many of the newest calls `recent` measures."""
BOUNDS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""The bounds of the durations by which calls are counted, in milliseconds."""
CallKey = tuple[str, str, str]
"""The account, the operation and the verdict of calls."""
_KNOWN = CARRIER_CALL.c.verdict.in_(list(Verdict))
"""A call whose verdict only a newer version knows is left out."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call for an attempt. Its texts contain no customer data and no credentials."""

    attempt_id: int
    sent_at: datetime
    operation: str
    delivery_id: str
    account: str
    milliseconds: int
    status: int | None
    """The HTTP status; None if no reply came."""
    verdict: Verdict
    reason: str | None
    """Why the call failed; None if it was answered."""
    request: str
    reply: str | None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class LastCall:
    """The newest call of an account."""

    sent_at: datetime
    operation: str
    status: int | None
    verdict: Verdict
    reason: str | None


@dataclass(frozen=True, slots=True)
class RecentCalls:
    """How long the newest calls of an account took, in milliseconds, and what the last one came to."""

    count: int
    median: int
    p95: int
    """Of 100 calls, 95 took no longer."""
    last: LastCall


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


def row(call: RecordedCall) -> dict[str, Any]:
    """Return the row of a call."""
    return {name: getattr(call, name) for name in RecordedCall.__slots__}


def record(connection: Connection, calls: Iterable[RecordedCall]) -> None:
    """Store calls. A call that is stored already is left as it is, because a transaction may be repeated."""
    insert_new(connection, CARRIER_CALL, [row(call) for call in calls])


def of_attempts(connection: Connection, attempt_ids: Collection[int]) -> list[RecordedCall]:
    """Return the calls for these attempts, oldest first."""
    columns = [CARRIER_CALL.c[name] for name in RecordedCall.__slots__]
    query = select(*columns).where(CARRIER_CALL.c.attempt_id.in_(attempt_ids), _KNOWN).order_by(CARRIER_CALL.c.sent_at)
    rows = connection.execute(query).mappings()
    return [RecordedCall(**{**each, "verdict": Verdict(each["verdict"])}) for each in rows]


def recent(connection: Connection, since: datetime) -> dict[str, RecentCalls]:
    """Measure the calls since a time by account, among the newest `MEASURED` calls of all accounts."""
    columns = [CARRIER_CALL.c[name] for name in ("account", "milliseconds", *LastCall.__slots__)]
    query = select(*columns).where(_KNOWN).order_by(CARRIER_CALL.c.position.desc()).limit(MEASURED)
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        if row.sent_at >= since:
            found.setdefault(row.account, []).append(row)
    return {account: _measured(rows) for account, rows in found.items()}


def _measured(rows: Sequence[Any]) -> RecentCalls:
    """Measure the calls of one account, the newest first."""
    took = sorted(each.milliseconds for each in rows)
    newest = rows[0]
    last = LastCall(newest.sent_at, newest.operation, newest.status, Verdict(newest.verdict), newest.reason)
    return RecentCalls(len(took), round(median(took)), took[-(-len(took) * 95 // 100) - 1], last)


def newest_position(connection: Connection) -> int:
    """Return the position of the newest recorded call; 0 when there is none."""
    return connection.scalar(select(func.max(CARRIER_CALL.c.position))) or 0


def times_between(connection: Connection, after: int, until: int) -> dict[CallKey, CallTimes]:
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
