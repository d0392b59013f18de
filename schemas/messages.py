"""The messages in: `order.placed`, `order.updated` and `order.cancelled`, as CloudEvents 1.0.

`read_message` is the only reader. When it refuses a message, the reason names the field at fault.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import uuid5

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from schemas.events import NAMESPACE
from schemas.json_reader import MalformedError, explain, read_object
from schemas.order import Identifier, Instant, Model, Order
from schemas.ordering import NO_DEFAULTS, ORDERING_SCHEMA, ProjectDefaults, read_order

DEFAULT_SOURCE = "platform"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class OrderRef(Model):
    """An order given by its id alone; the order itself is fetched from the platform."""

    model_config = ConfigDict(extra="forbid")

    order_id: Identifier


class Cancellation(Model):
    """A request to cancel an order."""

    order_id: Identifier
    reason: str = ""
    cancelled_by: Literal["merchant", "customer"] = "merchant"
    allow_paid: StrictBool = False


def _traceparent(value: object) -> str | None:
    # W3C Trace Context 3.2: an unreadable header counts as absent and never makes the message unreadable.
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


Attribute = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Envelope(Model):
    """The CloudEvents 1.0 attributes around an order (structured JSON mode)."""

    specversion: Literal["1.0"]
    id: Attribute
    source: Attribute = DEFAULT_SOURCE
    type: Literal["order.placed", "order.updated", "order.cancelled"]
    time: Instant | None = None
    dataschema: Literal["urn:order-sync:order:1", "urn:order-sync:ordering-order:1"] | None = None
    traceparent: Annotated[str | None, BeforeValidator(_traceparent)] = None
    data: dict[str, Any] = Field(description="An order, an Ordering order, an order's id, or a cancellation.")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was read; `(source, id)` identifies it."""

    source: str
    id: str
    type: str
    data: Order | OrderRef | Cancellation
    time: datetime | None = None
    traceparent: str | None = None

    @property
    def is_backfilled(self) -> bool:
        """Whether we made this message ourselves, for an order that was found on the platform."""
        return self.id == found_order_message(self.source, self.data.order_id).id


def found_order_message(source: str, order_id: str) -> Message:
    """Return the message for an order that was found on the platform, because its own message never came.

    The message is the same every time, so that repeats have no effect.
    """
    identity = str(uuid5(NAMESPACE, f"missed\n{source}\n{order_id}"))
    return Message(source=source, id=identity, type="order.placed", data=OrderRef(order_id=order_id))


def read_message(raw: bytes | dict[str, Any], project: ProjectDefaults = NO_DEFAULTS) -> Message:
    """Read one message: the bytes of a stream entry or the dict of a Celery task.

    `project` supplies what an Ordering order does not contain. Raises MalformedError.
    """
    try:
        envelope = Envelope.model_validate(read_object(raw))
    except ValidationError as error:
        raise MalformedError(explain(error)) from None
    return Message(
        source=envelope.source,
        id=envelope.id,
        type=envelope.type,
        data=_read_data(envelope, project),
        time=envelope.time,
        traceparent=envelope.traceparent,
    )


def _read_data(envelope: Envelope, project: ProjectDefaults) -> Order | OrderRef | Cancellation:
    try:
        model = _model(envelope)
        return model.model_validate(envelope.data) if model else read_order(envelope.data, project)
    except ValidationError as error:
        raise MalformedError(f"data: {explain(error)}") from None
    except MalformedError as error:
        raise MalformedError(f"data: {error}") from None


def _model(envelope: Envelope) -> type[Order | OrderRef | Cancellation] | None:
    """Return the model of `data`; None for an order in the Ordering platform's format."""
    if envelope.type == "order.cancelled":
        return Cancellation
    if envelope.data.keys() == {"order_id"}:
        return OrderRef
    return None if envelope.dataschema == ORDERING_SCHEMA else Order
