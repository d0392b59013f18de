"""An order as parameters of create-order: exactly two points (B-32), and only parameters that the document shows.

Borzo refuses any other parameter, so every parameter that is sent is listed here by name (B-11, B-12). Times are
computed when the request is built, just before it is sent (B-40). `check_order` contains every rule by which an order
is refused before it is sent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.money import is_payable
from schemas.order import Item, Order
from schemas.phones import extension_of, number_of
from schemas.status import Reason
from worker.carriers.borzo.account import BorzoAccount
from worker.carriers.borzo.wire import CURRENCY
from worker.carriers.port import Booking
from worker.errors import Refused

MAX_MATTER = 5000
MAX_ADDRESS = 350
MAX_NOTE = 500
"""The most characters of a note to the courier. The limit is ours, because the document gives none."""
MAX_DESCRIPTION = 1000
SOON = timedelta(minutes=5)
"""A pickup sooner than this is requested without a time, because Borzo might receive a time that has passed."""
WINDOW = timedelta(minutes=30)
"""How long after the requested time a courier may arrive. The document's samples have windows of this length."""
NOT_NEEDED_FOR_PRICE = frozenset({"client_order_id", "contact_person", "note"})


@dataclass(frozen=True, slots=True)
class CheckedOrder:
    """An order that passed the checks: its addresses and telephone numbers in Borzo's form."""

    store_address: str
    store_phone: str
    """Digits with the country code, without a plus (B-09)."""
    dropoff_address: str
    customer_phone: str


def check_order(booking: Booking, account: BorzoAccount) -> CheckedOrder:
    """Check an order against the limits of Borzo and of the account. Raises Refused, naming the field."""
    order, store, to = booking.order, booking.store, booking.order.dropoff
    if _is_insured(order, account):
        _check_currency("insures", order)
    checked = CheckedOrder(
        store_address=_address("store address", store.street, store.city, store.postal_code),
        store_phone=_phone("store.phone", store.phone, store.country),
        customer_phone=_phone("customer.phone", order.customer.phone, store.country),
        dropoff_address=_address("dropoff.street", to.street, to.city, to.postal_code),
    )
    if _is_owed(order):
        _check_collection(order, account)
    return checked


