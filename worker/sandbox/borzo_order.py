"""A Borzo order and how it is written: in replies, in lists, in prices and in callbacks.

Everything that changes by itself is derived from the order's life at an instant; the rest is what the client sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.borzo_defaults import (
    CANCELLED_BECAUSE,
    CLIENT_ID,
    COURIER,
    DOCUMENTS,
    FEES,
    IN_DELIVERY,
    NOBODY_THERE,
    ORDER_DEFAULTS,
    PACKAGE_DEFAULTS,
    POINT_DEFAULTS,
    PRICE,
    SPOTS,
)
from worker.sandbox.borzo_places import position_of
from worker.sandbox.lives import Moment
from worker.sandbox.world import Order

VISITED_PICKUP = ("courier_at_pickup", "parcel_picked_up")
VISITED_DROP = ("courier_arrived", "finished")
NO_COURIER = frozenset({"planned", "canceled", "draft", "invalid", "deleted"})
STANDING = frozenset({"courier_assigned", "courier_at_pickup"})
AGAIN = ("return_", "reattempt_")
HANDED_OVER = frozenset({"finished", "reattempt_finished"})


@dataclass(slots=True, kw_only=True)
class BorzoOrder(Order):
    """An order: its own parameters and its points, the last being the return point where one is required."""

    number: int
    sent: dict[str, Any]
    points: list[dict[str, Any]]
    deliveries: dict[int, int] = field(default_factory=dict)


def stamp(at: datetime, zone: ZoneInfo) -> str:
    """Write a timestamp with a numeric offset and no fractions (B-07)."""
    return at.astimezone(zone).isoformat(timespec="seconds")


def money(value: Any) -> str:
    """Write an amount as a string with two decimals (B-08)."""
    return f"{Decimal(str(value)):.2f}"


def complete_sent(sent: dict[str, Any]) -> dict[str, Any]:
    """Fill in an order's own parameters; null means the default (borzo.txt, "Order editing")."""
    given = {name: value for name, value in sent.items() if name != "points" and value is not None}
    complete = {**ORDER_DEFAULTS, **given}
    return {**complete, "insurance_amount": money(complete["insurance_amount"])}


