"""Borzo's JSON as models, read leniently.

A field that is missing, null or malformed becomes None and does not make its order unreadable (B-08, B-51, X-14). Only
an order without an id is unreadable. Nothing here interprets a value.
"""

import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, WrapValidator
from pydantic_core import PydanticCustomError

from worker.http.call import Reply
from worker.http.redaction import UNPRINTABLE, single_line

CURRENCY = "BRL"
"""The currency of every amount."""
MAX_URL = 2000
MAX_AMOUNT = 10**9
"""Amounts from this one on count as malformed. They are mistakes, and may be too long to be stored."""
HTTP_OK = 200


def _lenient(value: object, handler: Callable[[object], object]) -> object:
    try:
        return handler(value)
    except (ValueError, ArithmeticError):
        return None


def _timestamp(value: object) -> object:
    """Read a timestamp that has an offset (Borzo, "Parameter data types", B-07) as UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    return moment.astimezone(UTC) if moment and moment.tzinfo else None


def _amount(value: object) -> object:
    """Read an amount: a string as documented, or a number as in some samples (B-08)."""
    readable = isinstance(value, (str, int, Decimal)) and not isinstance(value, bool)
    return Decimal(value) if readable else None  # type: ignore[arg-type]


def _text(value: object) -> object:
    """Replace lone surrogates, which no database can store."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _single_line(value: object) -> object:
    """Reduce a text that is shown to an operator to one printable line."""
    return single_line(value) if isinstance(value, str) else value


def _link(value: object) -> object:
    """Keep a URL only if it is https and has no credentials. A link is never fetched (X-10)."""
    text = value if isinstance(value, str) and len(value) <= MAX_URL and not _has_unsafe_characters(value) else ""
    parts = urlsplit(text)
    return text if parts.scheme == "https" and parts.hostname and parts.username is None else None


def _has_unsafe_characters(text: str) -> bool:
    return any(letter.isspace() or unicodedata.category(letter) in UNPRINTABLE for letter in text)


def objects_in(value: object) -> list[dict[str, Any]]:
    """Return the JSON objects in a list without its other values; empty when the value is no list (X-14)."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


Lenient = WrapValidator(_lenient)
Identity = Annotated[StrictInt, Field(gt=0, lt=2**63)]
Number = Annotated[Identity | None, Lenient]
Text = Annotated[StrictStr | None, BeforeValidator(_text), Lenient]
Line = Annotated[StrictStr | None, BeforeValidator(_single_line), Lenient]
Flag = Annotated[StrictBool | None, Lenient]
Moment = Annotated[datetime | None, BeforeValidator(_timestamp), Lenient]
Amount = Annotated[
    Annotated[Decimal, Field(allow_inf_nan=False, gt=-MAX_AMOUNT, lt=MAX_AMOUNT)] | None,
    BeforeValidator(_amount),
    Lenient,
]
Latitude = Annotated[Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None, Lenient]
Longitude = Annotated[Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None, Lenient]
Fee = Annotated[
    Annotated[Decimal, Field(allow_inf_nan=False, ge=0, lt=MAX_AMOUNT)] | None, BeforeValidator(_amount), Lenient
]
"""A price to pay, which is never negative."""
Link = Annotated[str | None, BeforeValidator(_link), Lenient]


def _texts(value: object) -> object:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


class Wire(BaseModel):
    """The base class of every model in this module."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read a JSON object. Any other value counts as an empty object."""
        return cls.model_validate(raw if isinstance(raw, dict) else {})


class RawCourier(Wire):
    """The courier block (Borzo, "Courier parameters")."""

    surname: Line = None
    name: Line = None
    middlename: Line = None
    phone: Line = None
    latitude: Latitude = None
    longitude: Longitude = None


class RawCheckin(Wire):
    """The recipient of the goods (Borzo, "Notification about order changes", sample)."""

    recipient_full_name: Line = None
    recipient_position: Line = None


class RawPointDelivery(Wire):
    """The delivery inside a point (Borzo, "Delivery parameters")."""

    status: Line = None
    status_datetime: Moment = None


class RawPoint(Wire):
    """One address of an order (Borzo, "Point parameters")."""

    point_id: Number = None
    delivery_id: Number = None
    client_order_id: Text = None
    is_return_point: Flag = None
    estimated_arrival_datetime: Moment = None
    tracking_url: Link = None
    place_photo_url: Link = None
    sign_photo_url: Link = None
    checkin: Annotated[RawCheckin | None, Lenient] = None
    delivery: Annotated[RawPointDelivery | None, Lenient] = None


