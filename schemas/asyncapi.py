"""The AsyncAPI 3.0 document of both streams. It needs no other file."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.events import DATA_SCHEMAS, CarrierEvent, CloudEvent, DeliveryEvent, EventData, EventType, OrderEvent
from schemas.messages import Cancellation, Envelope, OrderRef
from schemas.order import Order
from schemas.ordering import ORDERING_SCHEMA
from schemas.samples import add_examples, samples
from schemas.vocabulary import meanings_of

Json = dict[str, Any]

VERSION = "1.0.0"
"""The version of the contract: docs/versioning.md."""
CONTENT_TYPE = "application/cloudevents+json"
ORDERING_ORDER = "OrderingOrder"
MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (Envelope, "validation"),
    (Order, "validation"),
    (OrderRef, "validation"),
    (Cancellation, "validation"),
    (CloudEvent, "serialization"),
    (DeliveryEvent, "serialization"),
    (OrderEvent, "serialization"),
    (CarrierEvent, "serialization"),
]
ORDER_SHAPES = (Order.__name__, ORDERING_ORDER, OrderRef.__name__)
MESSAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "order.placed": ("An order was placed", ORDER_SHAPES),
    "order.updated": ("An order was changed", ORDER_SHAPES),
    "order.cancelled": ("An order is no longer wanted", (Cancellation.__name__,)),
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
                "field `ce_<attribute>` for each attribute, and the document in `data`.",
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
    _, found = models_json_schema(MODELS, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Json] = found["$defs"]
    add_examples(schemas.values(), schemas)
    return {**schemas, ORDERING_ORDER: _ordering_order()}


def _ordering_order() -> Json:
    needed = {
        "id": {"description": "The id of the order", "examples": [2011]},
        "business_id": {"description": "The id of the store", "examples": [17]},
        "delivery_type": {"description": "1 is a delivery; any other number needs no courier", "examples": [1]},
    }
    return {
        "title": ORDERING_ORDER,
        "description": f"An order as the Ordering platform's API returns it, with the `dataschema` {ORDERING_SCHEMA}.",
        "type": "object",
        "required": list(needed),
        "properties": needed,
    }


def _incoming() -> Json:
    return {
        kind: _message(kind, title, Envelope.__name__, data, samples("messages"))
        for kind, (title, data) in MESSAGES.items()
    }


def _outgoing() -> Json:
    meanings = meanings_of(EventType)
    found: dict[str, Json] = {}
    for kind in map(str, EventType):
        model = EVENTS[kind.partition(".")[0]]
        found[kind] = _message(kind, meanings[kind], CloudEvent.__name__, (model.__name__,), samples("events"))
        found[kind]["payload"]["allOf"][1]["properties"]["dataschema"] = {"const": DATA_SCHEMAS[model]}
    return found


def _message(kind: str, summary: str, envelope: str, data: Sequence[str], found: Sequence[Json]) -> Json:
    shapes = [{"$ref": f"#/components/schemas/{name}"} for name in data]
    payload = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    content = {"type": "object", "properties": {"type": {"const": kind}, "data": payload}}
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
        "payload": {"allOf": [{"$ref": f"#/components/schemas/{envelope}"}, content]},
        "examples": examples,
    }
