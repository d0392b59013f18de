"""A Cervo order: its fields, its details in a reply and its callbacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.api import Order, dumps
from worker.sandbox.callbacks import Callback
from worker.sandbox.scenarios import StatusChange

REQUIRED = [
    "address",
    "lng",
    "lat",
    "id",
    "order_id",
    "date",
    "customer",
    "mobile",
    "price",
    "payment",
    "ispaid",
    "callback",
    "status",
    "notes",
    "storelat",
    "storelng",
]
NOT_BLANK = ["customer", "address", "mobile", "id", "order_id", "lat", "lng", "storelat", "storelng"]

CANCELLABLE = frozenset({"1", "2", "5"})
WITH_DRIVER = frozenset({"2", "3", "4", "6"})
WITHOUT_COURIER = frozenset({"0", "5"})
"""The statuses for which a callback gives a reason in `cancel`."""

DRIVER = ("Sandbox Driver", "599000111")
CANCEL_REASON = "Canceled by the sandbox"


@dataclass(slots=True, kw_only=True)
class CervoOrder(Order):
    """An order with the fields that the client sent."""

    sent: Mapping[str, Any]


def missing_fields(sent: Mapping[str, Any]) -> list[str]:
    """Return the fields that are blank or not sent, blank ones first."""
    blank = [field for field in NOT_BLANK if field in sent and sent[field] in ("", None)]
    absent = [field for field in REQUIRED if field not in sent]
    return [*blank, *absent]


def describe(order: CervoOrder, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """Return the details of an order (cervo.txt, "Get order data")."""
    history = order.scenario.history(now)
    status = history[-1].status
    name, mobile = _driver(status)
    return {
        "DriverName": name,
        "DriverMobile": mobile,
        "Status": _number(status),
        "OrderStatus": [{"Status": _number(each.status), "Date": _format_time(each.at, zone)} for each in history[1:]],
        "tracking": _tracking_url(order, status),
    }


def build_callback(order: CervoOrder, change: StatusChange) -> Callback:
    """Return the callback for one status change (cervo.txt, "Callback parameters")."""
    name, mobile = _driver(change.status)
    content = {
        "order_id": order.sent["order_id"],
        "driver_name": name,
        "driver_mobile": mobile,
        "order_status": _number(change.status),
        "cancel": CANCEL_REASON if change.status in WITHOUT_COURIER else "",
        "tracking": _tracking_url(order, change.status),
    }
    return Callback(str(order.sent["callback"]), dumps(content).encode(), {"Content-Type": "application/json"})


def _number(status: str) -> int | str:
    return int(status) if status.isdecimal() else status


def _driver(status: str) -> tuple[str, str]:
    return DRIVER if status in WITH_DRIVER else ("", "")


def _tracking_url(order: CervoOrder, status: str) -> str:
    return f"https://tracking.cervo.example/{order.id}" if status in WITH_DRIVER else ""


def _format_time(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M")