class RawOrder(Wire):
    """An order, as in the answers to create, cancel and list and in the order callback (Borzo, "Order parameters")."""

    order_id: Identity
    status: Line = None
    status_description: Line = None
    created_datetime: Moment = None
    is_return_required: Flag = None
    payment_amount: Amount = None
    courier: Annotated[RawCourier | None, Lenient] = None
    points: Annotated[tuple[RawPoint, ...], BeforeValidator(objects_in)] = ()


class RawContact(Wire):
    """The contact person at a point (Borzo, "Point parameters")."""

    phone: Annotated[Line, Field(repr=False)] = None


class RawListedPoint(RawPoint):
    """A point with the fields by which an operator's order is recognised. They are compared and not kept (B-55)."""

    address: Annotated[Line, Field(repr=False)] = None
    contact_person: Annotated[RawContact | None, Lenient] = None
    required_start_datetime: Moment = None


class RawListedOrder(RawOrder):
    """An order of the list, with such points."""

    points: Annotated[tuple[RawListedPoint, ...], BeforeValidator(objects_in)] = ()


class RawPrice(Wire):
    """The price of a calculated order; its order id belongs to no order (Borzo, "Order price calculation", B-20)."""

    payment_amount: Fee = None


class RawLabel(Wire):
    """One label (Borzo, "List of labels", B-54)."""

    type: Text = None
    order_id: Number = None
    point_id: Number = None
    content: Text = None
    content_base64: Text = None


class RawClient(Wire):
    """The permissions of the account (Borzo, "Client profile info", sample)."""

    allowed_payment_methods: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()


class RawDelivery(Wire):
    """The delivery in a delivery callback (Borzo, "Notification about delivery changes", B-88)."""

    delivery_id: Number = None
    order_id: Number = None
    point_id: Number = None
    client_order_id: Text = None
    status: Line = None
    status_description: Line = None
    status_datetime: Moment = None
    order_payment_amount: Amount = None
    checkin_issue_name: Line = None
    tracking_url: Link = None
    place_photo_url: Link = None
    sign_photo_url: Link = None
    checkin: Annotated[RawCheckin | None, Lenient] = None
    courier: Annotated[RawCourier | None, Lenient] = None


class RawEvent(Wire):
    """A callback. Its kind follows from its content, not from its `event_type` (B-89)."""

    event_datetime: Moment = None
    order: Annotated[RawOrder | None, Lenient] = None
    delivery: Annotated[RawDelivery | None, Lenient] = None


def decode_json(body: bytes) -> dict[str, Any] | None:
    """Return a JSON object with exact decimals; None for any other bytes (X-11)."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def parse_success(reply: Reply) -> dict[str, Any] | None:
    """Return the document of a success: HTTP 200 and `is_successful` true (B-04); None for any other reply."""
    document = decode_json(reply.body) if reply.status == HTTP_OK else None
    return document if document is not None and document.get("is_successful") is True else None


def parse_order(raw_order: object) -> RawOrder | None:
    """Return one order; None when it has no usable `order_id`."""
    try:
        return RawOrder.model_validate(raw_order)
    except (ValueError, PydanticCustomError):
        return None


def parse_listed_order(raw_order: object) -> RawListedOrder | None:
    """Return one order of the list with its addresses and contacts; None when it has no usable `order_id`."""
    try:
        return RawListedOrder.model_validate(raw_order)
    except (ValueError, PydanticCustomError):
        return None


def parse_event(body: bytes) -> RawEvent | None:
    """Return a callback's event; None when it contains neither an order nor a delivery."""
    event = RawEvent.model_validate(decode_json(body) or {})
    return event if event.order or event.delivery else None


def has_readable_points(raw_order: object) -> bool:
    """Return whether an order and all its points are readable. An unreadable point may contain our reference."""
    points = raw_order.get("points") if isinstance(raw_order, dict) else None
    return parse_order(raw_order) is not None and _are_objects(points)


def has_readable_packages(raw_order: dict[str, Any]) -> bool:
    """Return whether every package of an order is readable, so that an edit can list all packages (B-96).

    The order's points must be readable.
    """
    return all(_are_objects(point.get("packages")) for point in raw_order["points"])


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
