"""The record of calls: what was sent to a carrier for an attempt, and how the carrier answered.

A call is stored in the transaction that stores its outcome, so the record and the state never differ.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import Any

from sqlalchemy import Connection, delete, select, tuple_

from worker.database.batches import insert_new
from worker.database.tables import CARRIER_CALL

DELETED_AT_ONCE = 1000
"""The most calls that one transaction deletes, so that it is short."""
MEASURED = 1000
"""How many of an account's newest calls are measured."""
_KEY = tuple(CARRIER_CALL.primary_key)


class Verdict(StrEnum):
    """What a call came to, in our terms. All but the first are named after the errors in `worker.errors`."""

    ANSWERED = "answered"
    """The carrier did what was asked, or answered the question."""
    REFUSED = "refused"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    UNCERTAIN = "uncertain"
    UNREADABLE = "unreadable"


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
class CallTimes:
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
    insert_new(connection, CARRIER_CALL, [row(call) for call in calls], "attempt_id")


def of_attempts(connection: Connection, attempt_ids: Collection[int]) -> list[RecordedCall]:
    """Return the calls for these attempts, oldest first."""
    query = select(CARRIER_CALL).where(CARRIER_CALL.c.attempt_id.in_(attempt_ids)).order_by(CARRIER_CALL.c.sent_at)
    return [
        RecordedCall(**{**each, "verdict": Verdict(each["verdict"])}) for each in connection.execute(query).mappings()
    ]


def times(connection: Connection, account: str, since: datetime) -> CallTimes | None:
    """Measure the calls of an account since a time, the newest `MEASURED` at most; None if there are none."""
    these = (CARRIER_CALL.c.account == account) & (CARRIER_CALL.c.sent_at >= since)
    columns = [CARRIER_CALL.c[name] for name in (*LastCall.__slots__, "milliseconds")]
    query = select(*columns).where(these).order_by(CARRIER_CALL.c.sent_at.desc()).limit(MEASURED)
    found = connection.execute(query).all()
    if not found:
        return None
    took = sorted(each.milliseconds for each in found)
    sent_at, operation, status, verdict, reason, _ = found[0]
    last = LastCall(sent_at, operation, status, Verdict(verdict), reason)
    return CallTimes(len(took), round(median(took)), took[-(-len(took) * 95 // 100) - 1], last)


def delete_before(connection: Connection, limit: datetime) -> int:
    """Delete at most `DELETED_AT_ONCE` of the calls that were sent before `limit`; return how many were deleted.

    Calls that another process is deleting are skipped, so that nobody waits.
    """
    old = select(*_KEY).where(CARRIER_CALL.c.sent_at < limit).order_by(CARRIER_CALL.c.sent_at).limit(DELETED_AT_ONCE)
    these = [tuple(each) for each in connection.execute(old.with_for_update(skip_locked=True))]
    if these:
        connection.execute(delete(CARRIER_CALL).where(tuple_(*_KEY).in_(these)))
    return len(these)
