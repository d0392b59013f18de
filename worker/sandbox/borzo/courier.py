"""The courier of a Borzo order and their position, which moves on a straight line between two points."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.sandbox.borzo.defaults import COORDINATES, COURIER
from worker.sandbox.borzo.order import BorzoOrder, Point, statuses_of

NO_COURIER = frozenset({"planned", "canceled", "draft", "invalid", "deleted"})
NO_POSITION = frozenset({"courier_assigned", "courier_at_pickup"})

HOME, PICKUP, DROP = range(3)
ROUTES: Mapping[str, tuple[int, int]] = {
    "courier_departed": (HOME, PICKUP),
    "parcel_picked_up": (PICKUP, PICKUP),
    "active": (PICKUP, DROP),
    "return_courier_picked_up": (DROP, PICKUP),
}
"""Where the courier's way starts and ends, by delivery status.

In any other status, the courier stays at the customer's door.
"""


def describe_courier(order: BorzoOrder, at: datetime) -> dict[str, Any] | None:
    """Return the courier (borzo.txt, "Courier info and courier location"); None while the order has none.

    The courier has a position only if the order is `active` and the delivery status is not in `NO_POSITION`.
    """
    status, delivery = statuses_of(order.scenario.history(at)[-1])
    if status not in ("active", "completed", "delayed") or delivery in NO_COURIER:
        return None
    has_position = status == "active" and delivery not in NO_POSITION
    latitude, longitude = _position(order, at) if has_position else (None, None)
    return {**COURIER, "latitude": latitude, "longitude": longitude}


def _position(order: BorzoOrder, at: datetime) -> tuple[str, str]:
    """Return latitude and longitude. The courier travels during one step of the script, and then waits."""
    change, step = order.scenario.history(at)[-1], order.scenario.step
    start, end = ROUTES.get(statuses_of(change)[1], (DROP, DROP))
    places = (_coordinates(None, 1), _coordinates(order.points[0], 0), _coordinates(order.points[1], 1))
    progress = min((at - change.at) / step, 1.0) if step else 1.0
    (south, west), (north, east) = places[start], places[end]
    return str(round(south + (north - south) * progress, 7)), str(round(west + (east - west) * progress, 7))


def _coordinates(point: Point | None, default: int) -> tuple[float, float]:
    latitude, longitude = COORDINATES[default]
    if point and point["latitude"] and point["longitude"]:
        latitude, longitude = point["latitude"], point["longitude"]
    return float(latitude), float(longitude)
