"""An order of the Ordering platform: its attributes, its defaults and the scripts of its statuses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.sandbox.api import Order
from worker.sandbox.scenarios import Scenario, Script

REQUIRED = ["paymethod_id", "business_id", "delivery_type", "delivery_datetime", "location", "products"]
FILTERABLE = frozenset(
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

SCRIPTS: Mapping[str, Script] = {
    "accepted": ("0", "7"),
    "ready": ("0", "7", "4"),
    "shop_rejects": ("0", "5"),
    "customer_cancels": ("0", "7", "16"),
    "preorder": ("13", "0", "7"),
    "preorder_cancelled": ("13", "16"),
    "own_driver": ("0", "7", "8", "3", "9", "11"),
}
"""By script: the statuses that the shop, the customer and the platform's driver set, one after another."""
AUTOMATIC_STATUSES: Mapping[str, Script] = {"8": ("18",), "3": ("23",), "9": ("23", "19")}
"""By status: the statuses that the platform then sets by itself, because it follows the courier's position (O-15)."""
FINAL_STATUSES = frozenset({"1", "2", "5", "11", "12", "15", "16", "17"})

_MARKER = re.compile(r"sandbox:ordering=([a-z_]+)")
_CUSTOMER_LOCATION = {"lat": 55.3957969, "lng": 10.3912053}
_SHOP_LOCATION = {"lat": 55.3988, "lng": 10.3886}
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
    "location": _CUSTOMER_LOCATION,
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
        "location": _CUSTOMER_LOCATION,
    },
    "business": {
        "id": 17,
        "name": "Sandbox Pizzeria",
        "phone": "66112233",
        "address": "Vestergade 1",
        "location": _SHOP_LOCATION,
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

    def refresh(self, now: datetime) -> dict[str, Any]:
        """Update the model to the current status and return it."""
        last = self.scenario.history(now)[-1]
        if self.model["status"] != int(last.status):
            self.model |= {"status": int(last.status), "updated_at": format_time(last.at)}
        return self.model


def find_script(sent: Mapping[str, Any]) -> str:
    """Return the script that the comment requests with `sandbox:ordering=SCRIPT`, or an empty string."""
    found = _MARKER.findall(str(sent.get("comment") or ""))
    return next((name for name in found if name in SCRIPTS), "")


def start(script: str, status: object, now: datetime, step: float) -> Scenario:
    """Return the scenario of an order. Without a script, the order keeps the status that it was created with."""
    return Scenario(SCRIPTS.get(script, (str(status),)), now, timedelta(seconds=step))


def format_time(at: datetime) -> str:
    """Return a time in the platform's format: UTC without a zone."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def complete_order(sent: Mapping[str, Any], number: int, now: datetime) -> dict[str, Any]:
    """Return the model of a new order, with defaults for every attribute that was not sent."""
    placed, later = format_time(now), format_time(now + timedelta(minutes=45))
    times = {"created_at": placed, "updated_at": placed, "delivery_datetime": later, "delivery_datetime_utc": later}
    return {"id": number, **_DEFAULTS, **times, **sent}
