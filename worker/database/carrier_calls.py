"""The record of calls: what was sent to a carrier for an attempt, and how the carrier answered.

A call is stored in the transaction that stores its outcome, so the record and the state never differ.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, tuple_

from worker.database.batches import insert_new
from worker.database.tables import CARRIER_CALL
from worker.http.call import Verdict

DELETED_AT_ONCE = 1000
"""The most calls that one transaction deletes, so that it is short."""
_KEY = tuple(CARRIER_CALL.primary_key)


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


def delete_before(connection: Connection, limit: datetime) -> int:
    """Delete at most `DELETED_AT_ONCE` of the calls that were sent before `limit`; return how many were deleted.

    Calls that another process is deleting are skipped, so that nobody waits.
    """
    old = select(*_KEY).where(CARRIER_CALL.c.sent_at < limit).order_by(CARRIER_CALL.c.sent_at).limit(DELETED_AT_ONCE)
    these = [tuple(each) for each in connection.execute(old.with_for_update(skip_locked=True))]
    if these:
        connection.execute(delete(CARRIER_CALL).where(tuple_(*_KEY).in_(these)))
    return len(these)