def complete_point(sent: Mapping[str, Any], index: int, created: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """Fill in what was not sent: coordinates as if geocoded, an interval half an hour long, every default."""
    given = {name: value for name, value in sent.items() if value is not None}
    latitude, longitude = SPOTS[min(index, 1)]
    start = created + timedelta(minutes=30 + 60 * index)
    placed = {"latitude": latitude, "longitude": longitude}
    interval = {
        "required_start_datetime": stamp(start, zone),
        "required_finish_datetime": stamp(start + timedelta(minutes=30), zone),
    }
    contact = {**POINT_DEFAULTS["contact_person"], **given.get("contact_person", {})}
    return normal_point({**POINT_DEFAULTS, **placed, **interval, **given, "contact_person": contact})


def normal_point(point: Mapping[str, Any]) -> dict[str, Any]:
    """Write coordinates and amounts as strings, and complete the packages."""
    return {
        **point,
        **{name: point[name] and str(point[name]) for name in ("latitude", "longitude")},
        **{name: money(point[name]) for name in ("taking_amount", "buyout_amount")},
        "packages": [_normal_package(package) for package in point["packages"]],
    }


def _normal_package(sent: Mapping[str, Any]) -> dict[str, Any]:
    package = {**PACKAGE_DEFAULTS, **sent}
    return {**package, "item_payment_amount": money(package["item_payment_amount"])}


def words_at(history: tuple[Moment, ...]) -> tuple[str, str]:
    """Return the order's status and the delivery's."""
    order, _, delivery = history[-1].word.partition("/")
    return order, delivery


def courier_at(order: BorzoOrder, at: datetime) -> dict[str, Any] | None:
    """Return the courier, with a position while on the way (borzo.txt, "Courier info and courier location")."""
    status, delivery = words_at(order.life.history(at))
    if status not in ("active", "completed", "delayed") or delivery in NO_COURIER:
        return None
    moving = status == "active" and delivery not in STANDING
    latitude, longitude = position_of(order.points, order.life, at) if moving else (None, None)
    return {**COURIER, "latitude": latitude, "longitude": longitude}


def has_visited(history: tuple[Moment, ...]) -> bool:
    """Return whether a courier has visited any address, after which there is no cancelling."""
    return any(moment.word.partition("/")[2] in VISITED_PICKUP + VISITED_DROP for moment in history)


def write_order(order: BorzoOrder, at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """Write the whole order as it is at an instant (borzo.txt, "Placing an order")."""
    history = order.life.history(at)
    status, _ = words_at(history)
    finished = stamp(history[-1].at, zone) if status == "completed" else None
    own = {
        "order_id": order.number,
        "order_name": str(order.number)[-5:],
        "created_datetime": stamp(order.created, zone),
        "finish_datetime": finished,
        "status": status,
        "status_description": CANCELLED_BECAUSE if status == "canceled" else status,
        "courier": courier_at(order, at),
    }
    points = [_write_point(order, point, index, at, zone) for index, point in enumerate(order.points)]
    return _with_prices(order.sent, own, points)


def write_price(number: int, sent: dict[str, Any], points: list[dict[str, Any]], created: str) -> dict[str, Any]:
    """Write a calculated order: an order id, although nothing was created (B-20)."""
    unknown = dict.fromkeys(["order_name", "finish_datetime", "status", "status_description", "courier"])
    drop = {"delivery": {"status": "planned"}}
    planned = [
        {**point, "estimated_arrival_datetime": point["required_start_datetime"], **(drop if index else {})}
        for index, point in enumerate(points)
    ]
    return _with_prices(sent, {"order_id": number, "created_datetime": created, **unknown}, planned)


def write_delivery(order: BorzoOrder, point: dict[str, Any], moment: Moment, zone: ZoneInfo) -> dict[str, Any]:
    """Write the delivery of one point (borzo.txt, "Notification about delivery changes")."""
    status = moment.word.partition("/")[2]
    return {
        "delivery_id": order.deliveries[point["point_id"]],
        "delivery_type": "plain",
        "order_id": order.number,
        "client_id": CLIENT_ID,
        **{name: point[name] for name in IN_DELIVERY},
        "status": status,
        "status_description": status,
        "status_datetime": stamp(moment.at, zone),
        "created_datetime": stamp(order.created, zone),
        "order_name": str(order.number)[-5:],
        "order_payment_amount": PRICE,
        "delivery_price_amount": PRICE,
        "is_motobox_required": order.sent["is_motobox_required"],
        "is_door_to_door": False,
        "is_return_to_first_point_required": False,
        "matter": order.sent["matter"],
        "insurance_amount": order.sent["insurance_amount"],
        "weight_kg": order.sent["total_weight_kg"],
        "checkin_issue_name": NOBODY_THERE if status.startswith(AGAIN) and status not in HANDED_OVER else None,
        **({"courier": courier} if (courier := courier_at(order, moment.at)) else {}),
        **(_proof(order, point) if status in HANDED_OVER else {}),
    }


def is_drop(point: Mapping[str, Any], index: int) -> bool:
    """Return whether the point carries a delivery: neither the pick-up nor the return point does (B-74)."""
    return index > 0 and not point["is_return_point"]


def _write_point(order: BorzoOrder, point: dict[str, Any], index: int, at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    history = order.life.history(at)
    delivery = words_at(history)[1]
    visits = VISITED_DROP if index else VISITED_PICKUP
    visit = next((moment.at for moment in history if moment.word.partition("/")[2] in visits), None)
    changing: dict[str, Any] = {"courier_visit_datetime": stamp(visit, zone) if visit else None}
    if is_drop(point, index):
        tracked = courier_at(order, at) is not None
        changing["delivery"] = {"status": delivery}
        changing["tracking_url"] = f"https://tracking.borzo.example/{order.number}" if tracked else None
        changing |= _proof(order, point) if delivery in HANDED_OVER else {}
    return {**point, **changing}


def _proof(order: BorzoOrder, point: dict[str, Any]) -> dict[str, Any]:
    """Write who took the parcel, and the pictures of it."""
    signer = {"recipient_full_name": point["contact_person"]["name"], "recipient_position": None}
    pictures = f"https://pictures.borzo.example/{order.number}"
    return {"checkin": signer, "place_photo_url": f"{pictures}/place.jpg", "sign_photo_url": f"{pictures}/sign.jpg"}


def _with_prices(sent: dict[str, Any], own: dict[str, Any], points: list[dict[str, Any]]) -> dict[str, Any]:
    told = ORDER_DEFAULTS.keys() - {"promo_code"} | {"is_thermobox_required"}
    echoed = {name: value for name, value in sent.items() if name in told}
    discount = {"promo_code_discount_amount": "5.00"} if sent["promo_code"] else {}
    return {
        **echoed,
        **own,
        "points": points,
        "payment_amount": PRICE,
        "delivery_fee_amount": PRICE,
        **FEES,
        **discount,
        **DOCUMENTS,
        "applied_promo_code": sent["promo_code"],
    }
