"""The order in our format (`urn:order-sync:order:1`), whatever platform it comes from.

Money is an exact Decimal, times are UTC. The module `schemas.fields` defines which spellings of a value are read, and
what makes a field optional or lenient.
"""

import hashlib
import json
import re
import unicodedata
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from schemas.fields import (
    LEFT_OUT,
    LENIENT,
    OPTIONAL,
    Currency,
    Degrees,
    Identifier,
    Instant,
    Integer,
    Money,
    Name,
    Phone,
    Price,
    Text,
    is_number,
    note,
)
from schemas.money import is_payable

ORDER_SCHEMA = "urn:order-sync:order:1"
STAND_IN = "Guest"
"""The name that we give a customer who gave no name. The courier sees this name."""
DECIMAL = re.compile(r"\d{1,10}(\.\d{1,20})?", re.ASCII)


class DeliveryType(StrEnum):
    """How the customer receives the order; only `delivery` is dispatched."""

    DELIVERY = "delivery"
    PICKUP = "pickup"
    EAT_IN = "eat_in"
    CURBSIDE = "curbside"
    DRIVE_THRU = "drive_thru"


DELIVERY_TYPE_BY_NUMBER = dict(zip("12345", DeliveryType, strict=True))
"""The delivery type for each of the Ordering platform's numbers 1 to 5 (Ordering, "Delivery types")."""


def _delivery_type(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return value
    word = str(value).lower()
    return DELIVERY_TYPE_BY_NUMBER.get(word, word)


_CAPITALISED = (word for kind in DeliveryType for word in (kind.capitalize(), kind.upper()))
_TYPE_SCHEMA = WithJsonSchema({"enum": [*DeliveryType, *_CAPITALISED, *DELIVERY_TYPE_BY_NUMBER, 1, 2, 3, 4, 5]})


class Model(BaseModel):
    """Base of the incoming models: frozen, ignores unknown fields, and shows no values in its errors."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)


def point_at(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    """Return a point in degrees; None if a coordinate is missing, or for 0/0, which means that the point is unknown."""
    return None if latitude is None or longitude is None or latitude == longitude == 0 else (latitude, longitude)


class Customer(Model):
    """The customer who receives the order."""

    name: Annotated[Annotated[Name, Field(max_length=350)], LENIENT] = STAND_IN
    """The customer's name, which the courier sees. `Guest` if it is absent."""
    phone: Phone
    """The customer's phone number, in E.164 or as it is dialled in the store's country."""


class Dropoff(Model):
    """The address that the order is delivered to."""

    street: str = Field(min_length=1)
    """The street with the house number, or the whole address."""
    unit: Annotated[Text, LENIENT] = ""
    """The floor, the door or the flat."""
    postal_code: Annotated[Text, LENIENT] = ""
    """The postal code."""
    city: Annotated[Text, LENIENT] = ""
    """The city."""
    country: Annotated[Text, LENIENT] = ""
    """The country (ISO 3166 alpha-2)."""
    latitude: Annotated[Annotated[Degrees, Field(ge=-90, le=90)] | None, LENIENT] = None
    """The latitude of the door, in degrees. A latitude and longitude of 0 count as absent."""
    longitude: Annotated[Annotated[Degrees, Field(ge=-180, le=180)] | None, LENIENT] = None
    """The longitude of the door, in degrees."""
    notes: Annotated[Text, LENIENT] = ""
    """What the courier should know at the door."""

    @property
    def point(self) -> tuple[float, float] | None:
        """The latitude and longitude; None when they are unknown."""
        return point_at(self.latitude, self.longitude)


class Payment(Model):
    """How the order is paid. `change_for` is the banknote that the customer will hand over, not the amount due."""

    prepaid: StrictBool
    """Whether the order is paid. If not, the courier collects `amount` at the door."""
    currency: Currency
    """The currency (ISO 4217)."""
    amount: Money
    """The order's total as a decimal text, with no more decimals than the currency has."""
    method: Annotated[Text, LENIENT] = "card"
    """How the customer pays, such as `cash` or `card`."""
    change_for: Annotated[Money | None, LENIENT] = None
    """The banknote that the customer will hand over; null if none was named."""

    @field_validator("amount", "change_for")
    @classmethod
    def _is_payable(cls, amount: Decimal | None, info: ValidationInfo) -> Decimal | None:
        currency = info.data.get("currency")
        if amount is None or currency is None or is_payable(amount, currency):
            return amount
        if info.field_name == "amount":
            raise ValueError(f"has more decimals than {currency} has")
        note(info)
        return None


_QUANTITY_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": rf"^{DECIMAL.pattern}$"}]}
)


