"""An order in our words (`urn:order-sync:order:1`), whoever said it first.

Money is Decimal with two places, times are UTC, and a word or number that has to be guessed at is refused.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

ORDER_SCHEMA = "urn:order-sync:order:1"
CENTURY = range(2000, 2100)
CENT = Decimal("0.01")
LARGEST = 2**31 - 1

_MONEY = re.compile(r"\d{1,10}(\.\d{1,2})?", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class DeliveryType(StrEnum):
    """How the customer gets the order; only `delivery` is dispatched."""

    DELIVERY = "delivery"
    PICKUP = "pickup"
    EAT_IN = "eat_in"
    CURBSIDE = "curbside"
    DRIVE_THRU = "drive_thru"


DELIVERY_TYPE_BY_NUMBER = dict(zip("12345", DeliveryType, strict=True))
"""Ordering's numbers 1 to 5 (Ordering, "Delivery types")."""


def _delivery_type(value: object) -> object:
    numbered = isinstance(value, (int, str)) and not isinstance(value, bool)
    return DELIVERY_TYPE_BY_NUMBER.get(str(value), value) if numbered else value


_TYPE_SCHEMA = WithJsonSchema({"enum": [*DeliveryType, *DELIVERY_TYPE_BY_NUMBER, 1, 2, 3, 4, 5]})


def _money(value: object) -> object:
    if isinstance(value, Decimal) or (isinstance(value, str) and _MONEY.fullmatch(value)):
        return value
    raise ValueError('money is a decimal string such as "125.00", never a number')


def _instant(value: object) -> object:
    # pydantic alone would take a number, or digits in a string, for seconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    raise ValueError("a time is RFC 3339 text with an offset")


def _utc(value: datetime) -> datetime:
    if value.year not in CENTURY:
        raise ValueError("a time lies in this century")
    return value.astimezone(UTC)


Money = Annotated[
    Decimal,
    BeforeValidator(_money),
    Field(ge=0, max_digits=12, decimal_places=2, allow_inf_nan=False),
    AfterValidator(lambda amount: amount.quantize(CENT)),
    WithJsonSchema({"type": "string", "pattern": f"^{_MONEY.pattern}$", "examples": ["125.00"]}),
]
Instant = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_utc)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Integer = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]


class Model(BaseModel):
    """Frozen, tolerant of fields that a newer platform may add, and silent about values in its errors."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Customer(Model):
    """Who receives the order."""

    name: str = Field(min_length=1, max_length=350)
    phone: str = Field(min_length=1, max_length=64)


class Dropoff(Model):
    """Where the order goes."""

    street: str = Field(min_length=1)
    unit: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""
    latitude: float | None = Field(default=None, ge=-90, le=90, allow_inf_nan=False)
    longitude: float | None = Field(default=None, ge=-180, le=180, allow_inf_nan=False)
    notes: str = ""

    @model_validator(mode="after")
    def _whole_position(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude come together or not at all")
        return self


class Payment(Model):
    """What the customer owes at the door, if anything. `change_for` is the note tendered, not the amount due."""

    prepaid: StrictBool
    amount: Money
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    method: str = "card"
    change_for: Money | None = None


class Item(Model):
    """One line of the order, for the carrier's description of the parcel."""

    name: str
    quantity: Integer = 1
    unit_price: Money | None = None


class Order(Model):
    """An order as the bus carries it (`urn:order-sync:order:1`)."""

    order_id: Identifier
    order_number: str = ""
    revision: int = Field(default=1, strict=True, ge=1, le=LARGEST)
    store_id: Identifier
    delivery_type: Annotated[DeliveryType, BeforeValidator(_delivery_type), _TYPE_SCHEMA] = DeliveryType.DELIVERY
    status: Integer | None = None
    deliver_at: Instant | None = None
    ready_at: Instant | None = None
    customer: Customer
    dropoff: Dropoff
    payment: Payment
    items: tuple[Item, ...] = ()
    notes: str = ""
    carriers: tuple[str, ...] | None = None

    @property
    def number(self) -> str:
        """What people read on the ticket."""
        return self.order_number or self.order_id


def fingerprint(order: Order) -> str:
    """Hash what the order says, as SHA-256 in hex: the same content in any spelling has the same fingerprint.

    `revision` and `status` are left out: they move without anything a courier would have to know.
    """
    content = order.model_dump(mode="json", exclude={"revision", "status"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
