"""What is due, read and claimed in one transaction, so that a sweep that finds nothing costs little."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, exists, select

from worker.database import callbacks, deliveries, write_backs
from worker.database.deliveries import Due
from worker.database.tables import DELIVERY, EVENT, MESSAGE

OVERDUE_LIMIT = 100
NOW = bindparam("now", type_=DELIVERY.c.alarm_at.type)
_FLAGS = select(
    exists().where(DELIVERY.c.alarm_at <= NOW).label("alarms"),
    exists().where(EVENT.c.published_at.is_(None)).label("events"),
    exists().where(MESSAGE.c.fetch_at <= NOW).label("fetches"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a sweep may claim of each kind of work."""

    deliveries: int
    callbacks: int
    comparisons: int
    """Comparisons of deliveries with the platform."""
    except_carriers: Sequence[str] = ()
    """The carriers for which no step but a read is claimed."""
    except_reads: Sequence[str] = ()
    """The carriers for which no read is claimed."""


@dataclass(frozen=True, slots=True)
class DueWork:
    """The claimed work, and whether there is work of the kinds that are not claimed."""

    deliveries: Sequence[Due]
    callbacks: Sequence[str]
    """The ids of callbacks to apply."""
    comparisons: Sequence[str]
    """The ids of deliveries to compare with the platform."""
    overdue: Sequence[str]
    """The ids of deliveries whose next step nobody has run for a while, although another step may be due."""
    unknown_steps: Sequence[str]
    """The due steps that this version does not know; only a newer version runs them."""
    alarms: bool
    """Whether an alarm is due."""
    events: bool
    """Whether an event is unpublished."""
    fetches: bool
    """Whether an order is due to be fetched."""


def claim(connection: Connection, now: datetime, limits: Limits) -> DueWork:
    """Claim the due work within these limits."""
    due = deliveries.claim(
        connection,
        now,
        limits.deliveries,
        except_carriers=limits.except_carriers,
        except_reads=limits.except_reads,
    )
    flags = connection.execute(_FLAGS, {"now": now}).one()
    return DueWork(
        deliveries=due,
        callbacks=callbacks.claim(connection, now, limits.callbacks) if limits.callbacks > 0 else (),
        comparisons=write_backs.claim(connection, now, limits.comparisons) if limits.comparisons > 0 else (),
        overdue=deliveries.overdue(connection, now, OVERDUE_LIMIT),
        unknown_steps=deliveries.unknown_steps(connection, now) if len(due) < limits.deliveries else (),
        alarms=flags.alarms,
        events=flags.events,
        fetches=flags.fetches,
    )
