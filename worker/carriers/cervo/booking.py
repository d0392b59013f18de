"""An order of ours as Cervo wants to hear it (Cervo, "Register new order"), or a refusal before anything is sent."""

from datetime import datetime
from zoneinfo import ZoneInfo

import phonenumbers

from schemas.order import Order, Payment
from schemas.status import Reason
from schemas.stores import Store
from worker.carriers.cervo.account import Bounds, CervoAccount, tells_paid_apart
from worker.carriers.cervo.wire import RawOrder, one_line
from worker.carriers.port import Booking
from worker.errors import Refused

DATE_FORMAT = "%Y-%m-%d %H:%M"
STATUS_NEW = 1
MAX_NOTES = 500
MAX_ADDRESS = 500


def raw_order(booking: Booking, account: CervoAccount, now: datetime) -> RawOrder:
    """Say a booking in Cervo's words. Raises Refused and names the field when that cannot be done."""
    order, store = booking.order, booking.store
    payment, ispaid = payment_words(order.payment, account)
    latitude, longitude = _dropoff_point(order, account)
    store_latitude, store_longitude = _store_point(store)
    return RawOrder(
        address=_required("dropoff.street", _address(order)),
        lng=longitude,  # C-15: the document puts lng first
        lat=latitude,
        id=booking.attempt_id,  # C-10: one for each attempt
        order_id=printed_number(order, booking.attempt_number),
        date=(booking.deliver_at or now).astimezone(ZoneInfo(account.timezone)).strftime(DATE_FORMAT),
        customer=_required("customer.name", one_line(order.customer.name)),
        mobile=_mobile(order.customer.phone, store.country),
        price=order.payment.amount,
        payment=payment,
        ispaid=ispaid,
        callback=booking.callback_url or "",
        status=STATUS_NEW,  # C-18: the only state in which an order can begin
        notes=_notes(order),
        storelat=store_latitude,
        storelng=store_longitude,
    )


def printed_number(order: Order, attempt_number: int) -> str:
    """Give the number that store and driver read, told apart on a second attempt (C-11)."""
    return order.number if attempt_number == 1 else f"{order.number}-{attempt_number}"


def payment_words(payment: Payment, account: CervoAccount) -> tuple[str, str]:
    """Give `payment` and `ispaid`; raises Refused rather than have a courier charge the wrong person (C-16)."""
    if payment.currency != account.currency:
        raise Refused(Reason.CONFIG, f"payment.currency is {payment.currency}, the account's is {account.currency}")
    if not tells_paid_apart(account.paid_token, account.unpaid_token):
        raise Refused(Reason.CONFIG, "paid_token and unpaid_token do not tell paid orders apart")
    if payment.prepaid:
        return account.prepaid_token, account.paid_token
    if (token := account.payment_tokens.get(payment.method.lower())) is None:
        raise Refused(Reason.CONFIG, "payment.method is none of payment_tokens, so it cannot be collected")
    return token, account.unpaid_token


def _required(name: str, value: str | None) -> str:
    if not value:
        raise Refused(Reason.VALIDATION, f"{name} is empty")
    return value


def _mobile(phone: str, country: str) -> str:
    try:
        number = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException as error:
        raise Refused(Reason.VALIDATION, "customer.phone is no telephone number") from error
    if not phonenumbers.is_valid_number(number):
        raise Refused(Reason.VALIDATION, "customer.phone is no valid telephone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _dropoff_point(order: Order, account: CervoAccount) -> tuple[float, float]:
    latitude, longitude = order.dropoff.latitude, order.dropoff.longitude
    if latitude is None or longitude is None or latitude == longitude == 0:
        raise Refused(Reason.VALIDATION, "dropoff.latitude and dropoff.longitude are missing")
    if account.bounds and not _inside(account.bounds, latitude, longitude):
        raise Refused(Reason.VALIDATION, "dropoff.latitude and dropoff.longitude are outside the account's bounds")
    return latitude, longitude


def _store_point(store: Store) -> tuple[float, float]:
    if store.latitude == store.longitude == 0:  # C-19: the courier is told nothing else of the store
        raise Refused(Reason.CONFIG, "store.latitude and store.longitude are missing")
    return store.latitude, store.longitude


def _inside(bounds: Bounds, latitude: float, longitude: float) -> bool:
    return bounds.south <= latitude <= bounds.north and bounds.west <= longitude <= bounds.east


def _address(order: Order) -> str:
    dropoff = order.dropoff
    if not dropoff.street.strip():
        return ""
    parts = (dropoff.street, f"{dropoff.postal_code} {dropoff.city}")
    return ", ".join(line for part in parts if (line := one_line(part, MAX_ADDRESS)))


def _notes(order: Order) -> str:
    parts = (order.dropoff.unit, order.dropoff.notes, _change(order.payment), order.notes)
    lines = (one_line(line, MAX_NOTES) for part in parts for line in part.splitlines())
    return " / ".join(line for line in lines if line)[:MAX_NOTES].strip()


def _change(payment: Payment) -> str:
    if payment.prepaid or payment.change_for is None:
        return ""
    return f"change for {payment.change_for} {payment.currency}"  # O-04: the note tendered, not the amount due
