"""The messages in: `order.placed`, `order.updated` and `order.cancelled`, as CloudEvents 1.0.

`read_message` is the only reader. Whatever it refuses, it refuses with a reason that names the field.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import from_json

ORDER_SCHEMA = "urn:order-sync:order:1"
ORDERING_SCHEMA = "urn:order-sync:ordering-order:1"
DEFAULT_SOURCE = "platform"
MAX_MESSAGE_BYTES = 5_000_000


class MalformedError(Exception):
    """A message that cannot be read; its text says which field and why, and never repeats personal data."""


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


def _money(value: object) -> object:
    if isinstance(value, float | int):
        message = "money is a decimal string, never a number"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError as a fault of the field
    return value


Money = Annotated[
    Decimal, BeforeValidator(_money), Field(ge=0, max_digits=12, decimal_places=2, allow_inf_nan=False)
]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Model(BaseModel):
    """Frozen, and tolerant of fields that a newer platform may add."""

    model_config = ConfigDict(frozen=True, extra="ignore")


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


class Payment(Model):
    """What the customer owes at the door, if anything. `change_for` is the note tendered, not the amount due."""

    prepaid: bool
    amount: Money
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    method: str = "card"
    change_for: Money | None = None


class Item(Model):
    """One line of the order, for the carrier's description of the parcel."""

    name: str
    quantity: int = Field(default=1, ge=0)
    unit_price: Money | None = None


class Order(Model):
    """An order as the bus carries it (`urn:order-sync:order:1`)."""

    order_id: Identifier
    order_number: str = ""
    revision: int = Field(default=1, ge=1)
    store_id: Identifier
    delivery_type: Annotated[DeliveryType, BeforeValidator(_delivery_type)] = DeliveryType.DELIVERY
    status: int | None = None
    deliver_at: AwareDatetime | None = None
    ready_at: AwareDatetime | None = None
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


class OrderRef(Model):
    """An order named by its id alone: the rest is fetched from the platform."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_id: Identifier


class Cancellation(Model):
    """A wish that the order be cancelled."""

    order_id: Identifier
    reason: str = ""
    cancelled_by: Literal["merchant", "customer"] = "merchant"
    allow_paid: bool = False


class _Envelope(BaseModel):
    specversion: Literal["1.0"]
    id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    source: Annotated[str, StringConstraints(min_length=1, max_length=255)] = DEFAULT_SOURCE
    type: Literal["order.placed", "order.updated", "order.cancelled"]
    time: AwareDatetime | None = None
    dataschema: str | None = None
    traceparent: str | None = None
    data: dict[str, Any] = Field(validation_alias=AliasChoices("data"))


@dataclass(frozen=True, slots=True)
class Message:
    """One message that could be read: who says it, which message it is and what it says."""

    source: str
    id: str
    type: str
    data: Order | OrderRef | Cancellation
    time: datetime | None = None
    traceparent: str | None = None
