"""The OpenAPI 3.1 document of the HTTP door, generated from the models that read its requests and write its answers."""

import copy
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.generator import Generator
from schemas.messages import Cancellation, Envelope, OrderRef
from schemas.order import Order
from schemas.ordering_wire import OrderingOrder
from schemas.requests import EVENT_TYPE, Accepted, DeliveryState, EventPage, EventsQuery, Problem, problem
from schemas.samples import add_examples, sample_documents, samples

ORDERS, CANCEL, DELIVERY, EVENTS = "/orders", "/orders/{order_id}/cancel", "/deliveries/{order_id}", "/events"
ANSWERS: dict[str, dict[int, str]] = {
    ORDERS: {
        202: "The order is stored, or it was stored before",
        401: "No valid key",
        403: "The document names a source that is not the key's",
        408: "The body came too slowly",
        409: "The order has other content under the same revision",
        413: "The body is too large",
        415: "The body is neither JSON nor a CloudEvents document",
        422: "The body cannot be read; the errors name the fields",
        503: "The order cannot be stored now: send it again",
    },
    CANCEL: {
        202: "The cancel is stored, or it was stored before; events report its outcome",
        401: "No valid key",
        408: "The body came too slowly",
        413: "The body is too large",
        415: "The body is not JSON",
        422: "The body or the order's id cannot be read; the errors name the fields",
        503: "The cancel cannot be stored now: send it again",
    },
    DELIVERY: {
        200: "The data of the newest event",
        401: "No valid key",
        404: "The source of the key has no delivery of this order",
        503: "The delivery cannot be read now: try again",
    },
    EVENTS: {
        200: "The next events, and the cursor of the page after them; the page may be empty",
        401: "No valid key",
        410: "Events after this cursor are not kept, or the database has lost commits: begin again without a cursor",
        422: "A parameter cannot be read; the errors name it",
        429: "Too many requests of this source wait for events",
        503: "The events cannot be read now: try again",
    },
}
"""The statuses that each path answers, and what they mean."""

REFERENCE = "#/components/schemas/{model}"
CANCEL_REQUEST = "CancelRequest"
SUCCESSES = {200, 202}
RETRY_AFTER = {"description": "Seconds until the next try", "schema": {"type": "integer"}}
MODELS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (Order, "validation"),
    (OrderRef, "validation"),
    (Envelope, "validation"),
    (OrderingOrder, "validation"),
    (Cancellation, "validation"),
    (Accepted, "serialization"),
    (DeliveryState, "serialization"),
    (EventPage, "serialization"),
    (Problem, "serialization"),
]
DELIVERY_ID = "6f6a5e64-8a4e-5c5f-9f0b-1f1a2c3d4e5f"
ORDER: dict[str, Any] = {
    "order_id": "2011",
    "store_id": "17",
    "status": 7,
    "customer": {"name": "Mette Holm", "phone": "+4551234567"},
    "dropoff": {
        "street": "Hunderupvej 12",
        "postal_code": "5000",
        "city": "Odense C",
        "country": "DK",
        "latitude": 55.3848,
        "longitude": 10.3786,
    },
    "payment": {"prepaid": True, "amount": "125.00", "currency": "DKK"},
    "items": [{"name": "Margherita", "quantity": 1, "unit_price": "125.00"}],
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "order-2011-placed",
    "source": "platform",
    "type": "order.placed",
    "data": ORDER,
}
CANCELLATION = {"reason": "The customer changed their mind", "cancelled_by": "customer", "allow_paid": False}
ACCEPTED = {"order_id": "2011", "delivery_id": DELIVERY_ID}
STATE: dict[str, Any] = {
    "delivery_id": DELIVERY_ID,
    "order_id": "2011",
    "order_source": "platform",
    "store_id": "17",
    "sequence": 4,
    "status": "picked_up",
    "previous_status": "pickup_arrived",
    "carrier": "deliverit",
    "carrier_ref": "F64u3fbx",
    "attempt": 1,
    "evidence": "observed",
    "cause": "poll",
    "observed_at": "2026-11-21T17:39:59Z",
    "as_of": "2026-11-21T17:40:12Z",
}
DETAILS = {
    401: "no valid key",
    403: "source: the key belongs to another source",
    404: "no delivery of this order",
    408: "too slow",
    410: "events after this position were deleted",
    409: "revision: 1 is known with other content; send a greater one",
    413: "too large",
    415: "send application/json",
    422: "customer.phone: Field required",
    429: "too many requests of this source wait",
    503: "try again later",
}
"""An example of the reason for each refusal."""


