"""The published documents: JSON Schemas of our messages and events, AsyncAPI of both streams, OpenAPI of the HTTP door.

The documents are generated from the models that read and write the messages, so they always agree with the code.
"""

from typing import Any

from pydantic import BaseModel

from schemas.events import (
    CARRIER_EVENT_SCHEMA,
    EVENT_SCHEMA,
    ORDER_EVENT_SCHEMA,
    CarrierEvent,
    CloudEvent,
    DeliveryEvent,
    EventType,
    OrderEvent,
)
from schemas.messages import Cancellation, Envelope, OrderRef
from schemas.openapi import openapi
from schemas.order import ORDER_SCHEMA, Order

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MESSAGES_IN: dict[str, tuple[str, ...]] = {
    "order.placed": ("order", "order-ref"),
    "order.updated": ("order", "order-ref"),
    "order.cancelled": ("cancellation",),
}
MODELS: dict[str, tuple[type[BaseModel], str]] = {
    "message": (Envelope, "urn:order-sync:message:1"),
    "order": (Order, ORDER_SCHEMA),
    "order-ref": (OrderRef, "urn:order-sync:order-ref:1"),
    "cancellation": (Cancellation, "urn:order-sync:cancellation:1"),
    "event": (CloudEvent, "urn:order-sync:event:1"),
    "delivery-event": (DeliveryEvent, EVENT_SCHEMA),
    "order-event": (OrderEvent, ORDER_EVENT_SCHEMA),
    "carrier-event": (CarrierEvent, CARRIER_EVENT_SCHEMA),
}


def documents() -> dict[str, dict[str, Any]]:
    """Return every document by its file name."""
    schemas = {f"{name}.schema.json": _schema(*entry) for name, entry in MODELS.items()}
    return {**schemas, "asyncapi.json": _asyncapi(), "openapi.json": openapi()}


def _schema(model: type[BaseModel], identity: str) -> dict[str, Any]:
    outgoing = model in {CloudEvent, DeliveryEvent, OrderEvent, CarrierEvent}
    body = model.model_json_schema(mode="serialization" if outgoing else "validation")
    return {"$schema": DIALECT, "$id": identity, **body}


def _asyncapi() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Order Sync",
            "version": "1.0.0",
            "description": "Orders in, deliveries out. Each entry of a stream has one field, `event`: a CloudEvents "
            "1.0 document in structured mode.",
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "orders": _channel(
                "The platform publishes orders here. Binary mode is read as well: a field `ce_<attribute>` for each "
                "attribute, and the document in `data`.",
                list(MESSAGES_IN),
            ),
            "deliveries": _channel(
                "What happens to the orders: at least once, ordered per delivery by `data.sequence`.", list(EventType)
            ),
        },
        "operations": {
            "readOrders": {"action": "receive", "channel": {"$ref": "#/channels/orders"}},
            "publishDeliveries": {"action": "send", "channel": {"$ref": "#/channels/deliveries"}},
        },
        "components": {"messages": {**_incoming(), **_outgoing()}},
    }


def _channel(description: str, kinds: list[Any]) -> dict[str, Any]:
    messages = {str(kind): {"$ref": f"#/components/messages/{kind}"} for kind in kinds}
    return {"description": description, "messages": messages, "bindings": {"redis": {}}}


def _incoming() -> dict[str, Any]:
    return {kind: _message(kind, "message", data) for kind, data in MESSAGES_IN.items()}


def _outgoing() -> dict[str, Any]:
    # An event's type begins with its subject: `order` (an order without a delivery), `delivery` or `carrier`.
    return {str(kind): _message(str(kind), "event", (f"{kind.partition('.')[0]}-event",)) for kind in EventType}


def _message(kind: str, envelope: str, data: tuple[str, ...]) -> dict[str, Any]:
    shapes = [{"$ref": f"./{name}.schema.json"} for name in data]
    payload = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    content = {"type": "object", "properties": {"type": {"const": kind}, "data": payload}}
    return {"name": kind, "payload": {"allOf": [{"$ref": f"./{envelope}.schema.json"}, content]}}
