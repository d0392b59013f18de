"""The record of calls: what was sent to a carrier for an attempt, and how the carrier answered.

A call is stored in the transaction that stores its outcome, so the record and the state never differ.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import Connection, select

from worker.database.batches import insert_new
from worker.database.tables import CARRIER_CALL
from worker.http.call import Verdict

MEASURED = 5000
"""How many of the newest calls are measured."""


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


def row(call: RecordedCall) -> dict[str, Any]:
    """Return the row of a call."""
    return {name: getattr(call, name) for name in RecordedCall.__slots__}


def record(connection: Connection, calls: Iterable[RecordedCall]) -> None:
    """Store calls. A call that is stored already is left as it is, because a transaction may be repeated."""
    insert_new(connection, CARRIER_CALL, [row(call) for call in calls])


def of_attempts(connection: Connection, attempt_ids: Collection[int]) -> list[RecordedCall]:
    """Return the calls for these attempts, oldest first."""
    columns = [CARRIER_CALL.c[name] for name in RecordedCall.__slots__]
    query = select(*columns).where(CARRIER_CALL.c.attempt_id.in_(attempt_ids)).order_by(CARRIER_CALL.c.sent_at)
    rows = connection.execute(query).mappings()
    return [RecordedCall(**{**each, "verdict": Verdict(each["verdict"])}) for each in rows]


def recent(connection: Connection, since: datetime) -> dict[str, RecentCalls]:
    """Measure the calls since a time by account, among the newest `MEASURED` calls of all accounts."""
    columns = [CARRIER_CALL.c[name] for name in ("account", "milliseconds", *LastCall.__slots__)]
    query = select(*columns).order_by(CARRIER_CALL.c.position.desc()).limit(MEASURED)
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
