"""What an unreadable message still says about itself: its order, its platform, its id and its trace.

A value that is invalid counts as absent, so nothing is published that a readable message could not contain.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.fields import Attribute, Identifier
from schemas.json_reader import MalformedError, parse_object
from schemas.messages import DEFAULT_SOURCE
from schemas.ordering import ORDERING_SCHEMA
from schemas.trace import Trace

_ATTRIBUTE: TypeAdapter[str] = TypeAdapter(Attribute)
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a message that cannot be read; None for each part that cannot be read either."""

    source: str | None = None
    message_id: str | None = None
    order_id: str | None = None
    trace: Trace | None = None


UNKNOWN = Origin()


def read_origin(document: bytes | Mapping[bytes, bytes]) -> Origin:
    """Return the origin of a document, or of the fields of a stream entry. Raises nothing."""
    envelope = _envelope(document)
    if envelope is None:
        return UNKNOWN
    source = envelope.get("source")
    return Origin(
        _read(_ATTRIBUTE, DEFAULT_SOURCE if source in (None, "") else source),
        _read(_ATTRIBUTE, envelope.get("id")),
        _read(_IDENTIFIER, _order_id(_data(envelope), envelope.get("dataschema"))),
        Trace.read(envelope.get("traceparent"), envelope.get("tracestate")),
    )


def _envelope(document: bytes | Mapping[bytes, bytes]) -> dict[str, Any] | None:
    if isinstance(document, bytes):
        return _object(document)
    if b"event" in document:
        return _object(document[b"event"])
    attributes = {name: value for name, value in document.items() if name.startswith(b"ce_")}
    if not attributes:
        return None
    # A byte that is not UTF-8 becomes half a surrogate pair, which no field accepts.
    texts = {_text(name[3:]): _text(value) for name, value in attributes.items()}
    return {**texts, "data": _object(document.get(b"data", b""))}


def _data(envelope: dict[str, Any]) -> dict[str, Any]:
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if data is None and isinstance(encoded, str):
        try:
            data = _object(b64decode(encoded))
        except ValueError:
            data = None
    return data if isinstance(data, dict) else {}


def _order_id(data: dict[str, Any], schema: object) -> object:
    return data.get("id") if schema == ORDERING_SCHEMA and "order_id" not in data else data.get("order_id")


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(raw)
    except MalformedError:
        return None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _read(shape: TypeAdapter[str], value: object) -> str | None:
    try:
        return shape.validate_python(value)
    except ValidationError:
        return None
