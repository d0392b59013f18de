"""An order of the Ordering platform, complete enough to be dispatched."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.sandbox.world import Order

NEEDED = ["paymethod_id", "business_id", "delivery_type", "delivery_datetime", "location", "products"]
WHEREABLE = frozenset(
    [
        "id",
        "paymethod_id",
        "business_id",
        "customer_id",
        "delivery_type",
        "status",
        "comment",
        "driver_id",
        "driver_tip",
        "delivery_zone_id",
        "offer_id",
        "app_id",
    ]
)
UPDATABLE = frozenset(
    [
        "paymethod_id",
        "business_id",
        "customer_id",
        "delivery_type",
        "delivery_datetime",
        "status",
        "comment",
        "driver_id",
        "driver_tip",
        "pay_data",
        "delivery_zone_id",
        "offer_id",
        "location",
        "cash",
        "products",
        "customer",
    ]
)

_SPOT = {"lat": 55.3957969, "lng": 10.3912053}
_SHOP = {"lat": 55.3988, "lng": 10.3886}
_DEFAULTS: Mapping[str, Any] = {
    "paymethod_id": 1,
    "business_id": 17,
    "customer_id": 5,
    "delivery_type": 1,
    "status": 0,
    "comment": None,
    "driver_id": None,
    "driver_tip": 0,
    "pay_data": None,
    "delivery_zone_id": None,
    "offer_id": None,
    "cash": None,
    "app_id": "sandbox",
    "location": _SPOT,
    "customer": {
        "id": 5,
        "name": "Customer",
        "lastname": "Sandbox",
        "email": "customer@sandbox.example",
        "country_phone_code": "45",
        "cellphone": "66000001",
        "address": "Hovedgaden 1",
        "internal_number": None,
        "address_notes": None,
        "zipcode": "5000",
        "location": _SPOT,
    },
    "business": {
        "id": 17,
        "name": "Sandbox Pizzeria",
        "phone": "66112233",
        "address": "Vestergade 1",
        "location": _SHOP,
        "timezone": "Europe/Copenhagen",
    },
    "currency": "DKK",
    "products": [{"id": 1, "product_id": 1, "name": "Margherita", "price": 85, "quantity": 1, "comment": None}],
    "paymethod": {"id": 1, "name": "Stripe", "gateway": "stripe"},
    "summary": {"subtotal": 85, "delivery_price": 0, "driver_tip": 0, "total": 85},
}


@dataclass(slots=True, kw_only=True)
class PlatformOrder(Order):
    """An order as the platform's API returns it."""

    model: dict[str, Any]


def complete_order(sent: Mapping[str, Any], number: int, now: datetime) -> dict[str, Any]:
    """Fill in what a client or a test did not give; times are UTC without a zone, as the platform writes them."""
    written, later = (at.strftime("%Y-%m-%d %H:%M:%S") for at in (now, now + timedelta(minutes=45)))
    times = {"created_at": written, "delivery_datetime": later, "delivery_datetime_utc": later}
    return {"id": number, **_DEFAULTS, **times, **sent}