def create_order(booking: Booking, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    """Return the parameters of create-order (Borzo, "Placing an order"). Raises Refused as `check_order` does."""
    checked = check_order(booking, account)
    return {
        "type": "standard",
        "matter": _matter(booking.order),
        "vehicle_type_id": account.vehicle_type_id,
        "is_client_notification_enabled": account.notify_client,  # B-38: sent always, so that no SMS goes out unasked
        "is_contact_person_notification_enabled": account.notify_recipient,
        "is_route_optimizer_enabled": False,  # B-32: the optimizer may swap the points
        "payment_method": account.payment_method,
        **_options(booking.order, account),
        "points": [_pickup(booking, checked, account, now), _dropoff(booking, checked, account, now)],
    }


def calculate_order(booking: Booking, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    """Return the parameters of calculate-order: those of a create, except the ones that do not affect the price.

    The contacts at both points may be left out (Borzo, "How to place an order"), so no name or telephone number is sent
    for a price. Raises Refused as `check_order` does.
    """
    parameters = create_order(booking, account, now)
    points = [
        {name: value for name, value in point.items() if name not in NOT_NEEDED_FOR_PRICE}
        for point in parameters["points"]
    ]
    return {**parameters, "points": points}


def encode(parameters: Mapping[str, Any]) -> bytes:
    """Write a request's body as UTF-8 JSON (Borzo, "Requests")."""
    return json.dumps(parameters, ensure_ascii=False).encode()


def timestamp(moment: datetime, zone: ZoneInfo) -> str:
    """Write a time in whole seconds with a numeric offset, never with a Z (B-07)."""
    return moment.astimezone(zone).replace(microsecond=0).isoformat()


def money(amount: Decimal) -> str:
    """Write an amount as the documented string with two decimals (B-08)."""
    return f"{amount:.2f}"


def _is_owed(order: Order) -> bool:
    return not order.payment.prepaid and order.payment.amount > 0


def _is_insured(order: Order, account: BorzoAccount) -> bool:
    return account.insurance == "order" and bool(order.payment.amount)


def _needs_receipt(order: Order, account: BorzoAccount) -> bool:
    return account.cod_voucher and _is_owed(order)


def _check_collection(order: Order, account: BorzoAccount) -> None:
    """Check that the courier may collect the amount due, and that a receipt has a price for each item (B-35)."""
    if not account.cod:
        raise Refused(Reason.CONFIG, "payment.prepaid: this account collects no money")
    _check_currency("collects", order)
    lines = _lines(order)
    if not _needs_receipt(order, account):
        return
    if not lines or any(_price(item, order) is None for item in lines):
        raise Refused(Reason.VALIDATION, "items: a receipt needs every item with its price")
    if any(item.unit_price is not None and item.unit_price < 0 for item in order.items):
        raise Refused(Reason.VALIDATION, "items: a receipt has no line for a discount")


def _check_currency(verb: str, order: Order) -> None:
    if order.payment.currency != CURRENCY:
        raise Refused(Reason.VALIDATION, f"payment.currency: Borzo {verb} {CURRENCY} only")


def _address(field: str, street: str, city: str, postal_code: str) -> str:
    address = ", ".join(part.strip() for part in (street, city, postal_code) if part.strip())
    if not address or len(address) > MAX_ADDRESS:  # B-39: never cut, because a cut address is another address
        raise Refused(Reason.VALIDATION, f"{field}: 1 to {MAX_ADDRESS} characters")
    return address


def _phone(field: str, text: str, country: str) -> str:
    """Return a telephone number as digits with the country code and without a plus (B-09)."""
    digits = _digits(number_of(text), country)
    if digits is None:
        raise Refused(Reason.VALIDATION, f"{field}: not a telephone number")
    return digits


@lru_cache(maxsize=1000)
def _digits(text: str, country: str) -> str | None:
    """Return the digits of a number; None if the text is no number. Each order needs the same two numbers twice."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _matter(order: Order) -> str:
    """Describe the goods by order number and item count alone (O-26)."""
    count = sum(item.quantity for item in _lines(order))
    return (f"Order {order.number} ({count} items)" if count else f"Order {order.number}")[:MAX_MATTER]


def _options(order: Order, account: BorzoAccount) -> dict[str, Any]:
    """Return the parameters that differ from their documented defaults; null is never sent."""
    options = {
        "bank_card_id": account.bank_card_id if account.payment_method == "bank_card" else None,  # B-34
        "total_weight_kg": account.total_weight_kg,  # B-10
        "insurance_amount": money(order.payment.amount) if _is_insured(order, account) else "",
        "loaders_count": account.loaders_count,
        "is_motobox_required": account.motobox,
        "is_thermobox_required": account.thermobox,
        "is_return_required": account.return_required,
        "backpayment_details": account.backpayment_details if _is_owed(order) else "",
    }
    return {name: value for name, value in options.items() if value}


def _pickup(booking: Booking, checked: CheckedOrder, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    store = booking.store
    return {
        "address": checked.store_address,
        "contact_person": {"phone": checked.store_phone, "name": store.name},
        **_coordinates(store.point),
        **_window(booking, booking.pickup_at, account, now),
        "note": _note(f"Order {booking.order.number}", extension_of(store.phone)),
        **_courier_payment(account, "pickup"),
    }


def _dropoff(booking: Booking, checked: CheckedOrder, account: BorzoAccount, now: datetime) -> dict[str, Any]:
    order, to = booking.order, booking.order.dropoff
    note = _note(extension_of(order.customer.phone), to.unit, to.notes, order.notes, _change(order))
    return {
        "client_order_id": booking.reference,  # B-30: finds the order of a create with an unknown outcome
        "address": checked.dropoff_address,
        "contact_person": {"phone": checked.customer_phone, "name": order.customer.name},
        **_coordinates(to.point),
        **_window(booking, max(booking.pickup_at, booking.deliver_at or booking.pickup_at), account, now),
        **({"note": note} if note else {}),
        **_collection(order, account),
        **_packages(order, account),
        **_courier_payment(account, "dropoff"),
    }


def _courier_payment(account: BorzoAccount, point: str) -> dict[str, bool]:
    """Return the parameter for the point at which the courier is paid in cash; empty for any other point (B-34)."""
    paid_here = account.payment_method == "cash" and account.cash_paid_at == point
    return {"is_order_payment_here": True} if paid_here else {}


def _collection(order: Order, account: BorzoAccount) -> dict[str, Any]:
    """Return the parameters of the customer's point for the amount to collect; empty when nothing is owed (B-35)."""
    if not _is_owed(order):
        return {}
    receipt = {"is_cod_cash_voucher_required": True} if _needs_receipt(order, account) else {}
    return {"taking_amount": money(order.payment.amount), **receipt}


def _packages(order: Order, account: BorzoAccount) -> dict[str, list[dict[str, Any]]]:
    """Return the order's items as packages, if the account's setting `packages` or a receipt requires them (B-35)."""
    lines = _lines(order)
    wanted = account.packages or _needs_receipt(order, account)
    return {"packages": [_package(item, order) for item in lines]} if lines and wanted else {}


def _lines(order: Order) -> list[Item]:
    return [item for item in order.items if item.is_package]


def _price(item: Item, order: Order) -> Decimal | None:
    """Return the price of an item; None when the price is unknown or cannot be paid in Borzo's currency."""
    known = item.unit_price is not None and order.payment.currency == CURRENCY and is_payable(item.unit_price, CURRENCY)
    return item.unit_price if known else None


def _package(item: Item, order: Order) -> dict[str, Any]:
    """Return an item as a package. Borzo's code for the goods is left out, because our orders have none (B-39)."""
    amount = _price(item, order)
    price = {} if amount is None else {"item_payment_amount": money(amount)}
    return {"description": item.name[:MAX_DESCRIPTION], "items_count": item.quantity, **price}


def _change(order: Order) -> str:
    """Return a note for the courier: the amount for which the customer needs change, or an empty text (O-04)."""
    owed = not order.payment.prepaid and order.payment.change_for
    return f"Change for {money(order.payment.change_for)}" if owed and order.payment.change_for else ""


def _window(booking: Booking, start: datetime, account: BorzoAccount, now: datetime) -> dict[str, str]:
    """Return the times to request from Borzo.

    Return no times if the customer wants the order as soon as possible, or if the pickup is sooner than `SOON`, because
    Borzo refuses a past time (B-40).
    """
    if booking.deliver_at is None or booking.pickup_at <= now + SOON:
        return {}
    zone = ZoneInfo(account.timezone)
    return {
        "required_start_datetime": timestamp(start, zone),
        "required_finish_datetime": timestamp(start + WINDOW, zone),
    }


def _coordinates(point: tuple[float, float] | None) -> dict[str, str]:
    """Return latitude and longitude as strings, or no parameters when the coordinates are unknown (B-09)."""
    if point is None:
        return {}
    latitude, longitude = point
    return {"latitude": f"{latitude:.7f}", "longitude": f"{longitude:.7f}"}


def _note(*parts: str) -> str:
    lines = (" / ".join(part.split("\n")).strip() for part in parts)
    return " / ".join(line for line in lines if line)[:MAX_NOTE]
