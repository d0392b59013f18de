"""Cervo's messages on the wire: the create that we send, and the id, the order and the callback that we receive.

Numbers stay text, because they are codes and telephone numbers. A value that cannot be parsed is None.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl

from worker.carriers.port import Callback
from worker.http.redaction import single_line

MAX_HISTORY = 100
MAX_FIELDS = 100
MAX_CODE = 32
"""The maximum length of a code, a time or a telephone number, in characters."""
MAX_TEXT = 300
MAX_URL = 2000

ORDER_ID = re.compile(r"[1-9][0-9]{0,18}")
"""Cervo's own order id (C-21). Our `id` in a create is not Cervo's order id (C-31)."""


@dataclass(frozen=True, slots=True)
class CreateBody:
    """The body of POST /order, with all sixteen keys in the sequence of the API document (C-12)."""

    address: str
    lng: float
    lat: float
    id: int
    order_id: str
    date: str
    customer: str
    mobile: str
    price: Decimal
    payment: str
    ispaid: str
    callback: str
    status: int
    notes: str
    storelat: float
    storelng: float

    def to_json(self) -> bytes:
        """Return the body as JSON. The price is formatted here, because `json` cannot write a Decimal."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        text = ", ".join(f'"{name}": {_literal(value)}' for name, value in pairs)
        return f"{{{text}}}".encode("utf-8", "replace")


_to_json = json.JSONEncoder(ensure_ascii=False).encode


def _literal(value: str | float | Decimal) -> str:
    return format(value, "f") if isinstance(value, Decimal) else _to_json(value)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of `OrderStatus` (C-37). Both fields are None when the entry is unreadable."""

    code: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class OrderReply:
    """The answer to GET /order. `code` is `Status`, and `history` is `OrderStatus`."""

    code: str | None
    history: tuple[HistoryEntry, ...] = ()
    driver_name: str | None = None
    driver_mobile: str | None = None
    tracking: str | None = None


@dataclass(frozen=True, slots=True)
class CallbackFields:
    """The fields of a callback (Cervo, "Callback parameters")."""

    order_id: str | None = None
    driver_name: str | None = None
    driver_mobile: str | None = None
    order_status: str | None = None
    cancel: str | None = None
    tracking: str | None = None


CALLBACK_KEYS = frozenset(field.name.replace("_", "") for field in fields(CallbackFields))


def body_text(body: bytes) -> str:
    """Return a body as text without a byte order mark or outer whitespace."""
    return body.decode("utf-8-sig", "replace").strip()


def is_order_id(text: str | None) -> bool:
    """Return whether a text has the form of Cervo's order ids (C-21)."""
    return text is not None and ORDER_ID.fullmatch(text) is not None


def parse_order_id(body: bytes) -> str | None:
    """Parse the bare or quoted order id that answers a create (C-21). Return None for any other answer."""
    text = body_text(body).strip("\"'").strip()
    return text if is_order_id(text) else None


def parse_order(body: bytes) -> OrderReply | None:
    """Parse the answer to GET /order. Return None for a body that is not a JSON object."""
    raw = _json_object(body)
    if raw is None:
        return None
    history = raw.get("orderstatus")
    return OrderReply(
        code=clean_line(raw.get("status"), MAX_CODE),
        history=tuple(map(_entry, history[:MAX_HISTORY])) if isinstance(history, list) else (),
        driver_name=clean_line(raw.get("drivername")),
        driver_mobile=clean_line(raw.get("drivermobile"), MAX_CODE),
        tracking=clean_line(raw.get("tracking"), MAX_URL),
    )


def parse_callback(callback: Callback) -> CallbackFields | None:
    """Parse a callback's query and its body, which is JSON or a form (C-50). Return None without a documented field."""
    raw = _normalise(dict(_pairs(callback.query))) | (_parse_body(callback) or {})
    if CALLBACK_KEYS.isdisjoint(raw):
        return None
    return CallbackFields(
        order_id=clean_line(raw.get("orderid")),
        driver_name=clean_line(raw.get("drivername")),
        driver_mobile=clean_line(raw.get("drivermobile"), MAX_CODE),
        order_status=clean_line(raw.get("orderstatus"), MAX_CODE),
        cancel=clean_line(raw.get("cancel"), 4 * MAX_TEXT),  # cut again after redaction, which needs whole names
        tracking=clean_line(raw.get("tracking"), MAX_URL),
    )


def clean_line(value: object, limit: int = MAX_TEXT) -> str | None:
    """Return a text as one line of limited length without control characters.

    Return None for an empty text, and for a value that is not a text.
    """
    if not isinstance(value, str):
        return None
    return single_line(value, limit) or None


def _entry(raw_entry: object) -> HistoryEntry:
    if not isinstance(raw_entry, dict):
        return HistoryEntry()
    raw = _normalise(raw_entry)
    return HistoryEntry(clean_line(raw.get("status"), MAX_CODE), clean_line(raw.get("date"), MAX_CODE))


def _parse_body(callback: Callback) -> dict[str, Any] | None:
    content_type = callback.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        return _normalise(_multipart(content_type, callback.body))
    return _json_object(callback.body) or _normalise(dict(_pairs(callback.body.decode("utf-8-sig", "replace"))))


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        raw = json.loads(body.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return _normalise(raw) if isinstance(raw, dict) else None


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        return []


def _multipart(content_type: str, body: bytes) -> dict[str, Any]:
    head = f"Content-Type: {' '.join(content_type.split())}\r\n\r\n".encode("latin-1", "replace")
    try:
        parts = list(BytesParser().parsebytes(head + body).walk())
    except RecursionError:  # deeply nested parts
        return {}
    return {str(part.get_param("name", header="content-disposition")): _content(part) for part in parts}


def _content(part: Message) -> str | None:
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else None


def _normalise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with lower-case keys without underscores, because the document has three styles (C-05)."""
    return {key.replace("_", "").lower(): value for key, value in raw.items()}
