"""The record of calls: what was sent to a carrier for an attempt, and how the carrier answered.

A call is stored in the transaction that stores its outcome, so the record and the state never differ.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from worker.database.batches import insert_new
from worker.database.tables import CARRIER_CALL
from worker.http.call import Verdict

DELETED_AT_ONCE = 1000
"""The most calls that one transaction deletes, so that it is short."""


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
    insert_new(connection, CARRIER_CALL, [row(call) for call in calls])


def of_attempts(connection: Connection, attempt_ids: Collection[int]) -> list[RecordedCall]:
    """Return the calls for these attempts, oldest first."""
    columns = [CARRIER_CALL.c[name] for name in RecordedCall.__slots__]
    query = select(*columns).where(CARRIER_CALL.c.attempt_id.in_(attempt_ids)).order_by(CARRIER_CALL.c.sent_at)
    rows = connection.execute(query).mappings()
    return [RecordedCall(**{**each, "verdict": Verdict(each["verdict"])}) for each in rows]


def delete_before(connection: Connection, limit: datetime) -> int:
    """Delete those of the first `DELETED_AT_ONCE` calls that were sent before `limit`; return how many were deleted.

    Calls that another process is deleting are skipped, so that nobody waits.
    """
    first = select(CARRIER_CALL.c.position, CARRIER_CALL.c.sent_at).order_by(CARRIER_CALL.c.position)
    found = connection.execute(first.limit(DELETED_AT_ONCE).with_for_update(skip_locked=True))
    old = [row.position for row in found if row.sent_at < limit]
    if old:
        connection.execute(delete(CARRIER_CALL).where(CARRIER_CALL.c.position.in_(old)))
    return len(old)
