"""The present documents break no sender or reader of the last released ones, and the comparison notices what would."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.schemas.compatibility import broken_contract, essence, released

Change = Callable[[Any], object]

ESSENCE = essence()
FIRST_RULE = ESSENCE["event.schema.json"]["allOf"][0]


def changed(name: str, change: Change) -> list[str]:
    """Return what a change of one document breaks."""
    documents = copy.deepcopy(ESSENCE)
    change(documents[name])
    return broken_contract(ESSENCE, documents)


def field(name: str, **part: Any) -> Change:
    """Return a change that adds a field or replaces it."""
    return lambda it: it["properties"].update({name: part})


def open_values(name: str, *values: str) -> Change:
    """Return a change that adds values to an enumeration of an event."""
    return lambda it: it["$defs"][name]["enum"].extend(values)


def test_the_present_documents_break_nothing_of_the_last_release() -> None:
    assert broken_contract(released(), ESSENCE) == [], "see docs/versioning.md"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("delivery-event.schema.json", field("parcels", type="integer", default=1)),
        ("delivery-event.schema.json", open_values("Detail", "lost_key")),
        ("delivery-event.schema.json", open_values("AttentionReason", "lost_key")),
        ("delivery-event.schema.json", open_values("Reason", "lost_key")),
        ("delivery-event.schema.json", lambda it: it["required"].append("status")),
        ("delivery-event.schema.json", lambda it: it["properties"]["sequence"].update(minimum=1)),
        ("event.schema.json", open_values("EventType", "delivery.lost_key")),
        ("order.schema.json", field("tip", type="string")),
        ("order.schema.json", lambda it: it["required"].remove("payment")),
        ("order.schema.json", lambda it: it["properties"]["order_id"]["anyOf"][0].update(maxLength=100)),
        (
            "order.schema.json",
            lambda it: it["$defs"]["Item"]["properties"]["name"]["anyOf"].append({"type": "null"}),
        ),
        ("message.schema.json", lambda it: it["properties"]["type"]["enum"].append("order.split")),
        ("asyncapi.json", lambda it: it["channels"]["deliveries"]["messages"].update({"delivery.lost_key": {}})),
        ("openapi.json", lambda it: it["paths"].update({"/parcels": {"get": {"responses": {"200": {}}}}})),
        ("openapi.json", lambda it: it["paths"]["/orders"]["post"]["responses"].update({"429": {}})),
    ],
    ids=range(15),
)
def test_an_addition_that_the_policy_allows_breaks_nothing(name: str, change: Change) -> None:
    assert changed(name, change) == []


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("delivery-event.schema.json", lambda it: it["properties"].pop("price"), "/price: is removed"),
        ("delivery-event.schema.json", field("sequence", type="number"), "/sequence: may be number"),
        ("delivery-event.schema.json", field("store_id", type=["string", "null"]), "/store_id: may be null"),
        ("delivery-event.schema.json", lambda it: it["required"].remove("order_id"), "/order_id: is required"),
        ("delivery-event.schema.json", open_values("DeliveryStatus", "lost"), "/status: may be 'lost'"),
        ("delivery-event.schema.json", open_values("CancelledBy", "nobody"), "/cancelled_by: may be 'nobody'"),
        (
            "delivery-event.schema.json",
            lambda it: it["$defs"]["Detail"]["enum"].remove("fallback"),
            "/detail: no longer 'fallback'",
        ),
        (
            "delivery-event.schema.json",
            lambda it: it["$defs"]["DeliveryStatus"]["enum"].remove("on_hold"),
            "/status: no longer 'on_hold'",
        ),
        (
            "delivery-event.schema.json",
            lambda it: it["properties"]["reason"]["anyOf"].remove({"type": "string"}),
            "/reason: is closed",
        ),
        (
            "delivery-event.schema.json",
            lambda it: it["properties"].update(status={"anyOf": [it["properties"]["status"], {"type": "string"}]}),
            "/status: is open",
        ),
        (
            "delivery-event.schema.json",
            lambda it: it["properties"]["evidence"].update(default="weak"),
            "/evidence: has another default",
        ),
        (
            "delivery-event.schema.json",
            lambda it: it["$defs"]["CourierInfo"]["properties"].pop("phone"),
            "/courier/phone: is removed",
        ),
        ("event.schema.json", lambda it: it["properties"]["sequence"].pop("pattern"), r"/sequence: pattern ^\d{10}$"),
        (
            "event.schema.json",
            lambda it: it["$defs"]["EventType"]["enum"].remove("carrier.paused"),
            "/type: no longer 'carrier.paused'",
        ),
        ("event.schema.json", lambda it: it.update({"$id": "urn:order-sync:event:2"}), "another $id"),
        (
            "event.schema.json",
            lambda it: it["allOf"].remove(FIRST_RULE),
            f": lacks the rule {json.dumps(FIRST_RULE)}",
        ),
        ("order.schema.json", lambda it: it["required"].append("notes"), "/notes: is required"),
        ("order.schema.json", lambda it: it["properties"].pop("notes"), "/notes: is removed"),
        ("order.schema.json", field("status", type="integer"), "/status: may be string"),
        (
            "order.schema.json",
            lambda it: it["properties"]["order_id"]["anyOf"][0].update(maxLength=10),
            "/order_id: maxLength 10",
        ),
        (
            "order.schema.json",
            lambda it: it["$defs"]["Payment"]["properties"]["amount"].update(pattern="^1$"),
            "/payment/amount: pattern ^1$",
        ),
        ("order.schema.json", lambda it: it.update(additionalProperties=False), ": refuses other fields"),
        (
            "order.schema.json",
            lambda it: it["properties"]["delivery_type"]["anyOf"][0]["enum"].remove("pickup"),
            "/delivery_type: may be 'pickup'",
        ),
        (
            "message.schema.json",
            lambda it: it["properties"]["type"]["enum"].remove("order.updated"),
            "/type: may be 'order.updated'",
        ),
        ("asyncapi.json", lambda it: it["channels"].pop("orders"), "orders: order.placed"),
        ("asyncapi.json", lambda it: it["channels"]["orders"].update(address="new"), "orders: address"),
        ("openapi.json", lambda it: it["paths"].pop("/orders"), "post /orders: is removed"),
        ("openapi.json", lambda it: it["paths"]["/orders"]["post"]["responses"].pop("409"), "post /orders: no 409"),
        (
            "openapi.json",
            lambda it: it["paths"]["/orders"]["post"]["parameters"][0].update(required=True),
            "post /orders: Idempotency-Key is required",
        ),
        (
            "openapi.json",
            lambda it: it["components"]["schemas"]["Problem"]["properties"].pop("errors"),
            "Problem/errors: is removed",
        ),
        (
            "openapi.json",
            lambda it: it["components"]["schemas"]["Order"]["required"].append("notes"),
            "Order/notes: is required",
        ),
    ],
)
def test_a_change_that_would_break_somebody_is_refused(name: str, change: Change, fault: str) -> None:
    assert f"{name} {fault}" in changed(name, change)


@pytest.mark.parametrize("name", ESSENCE)
def test_a_document_may_not_disappear(name: str) -> None:
    assert broken_contract(ESSENCE, {each: ESSENCE[each] for each in ESSENCE if each != name}) == [
        f"{name}: is removed"
    ]
