"""The AsyncAPI 3.0 document of both streams. It needs no other file."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.events import DATA_SCHEMAS, CarrierEvent, CloudEvent, DeliveryEvent, EventData, EventType, OrderEvent
from schemas.generator import ORDER_SHAPES, Generator
from schemas.messages import Cancellation, Envelope, OrderRef
from schemas.order import Order
from schemas.ordering_wire import OrderingOrder
from schemas.samples import add_examples, samples
from schemas.vocabulary import meanings_of

Json = dict[str, Any]

VERSION = "1.0.0"
"""The version of the contract: docs/versioning.md."""
CONTENT_TYPE = "application/cloudevents+json"
MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (Envelope, "validation"),
    (Order, "validation"),
    (OrderRef, "validation"),
    (OrderingOrder, "validation"),
    (Cancellation, "validation"),
    (CloudEvent, "serialization"),
    (DeliveryEvent, "serialization"),
    (OrderEvent, "serialization"),
    (CarrierEvent, "serialization"),
]
MESSAGES: dict[str, tuple[str, tuple[type[BaseModel], ...]]] = {
    "order.placed": ("An order was placed", ORDER_SHAPES),
    "order.updated": ("An order was changed", ORDER_SHAPES),
    "order.cancelled": ("An order is no longer wanted", (Cancellation,)),
}
"""What each message means, and the shapes of its data."""
EVENTS: dict[str, type[EventData]] = {"delivery": DeliveryEvent, "order": OrderEvent, "carrier": CarrierEvent}
"""The data of an event, by what its type begins with."""


def asyncapi() -> Json:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:order-sync",
        "info": {
            "title": "Order Sync",
            "version": VERSION,
            "description": "Orders in, deliveries out. Each entry of a stream has one field, `event`: a CloudEvents "
            "1.0 document in structured mode. Messages and events are open: a reader ignores fields that it does not "
            "know.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"redis": _server()},
        "channels": {
            "orders": _channel(
                "The platform publishes orders here: `XADD orders * event '{...}'`. Binary mode is read as well: a "
                "field `ce_<attribute>` for each attribute, and the document in `data`. So is `data_base64`, the "
                "JSON of `data` in base64, in place of `data`.",
                "The stream `orders`, unless `ORDER_SYNC_ORDERS_STREAM` names another",
                MESSAGES,
            ),
            "deliveries": _channel(
                "What happens to the orders: at least once, and in order for each `partitionkey`. Each subscriber "
                "reads with a consumer group of its own: `XREADGROUP`.",
                "The stream `deliveries`, unless `ORDER_SYNC_EVENTS_STREAM` names another",
                EventType,
            ),
        },
        "operations": {
            "receiveOrders": _operation("receive", "orders", "Read orders, changes and cancellations", MESSAGES),
            "sendDeliveries": _operation("send", "deliveries", "Publish what happens to the orders", EventType),
        },
        "components": {
            "schemas": _schemas(),
            "messages": {**_incoming(), **_outgoing()},
            "correlationIds": {
                "order": {
                    "description": "The order. With the `source` of its messages it identifies the delivery.",
                    "location": "$message.payload#/data/order_id",
                },
                "subject": {"description": "The account, or the dead letter", "location": "$message.payload#/subject"},
            },
        },
    }


def _server() -> Json:
    default = "127.0.0.1:6379"
    variable = {"default": default, "description": "The host and the port", "examples": [default]}
    return {
        "host": "{address}",
        "protocol": "redis",
        "description": "The Redis server of `ORDER_SYNC_BUS_URL`, by default that of `ORDER_SYNC_REDIS_URL`",
        "variables": {"address": variable},
        "bindings": {"redis": {}},
    }


def _channel(description: str, summary: str, kinds: Iterable[str]) -> Json:
    address = summary.split("`")[1]
    return {
        "address": address,
        "title": f"The stream {address}",
        "summary": summary,
        "description": description,
        "servers": [{"$ref": "#/servers/redis"}],
        "messages": {str(kind): {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
        "bindings": {"redis": {}},
    }


def _operation(action: str, channel: str, summary: str, kinds: Iterable[str]) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{kind}"} for kind in kinds],
        "bindings": {"redis": {}},
    }


def _schemas() -> Json:
    """Return the shapes of the data, and the message of each type with them."""
    _, found = models_json_schema(MODELS, ref_template="#/components/schemas/{model}", schema_generator=Generator)
    schemas: dict[str, Json] = found["$defs"]
    add_examples(schemas.values(), schemas)
    incoming, outgoing = schemas.pop(Envelope.__name__), schemas.pop(CloudEvent.__name__)
    messages = {kind: _whole(kind, meaning, incoming, data) for kind, (meaning, data) in MESSAGES.items()}
    events = {kind: _event(kind, meaning, outgoing) for kind, meaning in meanings_of(EventType).items()}
    return {**schemas, **{each["title"]: each for each in (*messages.values(), *events.values())}}


def _event(kind: str, meaning: str, envelope: Json) -> Json:
    model = EVENTS[kind.partition(".")[0]]
    event = _whole(kind, meaning, envelope, (model,))
    shape = envelope["properties"]["dataschema"]["description"]
    event["properties"]["dataschema"] = _constant(DATA_SCHEMAS[model], shape)
    return event


def _whole(kind: str, meaning: str, envelope: Json, data: Sequence[type[BaseModel]]) -> Json:
    """Return the schema of the messages of one type."""
    shapes = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in data]
    properties = {name: part for name, part in envelope["properties"].items() if name != "data_base64"}
    properties["type"] = _constant(kind, meaning)
    properties["data"] = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return {
        "title": _name_of(kind),
        "description": meaning,
        "type": "object",
        "required": list(dict.fromkeys([*envelope["required"], "data"])),
        "properties": properties,
    }


def _constant(value: str, description: str) -> Json:
    return {"type": "string", "const": value, "description": description, "examples": [value]}


def _name_of(kind: str) -> str:
    """Return the name of the messages of one type: `OrderPlaced` for `order.placed`."""
    return "".join(part.capitalize() for part in re.split(r"[._]", kind))


def _incoming() -> Json:
    return {kind: _message(kind, meaning, samples("messages")) for kind, (meaning, _) in MESSAGES.items()}


def _outgoing() -> Json:
    return {kind: _message(kind, meaning, samples("events")) for kind, meaning in meanings_of(EventType).items()}


def _message(kind: str, summary: str, found: Sequence[Json]) -> Json:
    examples = [
        {"name": f"{kind}-{number}", "summary": each["summary"], "payload": each["document"]}
        for number, each in enumerate([each for each in found if each["document"]["type"] == kind], 1)
    ]
    has_order = any(each["payload"]["data"].get("order_id") for each in examples)
    return {
        "name": kind,
        "title": kind,
        "summary": summary,
        "contentType": CONTENT_TYPE,
        "correlationId": {"$ref": f"#/components/correlationIds/{'order' if has_order else 'subject'}"},
        "payload": {"$ref": f"#/components/schemas/{_name_of(kind)}"},
        "examples": examples,
    }
