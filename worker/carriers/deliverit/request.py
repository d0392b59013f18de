"""The calls of one account, and the fields of an order in "Send delivery request" and "Send customer Info".

An order that DeliverIt would refuse or misread is refused here, before any call. Every path is on the account's own
origin, and every call carries the account's authorization (D-05).
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NoReturn
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.order import Order
from schemas.phones import extension_of, number_of
from schemas.status import Reason
from schemas.stores import Store
from worker.carriers.account import without_country
from worker.carriers.deliverit.account import DeliverItAccount
from worker.carriers.deliverit.attempt_state import listing_days
from worker.carriers.deliverit.times import is_real, round_up_to_minute
from worker.carriers.deliverit.wire import driver_order_path, plain, transfer_path
from worker.carriers.port import AttemptView, Booking
from worker.errors import Refused, Unavailable
from worker.http.call import Call, Operation

DENMARK = 45
NATIONAL_NUMBER = re.compile(r"[0-9]{8}")
POSTAL_CODE = re.compile(r"[0-9]{4}")
MAX_REMARKS = 250
"""The maximum length of the remarks. The document states none; this fits a database column of 255 characters."""

MAX_STREET = 200
"""The maximum length of a street that is searched for a floor, because the search of a longer one would be slow."""

Types = Mapping[str, Callable[[str], int | float]]
NUMBERS: Types = {"zip": int, "telephone": int, "latitude": float, "longitude": float}
"""The fields of a driver order that are numbers in the document, with their types in JSON (D-06)."""
TEXTS: Types = {}
"""A transferred order has only texts in JSON, because the document gives two types for some fields (D-13, D-73)."""

TRANSFER = "transfer"
"""The `Call.context` of a transfer. `DeliverIt.read` recognises the reply to a repeated transfer by this context."""

UNIT = re.compile(
    r"(?P<street>.*?\d+(?:\s?[a-zæøå]\b)?(?:-\d+[a-z]?)?)(?:\s*,\s*|\s+)"
    r"(?P<unit>(?:\d{1,2}\s*\.(?!\d)|\d{1,2}\s*(?:sal|etage|floor|th|tv|mf)\b"
    r"|(?:st|stuen|kl|kld|kælder|lejl|lejlighed|apt|app?artment|floor|basement|unit|etage|dør|th|tv|mf)\b).*)",
    re.IGNORECASE,
)
"""A Danish street with its number, then the floor and the door: "Vestergade 1, 2. tv", "Vestergade 1 st. th" (D-12)."""


class Requests:
    """Builds the calls of one account.

    While the company is unknown, only the login can be built. Every other call raises Unavailable.
    """

    def __init__(self, account: DeliverItAccount, company: str | None, zone: ZoneInfo) -> None:
        self._account, self._known_company, self._zone = account, company, zone

    @property
    def company(self) -> str:
        """Return the company number. Raises Unavailable while the number is unknown."""
        if self._known_company is None:
            raise Unavailable("the company is not known before the first login")
        return self._known_company

    def login(self) -> Call:
        """Build the login (DeliverIt, "Login")."""
        fields = {"username": self._account.username, "password": self._account.password.get_secret_value()}
        return self._post(Operation.PROBE, "/api/v1/login", fields)

    def day_lists(self, operation: Operation, attempts: Sequence[AttemptView], now: datetime) -> list[Call]:
        """Build one call for each day on which the attempts may be listed.

        Each call is for a single day, because the document contradicts itself about whether the start or the end of a
        period comes first (D-50).
        """
        attempt_ids = defaultdict(list)
        for attempt in attempts:
            for day in listing_days(attempt, now, self._zone):
                attempt_ids[day.isoformat()].append(attempt.id)
        return [
            Call(
                operation,
                "GET",
                f"/api/v1/order/{self.company}/{day}/{day}",
                tuple(ids),
                headers=self._headers(),
                context=day,
            )
            for day, ids in sorted(attempt_ids.items())
        ]

    def create_driver_order(self, booking: Booking) -> Call:
        """Build the create of a driver order (DeliverIt, "Send delivery request"). Raises Refused."""
        fields = driver_order_fields(booking, self._zone)
        _ = self.company  # the links in the reply could not be checked without it (D-02)
        return self._post(Operation.CREATE, "/api/v1/orderdriver/create", fields, (booking.attempt_id,))

    def change_driver_order(self, operation: Operation, action: str, token: str, attempt: AttemptView) -> Call:
        """Build the call that accepts, denies or cancels a driver order."""
        path = driver_order_path(action, self.company, token)
        return Call(operation, "POST", path, (attempt.id,), headers=self._headers(), context=action)

    def transfer(self, operation: Operation, subject: Booking | AttemptView, attempt_id: int) -> Call:
        """Build the transfer of an order (DeliverIt, "Send customer Info"). Raises Refused."""
        fields = transfer_fields(subject, self._zone)
        path = f"/api/v1/orderinfo/{self.company}/create"
        return self._post(operation, path, fields, (attempt_id,), types=TEXTS, context=TRANSFER)

    def update_transfer(self, number: str, attempt: AttemptView) -> Call:
        """Build the replacement of a transferred order (DeliverIt, "Update customer info"). Raises Refused."""
        fields = transfer_fields(attempt, self._zone)
        path = transfer_path("update", self.company, number)
        return self._post(Operation.AMEND, path, fields, (attempt.id,), types=TEXTS)

    def cancel_transfer(self, number: str, attempt: AttemptView) -> Call:
        """Build the cancel of a transferred order (DeliverIt, "Destroy customer info")."""
        path = transfer_path("cancel", self.company, number)
        return Call(Operation.CANCEL, "POST", path, (attempt.id,), headers=self._headers())

    def _post(
        self,
        operation: Operation,
        path: str,
        fields: Mapping[str, str],
        attempt_ids: tuple[int, ...] = (),
        *,
        types: Types = NUMBERS,
        context: str = "",
    ) -> Call:
        content_type, body = _encode(fields, self._account.encoding, types)
        headers = (*self._headers(), ("Content-Type", content_type))
        return Call(operation, "POST", path, attempt_ids, headers=headers, body=body, context=context)

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return ("Authorization", self._account.authorization), ("Accept", "application/json")


def check_driver_order(booking: Booking, zone: ZoneInfo) -> dict[str, str]:
    """Return the required fields of a driver order. Raises Refused, naming the field that is missing or unusable."""
    order = booking.order
    _check_prepaid(order)
    return {
        "firstname": plain(order.customer.name).partition(" ")[0] or _refuse("customer.name"),  # D-11
        "street": _street(order),
        "zip": _postal_code(order),
        "time": _pickup_time(booking.pickup_at, zone),
        "telephone": _telephone(order, booking.store),
        **_point(order),
    }


def driver_order_fields(booking: Booking, zone: ZoneInfo) -> dict[str, str]:
    """Return all fields of a driver order. Raises Refused as `check_driver_order` does."""
    order = booking.order
    return check_driver_order(booking, zone) | {
        "lastname": plain(order.customer.name).partition(" ")[2],
        "city": plain(order.dropoff.city),
        "remarks": _remarks(booking, order.number),
    }


def check_transfer(subject: Booking | AttemptView) -> dict[str, str]:
    """Return the required fields of a transferred order. Raises Refused, naming the missing or unusable field."""
    order = subject.order
    _check_prepaid(order)
    texts = {
        "name": plain(order.customer.name) or _refuse("customer.name"),
        "telephone": _telephone(order, subject.store),
        "street": _street(order),
        "city": plain(order.dropoff.city) or _refuse("dropoff.city"),
        "zip": _postal_code(order),
    }
    _check_pickup(subject.pickup_at)
    return texts | _point(order)


def transfer_fields(subject: Booking | AttemptView, zone: ZoneInfo) -> dict[str, str]:
    """Return all fields of a transferred order.

    An update has the same fields, because it replaces the whole order (D-77). There is no field for the pickup time, so
    the remarks contain the pickup time. Raises Refused as `check_transfer` does.
    """
    return check_transfer(subject) | {
        "ordernumber": subject.reference,
        "remarks": _remarks(subject, f"pickup {_pickup_time(subject.pickup_at, zone)}", subject.order.number),
        "paid": "1",
        "delivery": "1",
    }


def national_phone(order: Order, store: Store) -> str | None:
    """Return the customer's phone as the eight digits of a Danish number (D-16); None for any other number."""
    try:
        number = phonenumbers.parse(number_of(order.customer.phone), store.country)
    except phonenumbers.NumberParseException:
        return None
    national = phonenumbers.national_significant_number(number)
    return national if number.country_code == DENMARK and NATIONAL_NUMBER.fullmatch(national) else None


