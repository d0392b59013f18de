"""An order in Borzo's words: exactly two points (B-32), and only parameters that the document shows.

It refuses others, so nothing goes in that is not listed here by name (B-11, B-12). Times are written when it is sent
(B-40).
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.order import Item, Order
from schemas.status import Reason
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.sighting import CURRENCY
from worker.carriers.port import Booking
from worker.errors import Refused

MAX_MATTER = 5000
MAX_ADDRESS = 350
MAX_NOTE = 500
"""The document gives no limit for a note."""
MAX_DESCRIPTION = 1000
SOON = timedelta(minutes=5)
"""A pickup that is nearer than this is asked for as soon as possible: its time would be past on arrival."""
WINDOW = timedelta(minutes=30)
"""How long after the time asked for a courier may still arrive: the length of the document's own windows."""
UNPRICED = frozenset({"client_order_id", "contact_person", "note"})


def create_order(booking: Booking, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    """Name the parameters of create-order (Borzo, "Placing an order"). Raises Refused naming the field."""
    return {
        "type": "standard",
        "matter": _matter(booking.order),
        "vehicle_type_id": account.vehicle_type_id,
        "is_client_notification_enabled": account.notify_client,  # B-38: nobody asked for an SMS
        "is_contact_person_notification_enabled": account.notify_recipient,
        "is_route_optimizer_enabled": False,  # B-32: it may swap the points
        "payment_method": account.payment_method,
        **_options(booking.order, account),
        "points": [_pickup(booking, account, now), _drop(booking, account, now)],
    }


def calculate_order(booking: Booking, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    """Name the parameters of calculate-order: those of the create, without what no price depends on.

    Who is at the two points may be left out (Borzo, "How to place an order"), so nobody's name goes out for a price.
    """
    parameters = create_order(booking, account, now)
    points = [{name: value for name, value in point.items() if name not in UNPRICED} for point in parameters["points"]]
    return {**parameters, "points": points}


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


def _options(order: Order, account: BorzoAccount) -> dict[str, Any]:
    """Name what goes beyond the documented defaults; what equals its default is left out, and a null never gets in."""
    options = {
        "bank_card_id": account.bank_card_id if account.payment_method == "bank_card" else None,  # B-34
        "total_weight_kg": account.total_weight_kg,  # B-10
        "insurance_amount": _insured(order, account),
        "loaders_count": account.loaders_count,
        "is_motobox_required": account.motobox,
        "is_thermobox_required": account.thermobox,
        "is_return_required": account.return_required,
        "backpayment_details": account.backpayment_details if _owed(order) else "",
    }
    return {name: value for name, value in options.items() if value}


def _insured(order: Order, account: BorzoAccount) -> str:
    if account.insurance == "none" or not order.payment.amount:
        return ""
    return _reais("insures", order)


def _reais(does: str, order: Order) -> str:
    if order.payment.currency != CURRENCY:
        raise Refused(Reason.VALIDATION, f"payment.currency: Borzo {does} {CURRENCY} only")
    return money(order.payment.amount)


def _pays(account: BorzoAccount, point: str) -> dict[str, bool]:
    """Say on exactly one point that the courier is paid there (B-34)."""
    paid_here = account.payment_method == "cash" and account.cash_paid_at == point
    return {"is_order_payment_here": True} if paid_here else {}


def _pickup(booking: Booking, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    store = booking.store
    return {
        "address": _address("store address", store.street, store.city, store.postal_code),
        "contact_person": {"phone": _phone("store.phone", store.phone, store.country), "name": store.name},
        **_coordinates(store.latitude, store.longitude),
        **_window(booking, booking.pickup_at, account, now),
        "note": _note(f"Order {booking.order.number}"),
        **_pays(account, "pickup"),
    }


def _drop(booking: Booking, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    order, to = booking.order, booking.order.dropoff
    phone = _phone("customer.phone", order.customer.phone, booking.store.country)
    note = _note(to.unit, to.notes, order.notes, _change(order))
    return {
        "client_order_id": booking.reference,  # B-30: how a lost answer is found again
        "address": _address("dropoff.street", to.street, to.city, to.postal_code),
        "contact_person": {"phone": phone, "name": order.customer.name},
        **_coordinates(to.latitude, to.longitude),
        **_window(booking, max(booking.pickup_at, booking.deliver_at or booking.pickup_at), account, now),
        **({"note": note} if note else {}),
        **_collect(order, account),
        **_packages(order, account),
        **_pays(account, "dropoff"),
    }


def _owed(order: Order) -> bool:
    return not order.payment.prepaid and order.payment.amount > 0


def _collect(order: Order, account: BorzoAccount) -> dict[str, Any]:
    """Ask for the money that is still owed, at the customer's point only (B-35)."""
    if not _owed(order):
        return {}
    if not account.cod:
        raise Refused(Reason.CONFIG, "payment.prepaid: this account collects no money")
    receipt = {"is_cod_cash_voucher_required": True} if account.cod_voucher else {}
    return {"taking_amount": _reais("collects", order), **receipt}


def _packages(order: Order, account: BorzoAccount) -> dict[str, list[dict[str, Any]]]:
    """Name the lines of the order where they are asked for; a receipt is written from them (B-35)."""
    receipt = account.cod_voucher and _owed(order)
    lines = [item for item in order.items if item.quantity]
    if receipt and (not lines or any(item.unit_price is None for item in lines)):
        raise Refused(Reason.VALIDATION, "items: a receipt needs every item with its price")
    return {"packages": [_package(item) for item in lines]} if lines and (receipt or account.packages) else {}


def _package(item: Item) -> dict[str, Any]:
    """Write a line; Borzo's codes for goods are not ours to make up, so it has none (B-39)."""
    price = {} if item.unit_price is None else {"item_payment_amount": money(item.unit_price)}
    return {"description": item.name[:MAX_DESCRIPTION], "items_count": item.quantity, **price}


def _change(order: Order) -> str:
    """Tell the courier which note the customer will hand over; it is not the amount due (O-04)."""
    owed = not order.payment.prepaid and order.payment.change_for
    return f"Change for {money(order.payment.change_for)}" if owed and order.payment.change_for else ""


def _window(booking: Booking, start: datetime, account: BorzoAccount, now: datetime) -> dict[str, str]:
    """Name a time only when one was asked for and is far enough ahead; a stale one would be refused (B-40)."""
    if booking.deliver_at is None or booking.pickup_at <= now + SOON:
        return {}
    zone = ZoneInfo(account.timezone)
    return {
        "required_start_datetime": timestamp(start, zone),
        "required_finish_datetime": timestamp(start + WINDOW, zone),
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
