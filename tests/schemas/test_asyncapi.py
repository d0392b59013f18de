"""The AsyncAPI document: valid by the official parser, complete, and with real examples."""

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.asyncapi import MESSAGES, asyncapi
from schemas.events import EventType

Document = dict[str, Any]

PACKAGES = Path(__file__).parents[2] / ".ci" / "node_modules"
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


def faults(*documents: Document) -> list[list[str]]:
    """Return the parser's errors and warnings; skip the test without the parser, and fail it in CI."""
    if not (shutil.which("node") and PACKAGES.exists()):
        advice = "the parser of AsyncAPI is missing: run `npm ci` in .ci/"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    environment = {**os.environ, "NODE_PATH": str(PACKAGES)}
    command, given = ["node", "-e", PARSE], json.dumps(documents)
    done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_the_official_parser_accepts_the_document_and_refuses_a_broken_one() -> None:
    broken = copy.deepcopy(asyncapi())
    del broken["operations"]["receiveOrders"]["action"]
    valid, refused = faults(asyncapi(), broken)
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


@pytest.mark.parametrize("kind", [*MESSAGES, *EventType])
def test_every_message_has_examples_that_are_valid_by_its_schema(kind: str) -> None:
    document = asyncapi()
    message = document["components"]["messages"][kind]
    validator = Draft202012Validator({**message["payload"], "components": document["components"]})
    examples = [each["payload"] for each in message["examples"]]
    assert {each["type"] for each in examples} == {kind}
    assert [error for each in examples for error in validator.iter_errors(each)] == []
