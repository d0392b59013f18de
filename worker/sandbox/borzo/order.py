"""A Borzo order: its parameters and points, completed with defaults and changed by an edit.

Everything else follows from the order's scenario and the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.api import Order
from worker.sandbox.borzo.defaults import COORDINATES, ORDER_DEFAULTS, PACKAGE_DEFAULTS, POINT_DEFAULTS
from worker.sandbox.scenarios import StatusChange

VISITED_PICKUP = ("courier_at_pickup", "parcel_picked_up")
VISITED_DROP = ("courier_arrived", "finished")

Point = dict[str, Any]
PointErrors = list[dict[str, Any] | None]


@dataclass(slots=True, kw_only=True)
class BorzoOrder(Order):
    """An order, with the delivery id of each point id in `deliveries`.

    If a return is required, the last of the points is the return point.
    """

    number: int
    sent: dict[str, Any]
    points: list[Point]
    deliveries: dict[int, int] = field(default_factory=dict)


def statuses_of(change: StatusChange) -> tuple[str, str]:
    """Return the status of the order and the status of its deliveries."""
    order, _, delivery = change.status.partition("/")
    return order, delivery


def has_visited(history: tuple[StatusChange, ...]) -> bool:
    """Return whether the courier has visited any address. If so, the order can no longer be cancelled."""
    return any(statuses_of(change)[1] in VISITED_PICKUP + VISITED_DROP for change in history)


def is_drop(point: Mapping[str, Any], index: int) -> bool:
    """Return whether the point is a customer's: neither the pickup point nor the return point (B-74)."""
    return index > 0 and not point["is_return_point"]


def format_time(at: datetime, zone: ZoneInfo) -> str:
    """Return a timestamp with a numeric offset and no fractions (B-07)."""
    return at.astimezone(zone).isoformat(timespec="seconds")


def format_amount(value: Any) -> str:
    """Return an amount as a string with two decimals (B-08)."""
    return f"{Decimal(str(value)):.2f}"


def complete_parameters(sent: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters but the points, with defaults; null means the default (borzo.txt, "Order editing")."""
    given = {name: value for name, value in sent.items() if name != "points" and value is not None}
    complete = {**ORDER_DEFAULTS, **given}
    return {**complete, "insurance_amount": format_amount(complete["insurance_amount"])}


def complete_point(sent: Mapping[str, Any], index: int, created: datetime, zone: ZoneInfo) -> Point:
    """Return a point with defaults, such as coordinates as if geocoded and an interval of half an hour."""
    given = {name: value for name, value in sent.items() if value is not None}
    latitude, longitude = COORDINATES[min(index, 1)]
    start = created + timedelta(minutes=30 + 60 * index)
    coordinates = {"latitude": latitude, "longitude": longitude}
    interval = {
        "required_start_datetime": format_time(start, zone),
        "required_finish_datetime": format_time(start + timedelta(minutes=30), zone),
    }
    contact = {**POINT_DEFAULTS["contact_person"], **given.get("contact_person", {})}
    return _normalize_point({**POINT_DEFAULTS, **coordinates, **interval, **given, "contact_person": contact})


def edit_points(
    points: list[Point], sent: list[Point], created: datetime, zone: ZoneInfo, *, pickup_visited: bool
) -> tuple[PointErrors | None, list[Point]]:
    """Return None and the points after an edit, or errors and no points (borzo.txt, "Order editing"; B-95).

    Points and packages without an id are added, and those that the edit does not contain are deleted. The address of
    the first point is not editable after the courier has visited this point.
    """
    known = {point["point_id"]: point for point in points}
    visited = points[:1] if pickup_visited else []
    errors = [_id_error(known, each) or _address_error(visited, each) for each in sent]
    if any(errors):
        return errors, []
    edited = [
        _edit_point(known[each["point_id"]], each) if "point_id" in each else complete_point(each, index, created, zone)
        for index, each in enumerate(sent)
    ]
    return None, edited


def _edit_point(point: Point, sent: Mapping[str, Any]) -> Point:
    """Return the changed point, with only those packages that the edit contains (B-96, example 4)."""
    existing = {package["order_package_id"]: package for package in point["packages"]}
    packages = [{**existing.get(each.get("order_package_id"), {}), **each} for each in sent.get("packages", [])]
    contact = {**point["contact_person"], **sent.get("contact_person", {})}
    return _normalize_point({**point, **sent, "contact_person": contact, "packages": packages})


def _id_error(known: Mapping[int, Point], sent: Mapping[str, Any]) -> dict[str, Any] | None:
    if "point_id" not in sent:
        return None
    if sent["point_id"] not in known:
        return {"point_id": ["invalid_point"]}
    existing = {package["order_package_id"] for package in known[sent["point_id"]]["packages"]}
    errors = [_package_error(existing, package) for package in sent.get("packages", [])]
    return {"packages": errors} if any(errors) else None


def _package_error(existing: set[int], sent: Mapping[str, Any]) -> dict[str, Any] | None:
    unknown = "order_package_id" in sent and sent["order_package_id"] not in existing
    return {"order_package_id": ["invalid_order_package"]} if unknown else None


def _address_error(visited: list[Point], sent: Mapping[str, Any]) -> dict[str, Any] | None:
    moved = any(
        sent.get("point_id") == point["point_id"] and sent.get("address", point["address"]) != point["address"]
        for point in visited
    )
    return {"address": ["not_editable"]} if moved else None


def _normalize_point(point: Mapping[str, Any]) -> Point:
    """Return the point with coordinates and amounts as strings and with complete packages."""
    return {
        **point,
        **{name: point[name] and str(point[name]) for name in ("latitude", "longitude")},
        **{name: format_amount(point[name]) for name in ("taking_amount", "buyout_amount")},
        "packages": [_normalize_package(package) for package in point["packages"]],
    }


def _normalize_package(sent: Mapping[str, Any]) -> dict[str, Any]:
    package = {**PACKAGE_DEFAULTS, **sent}
    return {**package, "item_payment_amount": format_amount(package["item_payment_amount"])}
