"""The schedule of comparisons: when each delivery is compared with its order on the platform.

During a comparison, `due_at` is NULL and a process has a lease of the row. If the delivery changes meanwhile, `due_at`
is set again and another comparison follows. If the process dies, its lease expires and the row becomes due again.
"""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, Select, bindparam, case, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from worker.database.tables import DELIVERY, WRITE_BACK
from worker.domain import schedule
from worker.domain.delivery import Delivery
from worker.ordering_api.write_policy import WriteBackState, may_need_write_back

SOURCE = "write_back_source"
"""The engine option that names the source whose orders are written back. Without it, nothing is written back."""
_STATE = [WRITE_BACK.c[name] for name in ("status", "replaced", "written", "reported", "seen", "failures")]
_NOW, _UNTIL = (bindparam(name, type_=WRITE_BACK.c.due_at.type) for name in ("now", "until"))


def _change(which: Select[tuple[str]], **values: Any) -> Executable:
    """Return the statement that changes the selected rows, except those that another transaction has locked."""
    these = which.with_for_update(skip_locked=True, of=WRITE_BACK).cte()
    changed = update(WRITE_BACK).where(WRITE_BACK.c.delivery_id.in_(select(these.c.delivery_id))).values(values)
    return changed.returning(WRITE_BACK.c.delivery_id)


_END_LEASES = _change(
    select(WRITE_BACK.c.delivery_id).where(WRITE_BACK.c.lease_until <= _NOW),
    due_at=func.coalesce(WRITE_BACK.c.due_at, WRITE_BACK.c.lease_until),
    lease_until=None,
)
_CLAIM = _change(
    select(WRITE_BACK.c.delivery_id)
    .join(DELIVERY, DELIVERY.c.id == WRITE_BACK.c.delivery_id)
    .where(WRITE_BACK.c.due_at <= _NOW, WRITE_BACK.c.lease_until.is_(None))
    .order_by(DELIVERY.c.gate.is_(None), WRITE_BACK.c.due_at)
    .limit(bindparam("most")),
    due_at=_UNTIL,
)


def schedule_changed(connection: Connection, changed: Iterable[tuple[Delivery | None, Delivery]]) -> None:
    """Schedule a comparison for each changed delivery that may need one.

    Each pair is a delivery before and after its change; the first value is None for a new delivery.
    """
    source = connection.get_execution_options().get(SOURCE)
    due = [
        {"delivery_id": after.id, "due_at": after.changed_at, "written": False, "reported": False, "failures": 0}
        for before, after in changed
        if after.source == source and (before is None or may_need_write_back(before, after))
    ]
    if not due:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    put = dialect.insert(WRITE_BACK)
    sooner = case((WRITE_BACK.c.due_at < put.excluded.due_at, WRITE_BACK.c.due_at), else_=put.excluded.due_at)
    connection.execute(put.on_conflict_do_update(index_elements=["delivery_id"], set_={"due_at": sooner}), due)


def claim(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Claim the deliveries that have waited longest for a comparison; return their ids.

    Deliveries whose dispatch gate is closed come first, because the comparison may open the gate. Before the claim, the
    deliveries whose lease has expired become due again. A claim postpones `due_at` by `schedule.LEASE`.
    """
    connection.execute(_END_LEASES, {"now": now})
    return list(connection.scalars(_CLAIM, {"now": now, "until": now + schedule.LEASE, "most": limit}))


def make_due(connection: Connection, ids: Collection[str], now: datetime) -> None:
    """Make claimed deliveries due again at once, if nobody has begun to compare them."""
    claimed = WRITE_BACK.c.delivery_id.in_(ids) & WRITE_BACK.c.lease_until.is_(None) & (WRITE_BACK.c.due_at > now)
    connection.execute(update(WRITE_BACK).where(claimed).values(due_at=now))


def lease(connection: Connection, delivery_id: str, now: datetime, until: datetime) -> WriteBackState | None:
    """Lease a delivery for one comparison and return its known state.

    Return None when the delivery is already leased or is not due. A claimed delivery is still due, although the claim
    has postponed `due_at` by `schedule.LEASE`. If `due_at` is even later, the delivery was compared after the claim.
    """
    this = (WRITE_BACK.c.delivery_id == delivery_id) & (WRITE_BACK.c.due_at <= now + schedule.LEASE)
    free = or_(WRITE_BACK.c.lease_until.is_(None), WRITE_BACK.c.lease_until <= now)
    leased = update(WRITE_BACK).where(this & free).values(due_at=None, lease_until=until).returning(*_STATE)
    row = connection.execute(leased).one_or_none()
    return None if row is None else WriteBackState(*row)


def release(
    connection: Connection, delivery_id: str, until: datetime, known: WriteBackState, due_at: datetime | None
) -> bool:
    """Release a lease; store the known state and the time of the next comparison.

    If the row already has an earlier time, this time is kept. If the lease was lost, store nothing and return False.
    """
    mine = (WRITE_BACK.c.delivery_id == delivery_id) & (WRITE_BACK.c.lease_until == until)
    given = {**asdict(known), "lease_until": None}
    if due_at is not None:
        given["due_at"] = case((WRITE_BACK.c.due_at < due_at, WRITE_BACK.c.due_at), else_=due_at)
    return bool(connection.execute(update(WRITE_BACK).where(mine).values(given)).rowcount)


def count_waiting(connection: Connection, now: datetime) -> int:
    """Count the deliveries whose comparison is overdue or has failed."""
    late = (WRITE_BACK.c.due_at <= now) | (WRITE_BACK.c.due_at.is_not(None) & (WRITE_BACK.c.failures > 0))
    return connection.scalar(select(func.count()).where(late)) or 0


def write_back_state(connection: Connection, delivery_id: str) -> WriteBackState | None:
    """Return the known state of a delivery's order at the platform; None when no comparison was ever scheduled."""
    row = connection.execute(select(*_STATE).where(WRITE_BACK.c.delivery_id == delivery_id)).one_or_none()
    return None if row is None else WriteBackState(*row)
