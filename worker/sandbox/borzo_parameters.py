"""The parameters of Borzo's requests and their rules, the faults that lie between them, and what is left without them.

The names are the union of the document's tables and samples, because its tables leave some out (B-12).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from worker.sandbox.borzo_rules import (
    Rule,
    Shape,
    choice,
    coordinate,
    flag,
    listing,
    moment,
    number,
    phone,
    text,
    whole,
)

VEHICLES = (5, 7, 8)
PAYMENT_METHODS = ("cash", "balance", "bank_card")
PROMO_CODES = ("FIRST_ORDER",)
BANK_CARD = 80
MOST_POINTS, MOST_LOADERS = 99, 11

_PACKAGE: dict[str, Rule] = {
    "ware_code": text(255),
    "description": text(1000),
    "items_count": number,
    "item_payment_amount": number,
    "nomenclature_code": text(255),
    "order_package_id": whole(),
}
_PACKAGES = listing(Shape(_PACKAGE, nullable=frozenset({"ware_code", "description", "nomenclature_code"})))

_CONTACT = Shape({"name": text(350), "phone": phone}, frozenset({"phone"}), frozenset({"name"}))
_CONTACT_EDIT = Shape(_CONTACT.rules, nullable=_CONTACT.nullable)

FREE_TEXTS = [
    "client_order_id",
    "note",
    "building_number",
    "entrance_number",
    "intercom_code",
    "floor_number",
    "apartment_number",
    "invisible_mile_navigation_instructions",
]
_POINT: dict[str, Rule] = {
    "address": text(350),
    "contact_person": _CONTACT,
    "latitude": coordinate(90),
    "longitude": coordinate(180),
    "required_start_datetime": moment,
    "required_finish_datetime": moment,
    "taking_amount": number,
    "buyout_amount": number,
    "is_order_payment_here": flag,
    "is_cod_cash_voucher_required": flag,
    "packages": _PACKAGES,
    "delivery_id": lambda _: ["invalid_delivery_id"],  # there are no draft deliveries in the sandbox
    **dict.fromkeys(FREE_TEXTS, text(5000)),
}
_POINT_NULLABLE = frozenset(
    {"latitude", "longitude", "delivery_id", "required_start_datetime", "required_finish_datetime", *FREE_TEXTS}
)
_NEW_POINT = Shape(_POINT, frozenset({"address", "contact_person"}), _POINT_NULLABLE)
_KEPT_POINT = Shape(
    {**_POINT, "point_id": whole(), "contact_person": _CONTACT_EDIT}, frozenset({"point_id"}), _POINT_NULLABLE
)

_ORDER: dict[str, Rule] = {
    "type": choice(["standard"], "invalid_enum_value"),
    "matter": text(5000),
    "vehicle_type_id": choice(VEHICLES, "invalid_vehicle_type"),
    "total_weight_kg": whole(),
    "insurance_amount": number,
    "is_client_notification_enabled": flag,
    "is_contact_person_notification_enabled": flag,
    "is_route_optimizer_enabled": flag,
    "loaders_count": whole(MOST_LOADERS),
    "is_motobox_required": flag,
    "is_thermobox_required": flag,
    "payment_method": choice(PAYMENT_METHODS, "invalid_enum_value"),
    "bank_card_id": choice([BANK_CARD], "invalid_bank_card"),
    "is_return_required": flag,
    "promo_code": choice(PROMO_CODES, "invalid_value"),
    "backpayment_details": text(5000),
    "points": listing(_NEW_POINT, 2, MOST_POINTS),
}
_ORDER_NULLABLE = frozenset({"bank_card_id", "promo_code", "backpayment_details"})


def _edited_point(value: Any) -> Any:
    known = isinstance(value, dict) and "point_id" in value
    return _KEPT_POINT(value) if known else _NEW_POINT(value)


CREATE = Shape(_ORDER, frozenset({"matter", "points"}), _ORDER_NULLABLE)
EDIT = Shape(
    {**_ORDER, "order_id": whole(), "points": listing(_edited_point, 2, MOST_POINTS)},
    frozenset({"order_id"}),
    _ORDER_NULLABLE,
)
ONE_ORDER = Shape({"order_id": whole()}, frozenset({"order_id"}))


def conflicts(order: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    """Return the faults that lie between parameters which are fine by themselves."""
    faults: dict[str, Any] = {}
    if order.get("payment_method") == "bank_card" and order.get("bank_card_id") is None:
        faults["bank_card_id"] = ["required"]
    points = _point_conflicts(order.get("points") or [], now)
    return {**faults, "points": points} if any(points) else faults or None


def _point_conflicts(points: list[dict[str, Any]], now: datetime) -> list[dict[str, Any] | None]:
    faults: list[dict[str, Any] | None] = []
    earliest, payers = now - timedelta(minutes=1), 0
    for index, point in enumerate(points):
        start, finish = (_instant(point.get(f"required_{end}_datetime")) for end in ("start", "finish"))
        fault = _time_fault(start, finish, earliest, first=index == 0)
        fault |= _money_fault(point)
        payers += bool(point.get("is_order_payment_here"))
        if point.get("is_order_payment_here") and payers > 1:
            fault["is_order_payment_here"] = ["order_payment_only_one_point"]
        faults.append(fault or None)
        earliest = start or earliest
    return faults


def _money_fault(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is wrong with the money at a point; a check for the recipient is written from the packages."""
    new = "point_id" not in point
    unlisted = new and point.get("is_cod_cash_voucher_required") and not point.get("packages")
    both = _amount(point, "taking_amount") and _amount(point, "buyout_amount")
    return {
        **({"packages": ["required"]} if unlisted else {}),
        **({"taking_amount": ["cod_is_not_allowed_with_buyout"]} if both else {}),
    }


def _amount(point: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(point.get(name) or 0))


def _time_fault(start: datetime | None, finish: datetime | None, earliest: datetime, *, first: bool) -> dict[str, Any]:
    if start and finish and start > finish:
        return {"required_start_datetime": ["start_after_end"]}
    if finish and finish < earliest:
        return {"required_finish_datetime": ["cannot_be_past" if first else "earlier_than_previous_point"]}
    return {}


def _instant(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def sound(value: Any, faults: Any) -> Any:
    """Return the value without its faulty parts, for a price that is given all the same (B-21)."""
    if isinstance(value, dict) and isinstance(faults, dict):
        return {name: sound(part, faults.get(name)) for name, part in value.items() if not _codes(faults.get(name))}
    if isinstance(value, list) and isinstance(faults, list):
        return [{} if _codes(fault) else sound(item, fault) for item, fault in zip(value, faults, strict=True)]
    return value


def merged(first: Any, second: Any) -> Any:
    """Return one tree of faults out of two of the same shape."""
    if not (first and second):
        return first or second
    if isinstance(first, dict):
        return {name: merged(first.get(name), second.get(name)) for name in {**first, **second}}
    if _codes(first):
        return [*first, *second] if _codes(second) else first
    return [merged(*pair) for pair in zip_longest(first, second)]


def _codes(faults: Any) -> bool:
    return isinstance(faults, list) and all(isinstance(code, str) for code in faults)
