"""The parameters of Borzo's requests: the rule of each one, and the conflicts between them.

The names are the union of the document's tables and samples, because the tables are incomplete (B-12).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from worker.sandbox.borzo.validation import (
    Rule,
    Shape,
    choice,
    coordinate,
    flag,
    integer,
    list_of,
    number,
    phone,
    text,
    timestamp,
)

VEHICLES = (5, 7, 8)
PAYMENT_METHODS = ("cash", "balance", "bank_card")
PROMO_CODES = ("FIRST_ORDER",)
BANK_CARD = 80
MAX_POINTS, MAX_LOADERS = 99, 11

_PACKAGE: dict[str, Rule] = {
    "ware_code": text(255),
    "description": text(1000),
    "items_count": number,
    "item_payment_amount": number,
    "nomenclature_code": text(255),
    "order_package_id": integer(),
}
_PACKAGES = list_of(Shape(_PACKAGE, nullable=frozenset({"ware_code", "description", "nomenclature_code"})))

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
    "required_start_datetime": timestamp,
    "required_finish_datetime": timestamp,
    "taking_amount": number,
    "buyout_amount": number,
    "is_order_payment_here": flag,
    "is_cod_cash_voucher_required": flag,
    "packages": _PACKAGES,
    "delivery_id": lambda _: ["invalid_delivery_id"],  # the sandbox has no draft deliveries
    **dict.fromkeys(FREE_TEXTS, text(5000)),
}
_POINT_NULLABLE = frozenset(
    {"latitude", "longitude", "delivery_id", "required_start_datetime", "required_finish_datetime", *FREE_TEXTS}
)
_NEW_POINT = Shape(_POINT, frozenset({"address", "contact_person"}), _POINT_NULLABLE)
_EXISTING_POINT = Shape(
    {**_POINT, "point_id": integer(), "contact_person": _CONTACT_EDIT}, frozenset({"point_id"}), _POINT_NULLABLE
)

_ORDER: dict[str, Rule] = {
    "type": choice(["standard"], "invalid_enum_value"),
    "matter": text(5000),
    "vehicle_type_id": choice(VEHICLES, "invalid_vehicle_type"),
    "total_weight_kg": integer(),
    "insurance_amount": number,
    "is_client_notification_enabled": flag,
    "is_contact_person_notification_enabled": flag,
    "is_route_optimizer_enabled": flag,
    "loaders_count": integer(MAX_LOADERS),
    "is_motobox_required": flag,
    "is_thermobox_required": flag,
    "payment_method": choice(PAYMENT_METHODS, "invalid_enum_value"),
    "bank_card_id": choice([BANK_CARD], "invalid_bank_card"),
    "is_return_required": flag,
    "promo_code": choice(PROMO_CODES, "invalid_value"),
    "backpayment_details": text(5000),
    "points": list_of(_NEW_POINT, 2, MAX_POINTS),
}
_ORDER_NULLABLE = frozenset({"bank_card_id", "promo_code", "backpayment_details"})


def _edited_point(value: Any) -> Any:
    known = isinstance(value, dict) and "point_id" in value
    return _EXISTING_POINT(value) if known else _NEW_POINT(value)


CREATE = Shape(_ORDER, frozenset({"matter", "points"}), _ORDER_NULLABLE)
EDIT = Shape(
    {**_ORDER, "order_id": integer(), "points": list_of(_edited_point, 2, MAX_POINTS)},
    frozenset({"order_id"}),
    _ORDER_NULLABLE,
)
ORDER_ID = Shape({"order_id": integer()}, frozenset({"order_id"}))


def conflicts(order: Mapping[str, Any], now: datetime) -> dict[str, Any] | None:
    """Return the errors of parameters that are valid on their own but not together."""
    errors: dict[str, Any] = {}
    if order.get("payment_method") == "bank_card" and order.get("bank_card_id") is None:
        errors["bank_card_id"] = ["required"]
    points = _point_conflicts(order.get("points") or [], now)
    return {**errors, "points": points} if any(points) else errors or None


def _point_conflicts(points: list[dict[str, Any]], now: datetime) -> list[dict[str, Any] | None]:
    errors: list[dict[str, Any] | None] = []
    earliest, payers = now - timedelta(minutes=1), 0
    for index, point in enumerate(points):
        start, finish = (_parse_time(point.get(f"required_{end}_datetime")) for end in ("start", "finish"))
        error = _time_error(start, finish, earliest, first=index == 0)
        error |= _money_error(point)
        payers += bool(point.get("is_order_payment_here"))
        if point.get("is_order_payment_here") and payers > 1:
            error["is_order_payment_here"] = ["order_payment_only_one_point"]
        errors.append(error or None)
        earliest = start or earliest
    return errors


def _money_error(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the errors in the amounts of a point.

    A new point with a cash voucher needs packages, because the voucher lists them.
    """
    is_new = "point_id" not in point
    no_packages = is_new and point.get("is_cod_cash_voucher_required") and not point.get("packages")
    both = _amount(point, "taking_amount") and _amount(point, "buyout_amount")
    return {
        **({"packages": ["required"]} if no_packages else {}),
        **({"taking_amount": ["cod_is_not_allowed_with_buyout"]} if both else {}),
    }


def _amount(point: Mapping[str, Any], name: str) -> Decimal:
    return Decimal(str(point.get(name) or 0))


def _time_error(start: datetime | None, finish: datetime | None, earliest: datetime, *, first: bool) -> dict[str, Any]:
    if start and finish and start > finish:
        return {"required_start_datetime": ["start_after_end"]}
    if finish and finish < earliest:
        return {"required_finish_datetime": ["cannot_be_past" if first else "earlier_than_previous_point"]}
    return {}


def _parse_time(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None
