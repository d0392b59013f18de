"""Where Borzo's courier is: on a straight line between two places, as far along it as the time of one word has gone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.sandbox.borzo_defaults import SPOTS
from worker.sandbox.lives import Life

Spot = tuple[float, float]

AWAY, PICKUP, DROP = range(3)
LEGS: Mapping[str, tuple[int, int]] = {
    "courier_departed": (AWAY, PICKUP),
    "parcel_picked_up": (PICKUP, PICKUP),
    "active": (PICKUP, DROP),
    "return_courier_picked_up": (DROP, PICKUP),
}
"""From where to where he goes while a delivery has this word; with every other he is at the customer's."""


def position_of(points: list[dict[str, Any]], life: Life, at: datetime) -> tuple[str, str]:
    """Return latitude and longitude; a life that was stopped by hand lets him arrive and wait."""
    since = life.history(at)[-1]
    start, end = LEGS.get(since.word.partition("/")[2], (DROP, DROP))
    places = (_spot(None, 1), _spot(points[0], 0), _spot(points[1], 1))
    gone = min((at - since.at) / life.step, 1.0) if life.step else 1.0
    (south, west), (north, east) = places[start], places[end]
    return str(round(south + (north - south) * gone, 7)), str(round(west + (east - west) * gone, 7))


def _spot(point: Mapping[str, Any] | None, known: int) -> Spot:
    latitude, longitude = SPOTS[known]
    if point and point["latitude"] and point["longitude"]:
        latitude, longitude = point["latitude"], point["longitude"]
    return float(latitude), float(longitude)
