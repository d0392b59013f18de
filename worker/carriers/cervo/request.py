"""The body of a create (Cervo, "Register new order"), and the checks that refuse an order before anything is sent.

`check_order` has all rules by which an order is refused. `create_body` calls `check_order`, so both refuse the same
orders.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.money import written
from schemas.order import Order, Payment
from schemas.phones import extension_of, number_of
from schemas.status import Reason
from schemas.stores import Store
from worker.carriers.cervo.account import Bounds, CervoAccount, are_opposite
from worker.carriers.cervo.wire import CreateBody, clean_line
from worker.carriers.port import Booking
from worker.errors import Refused

DATE_FORMAT = "%Y-%m-%d %H:%M"
STATUS_NEW = 1
MAX_NOTES = 500
MAX_ADDRESS = 500


@dataclass(frozen=True, slots=True)
class CheckedFields:
    """The fields that `check_order` has checked, in Cervo's form.

    `dropoff` and `store` are pairs of latitude and longitude, in degrees.
    """

    payment: str
    ispaid: str
    dropoff: tuple[float, float]
    store: tuple[float, float]
    address: str
    customer: str
    mobile: str


def check_order(booking: Booking, account: CervoAccount) -> CheckedFields:
    """Check an order and return the checked fields. Raises Refused with the name of the first unusable field."""
    order, store = booking.order, booking.store
    payment, ispaid = _payment(order.payment, account)
    return CheckedFields(
        payment,
        ispaid,
        dropoff=_dropoff_point(order, account),
        store=_store_point(store),
        address=_required("dropoff.street", _address(order)),
        customer=_required("customer.name", clean_line(order.customer.name)),
        mobile=_mobile(order.customer.phone, store.country),
    )


def create_body(booking: Booking, account: CervoAccount, now: datetime) -> CreateBody:
    """Build the body of a create. Raises Refused for the same orders as `check_order`."""
    order, checked = booking.order, check_order(booking, account)
    latitude, longitude = checked.dropoff
    store_latitude, store_longitude = checked.store
    return CreateBody(
        address=checked.address,
        lng=longitude,  # C-15: the document puts lng first
        lat=latitude,
        id=booking.attempt_id,  # C-10: one for each attempt
        order_id=printed_number(order, booking.attempt_number),
        date=(booking.deliver_at or now).astimezone(ZoneInfo(account.timezone)).strftime(DATE_FORMAT),
        customer=checked.customer,
        mobile=checked.mobile,
        price=Decimal(written(order.payment.amount, order.payment.currency)),
        payment=checked.payment,
        ispaid=checked.ispaid,
        callback=booking.callback_url or "",
        status=STATUS_NEW,  # C-18: the only state in which an order can begin
        notes=_notes(order),
        storelat=store_latitude,
        storelng=store_longitude,
    )


def printed_number(order: Order, attempt_number: int) -> str:
    """Return the order number that the store and the driver see. It has a suffix from the second attempt on (C-11)."""
    return order.number if attempt_number == 1 else f"{order.number}-{attempt_number}"


def _payment(payment: Payment, account: CervoAccount) -> tuple[str, str]:
    """Return the values of `payment` and `ispaid` (C-16).

    Raises Refused if the currency is not the account's, if the order is unpaid and its payment method is not in
    `payment_tokens`, and if `paid_token` and `unpaid_token` do not have opposite meanings.
    """
    if payment.currency != account.currency:
        raise Refused(Reason.CONFIG, f"payment.currency is {payment.currency}, the account's is {account.currency}")
    if not are_opposite(account.paid_token, account.unpaid_token):
        raise Refused(Reason.CONFIG, "paid_token and unpaid_token do not have opposite meanings")
    if payment.prepaid:
        return account.prepaid_token, account.paid_token
    if (token := account.payment_tokens.get(payment.method.lower())) is None:
        raise Refused(Reason.CONFIG, "payment.method is not in payment_tokens, so the courier cannot collect it")
    return token, account.unpaid_token


def _required(name: str, value: str | None) -> str:
    if not value:
        raise Refused(Reason.VALIDATION, f"{name} is empty")
    return value


def _mobile(phone: str, country: str) -> str:
    number = _e164(number_of(phone), country)
    if number is None:
        raise Refused(Reason.VALIDATION, "customer.phone is not a valid telephone number")
    return number


@lru_cache(maxsize=1000)
def _e164(text: str, country: str) -> str | None:
    """Return a number in E.164; None if it is not valid. Each order needs the same number twice."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _dropoff_point(order: Order, account: CervoAccount) -> tuple[float, float]:
    point = order.dropoff.point
    if point is None:
        raise Refused(Reason.VALIDATION, "dropoff.latitude and dropoff.longitude are missing")
    if account.bounds and not _is_inside(account.bounds, *point):
        raise Refused(Reason.VALIDATION, "dropoff.latitude and dropoff.longitude are outside the account's bounds")
    return point


def _store_point(store: Store) -> tuple[float, float]:
    if store.point is None:  # C-19: Cervo gets no other data about the store
        raise Refused(Reason.CONFIG, "store.latitude and store.longitude are missing")
    return store.point


def _is_inside(bounds: Bounds, latitude: float, longitude: float) -> bool:
    return bounds.south <= latitude <= bounds.north and bounds.west <= longitude <= bounds.east


def _address(order: Order) -> str:
    dropoff = order.dropoff
    if not dropoff.street.strip():
        return ""
    parts = (dropoff.street, f"{dropoff.postal_code} {dropoff.city}")
    return ", ".join(line for part in parts if (line := clean_line(part, MAX_ADDRESS)))


def _notes(order: Order) -> str:
    parts = (
        extension_of(order.customer.phone),
        order.dropoff.unit,
        order.dropoff.notes,
        _change(order.payment),
        order.notes,
    )
    lines = (clean_line(line, MAX_NOTES) for part in parts for line in part.splitlines())
    return " / ".join(line for line in lines if line)[:MAX_NOTES].strip()


def _change(payment: Payment) -> str:
    if payment.prepaid or payment.change_for is None:
        return ""
    amount = written(payment.change_for, payment.currency)
    return f"change for {amount} {payment.currency}"  # O-04: the banknote tendered, not the amount due
