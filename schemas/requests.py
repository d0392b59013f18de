"""The requests over HTTP, and their answers.

An order, a CloudEvents document or a cancel becomes the message of the bus. The sender is known by its key, so a
message has the source of the key. Events are read with a query.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any
from uuid import uuid5

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from schemas.events import NAMESPACE, CloudEvent, DeliveryEvent, EventType, Timestamp
from schemas.json_reader import MalformedError, explain, read_object
from schemas.messages import Message, read_message
from schemas.order import Order
from schemas.ordering import NO_DEFAULTS, ProjectDefaults

EVENT_TYPE = "application/cloudevents+json"
"""The media type of a CloudEvents document in structured mode."""
UNREADABLE = 422
IN_DATA = re.compile(r"^data(: |\.)")


class OtherSourceError(Exception):
    """A document names another source than that of the sender's key."""


class Answer(BaseModel):
    """Base of the answers. They are open, like events."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Accepted(Answer):
    """The answer to a message that is stored."""

    order_id: str
    """The platform's id of the order."""
    delivery_id: str
    """The id that the delivery of this order has in every event."""


class DeliveryState(DeliveryEvent):
    """The data of the newest event of a delivery."""

    as_of: Timestamp
    """When the answer was given."""


NOW = "now"
"""The cursor after the newest event."""


CURSOR = rf"^({NOW}|[0-9]{{1,18}})?$"


def _cursor(given: str) -> str:
    if not re.fullmatch(CURSOR, given, re.ASCII):
        raise ValueError("not a cursor of ours; use the `next` of a page, or `now`")
    return given


def _types(given: Iterable[str]) -> Iterable[str]:
    names = [each.strip() for each in given]
    if not set(names) <= set(EventType):
        raise ValueError("not a type of event; separate several by commas")
    return names


class EventsQuery(BaseModel):
    """Which events are read, and whether to wait for them."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    after: Annotated[str, Field(pattern=CURSOR), BeforeValidator(_cursor)] = ""
    """The cursor: `next` of the page before. `now` is the cursor after the newest event; without a cursor, the page
    begins at the oldest event that is kept.
    """
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """The most events of the page."""
    types: Annotated[frozenset[EventType], BeforeValidator(_types)] = frozenset()
    """Only events of these types, separated by commas; by default all."""
    wait: Annotated[int, Field(ge=0, le=30)] = 0
    """Seconds to wait for an event if there is none."""


class EventPage(Answer):
    """A page of events."""

    events: list[CloudEvent]
    """The events as they are on the bus, oldest first."""
    next: str
    """The cursor of the next page. It may move although the page has no event."""


class Fault(Answer):
    """A field at fault."""

    field: str
    """The name of the field."""
    reason: str
    """What is wrong with it."""


TITLES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
"""The names of the statuses in RFC 9110. Those in Python's library depend on its version."""


class Problem(Answer):
    """Why a request is refused (RFC 9457)."""

    title: str
    """The name of the status."""
    status: int
    """The HTTP status of the answer."""
    detail: str
    """Why the request is refused."""
    errors: list[Fault] = []
    """The fields at fault, if the answer is 422."""


def problem(status: int, *faults: str) -> Problem:
    """Return the problem of an answer. For 422, each fault is `field: reason`."""
    pairs = [fault.partition(": ") for fault in faults] if status == UNREADABLE else []
    errors = [Fault(field=field, reason=reason) for field, _, reason in pairs if reason]
    return Problem(title=TITLES[status], status=status, detail="; ".join(faults), errors=errors)


def read_order_request(body: bytes, source: str, key: str | None = None) -> Message:
    """Read an order, or only its id. `key` is the request's Idempotency-Key. Raises MalformedError."""
    message = _read(_envelope("order.placed", source, read_object(body)))
    # A message `order.placed` about an order that back-fill has found would not change the order.
    changed = isinstance(message.data, Order) and message.data.revision > 1
    return _identified(replace(message, type="order.updated") if changed else message, key)


def read_cancel_request(body: bytes, source: str, order_id: str, key: str | None = None) -> Message:
    """Read a cancel of an order. An empty body counts as an empty object. Raises MalformedError."""
    cancel = {"order_id": order_id, **read_object(body or b"{}")}
    if str(cancel["order_id"]) != order_id:
        raise MalformedError("order_id: the address has another order id")
    return _identified(_read(_envelope("order.cancelled", source, cancel)), key)


def read_event_request(body: bytes, source: str, project: ProjectDefaults = NO_DEFAULTS) -> Message:
    """Read a CloudEvents document. A document without a source has that of the sender's key.

    Raises MalformedError, and OtherSourceError for a document of another source.
    """
    document = read_object(body)
    if document.get("source") in (None, ""):
        document["source"] = source
    message = _read(document, project)
    if message.source != source:
        raise OtherSourceError("source: the key belongs to another source")
    return message


def read_events_query(given: Mapping[str, str]) -> EventsQuery:
    """Read the parameters of a query; others than those of `EventsQuery` are ignored. Raises MalformedError."""
    found: dict[str, Any] = dict(given)
    if "types" in found:
        found["types"] = found["types"].split(",")
    try:
        return EventsQuery.model_validate(found)
    except ValidationError as error:
        raise explain(error) from None


def _read(document: dict[str, Any], project: ProjectDefaults = NO_DEFAULTS) -> Message:
    """Read a document. The faults of its data are named as those of an order without an envelope."""
    try:
        return read_message(document, project)
    except MalformedError as error:
        raise MalformedError(*(IN_DATA.sub("", fault) for fault in error.faults)) from None


def _envelope(kind: str, source: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "-", "source": source, "type": kind, "data": data}


def _identified(message: Message, key: str | None) -> Message:
    """Return the message with an id that follows from its content and its key.

    The content is part of the id, so that a key which a sender uses for two different requests suppresses neither.
    """
    content = f"{message.type}\n{message.source}\n{key or ''}\n{message.data.model_dump_json()}"
    return replace(message, id=str(uuid5(NAMESPACE, f"request\n{content}")))
