"""The messages in: `order.placed`, `order.updated` and `order.cancelled`, as CloudEvents 1.0.

`read_message` is the only reader. When it refuses a message, the reason names the field at fault.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import uuid5

from pydantic import ConfigDict, Field, StrictBool, ValidationError, WithJsonSchema

from schemas.events import NAMESPACE
from schemas.fields import LENIENT, OPTIONAL, Attribute, Identifier, Instant, Text
from schemas.json_reader import MalformedError, explain, read_object
from schemas.order import Model, Order
from schemas.ordering import NO_DEFAULTS, ORDERING_SCHEMA, ProjectDefaults, read_order
from schemas.ordering_times import read_time_placed
from schemas.status import CancelledBy
from schemas.trace import Trace

DEFAULT_SOURCE = "platform"


class OrderRef(Model):
    """Only the id of an order. The order itself is fetched from the platform.

    Data with any other field beside the id are an order.
    """

    model_config = ConfigDict(extra="forbid")

    order_id: Identifier
    """The platform's id of the order."""


class Cancellation(Model):
    """A request to cancel an order."""

    order_id: Identifier
    """The platform's id of the order."""
    reason: Annotated[Text, LENIENT] = ""
    """Why, for people."""
    cancelled_by: Annotated[Annotated[Text, Field(max_length=64)], LENIENT] = "merchant"
    """`merchant` or `customer`. Any other text is stored, and counts as `merchant`."""
    allow_paid: Annotated[StrictBool, LENIENT] = False
    """Whether to cancel even if the carrier charges for it."""

    @property
    def canceller(self) -> CancelledBy:
        """Who cancels the order."""
        return CancelledBy.CUSTOMER if self.cancelled_by.lower() == CancelledBy.CUSTOMER else CancelledBy.MERCHANT


class Envelope(Model):
    """A message with its CloudEvents 1.0 attributes (structured JSON mode)."""

    specversion: Literal["1.0"]
    """The version of CloudEvents."""
    id: Attribute
    """The id of the message. A message with a known `source` and `id` has no effect."""
    source: Annotated[Attribute, OPTIONAL] = DEFAULT_SOURCE
    """The platform that sends the message."""
    type: Literal["order.placed", "order.updated", "order.cancelled"]
    """`order.placed`, `order.updated` (the whole order again, with a greater `revision`) or `order.cancelled`."""
    time: Annotated[Instant | None, LENIENT] = None
    """When the message was sent."""
    dataschema: Annotated[
        Literal["urn:order-sync:order:1", "urn:order-sync:ordering-order:1"] | None,
        WithJsonSchema({"type": "string"}),
        LENIENT,
    ] = None
    """The shape of an order in `data`: our own, which is the default, or the Ordering platform's."""
    traceparent: Annotated[str | None, LENIENT] = None
    """The trace that the order belongs to, in the form of W3C Trace Context. Every event of the order repeats it."""
    tracestate: Annotated[str | None, LENIENT] = None
    """The vendor's part of the trace."""
    data: dict[str, Any]
    """An order, an Ordering order, an order's id alone, or a cancellation."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was read; `(source, id)` identifies it."""

    source: str
    id: str
    type: str
    data: Order | OrderRef | Cancellation
    time: datetime | None = None
    """The envelope's `time`; None if the envelope has no readable time.

    If an order in the Ordering platform's format says when it was placed, that time is used instead.
    """
    trace: Trace | None = None
    ignored: frozenset[str] = frozenset()
    """The names of the fields whose values were ignored or changed."""

    @property
    def is_backfilled(self) -> bool:
        """Whether this message is our own, because back-fill found its order on the platform."""
        return self.id == found_order_message(self.source, self.data.order_id).id


def found_order_message(source: str, order_id: str) -> Message:
    """Return our own message for an order that back-fill found on the platform without a message.

    The same order always gives the same message, so a repeat has no effect.
    """
    identity = str(uuid5(NAMESPACE, f"missed\n{source}\n{order_id}"))
    return Message(source=source, id=identity, type="order.placed", data=OrderRef(order_id=order_id))


def read_message(raw: bytes | dict[str, Any], project: ProjectDefaults = NO_DEFAULTS) -> Message:
    """Read one message from the bytes of a document or from the dict of a Celery task.

    `project` supplies the values that an order of the Ordering platform lacks. Raises MalformedError for a message that
    is not valid JSON, or whose attributes or data are invalid.
    """
    ignored: set[str] = set()
    try:
        envelope = Envelope.model_validate(_with_data(read_object(raw)), context=ignored)
    except ValidationError as error:
        raise explain(error) from None
    data = _read_data(envelope, project, ignored)
    placed_at = read_time_placed(envelope.data) if envelope.dataschema == ORDERING_SCHEMA else None
    return Message(
        source=envelope.source,
        id=envelope.id,
        type=envelope.type,
        data=data,
        time=placed_at or envelope.time,
        trace=Trace.read(envelope.traceparent, envelope.tracestate),
        ignored=frozenset(ignored),
    )


def read_fields(fields: Mapping[bytes, bytes], project: ProjectDefaults = NO_DEFAULTS) -> Message:
    """Read one message from the fields of a stream entry: a document in `event`, or CloudEvents in binary mode.

    In binary mode, each attribute is a field with the prefix `ce_`, and the field `data` is the JSON document. Raises
    MalformedError for an entry in neither form, and for a message that `read_message` refuses.
    """
    if b"event" in fields:
        return read_message(fields[b"event"], project)
    attributes = {name.removeprefix(b"ce_"): value for name, value in fields.items() if name.startswith(b"ce_")}
    if not attributes:
        raise MalformedError("no field `event`")
    try:
        document: dict[str, Any] = {name.decode(): value.decode() for name, value in attributes.items()}
    except UnicodeError:
        raise MalformedError("message: not UTF-8") from None
    return read_message({**document, "data": read_object(fields.get(b"data", b""))}, project)


def _with_data(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document. If it has no `data`, set `data` to the decoded `data_base64`.

    Raises MalformedError if `data_base64` is not base64, or if `read_object` refuses its content.
    """
    encoded = document.get("data_base64")
    if not isinstance(encoded, str) or document.get("data") is not None:
        return document
    try:
        return {**document, "data": read_object(b64decode(encoded))}
    except ValueError:
        raise MalformedError("data_base64: not base64") from None


def _read_data(envelope: Envelope, project: ProjectDefaults, ignored: set[str]) -> Order | OrderRef | Cancellation:
    try:
        model = _model(envelope)
        if model is None:
            return read_order(envelope.data, project, ignored)
        return model.model_validate(envelope.data, context=ignored)
    except ValidationError as error:
        raise _in_data(explain(error)) from None
    except MalformedError as error:
        raise _in_data(error) from None


def _in_data(error: MalformedError) -> MalformedError:
    first, *more = error.faults
    return MalformedError(f"data: {first}", *more)


def _model(envelope: Envelope) -> type[Order | OrderRef | Cancellation] | None:
    """Return the model of the message's data; None for an order in the Ordering platform's format."""
    if envelope.type == "order.cancelled":
        return Cancellation
    if envelope.data.keys() == {"order_id"}:
        return OrderRef
    return None if envelope.dataschema == ORDERING_SCHEMA else Order
