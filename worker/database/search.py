"""Find deliveries by their properties, ids or a phone number, and the keys of the events about an order."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, FromClause, func, select

from schemas.events import carrier_key, skipped_key
from schemas.status import FINAL, DeliveryStatus
from worker.carriers.port import attempt_id_of
from worker.database import deliveries, inbox
from worker.database.event_feed import SCANNED
from worker.database.tables import ATTEMPT, DELIVERY, EVENT, ORDER
from worker.domain.delivery import Delivery

PHONE_SEARCHED = timedelta(days=2)
"""How far back orders are searched for the last digits of a phone number, because no index has the numbers."""
PHONE_DIGITS = 4
"""The fewest digits of a phone number that are searched for."""
MOST_FOUND = 50
SEARCHED = 200_000
"""How many of the newest deliveries are searched for a carrier or a final status: half a second."""
MAX_ATTEMPT_ID = 2**53
ANY = "any"


@dataclass(frozen=True, slots=True)
class Filter:
    """What the wanted deliveries have in common. None means that anything matches."""

    unfinished: bool = False
    """Only deliveries that are not final or that need an operator."""
    attention: str | None = None
    """An attention reason, or `ANY`."""
    status: DeliveryStatus | None = None
    carrier: str | None = None
    store: str | None = None
    before: datetime | None = None
    """Only deliveries that were placed before this time."""
    ids: tuple[str, ...] | None = None
    """Only these deliveries."""


def search(connection: Connection, wanted: Filter, limit: int, *, skip: int = 0) -> list[Delivery]:
    """Return the deliveries that match a filter: first those that need an operator, and then the newest.

    `skip` is the number of deliveries that were shown on earlier pages. No index has the carriers and the final
    statuses, so a search by one of them without a store examines only the newest `SEARCHED` deliveries.
    """
    most = skip + limit
    found = _newest(
        connection, DELIVERY, [DELIVERY.c.attention_reasons.is_not(None), *_conditions(DELIVERY, wanted)], most
    )
    if wanted.attention is None and len(found) < most:
        these = _searched(wanted)
        others = [these.c.attention_reasons.is_(None), *_open(these, wanted), *_conditions(these, wanted)]
        found += _newest(connection, these, others, most - len(found))
    return deliveries.load_in_order(connection, found[skip:])


def placed(connection: Connection, since: datetime, until: datetime, limit: int, *, skip: int = 0) -> list[Delivery]:
    """Return the deliveries that were placed in a time span, the oldest first; `skip` leaves out the first ones."""
    created = DELIVERY.c.created_at
    these = select(DELIVERY.c.id).where(created >= since, created < until).order_by(created, DELIVERY.c.id)
    return deliveries.load_in_order(connection, list(connection.scalars(these.offset(skip).limit(limit))))


def _newest(
    connection: Connection, these: FromClause, conditions: Collection[ColumnElement[bool]], limit: int
) -> list[str]:
    query = select(these.c.id).where(*conditions).order_by(these.c.created_at.desc()).limit(limit)
    return list(connection.scalars(query))


def _searched(wanted: Filter) -> FromClause:
    """Return the deliveries that are examined: the newest ones if no index finds those that are wanted."""
    is_indexed = wanted.store is not None or wanted.ids is not None or _open(DELIVERY, wanted)
    if is_indexed or (wanted.carrier is None and wanted.status is None):
        return DELIVERY
    before = [DELIVERY.c.created_at <= wanted.before] if wanted.before else []
    return select(DELIVERY).where(*before).order_by(DELIVERY.c.created_at.desc()).limit(SEARCHED).subquery()


def _open(these: FromClause, wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions of the deliveries that have not ended, if only these are wanted."""
    if not wanted.unfinished and (wanted.status is None or wanted.status in FINAL):
        return []
    return [these.c.status.not_in(FINAL), these.c.next_run_at.is_not(None)]  # the index of the next steps


