"""An order of the Ordering platform, complete enough to be dispatched."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.sandbox.lives import Life, Script
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

KITCHEN: Mapping[str, Script] = {
    "accepted": ("0", "7"),
    "ready": ("0", "7", "4"),
    "shop_rejects": ("0", "5"),
    "customer_cancels": ("0", "7", "16"),
    "preorder": ("13", "0", "7"),
    "preorder_cancelled": ("13", "16"),
    "own_driver": ("0", "7", "8", "3", "9", "11"),
}
"""What the shop, the customer and the platform's own driver do, a status a step; without a script it stands still."""
AUTOMATIC: Mapping[str, Script] = {"8": ("18",), "3": ("23",), "9": ("23", "19")}
"""What follows a status by itself where the platform watches the courier's place (O-15)."""
CLOSED = frozenset({"1", "2", "5", "11", "12", "15", "16", "17"})

_MARKER = re.compile(r"sandbox:ordering=([a-z_]+)")
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

    def show(self, now: datetime) -> dict[str, Any]:
        """Bring the model up to the order's present status, and return it."""
        last = self.life.history(now)[-1]
        if self.model["status"] != int(last.word):
            self.model |= {"status": int(last.word), "updated_at": written(last.at)}
        return self.model


def script_of(sent: Mapping[str, Any]) -> str:
    """Return the name after `sandbox:ordering=` in the comment, or nothing."""
    found = _MARKER.findall(str(sent.get("comment") or ""))
    return next((name for name in found if name in KITCHEN), "")


def begin(script: str, status: object, now: datetime, step: float) -> Life:
    """Return the life of an order: its script, or the one status it was given."""
    return Life(KITCHEN.get(script, (str(status),)), now, timedelta(seconds=step))


def written(moment: datetime) -> str:
    """Write a time as the platform does: UTC without a zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def complete_order(sent: Mapping[str, Any], number: int, now: datetime) -> dict[str, Any]:
    """Fill in what a client or a test did not give."""
    placed, later = written(now), written(now + timedelta(minutes=45))
    times = {"created_at": placed, "updated_at": placed, "delivery_datetime": later, "delivery_datetime_utc": later}
    return {"id": number, **_DEFAULTS, **times, **sent}
