"""The documents in docs/schemas: equal to those that the code generates, and valid for real messages."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from schemas.documents import MODELS, documents
from schemas.events import EventType
from worker.local.demo.orders import SAMPLES, placed

COMMITTED = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("name", documents())
def test_the_committed_document_equals_the_generated_one(name: str) -> None:
    assert json.loads((COMMITTED / name).read_text()) == documents()[name], "run `order-sync schema docs/schemas`"


def test_every_committed_document_is_generated() -> None:
    assert {path.name for path in COMMITTED.iterdir()} == set(documents())


@pytest.mark.parametrize("name", MODELS)
def test_every_document_is_a_valid_json_schema(name: str) -> None:
    document = documents()[f"{name}.schema.json"]
    assert list(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(document)) == []


def test_both_streams_list_every_message_type() -> None:
    channels = documents()["asyncapi.json"]["channels"]
    assert set(channels["orders"]["messages"]) == {"order.placed", "order.updated", "order.cancelled"}
    assert set(channels["deliveries"]["messages"]) == set(EventType)


def test_every_reference_in_the_document_of_the_streams_resolves() -> None:
    document = documents()["asyncapi.json"]
    inside = {part["$ref"] for part in _references(document["channels"])}
    assert inside == {f"#/components/messages/{name}" for name in document["components"]["messages"]}
    outside = {part["$ref"].removeprefix("./") for part in _references(document["components"])}
    assert outside <= set(documents())


def _references(node: object) -> list[dict[str, str]]:
    if isinstance(node, list):
        return [found for each in node for found in _references(each)]
    if not isinstance(node, dict):
        return []
    here = [node] if "$ref" in node else []
    return here + [found for each in node.values() for found in _references(each)]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.order_id))
def test_a_sample_order_is_valid_by_the_schemas(sample: object) -> None:
    message = json.loads(placed(sample))  # type: ignore[arg-type]
    for name, document in (("message", message), ("order", message["data"])):
        assert list(Draft202012Validator(documents()[f"{name}.schema.json"]).iter_errors(document)) == []


def test_money_as_a_number_is_invalid_by_the_schema() -> None:
    order = json.loads(placed(SAMPLES[0]))["data"]
    order["payment"]["amount"] = 125.0
    errors = Draft202012Validator(documents()["order.schema.json"]).iter_errors(order)
    assert [list(error.path) for error in errors] == [["payment", "amount"]]