def _conditions(these: FromClause, wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.attention not in {None, ANY}:
        conditions.append((", " + these.c.attention_reasons + ", ").contains(f", {wanted.attention}, "))
    if wanted.status is not None:
        conditions.append(these.c.status == wanted.status.value)
    if wanted.carrier is not None:
        conditions.append(these.c.carrier == wanted.carrier)
    if wanted.store is not None:
        conditions.append(these.c.store_id == wanted.store)
    if wanted.before is not None:
        conditions.append(these.c.created_at <= wanted.before)
    if wanted.ids is not None:
        conditions.append(these.c.id.in_(wanted.ids))
    return conditions


def find(connection: Connection, name: str, accounts: Collection[str]) -> list[Delivery]:
    """Find deliveries by their id, the order's id, the carrier's id of the order, or our number or tag of an attempt.

    The first of these that any delivery has decides. A carrier's id is searched for at `accounts`.
    """
    return deliveries.find(connection, name) or deliveries.load_in_order(
        connection, _by_attempt(connection, name, accounts)
    )


def _by_attempt(connection: Connection, name: str, accounts: Collection[str]) -> list[str]:
    their_own = (ATTEMPT.c.carrier.in_(accounts)) & (ATTEMPT.c.ref == name)
    number = int(name) if re.fullmatch(r"\d{1,16}", name, re.ASCII) else attempt_id_of(name.upper())
    for condition in (their_own, ATTEMPT.c.id == number if number and number < MAX_ATTEMPT_ID else None):
        if condition is not None:
            found = connection.scalars(
                select(ATTEMPT.c.delivery_id).where(condition).distinct().limit(MOST_FOUND)
            ).all()
            if found:
                return list(found)
    return []


def owners(
    connection: Connection, account: str, refs: Collection[str], attempt_ids: Collection[int]
) -> tuple[dict[str, str], dict[int, str]]:
    """Return the order ids of our deliveries with these order ids of a carrier, and those with these attempts.

    The first are by the carrier's id, the second by the attempt's id.
    """
    order_of = select(ATTEMPT.c.ref, ATTEMPT.c.id, DELIVERY.c.order_id).join(
        DELIVERY, DELIVERY.c.id == ATTEMPT.c.delivery_id
    )
    by_ref = connection.execute(order_of.where(ATTEMPT.c.carrier == account, ATTEMPT.c.ref.in_(refs)))
    by_attempt = connection.execute(order_of.where(ATTEMPT.c.id.in_(attempt_ids)))
    return {row.ref: row.order_id for row in by_ref}, {row.id: row.order_id for row in by_attempt}


def find_by_phone(connection: Connection, digits: str, now: datetime) -> list[Delivery]:
    """Find the deliveries of the last two days whose customer's phone number ends with these digits, newest first.

    All orders of these days are read. Return none for fewer than four digits.
    """
    if not re.fullmatch(rf"\d{{{PHONE_DIGITS},15}}", digits, re.ASCII):
        return []
    recent = (
        select(DELIVERY.c.id)
        .join(ORDER, ORDER.c.delivery_id == DELIVERY.c.id)
        .where(DELIVERY.c.created_at >= now - PHONE_SEARCHED, ORDER.c.order.contains(f'{digits}"'))
        .order_by(DELIVERY.c.created_at.desc())
        .limit(MOST_FOUND)
    )
    found = deliveries.load_in_order(connection, list(connection.scalars(recent)))
    return [each for each in found if each.order.customer.phone.endswith(digits)]


def event_keys(connection: Connection, name: str) -> list[str]:
    """Return the keys that the events about an order, an account or a dead letter have, by its id or name.

    An order without a delivery may have been skipped. The key of that event follows from the source of the order. Any
    other key is found only by one of the newest events.
    """
    ids = list(connection.scalars(select(DELIVERY.c.id).where(DELIVERY.c.order_id == name)))
    if ids:
        return [*ids, *map(skipped_key, ids)]
    newest = connection.scalar(select(func.max(EVENT.c.position))) or 0
    about = (EVENT.c.position > newest - SCANNED) & (EVENT.c.subject == name)
    others = connection.scalars(select(EVENT.c.key).where(about).distinct().order_by(EVENT.c.key))
    skipped = map(skipped_key, inbox.delivery_ids(connection, name))
    return list(dict.fromkeys([name, carrier_key(name), *skipped, *others]))
