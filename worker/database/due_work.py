"""What is due, read and claimed in one transaction, so that a sweep that finds nothing costs little."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    Select,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from worker.database import callbacks, deliveries, subscribers, write_backs
from worker.database.tables import DELIVERY, MESSAGE, PUBLICATION
from worker.domain import schedule
from worker.domain.delivery import Step

OVERDUE_LIMIT = 100
_ONE: ColumnElement[int] = literal_column("1")
_NOW = bindparam("now", type_=DELIVERY.c.next_run_at.type)


def _any_due(time: ColumnElement[Any]) -> ColumnElement[bool]:
    # The lowest time is in the index of the times. For an EXISTS, PostgreSQL may read the whole table.
    first = select(func.min(time)).where(time.is_not(None)).scalar_subquery()
    return func.coalesce(first <= _NOW, false())


_FLAGS = select(
    _any_due(DELIVERY.c.alarm_at).label("alarms"),
    exists().where(PUBLICATION.c.stream_id.is_(None)).label("events"),
    _any_due(MESSAGE.c.fetch_at).label("fetches"),
    exists().where(subscribers.ENABLED).label("subscribers"),
)
_FIRST_ALARM = select(func.min(DELIVERY.c.alarm_at)).where(DELIVERY.c.alarm_at.is_not(None))
_OVERDUE = (
    select(DELIVERY.c.id)
    .where(DELIVERY.c.may_give_way, DELIVERY.c.next_run_at <= _NOW)
    .order_by(func.random())
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed delivery and its next step; `carrier` is None when the step calls no carrier."""

    id: str
    step: Step
    carrier: str | None
    order_id: str


@dataclass(frozen=True, slots=True)
class OldestStep:
    """A step at a carrier (None when the step calls no carrier), and the earliest time at which one is due."""

    step: Step
    carrier: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a sweep may claim of each kind of work."""

    deliveries: int
    """Deliveries for each step at each carrier."""
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
    order_ids: Mapping[str, str]
    """The platform's ids of the orders, by the id of the claimed delivery or callback."""
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
    subscribers: Sequence[str]
    """The ids of the subscribers that have something to get over HTTP."""


def claim(connection: Connection, now: datetime, limits: Limits) -> DueWork:
    """Claim the due work within these limits."""
    flags = connection.execute(_FLAGS, {"now": now}).one()
    claimed = claim_deliveries(
        connection, now, limits.deliveries, except_carriers=limits.except_carriers, except_reads=limits.except_reads
    )
    called_back = callbacks.claim(connection, now, limits.callbacks) if limits.callbacks > 0 else []
    compared = write_backs.claim(connection, now, limits.comparisons) if limits.comparisons > 0 else []
    return DueWork(
        deliveries=claimed,
        callbacks=called_back,
        comparisons=compared,
        order_ids={each.id: each.order_id for each in claimed}
        | callbacks.order_ids(connection, called_back)
        | deliveries.order_ids(connection, compared),
        overdue=overdue(connection, now, OVERDUE_LIMIT),
        unknown_steps=[step for step, at in unknown_steps(connection).items() if at <= now],
        alarms=flags.alarms,
        events=flags.events,
        fetches=flags.fetches,
        subscribers=subscribers.due(connection, now) if flags.subscribers else (),
    )


# --- which steps are due ----------------------------------------------------------------------------------------------
# Each value is looked up in the index `delivery_due` after the value before it, because a DISTINCT would read the whole
# index.


def _lowest(column: ColumnElement[Any], *which: ColumnElement[bool]) -> ScalarSelect[Any]:
    return select(func.min(column)).where(DELIVERY.c.next_run_at.is_not(None), *which).scalar_subquery()


def _is_due(*which: ColumnElement[bool]) -> ColumnElement[bool]:
    # Without the order of the index, PostgreSQL may look for the row in the whole table, as it may for an EXISTS.
    found = select(_ONE).where(DELIVERY.c.next_run_at <= _NOW, *which)
    first = found.order_by(DELIVERY.c.step_carrier, DELIVERY.c.next_run_at).limit(_ONE)
    return first.scalar_subquery().is_not(None)


def _known_steps() -> CTE:
    """Return the steps that this version knows, each with its carriers. The carriers of a step end with NULL."""
    step, carrier = DELIVERY.c.step, DELIVERY.c.step_carrier
    known = union_all(*(select(literal(each.value).label("step")) for each in Step)).cte("known")
    first = select(known.c.step, _lowest(carrier, step == known.c.step).label("carrier"))
    found = first.cte("found", recursive=True)
    following = _lowest(carrier, step == found.c.step, carrier > found.c.carrier)
    return found.union_all(select(found.c.step, following).where(found.c.carrier.is_not(None)))


def _due_steps() -> Select[tuple[str, str | None]]:
    """Return the query for the due steps that this version knows, each with its carriers."""
    step, carrier, found = DELIVERY.c.step, DELIVERY.c.step_carrier, _known_steps()
    due = _is_due(step == found.c.step, carrier == found.c.carrier)
    due_without_carrier = found.c.carrier.is_(None) & _is_due(step == found.c.step, carrier.is_(None))
    return select(found.c.step, found.c.carrier).where(due | due_without_carrier)


def _oldest_steps() -> Select[tuple[str, str | None, datetime]]:
    """Return the query for the steps that this version knows, each with its carriers and its earliest time."""
    step, carrier, found = DELIVERY.c.step, DELIVERY.c.step_carrier, _known_steps()
    at_carrier = _lowest(DELIVERY.c.next_run_at, step == found.c.step, carrier == found.c.carrier)
    at_none = _lowest(DELIVERY.c.next_run_at, step == found.c.step, carrier.is_(None))
    earliest = case((found.c.carrier.is_(None), at_none), else_=at_carrier)
    oldest = select(found.c.step, found.c.carrier, earliest.label("at")).subquery()
    return select(oldest).where(oldest.c.at.is_not(None))


