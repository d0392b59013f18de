"""Borzo's words as they stand on the wire, read tolerantly.

A field that is missing, null or nonsense becomes None and never costs us the row (B-08, B-51, X-14); only an order
without an id is no order. Nothing here means anything yet.
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

MAX_URL = 2000
MOST = 10**9
"""Beyond this an amount is a mistake, and may be too long to be written down."""
HTTP_OK = 200


def _lenient(value: object, handler: Callable[[object], object]) -> object:
    try:
        return handler(value)
    except (ValueError, ArithmeticError):
        return None


def _moment(value: object) -> object:
    """Read a timestamp with its offset (Borzo, "Parameter data types", B-07) as UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    return moment.astimezone(UTC) if moment and moment.tzinfo else None


def _amount(value: object) -> object:
    """Read money, which is documented as a string and shown as a number too (B-08)."""
    readable = isinstance(value, (str, int, Decimal)) and not isinstance(value, bool)
    return Decimal(value) if readable else None  # type: ignore[arg-type]


def _text(value: object) -> object:
    """Replace half characters."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _line(value: object) -> object:
    """Make what is shown to people fit for it."""
    return single_line(value) if isinstance(value, str) else value


def _link(value: object) -> object:
    """Keep an address only if it is https; it is never fetched (X-10)."""
    text = value if isinstance(value, str) and len(value) <= MAX_URL and not _has_gaps(value) else ""
    parts = urlsplit(text)
    return text if parts.scheme == "https" and parts.hostname and parts.username is None else None


def _has_gaps(text: str) -> bool:
    return any(letter.isspace() or unicodedata.category(letter) in UNPRINTABLE for letter in text)


def rows(value: object) -> list[dict[str, Any]]:
    """Take the objects out of a list; whatever else there is, is no row (X-14)."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


Lenient = WrapValidator(_lenient)
Identity = Annotated[StrictInt, Field(gt=0, lt=2**63)]
Number = Annotated[Identity | None, Lenient]
Text = Annotated[StrictStr | None, BeforeValidator(_text), Lenient]
Line = Annotated[StrictStr | None, BeforeValidator(_line), Lenient]
Flag = Annotated[StrictBool | None, Lenient]
Moment = Annotated[datetime | None, BeforeValidator(_moment), Lenient]
Amount = Annotated[
    Annotated[Decimal, Field(allow_inf_nan=False, gt=-MOST, lt=MOST)] | None, BeforeValidator(_amount), Lenient
]
Latitude = Annotated[Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None, Lenient]
Longitude = Annotated[Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None, Lenient]
Fee = Annotated[Annotated[Decimal, Field(allow_inf_nan=False, ge=0, lt=MOST)] | None, BeforeValidator(_amount), Lenient]
"""What we would pay; nobody is paid for an order."""
Link = Annotated[str | None, BeforeValidator(_link), Lenient]


def _texts(value: object) -> object:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


class Wire(BaseModel):
    """What every block on the wire has in common."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of(cls, raw: object) -> Self:
        """Read it; whatever is no object says nothing."""
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
    """Who took the parcel (Borzo, "Notification about order changes", sample)."""

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
    """An order as create, cancel, list and the order callback show it (Borzo, "Order parameters")."""

    order_id: Identity
    status: Line = None
    status_description: Line = None
    created_datetime: Moment = None
    is_return_required: Flag = None
    payment_amount: Amount = None
    courier: Annotated[RawCourier | None, Lenient] = None
    points: Annotated[tuple[RawPoint, ...], BeforeValidator(rows)] = ()


class RawPrice(Wire):
    """All that counts of a calculated order: its order id is of nothing (Borzo, "Order price calculation", B-20)."""

    payment_amount: Fee = None


class RawLabel(Wire):
    """One label (Borzo, "List of labels", B-54)."""

    type: Text = None
    order_id: Number = None
    point_id: Number = None
    content: Text = None
    content_base64: Text = None


class RawClient(Wire):
    """What the account may do (Borzo, "Client profile info", sample)."""

    allowed_payment_methods: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()


class RawDelivery(Wire):
    """The delivery of the delivery callback (Borzo, "Notification about delivery changes", B-88)."""

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
    """A callback; which of the two it is shows in what it carries, not in its event_type (B-89)."""

    event_datetime: Moment = None
    order: Annotated[RawOrder | None, Lenient] = None
    delivery: Annotated[RawDelivery | None, Lenient] = None


def decode(body: bytes) -> dict[str, Any] | None:
    """Read a JSON object with exact decimals; None when the bytes are none (X-11)."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=lambda _: None)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def success(reply: Reply) -> dict[str, Any] | None:
    """Return the document of a success: HTTP 200 and `is_successful` true, nothing less (B-04)."""
    document = decode(reply.body) if reply.status == HTTP_OK else None
    return document if document is not None and document.get("is_successful") is True else None


def order_of(raw_order: object) -> RawOrder | None:
    """Read one order; None when it has no usable `order_id`."""
    try:
        return RawOrder.model_validate(raw_order)
    except (ValueError, PydanticCustomError):
        return None


def event_of(body: bytes) -> RawEvent | None:
    """Read a callback's body; None when it carries neither an order nor a delivery."""
    event = RawEvent.model_validate(decode(body) or {})
    return event if event.order or event.delivery else None


def is_whole(raw_order: object) -> bool:
    """Tell whether every point of a listed order can be looked at; one that cannot might be the one we seek."""
    points = raw_order.get("points") if isinstance(raw_order, dict) else None
    return order_of(raw_order) is not None and _are_objects(points)


def is_packed(raw_order: dict[str, Any]) -> bool:
    """Tell whether every package of a whole order can be looked at; one that cannot could not be named (B-96)."""
    return all(_are_objects(point.get("packages")) for point in raw_order["points"])


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
