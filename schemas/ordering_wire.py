"""The Ordering platform's order in its own format: the fields that its open-source apps read.

The API document lists attributes but shows no body. The names come from Ordering-Inc's ordering-components and from the
sample orders of Ordering-UI-Native. Any field may be missing; a field that is present must have the right type.
"""

import re
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas.order import CENT, CENTURY

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_LARGEST = Decimal(10) ** 10


def _text(value: object) -> object:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _amount(value: object) -> Decimal | None:
    if value in (None, ""):
        return None
    try:
        # Via text (O-22): Decimal(0.1) would be 0.1000000000000000055.
        amount = Decimal(str(value)) if isinstance(value, (int, float, str)) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or not 0 <= amount < _LARGEST:
        raise ValueError("not an amount of money")
    return amount.quantize(CENT, ROUND_HALF_UP)


def _moment(value: object) -> datetime | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("not a date with a time")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("no such date or time") from None  # the original error contains the value
    if moment.year not in CENTURY:
        raise ValueError("the year must be between 2000 and 2099")
    return moment


def _or_empty(value: object) -> object:
    return {} if value is None else value


def _or_nothing(value: object) -> object:
    return () if value is None else value


def _position(value: object) -> object:
    # The position is optional. Anything that cannot be a position is ignored, also 0/0, which is in the sea.
    return value if isinstance(value, dict) and (value.get("lat") or value.get("lng")) else {}


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic reports it as a fault
    return None if value == "" else value


RawText = Annotated[str, BeforeValidator(_text), StringConstraints(strip_whitespace=True)]
RawAmount = Annotated[Decimal | None, BeforeValidator(_amount)]
RawTime = Annotated[datetime | None, BeforeValidator(_moment)]
RawStatus = Annotated[int | None, BeforeValidator(_no_flag)]


class Raw(BaseModel):
    """Base of the platform's objects. Fields that are not listed, above all `pay_data`, are dropped (O-22)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class RawLocation(Raw):
    """A position on the map."""

    lat: float | None = None
    lng: float | None = None


class RawCustomer(Raw):
    """The customer and their address, as they were when the order was placed."""

    name: RawText = ""
    middle_name: RawText = ""
    lastname: RawText = ""
    second_lastname: RawText = ""
    cellphone: RawText = ""
    guest_cellphone: RawText = ""
    phone: RawText = ""
    country_phone_code: RawText = ""
    address: RawText = ""
    internal_number: RawText = ""
    zipcode: RawText = ""
    city: RawText = ""
    address_notes: RawText = ""
    location: Annotated[RawLocation, BeforeValidator(_position)] = RawLocation()


class RawBusiness(Raw):
    """The shop as it was when the order was placed.

    Its `id` is the id of this copy; the shop's id is the order's `business_id`.
    """

    timezone: RawText = ""


class RawPaymethod(Raw):
    """The payment method of the order."""

    gateway: RawText = ""


class RawPayment(Raw):
    """One payment of the order; `wallet_event` is set when it came from a wallet."""

    wallet_event: Any = None


class RawSummary(Raw):
    """The totals of the order."""

    total: RawAmount = None


class RawOption(Raw):
    """How the customer wants the order handed over, such as "leave at the door"."""

    name: RawText = ""


class RawProduct(Raw):
    """One line of the order."""

    name: RawText = ""
    quantity: int = Field(default=1, ge=0)
    price: RawAmount = None


class RawOrder(Raw):
    """An order as `GET /orders/:order_id` returns it (Ordering, "Orders Model")."""

    id: RawText = ""
    business_id: RawText = ""
    delivery_type: RawText = ""
    status: RawStatus = None
    delivery_datetime: RawTime = None
    delivery_datetime_utc: RawTime = None
    created_at: RawTime = None
    updated_at: RawTime = None
    currency: RawText = ""
    total: RawAmount = None
    cash: RawAmount = None
    paymethod_id: RawText = ""
    comment: RawText = ""
    location: Annotated[RawLocation, BeforeValidator(_position)] = RawLocation()
    summary: Annotated[RawSummary, BeforeValidator(_or_empty)] = RawSummary()
    paymethod: Annotated[RawPaymethod, BeforeValidator(_or_empty)] = RawPaymethod()
    payment_events: Annotated[tuple[RawPayment, ...], BeforeValidator(_or_nothing)] = ()
    business: Annotated[RawBusiness, BeforeValidator(_or_empty)] = RawBusiness()
    customer: Annotated[RawCustomer, BeforeValidator(_or_empty)] = RawCustomer()
    delivery_option: Annotated[RawOption, BeforeValidator(_or_empty)] = RawOption()
    products: Annotated[tuple[RawProduct, ...], BeforeValidator(_or_nothing)] = ()