def _unknown_steps() -> Select[tuple[str, datetime]]:
    step = DELIVERY.c.step
    found = select(_lowest(step).label("step")).cte("found", recursive=True)
    following = _lowest(step, step > found.c.step)
    found = found.union_all(select(following).where(found.c.step.is_not(None)))
    earliest = _lowest(DELIVERY.c.next_run_at, step == found.c.step).label("at")
    return select(found.c.step, earliest).where(found.c.step.not_in(list(Step)))


_DUE_STEPS, _OLDEST_STEPS, _UNKNOWN_STEPS = _due_steps(), _oldest_steps(), _unknown_steps()


def unknown_steps(connection: Connection) -> dict[str, datetime]:
    """Return the steps that only a newer version knows and runs, each with the earliest time of a delivery with it."""
    return {row.step: row.at for row in connection.execute(_UNKNOWN_STEPS)}


def oldest_steps(connection: Connection) -> list[OldestStep]:
    """Return the steps that this version knows, each with its carriers and the earliest time of a delivery with it."""
    return [OldestStep(Step(row.step), row.carrier, row.at) for row in connection.execute(_OLDEST_STEPS)]


def next_due(connection: Connection) -> datetime | None:
    """Return when the next step, alarm or callback is due; None if nothing is. The time may have passed already."""
    times = [each.at for each in oldest_steps(connection)]
    times += filter(None, (connection.scalar(_FIRST_ALARM), callbacks.next_try(connection)))
    return min(times, default=None)


# --- deliveries -------------------------------------------------------------------------------------------------------


def claim_deliveries(
    connection: Connection,
    now: datetime,
    limit: int,
    *,
    except_carriers: Sequence[str] = (),
    except_reads: Sequence[str] = (),
) -> list[Due]:
    """Claim due deliveries: for each step at each carrier at most `limit`, the oldest first. Reads come last.

    At the carriers in `except_reads`, reads are not claimed. At the carriers in `except_carriers`, other steps are not
    claimed. Steps that only a newer version knows are never claimed. A claimed delivery is not claimed again during its
    lease. Concurrent claims never return the same delivery.
    """
    steps = [(Step(row.step), row.carrier) for row in connection.execute(_DUE_STEPS, {"now": now})]
    claimed: list[Due] = []
    for step, carrier in sorted(steps, key=lambda each: each[0] is Step.TRACK):
        if carrier not in (except_reads if step is Step.TRACK else except_carriers):
            claimed += _claim_step(connection, step, carrier, now, limit)
    return claimed


def _claim_step(connection: Connection, step: Step, carrier: str | None, now: datetime, limit: int) -> list[Due]:
    values = {"wanted": step.value, "now": now, "until": now + schedule.LEASE, "most": limit}
    if carrier is not None:
        values["account"] = carrier
    statement = _claim(connection.dialect.name, at_carrier=carrier is not None)
    return [Due(row.id, step, carrier, row.order_id) for row in connection.execute(statement, values)]


@lru_cache
def _claim(dialect: str, *, at_carrier: bool) -> Executable:
    """Return the statement that claims the due deliveries of one step at one carrier, or at none."""
    until = bindparam("until", type_=DELIVERY.c.next_run_at.type)
    carrier = DELIVERY.c.step_carrier == bindparam("account") if at_carrier else DELIVERY.c.step_carrier.is_(None)
    free = or_(DELIVERY.c.lease_until.is_(None), DELIVERY.c.lease_until < _NOW)
    # On PostgreSQL, `ctid` is the place of a row, so that no index is needed to find the row again.
    place = literal_column("delivery.ctid") if dialect == "postgresql" else DELIVERY.c.id
    due = (
        select(place.label("place"))
        .where(DELIVERY.c.step == bindparam("wanted"), carrier, DELIVERY.c.next_run_at <= _NOW, free)
        .order_by(DELIVERY.c.step_carrier, DELIVERY.c.next_run_at)  # the order of the index
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
        .cte()  # a plain subquery may run once for each row, which would defeat its limit
    )
    places = select(due.c.place)
    # PostgreSQL may read the whole table for an IN, but not for an array.
    these = place == func.any(func.array(places.scalar_subquery())) if dialect == "postgresql" else place.in_(places)
    return update(DELIVERY).where(these).values(lease_until=until).returning(DELIVERY.c.id, DELIVERY.c.order_id)


def overdue(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Return deliveries whose next step has waited for `schedule.OVERDUE` while another step may be due.

    The order is random, because the result is limited and most of these deliveries stay in it while a carrier's queue
    is not served.
    """
    return list(connection.scalars(_OVERDUE, {"now": now - schedule.OVERDUE, "most": limit}))


def release(connection: Connection, ids: Iterable[str], now: datetime, until: datetime) -> None:
    """Shorten the leases of claimed deliveries that are still due, so that they can be claimed again at `until`."""
    deliveries.set_all(connection, DELIVERY.c.id.in_(list(ids)) & (DELIVERY.c.next_run_at <= now), lease_until=until)


def release_all(
    connection: Connection,
    now: datetime,
    ids: Collection[str],
    callback_ids: Collection[str],
    compared: Collection[str],
) -> None:
    """Make claimed work due again at once: deliveries, callbacks, and deliveries to compare with the platform."""
    release(connection, ids, now, now)
    callbacks.release(connection, callback_ids, now)
    write_backs.make_due(connection, compared, now)
