"""A DeliverIt driver order and its written forms: links, times of day, list rows and confirmations."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.api import Order
from worker.sandbox.wall_clock import WallClock

CREATE_HOST, ACCEPT_HOST, INFO_HOST = (
    "http://butik.deliverit.dk",
    "https://dev.butik.deliverit.dk",
    "https://butik.deliverit.dk",
)
PRICE, DISTANCE = "60", "1914"
TRAVEL_TIME = timedelta(minutes=11)
MILESTONES = ("driverArrive", "driverLeft", "arriveAtCustomer", "done")
NOT_SET = "N/A"

_TAG = re.compile(r"#\w+")

_OTHER_CUSTOMERS = (
    ("Customer 1", "+45123456789", "Hovedgaden 1", "11:30", "11:59"),
    ("Customer 2", "+4566000002", "Hovedgaden 2", "12:10", "12:40"),
)


@dataclass(slots=True, kw_only=True)
class Trip(Order):
    """A driver order; `id` is the token of the cancel link, `offer` is the token of the accept and deny links."""

    number: int
    form: dict[str, Any]
    pickup: datetime
    offer: str | None = None


def find_tag(form: dict[str, Any]) -> str:
    """Return the `#TAG` at the start of the remarks, or an empty string."""
    found = _TAG.match(str(form.get("remarks") or ""))
    return found[0] if found else ""


def parse_requested_time(text: str, now: datetime, zone: WallClock) -> datetime | None:
    """Return the time for `hh:mm`, which means today, or `yyyy-mm-dd hh:mm` (D-14); None for any other text."""
    today = now.astimezone(zone).date().isoformat()
    for written in (text, f"{today} {text}"):
        try:
            return zone.instant(datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=zone))
        except ValueError:
            continue
    return None


def build_link(host: str, action: str, company: int, token: str) -> str:
    """Return a link as the document's examples write it."""
    return f"{host}/api/v1/orderdriver/{action}/{company}/{token}"


def confirm_create(trip: Trip, company: int, zone: ZoneInfo) -> dict[str, Any]:
    """Return the body of the 201 to a create (deliverit.txt, "Send delivery request")."""
    accept, deny = (
        build_link(CREATE_HOST, action, company, trip.offer) if trip.offer else "" for action in ("accept", "deny")
    )
    return {
        "DeliverItOpen": True,
        "order_driver": True,
        "push": trip.offer is not None,
        "DeliveryPrice": PRICE,
        "DeliveryDistance": DISTANCE,
        "time": _time_of_day(trip.pickup, zone),
        "arrive_at_customer": _time_of_day(trip.pickup + TRAVEL_TIME, zone),
        "order_id": trip.number,
        "acceptUrl": accept,
        "denyUrl": deny,
        "cancelUrl": build_link(CREATE_HOST, "cancel", company, trip.id),
    }


def confirm_accept(trip: Trip, company: int, zone: ZoneInfo) -> dict[str, Any]:
    """Return the body of the 202 to an accept (deliverit.txt, "Accept push")."""
    time = _time_of_day(trip.pickup, zone)
    return {
        "DeliverItOpen": True,
        "order_driver": True,
        "time": time,
        "arriveAtCustomer": _time_of_day(trip.pickup + TRAVEL_TIME, zone),
        "message": f"The trip is saved and the driver will arrive at restaurant at {time}",
        "cancelurl": build_link(ACCEPT_HOST, "cancel", company, trip.id),
    }


def list_row(trip: Trip, company: int, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """Return the row of a trip in the day list (deliverit.txt, "Get orders period")."""
    times = {change.status: _time_of_day(change.at, zone) for change in trip.scenario.history(now)}
    form = trip.form
    return {
        "created_at": _php_date(trip.created.astimezone(zone).replace(tzinfo=None)),
        "name": f"{form['firstname']} {form.get('lastname') or ''}".strip(),
        "telephone": f"+45{form['telephone']}",
        "address": form["street"],
        "city": form.get("city") or "",
        "zip": str(form["zip"]),
        "remarks": form.get("remarks") or "",
        "deliveryPrice": PRICE,
        "pickupTime": _time_of_day(trip.pickup, zone),
        **{name: times.get(name, NOT_SET) for name in MILESTONES},
        "distance": DISTANCE,
        "canceUrl": build_link(CREATE_HOST, "cancel", company, trip.id),
        "cancel": "1" if "cancelled" in times else "0",
        "canceled_at": times.get("cancelled", NOT_SET),
    }


def other_customers_rows(day: str, company: int) -> list[dict[str, Any]]:
    """Return the rows of the company's orders that did not come from us (D-61)."""
    return [
        {
            "created_at": _php_date(datetime.fromisoformat(f"{day} {pickup}") - timedelta(minutes=29)),
            "name": name,
            "telephone": telephone,
            "address": address,
            "city": "Odense C",
            "zip": "5000",
            "remarks": "",
            "deliveryPrice": PRICE,
            "pickupTime": pickup,
            **dict.fromkeys(MILESTONES, done),
            "distance": DISTANCE,
            "canceUrl": build_link(CREATE_HOST, "cancel", company, f"neighbour{day.replace('-', '')}{pickup[:2]}x"),
            "cancel": "0",
            "canceled_at": NOT_SET,
        }
        for name, telephone, address, pickup, done in _OTHER_CUSTOMERS
    ]


def _time_of_day(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local.hour:02}:{local.minute:02}"


def _php_date(local: datetime) -> dict[str, Any]:
    return {"date": local.isoformat(" ", "microseconds"), "timezone_type": 3, "timezone": "Europe/Berlin"}
