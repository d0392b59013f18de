"""Borzo's JSON for an order: a whole order, a calculated order, and the delivery of one point."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.borzo.courier import describe_courier
from worker.sandbox.borzo.defaults import (
    CANCEL_REASON,
    CLIENT_ID,
    DOCUMENTS,
    FEES,
    ORDER_DEFAULTS,
    POINT_FIELDS_OF_DELIVERY,
    PRICE,
    RECIPIENT_ABSENT,
)
from worker.sandbox.borzo.order import (
    VISITED_DROP,
    VISITED_PICKUP,
    BorzoOrder,
    Point,
    format_time,
    is_drop,
    statuses_of,
)
from worker.sandbox.scenarios import StatusChange

SECOND_ATTEMPT = ("return_", "reattempt_")
HANDED_OVER = frozenset({"finished", "reattempt_finished"})


def write_order(order: BorzoOrder, at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """Return the whole order as it is at the time `at` (borzo.txt, "Placing an order")."""
    last = order.scenario.history(at)[-1]
    status, _ = statuses_of(last)
    own = {
        "order_id": order.number,
        "order_name": str(order.number)[-5:],
        "created_datetime": format_time(order.created, zone),
        "finish_datetime": format_time(last.at, zone) if status == "completed" else None,
        "status": status,
        "status_description": CANCEL_REASON if status == "canceled" else status,
        "courier": describe_courier(order, at),
    }
    points = [_write_point(order, point, index, at, zone) for index, point in enumerate(order.points)]
    return _with_prices(order.sent, own, points)


def write_price(number: int, sent: dict[str, Any], points: list[Point], created: str) -> dict[str, Any]:
    """Return a calculated order, which has an order id although no order was created (B-20)."""
    unknown = dict.fromkeys(["order_name", "finish_datetime", "status", "status_description", "courier"])
    drop = {"delivery": {"status": "planned"}}
    planned = [
        {**point, "estimated_arrival_datetime": point["required_start_datetime"], **(drop if index else {})}
        for index, point in enumerate(points)
    ]
    return _with_prices(sent, {"order_id": number, "created_datetime": created, **unknown}, planned)


def write_delivery(order: BorzoOrder, point: Point, change: StatusChange, zone: ZoneInfo) -> dict[str, Any]:
    """Return the delivery of one point (borzo.txt, "Notification about delivery changes")."""
    _, status = statuses_of(change)
    is_absent = status.startswith(SECOND_ATTEMPT) and status not in HANDED_OVER
    courier = describe_courier(order, change.at)
    return {
        "delivery_id": order.deliveries[point["point_id"]],
        "delivery_type": "plain",
        "order_id": order.number,
        "client_id": CLIENT_ID,
        **{name: point[name] for name in POINT_FIELDS_OF_DELIVERY},
        "status": status,
        "status_description": status,
        "status_datetime": format_time(change.at, zone),
        "created_datetime": format_time(order.created, zone),
        "order_name": str(order.number)[-5:],
        "order_payment_amount": PRICE,
        "delivery_price_amount": PRICE,
        "is_motobox_required": order.sent["is_motobox_required"],
        "is_door_to_door": False,
        "is_return_to_first_point_required": False,
        "matter": order.sent["matter"],
        "insurance_amount": order.sent["insurance_amount"],
        "weight_kg": order.sent["total_weight_kg"],
        "checkin_issue_name": RECIPIENT_ABSENT if is_absent else None,
        **({"courier": courier} if courier else {}),
        **(_proof_of_delivery(order, point) if status in HANDED_OVER else {}),
    }


def _write_point(order: BorzoOrder, point: Point, index: int, at: datetime, zone: ZoneInfo) -> Point:
    history = order.scenario.history(at)
    _, delivery = statuses_of(history[-1])
    visits = VISITED_DROP if index else VISITED_PICKUP
    visit = next((change.at for change in history if statuses_of(change)[1] in visits), None)
    changing: dict[str, Any] = {"courier_visit_datetime": format_time(visit, zone) if visit else None}
    if is_drop(point, index):
        is_tracked = describe_courier(order, at) is not None
        changing["delivery"] = {"status": delivery}
        changing["tracking_url"] = f"https://tracking.borzo.example/{order.number}" if is_tracked else None
        changing |= _proof_of_delivery(order, point) if delivery in HANDED_OVER else {}
    return {**point, **changing}


def _proof_of_delivery(order: BorzoOrder, point: Point) -> dict[str, Any]:
    """Return the name of the recipient and the pictures of the handover."""
    recipient = {"recipient_full_name": point["contact_person"]["name"], "recipient_position": None}
    pictures = f"https://pictures.borzo.example/{order.number}"
    return {"checkin": recipient, "place_photo_url": f"{pictures}/place.jpg", "sign_photo_url": f"{pictures}/sign.jpg"}


def _with_prices(sent: dict[str, Any], own: dict[str, Any], points: list[Point]) -> dict[str, Any]:
    repeated = ORDER_DEFAULTS.keys() - {"promo_code"} | {"is_thermobox_required"}
    discount = {"promo_code_discount_amount": "5.00"} if sent["promo_code"] else {}
    return {
        **{name: value for name, value in sent.items() if name in repeated},
        **own,
        "points": points,
        "payment_amount": PRICE,
        "delivery_fee_amount": PRICE,
        **FEES,
        **discount,
        **DOCUMENTS,
        "applied_promo_code": sent["promo_code"],
    }