class Item(Model):
    """One line of the order. The quantity of a line that is sold by weight is 1."""

    name: Name
    """What it is."""
    quantity: Annotated[Integer, _QUANTITY_SCHEMA, LENIENT] = 1
    """How many. A fraction is read as one package at the price of the whole line."""
    unit_price: Annotated[Price | None, LENIENT] = None
    """The price of one. The price of a discount is negative."""

    @model_validator(mode="before")
    @classmethod
    def _weighed(cls, raw: Any) -> Any:
        """Turn a line whose quantity is a fraction, such as 0.75 kg, into one package at the whole line's price."""
        weight = _weight(raw.get("quantity")) if isinstance(raw, dict) else None
        if weight is None:
            return raw
        price = raw.get("unit_price")
        priced = isinstance(price, (str, Decimal)) and DECIMAL.fullmatch(str(price).removeprefix("-"))
        return {**raw, "quantity": 1, "unit_price": format(weight * Decimal(price), "f") if priced else price}

    @property
    def is_package(self) -> bool:
        """Whether the courier carries this line. A discount, or a line with the quantity 0, is not carried."""
        return self.quantity > 0 and (self.unit_price is None or self.unit_price >= 0)


def _weight(quantity: object) -> Decimal | None:
    """Return the quantity if it is positive and not whole; otherwise None."""
    text = str(quantity) if is_number(quantity) else quantity
    if not isinstance(text, str) or not DECIMAL.fullmatch(text):
        return None
    weight = Decimal(text)
    return weight if weight > 0 and weight % 1 else None


class Order(Model):
    """An order as a message contains it (`urn:order-sync:order:1`)."""

    order_id: Identifier
    """The platform's id of the order. With the `source` of the message it identifies the delivery."""
    order_number: Annotated[Text, LENIENT] = ""
    """What people read on the ticket; `order_id` if it is absent."""
    revision: Annotated[Integer, OPTIONAL] = 1
    """The number of this version of the order. It must grow with each `order.updated`."""
    store_id: Identifier
    """The platform's id of the store, which must be in the store directory."""
    delivery_type: Annotated[DeliveryType, BeforeValidator(_delivery_type), _TYPE_SCHEMA, OPTIONAL] = (
        DeliveryType.DELIVERY
    )
    """How the customer gets the order: a name or the Ordering platform's number.

    Only `delivery` gets a courier; any other type is answered with `order.skipped`.
    """
    status: Annotated[Integer | None, OPTIONAL] = None
    """The order's status on the Ordering platform, 0 to 25.

    An order without one is dispatched, or waits for one if `ORDERING__GATE` is `accepted` or `ready`.
    """
    deliver_at: Annotated[Instant | None, OPTIONAL] = None
    """When the customer wants the order; null for as soon as possible."""
    ready_at: Annotated[Instant | None, OPTIONAL] = None
    """When the kitchen has it ready; null if that is unknown."""
    customer: Customer
    """Who receives the order."""
    dropoff: Dropoff
    """Where the order is delivered."""
    payment: Payment
    """How the order is paid."""
    items: Annotated[tuple[Annotated[Item, LEFT_OUT], ...], LENIENT] = ()
    """What is delivered. The carrier gets it as the description of the parcel."""
    notes: Annotated[Text, LENIENT] = ""
    """The customer's notes about the order."""
    carriers: Annotated[tuple[str, ...] | None, OPTIONAL] = None
    """The names of the accounts that may be asked, in this order; by default those of the store."""

    @property
    def number(self) -> str:
        """The number on the ticket: `order_number`, or the id when there is no `order_number`."""
        return self.order_number or self.order_id


ERASED = Customer(name="erased", phone="0")
"""The customer of an order whose personal data were erased."""


def erased(order: Order) -> Order:
    """Return the order without personal data: no customer, address, note or item. Ids, times and amounts stay."""
    return order.model_copy(
        update={
            "order_number": "",
            "customer": ERASED,
            "dropoff": Dropoff(street=ERASED.name),
            "payment": order.payment.model_copy(update={"method": "card"}),
            "items": (),
            "notes": "",
        }
    )


_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def fingerprint(order: Order) -> str:
    """Return the SHA-256 of an order's content in hex.

    Orders with the same content have the same fingerprint, even if their JSON is spelled differently or their Unicode
    letters are composed differently. `revision` and `status` are left out, because a courier does not need them.
    """
    content = order.model_dump(mode="json", exclude={"revision", "status"})
    return hashlib.sha256(unicodedata.normalize("NFC", _to_json(content)).encode()).hexdigest()
