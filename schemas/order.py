"""The order in our format (`urn:order-sync:order:1`), whatever platform it comes from.

Money is Decimal with two places, times are UTC, and a value that is not exact is refused.
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
    """How the customer receives the order; only `delivery` is dispatched."""

    DELIVERY = "delivery"
    PICKUP = "pickup"
    EAT_IN = "eat_in"
    CURBSIDE = "curbside"
    DRIVE_THRU = "drive_thru"


DELIVERY_TYPE_BY_NUMBER = dict(zip("12345", DeliveryType, strict=True))
"""The Ordering platform's numbers 1 to 5 (Ordering, "Delivery types")."""


def _delivery_type(value: object) -> object:
    numbered = isinstance(value, (int, str)) and not isinstance(value, bool)
    return DELIVERY_TYPE_BY_NUMBER.get(str(value), value) if numbered else value


_TYPE_SCHEMA = WithJsonSchema({"enum": [*DeliveryType, *DELIVERY_TYPE_BY_NUMBER, 1, 2, 3, 4, 5]})


def _money(value: object) -> object:
    if isinstance(value, Decimal) or (isinstance(value, str) and _MONEY.fullmatch(value)):
        return value
    raise ValueError('money must be a decimal string such as "125.00", not a number')


def _instant(value: object) -> object:
    # pydantic by itself would read a number, or a string of digits, as seconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    raise ValueError("a time must be RFC 3339 text with an offset")


def _utc(value: datetime) -> datetime:
    if value.year not in CENTURY:
        raise ValueError("the year must be between 2000 and 2099")
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
    """Base of the incoming models: frozen, ignores unknown fields, and shows no values in its errors."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Customer(Model):
    """The customer who receives the order."""

    name: str = Field(min_length=1, max_length=350)
    phone: str = Field(min_length=1, max_length=64)


class Dropoff(Model):
    """The address that the order is delivered to."""

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
            raise ValueError("latitude and longitude must be given together")
        return self


class Payment(Model):
    """How the order is paid. `change_for` is the banknote that the customer will hand over, not the amount due."""

    prepaid: StrictBool
    amount: Money
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    method: str = "card"
    change_for: Money | None = None


class Item(Model):
    """One line of the order; carriers get it as part of the parcel's description."""

    name: str
    quantity: Integer = 1
    unit_price: Money | None = None


class Order(Model):
    """An order as a message contains it (`urn:order-sync:order:1`)."""

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
        """The number on the ticket: `order_number`, or the id when there is no `order_number`."""
        return self.order_number or self.order_id


def fingerprint(order: Order) -> str:
    """Return the SHA-256 of an order's content in hex.

    Equal orders have the same fingerprint, however their JSON is written. `revision` and `status` are left out, because
    they do not matter to a courier.
    """
    content = order.model_dump(mode="json", exclude={"revision", "status"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
