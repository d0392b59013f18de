"""The AsyncAPI document: valid by the official parser, complete, and with real examples."""

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.asyncapi import MESSAGES, asyncapi
from schemas.events import EventType
from tests.schemas.node import run

Document = dict[str, Any]

PARSE = """
const { Parser } = require("@asyncapi/parser");
const documents = JSON.parse(require("fs").readFileSync(0, "utf8"));
const parser = new Parser();
const errors = async document => {
    const { diagnostics } = await parser.parse(JSON.stringify(document));
    return diagnostics.filter(each => each.severity <= 1).map(each => `${each.path.join("/")}: ${each.message}`);
};
Promise.all(documents.map(errors)).then(found => console.log(JSON.stringify(found)));
"""
"""Prints the errors and warnings of each document on standard input."""


@pytest.mark.long
def test_the_official_parser_accepts_the_document_and_refuses_a_broken_one() -> None:
    broken = copy.deepcopy(asyncapi())
    del broken["operations"]["receiveOrders"]["action"]
    valid, refused = run(PARSE, [asyncapi(), broken])
    assert (valid, [each.partition(":")[0] for each in refused]) == ([], ["operations/receiveOrders"])


def test_the_document_needs_no_other_file() -> None:
    assert [each for each in references(asyncapi()) if not each.startswith("#/")] == []


def references(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for each in node for found in references(each)]
    if not isinstance(node, dict):
        return []
    here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return here + [found for each in node.values() for found in references(each)]


def test_both_streams_list_every_message_type() -> None:
    channels = asyncapi()["channels"]
    assert {name: list(channel["messages"]) for name, channel in channels.items()} == {
        "orders": ["order.placed", "order.updated", "order.cancelled"],
        "deliveries": [str(kind) for kind in EventType],
    }


def test_every_message_has_a_schema_with_its_name_and_type() -> None:
    components = asyncapi()["components"]
    payloads = {kind: each["payload"]["$ref"].rpartition("/")[2] for kind, each in components["messages"].items()}
    schemas = {kind: components["schemas"][name] for kind, name in payloads.items()}
    assert [each["properties"]["type"]["const"] for each in schemas.values()] == list(schemas)
    assert {kind: each["title"] for kind, each in schemas.items()} == payloads
    names = [payloads[kind] for kind in ("order.placed", "delivery.status_changed", "carrier.paused")]
    assert names == ["OrderPlaced", "DeliveryStatusChanged", "CarrierPaused"]


@pytest.mark.parametrize("kind", [*MESSAGES, *EventType])
def test_every_message_has_examples_that_are_valid_by_its_schema(kind: str) -> None:
    document = asyncapi()
    message = document["components"]["messages"][kind]
    validator = Draft202012Validator({**message["payload"], "components": document["components"]})
    examples = [each["payload"] for each in message["examples"]]
    assert {each["type"] for each in examples} == {kind}
    assert [error for each in examples for error in validator.iter_errors(each)] == []
