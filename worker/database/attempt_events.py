"""What the events say about attempts, read from the outbox in parts, in the order of the positions."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, func, or_, select

from schemas.events import TEST_SOURCE, EventType
from schemas.status import CancelledBy, Cause, DeliveryStatus, Reason
from worker.database.tables import ATTEMPT, EVENT
from worker.domain.report import MILESTONES, AttemptEvent, Milestone

PickupTimes = Mapping[tuple[str, int], datetime]
"""The requested pickup time of attempts, by the delivery's id and the attempt's number."""
KINDS = (EventType.STATUS_CHANGED, EventType.ATTEMPT_ENDED, EventType.STATUS_UNRECOGNIZED)
_ABOUT_ATTEMPTS = or_(*(EVENT.c.body.contains(f'"type":"{kind}"') for kind in KINDS)) & ~EVENT.c.body.contains(
    f'"source":"{TEST_SOURCE}"'
)
_NEXT = select(EVENT.c.position, EVENT.c.created_at).order_by(EVENT.c.position).limit(1)


def newest_position(connection: Connection) -> int:
    """Return the position of the newest event; 0 when there is none."""
    return connection.scalar(select(func.max(EVENT.c.position))) or 0


def position_before(connection: Connection, moment: datetime) -> int:
    """Return the position after which the events are not older than `moment`.

    The time of an event has no index, because every event would pay for it. Positions and times have the same order, so
    a binary search over the positions finds the place with some twenty reads of a row. Transactions that ran at the
    same time may be out of order by seconds.
    """
    low, high = 0, newest_position(connection)
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(_NEXT.where(EVENT.c.position > middle)).one()
        if row.created_at < moment:
            low = row.position
        else:
            high = middle
    return low


def between(connection: Connection, after: int, until: int) -> list[AttemptEvent]:
    """Return the events about attempts after one position, up to another.

    Test events are left out, and events with a status or reason that only a newer version of the program knows.
    """
    these = (EVENT.c.position > after) & (EVENT.c.position <= until)
    query = select(EVENT.c.body).where(these, _ABOUT_ATTEMPTS).order_by(EVENT.c.position)
    found = [from_json(body) for body in connection.scalars(query).all()]
    pickups = _pickup_times(connection, {each["data"]["delivery_id"] for each in found if _shows_pickup(each)})
    return list(_known(found, pickups))


def _shows_pickup(event: Mapping[str, Any]) -> bool:
    return MILESTONES.get(event["data"]["status"]) is Milestone.PICKUP


def _pickup_times(connection: Connection, delivery_ids: Collection[str]) -> PickupTimes:
    """Return the requested pickup time of each attempt of these deliveries."""
    if not delivery_ids:
        return {}
    columns = (ATTEMPT.c.delivery_id, ATTEMPT.c.number, ATTEMPT.c.document)
    found = connection.execute(select(*columns).where(ATTEMPT.c.delivery_id.in_(delivery_ids)))
    documents = {(row.delivery_id, row.number): from_json(row.document) for row in found}
    return {key: datetime.fromisoformat(document["pickup_at"]) for key, document in documents.items()}


def _known(found: Iterable[Mapping[str, Any]], pickups: PickupTimes) -> Iterator[AttemptEvent]:
    for each in found:
        with suppress(ValueError):
            yield _event(each, pickups)


def _event(event: Mapping[str, Any], pickups: PickupTimes) -> AttemptEvent:
    data = event["data"]
    previous, occurred, reason = data["previous_status"], data["occurred_at"], data["reason"]
    raw, price, cancelled_by = data["raw"], data["price"], data["cancelled_by"]
    return AttemptEvent(
        type=EventType(event["type"]),
        delivery_id=data["delivery_id"],
        sequence=data["sequence"],
        store_id=data["store_id"],
        status=DeliveryStatus(data["status"]),
        previous_status=DeliveryStatus(previous) if previous else None,
        carrier=data["carrier"],
        attempt=data["attempt"],
        cause=Cause(data["cause"]),
        observed_at=datetime.fromisoformat(data["observed_at"]),
        occurred_at=datetime.fromisoformat(occurred) if occurred else None,
        reason=Reason(reason) if reason else None,
        cancelled_by=CancelledBy(cancelled_by) if cancelled_by else None,
        raw=f"{raw['entity']}:{raw['code']}" if raw else None,
        price=(price["currency"], Decimal(price["amount"])) if price else None,
        pickup_at=pickups.get((data["delivery_id"], data["attempt"])) if _shows_pickup(event) else None,
    )
