"""The published documents: JSON Schemas of our messages and events, AsyncAPI of both streams, OpenAPI of the HTTP door.

The documents are generated from the models that read and write the messages, so they always agree with the code.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from schemas.asyncapi import asyncapi
from schemas.events import DATA_SCHEMAS, CarrierEvent, CloudEvent, DeliveryEvent, OrderEvent
from schemas.generator import Generator
from schemas.messages import Cancellation, Envelope, OrderRef
from schemas.openapi import openapi
from schemas.order import ORDER_SCHEMA, Order
from schemas.samples import add_examples

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INCOMING: dict[str, tuple[type[BaseModel], str]] = {
    "message": (Envelope, "urn:order-sync:message:1"),
    "order": (Order, ORDER_SCHEMA),
    "order-ref": (OrderRef, "urn:order-sync:order-ref:1"),
    "cancellation": (Cancellation, "urn:order-sync:cancellation:1"),
}
OUTGOING: dict[str, tuple[type[BaseModel], str]] = {
    "event": (CloudEvent, "urn:order-sync:event:1"),
    "delivery-event": (DeliveryEvent, DATA_SCHEMAS[DeliveryEvent]),
    "order-event": (OrderEvent, DATA_SCHEMAS[OrderEvent]),
    "carrier-event": (CarrierEvent, DATA_SCHEMAS[CarrierEvent]),
}
"""The model and the identity of each JSON Schema. An identity ends with the number of its version."""


def documents() -> dict[str, dict[str, Any]]:
    """Return every document by its file name."""
    incoming = {f"{name}.schema.json": _schema("validation", *entry) for name, entry in INCOMING.items()}
    outgoing = {f"{name}.schema.json": _schema("serialization", *entry) for name, entry in OUTGOING.items()}
    return {**incoming, **outgoing, "asyncapi.json": asyncapi(), "openapi.json": openapi()}


def _schema(mode: JsonSchemaMode, model: type[BaseModel], identity: str) -> dict[str, Any]:
    schema = model.model_json_schema(mode=mode, schema_generator=Generator)
    definitions = schema.get("$defs", {})
    add_examples([schema, *definitions.values()], definitions)
    return {"$schema": DIALECT, "$id": identity, **schema}
