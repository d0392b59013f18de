"""Cervo's messages as they stand on the wire: the order we send, the order and the callback we receive.

Numbers are kept as they were written, for here they are words and telephone numbers. What cannot be read is None.
"""

import json
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
MAX_WORD = 32
MAX_TEXT = 300
MAX_URL = 2000


@dataclass(frozen=True, slots=True)
class RawOrder:
    """The body of POST /order: all sixteen keys in the document's order (C-12)."""

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
        """Write the body; the price as a number with two decimals, which `json` cannot do for a Decimal (C-16)."""
        pairs = ((field.name, getattr(self, field.name)) for field in fields(self))
        text = ", ".join(f"{json.dumps(name)}: {_literal(value)}" for name, value in pairs)
        return f"{{{text}}}".encode("utf-8", "replace")


def _literal(value: str | float | Decimal) -> str:
    return format(value, ".2f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One entry of `OrderStatus`; both are None when the entry is unreadable (C-37)."""

    word: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class RawView:
    """The answer to GET /order."""

    status: str | None
    history: tuple[RawEntry, ...] = ()
    driver_name: str | None = None
    driver_mobile: str | None = None
    tracking: str | None = None


@dataclass(frozen=True, slots=True)
class RawCallback:
    """What a callback says (Cervo, "Callback parameters")."""

    order_id: str | None = None
    driver_name: str | None = None
    driver_mobile: str | None = None
    order_status: str | None = None
    cancel: str | None = None
    tracking: str | None = None


CALLBACK_KEYS = frozenset(field.name.replace("_", "") for field in fields(RawCallback))


def raw_view(body: bytes) -> RawView | None:
    """Read the answer to GET /order; None when it is no JSON object."""
    raw = _object(body)
    if raw is None:
        return None
    history = raw.get("orderstatus")
    return RawView(
        status=one_line(raw.get("status"), MAX_WORD),
        history=tuple(_entry(raw_entry) for raw_entry in history[:MAX_HISTORY]) if isinstance(history, list) else (),
        driver_name=one_line(raw.get("drivername")),
        driver_mobile=one_line(raw.get("drivermobile"), MAX_WORD),
        tracking=one_line(raw.get("tracking"), MAX_URL),
    )


def raw_callback(callback: Callback) -> RawCallback | None:
    """Read a callback from its JSON, form or query (C-50); None when it says nothing we know."""
    raw = _folded(dict(_pairs(callback.query))) | (_posted(callback) or {})
    if CALLBACK_KEYS.isdisjoint(raw):
        return None
    return RawCallback(
        order_id=one_line(raw.get("orderid")),
        driver_name=one_line(raw.get("drivername")),
        driver_mobile=one_line(raw.get("drivermobile"), MAX_WORD),
        order_status=one_line(raw.get("orderstatus"), MAX_WORD),
        cancel=one_line(raw.get("cancel"), 4 * MAX_TEXT),  # cut for good once nothing in it is half a name
        tracking=one_line(raw.get("tracking"), MAX_URL),
    )


def one_line(value: object, limit: int = MAX_TEXT) -> str | None:
    """Make a carrier's text safe to store: one line, no control characters, of limited length; None when empty."""
    if not isinstance(value, str):
        return None
    return single_line(value, limit) or None


def _entry(raw_entry: object) -> RawEntry:
    if not isinstance(raw_entry, dict):
        return RawEntry()
    raw = _folded(raw_entry)
    return RawEntry(one_line(raw.get("status"), MAX_WORD), one_line(raw.get("date"), MAX_WORD))


def _posted(callback: Callback) -> dict[str, Any] | None:
    content_type = callback.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        return _folded(_multipart(content_type, callback.body))
    return _object(callback.body) or _folded(dict(_pairs(callback.body.decode("utf-8-sig", "replace"))))


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        raw = json.loads(body.decode("utf-8-sig", "replace"), parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return _folded(raw) if isinstance(raw, dict) else None


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS)
    except ValueError:
        return []


def _multipart(content_type: str, body: bytes) -> dict[str, Any]:
    head = f"Content-Type: {' '.join(content_type.split())}\r\n\r\n".encode("latin-1", "replace")
    try:
        parts = list(BytesParser().parsebytes(head + body).walk())
    except RecursionError:  # parts within parts within parts
        return {}
    return {str(part.get_param("name", header="content-disposition")): _content(part) for part in parts}


def _content(part: Message) -> str | None:
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else None


def _folded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Forget case and underscores, for the document has three ways to write a key (C-05)."""
    return {key.replace("_", "").lower(): value for key, value in raw.items()}
