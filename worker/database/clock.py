"""The time that all hosts share: the clock of PostgreSQL, with the correction that the hosts have agreed on."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from worker.clock import STEP, Correction
from worker.database.batches import insert_new
from worker.database.tables import CLOCK

ID = 1


def read_clock(connection: Connection) -> datetime:
    """Return the time of the database's clock."""
    read: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return read


def shared_time(connection: Connection, read: Callable[[Connection], datetime] = read_clock) -> datetime:
    """Return the shared time: the database's time with the agreed correction."""
    return _correction(connection).shared(read(connection))


def agree(
    connection: Connection, own: Callable[[], datetime], read: Callable[[Connection], datetime] = read_clock
) -> timedelta | None:
    """Compare a host's own time with the database's clock, and store a new correction if the database's clock jumped.

    Return the length of the jump; None if the clock did not jump, or if this process was suspended meanwhile. Two hosts
    never correct the same jump, because the second host reads the correction that the first host has stored.
    """
    insert_new(connection, CLOCK, [{"id": ID, "ahead": 0.0}], "id")
    before = _correction(connection, lock=True)
    earliest, now, latest = own(), read(connection), own()
    if latest - earliest > STEP:  # the process was suspended meanwhile, so the comparison shows nothing
        return None
    after = before.agreed(now, earliest + (latest - earliest) / 2)
    values = {"ahead": after.ahead.total_seconds(), "since": after.since, "used": after.used}
    connection.execute(update(CLOCK).where(CLOCK.c.id == ID).values(values))
    return before.shared(now) - after.shared(now) if after.since != before.since else None


def _correction(connection: Connection, *, lock: bool = False) -> Correction:
    query = select(CLOCK.c.ahead, CLOCK.c.since, CLOCK.c.used).where(CLOCK.c.id == ID)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return Correction(timedelta(seconds=row.ahead), row.since, row.used) if row else Correction()