def _encode(fields: Mapping[str, str], encoding: str, types: Types) -> tuple[str, bytes]:
    """Return the content type and the body. `types` is used only for JSON (D-06)."""
    if encoding == "form":
        return "application/x-www-form-urlencoded", urlencode(fields).encode("ascii")
    values = {name: types.get(name, str)(value) for name, value in fields.items()}
    return "application/json", json.dumps(values, ensure_ascii=False).encode()


def split_street(street: str) -> tuple[str, str]:
    """Return the street with its number, and separately the floor and the door.

    In the field for the street, the floor and the door would mislead the carrier's map (D-12).
    """
    whole = plain(street).strip(" ,")
    found = UNIT.fullmatch(whole) if len(whole) <= MAX_STREET else None
    return (found["street"], found["unit"]) if found else (whole, "")


def _remarks(subject: Booking | AttemptView, *first: str) -> str:
    """Return the remarks. They begin with our reference, because DeliverIt has no other field for it (D-10)."""
    order = subject.order
    extension = extension_of(order.customer.phone)
    texts = (
        *first,
        extension,
        split_street(order.dropoff.street)[1],
        order.dropoff.unit,
        order.dropoff.notes,
        order.notes,
    )
    parts = dict.fromkeys(part for part in map(plain, texts) if part)
    return f"#{subject.reference} {' / '.join(parts)}"[:MAX_REMARKS].rstrip(" /")


