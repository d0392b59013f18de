"""The Ordering platform's order in its own format: the fields that its open-source apps read.

The API document lists attributes but shows no body. The names come from Ordering-Inc's ordering-components and from the
sample orders of Ordering-UI-Native. Any field may be missing. PHP writes an empty object as `[]`, which counts as
missing. The module `schemas.fields` defines what makes a field lenient.
"""

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas.fields import CENTURY, LEFT_OUT, LENIENT, Degrees, is_number

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_NEVER = "0000-00-00"
"""The date that MySQL writes if there is no time."""
_LARGEST = Decimal(10) ** 10


def _text(value: object) -> object:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _amount(value: object) -> Decimal | None:
    if value in (None, ""):
        return None
    if isinstance(value, float):
        value = round(value, 6)  # PHP writes 125.1 as 125.09999999999999
    try:
        # Via text (O-22): Decimal(0.1) would be 0.1000000000000000055.
        amount = Decimal(str(value)) if is_number(value) or isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or not -_LARGEST < amount < _LARGEST:
        raise ValueError("not an amount of money")
    return amount


def _positive(amount: Decimal | None) -> Decimal | None:
    if amount is not None and amount < 0:
        raise ValueError("not an amount of money")
    return amount


def _moment(value: object) -> datetime | None:
    if value in (None, "") or (isinstance(value, str) and value.startswith(_NEVER)):
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


def _object(value: object) -> object:
    return {} if value in (None, [], "") else value


def _list(value: object) -> object:
    # If a member was removed from a list, PHP writes the list as an object.
    return list(value.values()) if isinstance(value, dict) else () if value in (None, "") else value


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("not a number")  # noqa: TRY004 - pydantic reports it as a fault
    return None if value == "" else value


RawText = Annotated[str, BeforeValidator(_text), StringConstraints(strip_whitespace=True)]
Words = Annotated[RawText, LENIENT]
RawPrice = Annotated[Decimal | None, BeforeValidator(_amount)]
RawAmount = Annotated[RawPrice, AfterValidator(_positive)]
RawTime = Annotated[datetime | None, BeforeValidator(_moment)]
RawStatus = Annotated[int | None, BeforeValidator(_no_flag)]


class Raw(BaseModel):
    """Base of the platform's objects. Fields that are not listed, above all `pay_data`, are dropped (O-22)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class RawLocation(Raw):
    """A position on the map."""

    lat: Annotated[Degrees | None, LENIENT] = None
    lng: Annotated[Degrees | None, LENIENT] = None


class OrderingOrder(BaseModel):
    """An order as the Ordering platform's API returns it, with the `dataschema` `urn:order-sync:ordering-order:1`.

    It describes only what every order has; `RawOrder` reads the rest.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: int | str = Field(examples=[2011])
    """The id of the order."""
    business_id: int | str = Field(examples=[17])
    """The id of the store."""
    delivery_type: int | str = Field(examples=[1])
    """1 is a delivery; any other number needs no courier."""


Object = BeforeValidator(_object)
Location = Annotated[RawLocation, Object, LENIENT]


class RawCustomer(Raw):
    """The customer and their address, as they were when the order was placed."""

    name: Words = ""
    middle_name: Words = ""
    lastname: Words = ""
    second_lastname: Words = ""
    cellphone: RawText = ""
    guest_cellphone: RawText = ""
    phone: RawText = ""
    country_phone_code: RawText = ""
    address: RawText = ""
    internal_number: Words = ""
    zipcode: Words = ""
    city: Words = ""
    address_notes: Words = ""
    location: Location = RawLocation()


class RawBusiness(Raw):
    """The shop as it was when the order was placed.

    Its `id` is the id of this copy; the shop's id is the order's `business_id`.
    """

    timezone: RawText = ""


class RawPaymethod(Raw):
    """The payment method of the order."""

    gateway: RawText = ""


class RawPayment(Raw):
    """One payment of the order. `wallet_event` is not empty if the payment came from a wallet."""

    wallet_event: Any = None


class RawSummary(Raw):
    """The totals of the order."""

    total: RawAmount = None


class RawOption(Raw):
    """How the customer wants the order handed over, such as "leave at the door"."""

    name: Words = ""


class RawProduct(Raw):
    """One line of the order. A quantity is not always whole, and the price of a discount is negative."""

    name: Words = ""
    quantity: Any = 1
    price: Annotated[RawPrice, LENIENT] = None


class RawOrder(Raw):
    """An order as `GET /orders/:order_id` returns it (Ordering, "Orders Model")."""

    id: RawText = ""
    business_id: RawText = ""
    delivery_type: RawText = ""
    status: RawStatus = None
    delivery_datetime: RawTime = None
    delivery_datetime_utc: RawTime = None
    created_at: Annotated[RawTime, LENIENT] = None
    updated_at: Annotated[RawTime, LENIENT] = None
    currency: RawText = ""
    total: RawAmount = None
    cash: Annotated[RawAmount, LENIENT] = None
    paymethod_id: RawText = ""
    comment: Words = ""
    location: Location = RawLocation()
    summary: Annotated[RawSummary, Object] = RawSummary()
    paymethod: Annotated[RawPaymethod, Object] = RawPaymethod()
    payment_events: Annotated[tuple[RawPayment, ...], BeforeValidator(_list)] = ()
    business: Annotated[RawBusiness, Object] = RawBusiness()
    customer: Annotated[RawCustomer, Object] = RawCustomer()
    delivery_option: Annotated[RawOption, Object, LENIENT] = RawOption()
    products: Annotated[tuple[Annotated[RawProduct, LEFT_OUT], ...], BeforeValidator(_list), LENIENT] = ()
