"""An order in DeliverIt's words: the fields of "Send delivery request" and of "Send customer Info".

Whatever the carrier would refuse or misread is refused here, before any call.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.order import Order
from schemas.status import Reason
from schemas.stores import Store
from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.times import is_real, whole_minute
from worker.carriers.deliverit.wire import plain
from worker.carriers.port import AttemptView, Booking
from worker.errors import Refused

DENMARK = 45
NATIONAL = re.compile(r"[0-9]{8}")
POSTAL_CODE = re.compile(r"[0-9]{4}")
LONGEST_REMARKS = 250
"""The document names no limit; what a database column of 255 would cut or refuse is cut here, behind our tag."""

LONGEST_STREET = 200
"""Longer than any street; past it the search for a floor would only cost time."""

Types = Mapping[str, Callable[[str], int | float]]
NUMBERS: Types = {"zip": int, "telephone": int, "latitude": float, "longitude": float}
"""What the document types as a number in a driver order, for the JSON encoding (D-06)."""
TEXTS: Types = {}
"""A transferred order's fields are texts: the document types some of them in two ways (D-13, D-73)."""

UNIT = re.compile(
    r"(?P<street>.*?\d+(?:\s?[a-zæøå]\b)?(?:-\d+[a-z]?)?)(?:\s*,\s*|\s+)"
    r"(?P<unit>(?:\d{1,2}\s*\.(?!\d)|\d{1,2}\s*(?:sal|etage|floor|th|tv|mf)\b"
    r"|(?:st|stuen|kl|kld|kælder|lejl|lejlighed|apt|app?artment|floor|basement|unit|etage|dør|th|tv|mf)\b).*)",
    re.IGNORECASE,
)
"""A Danish street with its number, then the floor and the door: "Vestergade 1, 2. tv", "Vestergade 1 st. th" (D-12)."""


def authorization(account: DeliverItAccount) -> str:
    """Write the Basic authorization; the login returns no code, so this is all there is (D-03)."""
    pair = f"{account.username}:{account.password.get_secret_value()}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def encode(fields: Mapping[str, str], encoding: str, typed: Types = NUMBERS) -> tuple[str, bytes]:
    """Write fields as a form or as JSON, there with some of them `typed`: the content type and the body (D-06)."""
    if encoding == "form":
        return "application/x-www-form-urlencoded", urlencode(fields).encode("ascii")
    values = {name: typed.get(name, str)(value) for name, value in fields.items()}
    return "application/json", json.dumps(values, ensure_ascii=False).encode()


def fields_of(booking: Booking, zone: ZoneInfo) -> dict[str, str]:
    """Write a booking in their fields. Raises Refused, naming the field, when the carrier cannot be asked."""
    order = booking.order
    _check_paid(order)
    street, unit = split_street(order.dropoff.street)
    first, _, last = plain(order.customer.name).partition(" ")  # D-11
    return {
        "firstname": first or _refuse("customer.name"),
        "lastname": last,
        "street": street or _refuse("dropoff.street"),
        "zip": _postal_code(order),
        "city": plain(order.dropoff.city),
        "time": _local_time(booking.pickup_at, zone),
        "telephone": national_phone(order, booking.store) or _refuse("customer.phone"),
        "remarks": _remarks(booking, order.number, unit),
        "latitude": _degrees(order.dropoff.latitude, "dropoff.latitude"),
        "longitude": _degrees(order.dropoff.longitude, "dropoff.longitude"),
    }


def details_of(subject: Booking | AttemptView, zone: ZoneInfo) -> dict[str, str]:
    """Write an order that is transferred, or its update, which replaces all of it (D-77). Raises Refused.

    There is no field for the time: whoever books the driver reads it in the remarks.
    """
    order = subject.order
    _check_paid(order)
    street, unit = split_street(order.dropoff.street)
    return {
        "ordernumber": subject.reference,
        "name": plain(order.customer.name) or _refuse("customer.name"),
        "telephone": national_phone(order, subject.store) or _refuse("customer.phone"),
        "street": street or _refuse("dropoff.street"),
        "city": plain(order.dropoff.city) or _refuse("dropoff.city"),
        "zip": _postal_code(order),
        "remarks": _remarks(subject, f"pickup {_local_time(subject.pickup_at, zone)}", order.number, unit),
        "paid": "1",
        "delivery": "1",
        "longitude": _degrees(order.dropoff.longitude, "dropoff.longitude"),
        "latitude": _degrees(order.dropoff.latitude, "dropoff.latitude"),
    }


def _check_paid(order: Order) -> None:
    """Refuse to collect money (D-19); an unpaid order that is transferred would not even be shown (D-71)."""
    if not order.payment.prepaid:
        raise Refused(Reason.UNSERVICEABLE, "payment.prepaid: this carrier cannot collect money")


def national_phone(order: Order, store: Store) -> str | None:
    """Write the customer's phone as eight digits, which only a Danish number has (D-16); None for any other."""
    try:
        number = phonenumbers.parse(order.customer.phone, store.country)
    except phonenumbers.NumberParseException:
        return None
    national = phonenumbers.national_significant_number(number)
    return national if number.country_code == DENMARK and NATIONAL.fullmatch(national) else None


def split_street(street: str) -> tuple[str, str]:
    """Take the floor and the door off a street, because they mislead the carrier's map (D-12)."""
    whole = plain(street).strip(" ,")
    found = UNIT.fullmatch(whole) if len(whole) <= LONGEST_STREET else None
    return (found["street"], found["unit"]) if found else (whole, "")


def _remarks(subject: Booking | AttemptView, *first: str) -> str:
    """Put our tag first: it is the only reference that comes back (D-10)."""
    order = subject.order
    told = (*first, order.dropoff.unit, order.dropoff.notes, order.notes)
    parts = dict.fromkeys(part for part in map(plain, told) if part)
    return f"#{subject.reference} {' / '.join(parts)}"[:LONGEST_REMARKS].rstrip(" /")


def _local_time(pickup_at: datetime, zone: ZoneInfo) -> str:
    """Write the date as well: a bare time that is delayed past midnight books the wrong day (D-14)."""
    if not is_real(pickup_at):
        _refuse("pickup_at, which is in the hour that the clocks skip")
    return whole_minute(pickup_at).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _postal_code(order: Order) -> str:
    code = order.dropoff.postal_code.strip()
    return code if POSTAL_CODE.fullmatch(code) else _refuse("dropoff.postal_code")


def _degrees(value: float | None, field: str) -> str:
    return f"{value:.7f}" if value is not None else _refuse(field)  # D-17


def _refuse(field: str) -> NoReturn:
    raise Refused(Reason.VALIDATION, field)