def _pickup_time(pickup_at: datetime, zone: ZoneInfo) -> str:
    """Return the pickup time with its date, because a time without a date is ambiguous around midnight (D-14).

    Raises Refused for a time in the hour that the clocks skip.
    """
    _check_pickup(pickup_at)
    return round_up_to_minute(pickup_at).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _check_prepaid(order: Order) -> None:
    """Raise Refused for an order that is not prepaid, because DeliverIt cannot collect money (D-19).

    DeliverIt's own pages do not show a transfer that is not marked as paid (D-71).
    """
    if not order.payment.prepaid:
        raise Refused(Reason.UNSERVICEABLE, "payment.prepaid: this carrier cannot collect money")


def _check_pickup(pickup_at: datetime) -> None:
    if not is_real(pickup_at):
        _refuse("pickup_at, which is in the hour that the clocks skip")


def _street(order: Order) -> str:
    return split_street(order.dropoff.street)[0] or _refuse("dropoff.street")


def _postal_code(order: Order) -> str:
    code = without_country(order.dropoff.postal_code)
    return code if POSTAL_CODE.fullmatch(code) else _refuse("dropoff.postal_code")


def _telephone(order: Order, store: Store) -> str:
    return national_phone(order, store) or _refuse("customer.phone")


def _point(order: Order) -> dict[str, str]:
    to = order.dropoff
    if to.point is None:
        halves = {"dropoff.latitude": to.latitude, "dropoff.longitude": to.longitude}
        _refuse(" and ".join([name for name, half in halves.items() if half is None] or halves))
    latitude, longitude = to.point
    return {"latitude": f"{latitude:.7f}", "longitude": f"{longitude:.7f}"}  # D-17


def _refuse(field: str) -> NoReturn:
    raise Refused(Reason.VALIDATION, field)