def openapi() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Order Sync",
            "version": "1.0.0",
            "description": "Orders in and events out over HTTP, for platforms without a connection to the bus. An "
            "answer 202 means that the message is stored. The same request again has no further effect.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {
            ORDERS: {"post": _place()},
            CANCEL: {"parameters": [_order_id()], "post": _cancel()},
            DELIVERY: {"parameters": [_order_id()], "get": _show()},
            EVENTS: {"get": _read_events()},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "The key of a source"}},
            "schemas": _schemas(),
        },
    }


def _schemas() -> dict[str, Any]:
    _, found = models_json_schema(MODELS, ref_template=REFERENCE, schema_generator=Generator)
    schemas: dict[str, Any] = found["$defs"]
    schemas[CANCEL_REQUEST] = _cancel_request(schemas[Cancellation.__name__])
    states = [{**each["data"], "as_of": STATE["as_of"]} for each in sample_documents()]
    refusals = [problem(status, DETAILS[status]).model_dump() for status in (422, 401, 409)]
    add_examples(schemas.values(), schemas, [ACCEPTED, CANCELLATION, STATE, _page(), *states, *refusals])
    return schemas


def _cancel_request(cancellation: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a cancellation without the order's id, which the address has."""
    kept = {name: part for name, part in cancellation["properties"].items() if name != "order_id"}
    body = {name: part for name, part in cancellation.items() if name != "required"}
    return copy.deepcopy({**body, "title": CANCEL_REQUEST, "properties": kept})


def _place() -> dict[str, Any]:
    order = {"anyOf": [_ref(Order), _ref(OrderRef)]}
    return {
        "operationId": "placeOrder",
        "summary": "Place or update an order",
        "description": "The body is an order, only the id of an order that is then fetched from the platform, or any "
        "message of the bus as a CloudEvents document. To update an order, send it whole with a greater `revision`. "
        "An older revision changes nothing.",
        "parameters": [_idempotency_key()],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": order, "example": ORDER},
                EVENT_TYPE: {"schema": _ref(Envelope), "example": EVENT},
            },
        },
        "responses": _responses(ORDERS, _accepted()),
    }


def _cancel() -> dict[str, Any]:
    content = {
        "application/json": {"schema": {"$ref": REFERENCE.format(model=CANCEL_REQUEST)}, "example": CANCELLATION}
    }
    return {
        "operationId": "cancelOrder",
        "summary": "Request to cancel an order",
        "description": "A cancel may come before its order. The body may be missing. To ask a carrier again that has "
        "refused to cancel, send another Idempotency-Key.",
        "parameters": [_idempotency_key()],
        "requestBody": {"required": False, "content": content},
        "responses": _responses(CANCEL, _accepted()),
    }


def _show() -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(DeliveryState), "example": STATE}}
    return {
        "operationId": "showDelivery",
        "summary": "Read the state of an order's delivery",
        "description": "An order that needs no courier, such as a pickup, has no delivery.",
        "responses": _responses(DELIVERY, {"content": content}),
    }


def _read_events() -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(EventPage), "example": _page()}}
    return {
        "operationId": "readEvents",
        "summary": "Read the events after a cursor",
        "description": "The events of the orders of the key's source, and those about carrier accounts, each once and "
        "those of a delivery in the order of their sequence. Store `next` with what you make of the events.",
        "parameters": _query(EventsQuery),
        "responses": _responses(EVENTS, {"content": content}),
    }


def _page() -> dict[str, Any]:
    return {"events": [samples("events")[0]["document"]], "next": "4711"}


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the parameters of a query. A list is written with commas."""
    fields = model.model_json_schema(ref_template=REFERENCE, schema_generator=Generator)["properties"]
    return [
        {"name": name, "in": "query", "description": field.pop("description"), "schema": field, "explode": False}
        for name, field in fields.items()
    ]


def _accepted() -> dict[str, Any]:
    location = {"description": "The address of the delivery", "schema": {"type": "string"}}
    return {
        "headers": {"Location": location},
        "content": {"application/json": {"schema": _ref(Accepted), "example": ACCEPTED}},
    }


def _responses(path: str, success: dict[str, Any]) -> dict[str, Any]:
    return {
        str(status): {"description": text, **(success if status in SUCCESSES else _problem(status))}
        for status, text in ANSWERS[path].items()
    }


def _problem(status: int) -> dict[str, Any]:
    example = problem(status, DETAILS[status]).model_dump()
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if status in {429, 503} else {}
    return {**headers, "content": {"application/problem+json": {"schema": _ref(Problem), "example": example}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _order_id() -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^\x00-\x1f\x7f]+$"}
    return {"name": "order_id", "in": "path", "required": True, "description": "The platform's id", "schema": schema}


def _idempotency_key() -> dict[str, Any]:
    return {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Distinguishes two requests with the same body. Without it, the second of them is a repeat. A "
        "CloudEvents document has an `id` in place of it.",
        "schema": {"type": "string", "maxLength": 255},
    }
