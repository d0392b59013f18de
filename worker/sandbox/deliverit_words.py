"""How DeliverIt writes things: its links, its times of day, its rows and its confirmations."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.world import Order

CREATE_HOST, ACCEPT_HOST, INFO_HOST = (
    "http://butik.deliverit.dk",
    "https://dev.butik.deliverit.dk",
    "https://butik.deliverit.dk",
)
PRICE, DISTANCE = "60", "1914"
TRAVEL = timedelta(minutes=11)
MILESTONES = ("driverArrive", "driverLeft", "arriveAtCustomer", "done")
NONE = "N/A"

STRANGER = "You should not be here"
LISTED = "Here are the orders you are looking for"
NOT_LISTED = "No order is found. Are the dates correct?."
CANNOT_ACCEPT = "You cannot accept this anymore. Time limit reached or order does not exist. Please create new order"
ALREADY_ACCEPTED = "You have already accepted this trip or it has not been pushed. Nothing to do"
DENIED = "The order is now canceled"
CANCELLED = "Okay, the order is canceled"
ALREADY_CANCELLED = "The order is already canceled"
UNDERWAY = "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766"

_TAG = re.compile(r"#\w+")

_NEIGHBOURS = (
    ("Customer 1", "+45123456789", "Hovedgaden 1", "11:30", "11:59"),
    ("Customer 2", "+4566000002", "Hovedgaden 2", "12:10", "12:40"),
)


@dataclass(slots=True, kw_only=True)
class Trip(Order):
    """A driver order; `id` is the token of its cancel link, `offer` that of its accept and deny links."""

    number: int
    form: dict[str, Any]
    pickup: datetime
    offer: str | None = None


def tag_in(form: dict[str, Any]) -> str:
    """Return the `#TAG` at the start of the remarks, or nothing."""
    found = _TAG.match(str(form.get("remarks") or ""))
    return found[0] if found else ""


def hhmm(at: datetime, zone: ZoneInfo) -> str:
    """Write a time of day."""
    local = at.astimezone(zone)
    return f"{local.hour:02}:{local.minute:02}"


def requested_time(text: str, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Read `hh:mm`, which means today, or `yyyy-mm-dd hh:mm` (D-14)."""
    today = now.astimezone(zone).date().isoformat()
    for written in (text, f"{today} {text}"):
        try:
            return datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=zone)
        except ValueError:
            continue
    return None


def link(host: str, action: str, company: int, token: str) -> str:
    """Write a link as the examples have it."""
    return f"{host}/api/v1/orderdriver/{action}/{company}/{token}"


def confirmation(trip: Trip, company: int, zone: ZoneInfo) -> dict[str, Any]:
    """Write the 201 of a create (deliverit.txt, "Send delivery request")."""
    accept, deny = (link(CREATE_HOST, way, company, trip.offer) if trip.offer else "" for way in ("accept", "deny"))
    return {
        "DeliverItOpen": True,
        "order_driver": True,
        "push": trip.offer is not None,
        "DeliveryPrice": PRICE,
        "DeliveryDistance": DISTANCE,
        "time": hhmm(trip.pickup, zone),
        "arrive_at_customer": hhmm(trip.pickup + TRAVEL, zone),
        "order_id": trip.number,
        "acceptUrl": accept,
        "denyUrl": deny,
        "cancelUrl": link(CREATE_HOST, "cancel", company, trip.id),
    }


def acceptance(trip: Trip, company: int, zone: ZoneInfo) -> dict[str, Any]:
    """Write the 202 of an accept (deliverit.txt, "Accept push")."""
    time = hhmm(trip.pickup, zone)
    return {
        "DeliverItOpen": True,
        "order_driver": True,
        "time": time,
        "arriveAtCustomer": hhmm(trip.pickup + TRAVEL, zone),
        "message": f"The trip is saved and the driver will arrive at restaurant at {time}",
        "cancelurl": link(ACCEPT_HOST, "cancel", company, trip.id),
    }


def row(trip: Trip, company: int, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """Write one row of the day list (deliverit.txt, "Get orders period")."""
    times = {moment.word: hhmm(moment.at, zone) for moment in trip.life.history(now)}
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
        "pickupTime": hhmm(trip.pickup, zone),
        **{name: times.get(name, NONE) for name in MILESTONES},
        "distance": DISTANCE,
        "canceUrl": link(CREATE_HOST, "cancel", company, trip.id),
        "cancel": "1" if "cancelled" in times else "0",
        "canceled_at": times.get("cancelled", NONE),
    }


def neighbour_rows(day: str, company: int) -> list[dict[str, Any]]:
    """Write the rows of the company's other orders of a day, which are nobody's business (D-61)."""
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
            "canceUrl": link(CREATE_HOST, "cancel", company, f"neighbour{day.replace('-', '')}{pickup[:2]}x"),
            "cancel": "0",
            "canceled_at": NONE,
        }
        for name, telephone, address, pickup, done in _NEIGHBOURS
    ]


def _php_date(local: datetime) -> dict[str, Any]:
    return {"date": local.isoformat(" ", "microseconds"), "timezone_type": 3, "timezone": "Europe/Berlin"}
