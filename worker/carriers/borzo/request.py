"""The create request: exactly two points (B-32), and only parameters that the document shows, for it refuses others.

Nothing goes in that is not listed here by name (B-11, B-12).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.orders import Order
from schemas.status import Reason
from worker.carriers.borzo.sighting import CURRENCY
from worker.carriers.port import Booking
from worker.errors import Refused

MAX_MATTER = 5000
MAX_ADDRESS = 350
MAX_NOTE = 500
"""The document gives no limit for a note."""
WINDOW = timedelta(minutes=30)
"""How long after the time asked for a courier may still arrive: the length of the document's own windows."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the account says about every order."""

    payment_method: str
    bank_card_id: int | None
    vehicle_type_id: int
    zone: ZoneInfo


def create_order(booking: Booking, terms: Terms, now: datetime) -> bytes:
    """Write the body of create-order (Borzo, "Placing an order"). Raises Refused naming the field."""
    card = {"bank_card_id": terms.bank_card_id} if terms.payment_method == "bank_card" else {}
    return encode(
        {
            "type": "standard",
            "matter": _matter(booking.order),
            "vehicle_type_id": terms.vehicle_type_id,
            "is_client_notification_enabled": False,  # B-38: nobody asked for an SMS
            "is_contact_person_notification_enabled": False,
            "is_route_optimizer_enabled": False,  # B-32: it may swap the points
            "payment_method": terms.payment_method,
            **card,
            "points": [_pickup(booking, terms, now), _drop(booking, terms, now)],
        }
    )


def encode(parameters: Mapping[str, Any]) -> bytes:
    """Write a request's body as UTF-8 JSON (Borzo, "Requests")."""
    return json.dumps(parameters, ensure_ascii=False).encode()


def timestamp(moment: datetime, zone: ZoneInfo) -> str:
    """Write a time in seconds with a numeric offset, never a fraction, never a Z (B-07)."""
    return moment.astimezone(zone).replace(microsecond=0).isoformat()


def money(amount: Decimal) -> str:
    """Write an amount as the string of two decimals that is documented (B-08)."""
    return f"{amount:.2f}"


def _matter(order: Order) -> str:
    """Say what is carried by number and count alone (O-26)."""
    count = sum(item.quantity for item in order.items)
    return (f"Order {order.number} ({count} items)" if count else f"Order {order.number}")[:MAX_MATTER]


def _pickup(booking: Booking, terms: Terms, now: datetime) -> dict[str, Any]:
    store = booking.store
    pays = {"is_order_payment_here": True} if terms.payment_method == "cash" else {}  # B-34: on exactly one point
    return {
        "address": _address("store address", store.street, store.city, store.postal_code),
        "contact_person": {"phone": _phone("store.phone", store.phone, store.country), "name": store.name},
        **_coordinates(store.latitude, store.longitude),
        **_window(booking, booking.pickup_at, terms, now),
        "note": _note(f"Order {booking.order.number}"),
        **pays,
    }


def _drop(booking: Booking, terms: Terms, now: datetime) -> dict[str, Any]:
    order, to = booking.order, booking.order.dropoff
    phone = _phone("customer.phone", order.customer.phone, booking.store.country)
    note = _note(to.unit, to.notes, order.notes, _change(order))
    return {
        "client_order_id": booking.tag,  # B-30: how a lost answer is found again
        "address": _address("dropoff.street", to.street, to.city, to.postal_code),
        "contact_person": {"phone": phone, "name": order.customer.name},
        **_coordinates(to.latitude, to.longitude),
        **_window(booking, max(booking.pickup_at, booking.deliver_at or booking.pickup_at), terms, now),
        **({"note": note} if note else {}),
        **_collect(order),
    }


def _collect(order: Order) -> dict[str, str]:
    """Ask for the money that is still owed, at the customer's point only (B-35)."""
    if order.payment.prepaid or not order.payment.amount:
        return {}
    if order.payment.currency != CURRENCY:
        raise Refused(Reason.VALIDATION, f"payment.currency: Borzo collects {CURRENCY} only")
    return {"taking_amount": money(order.payment.amount)}


def _change(order: Order) -> str:
    """Tell the courier which note the customer will hand over; it is not the amount due (O-04)."""
    owed = not order.payment.prepaid and order.payment.change_for
    return f"Change for {money(order.payment.change_for)}" if owed and order.payment.change_for else ""


def _window(booking: Booking, start: datetime, terms: Terms, now: datetime) -> dict[str, str]:
    """Name a time only when one was asked for and is still ahead; a stale one would be refused (B-40)."""
    if booking.deliver_at is None or booking.pickup_at <= now:
        return {}
    return {
        "required_start_datetime": timestamp(start, terms.zone),
        "required_finish_datetime": timestamp(start + WINDOW, terms.zone),
    }


def _coordinates(latitude: float | None, longitude: float | None) -> dict[str, str]:
    """Write coordinates as strings, both or none (B-09)."""
    if latitude is None or longitude is None:
        return {}
    return {"latitude": f"{latitude:.7f}", "longitude": f"{longitude:.7f}"}


def _address(field: str, street: str, city: str, postal_code: str) -> str:
    address = ", ".join(part.strip() for part in (street, city, postal_code) if part.strip())
    if not address or len(address) > MAX_ADDRESS:
        raise Refused(Reason.VALIDATION, f"{field}: 1 to {MAX_ADDRESS} characters")  # B-39: a cut address is another
    return address


def _phone(field: str, text: str, country: str) -> str:
    """Write a telephone number as digits with the country code and no plus (B-09)."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise Refused(Reason.VALIDATION, f"{field}: not a telephone number") from None
    if not phonenumbers.is_possible_number(number):
        raise Refused(Reason.VALIDATION, f"{field}: not a telephone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _note(*parts: str) -> str:
    lines = (" / ".join(part.split("\n")).strip() for part in parts)
    return " / ".join(line for line in lines if line)[:MAX_NOTE]
