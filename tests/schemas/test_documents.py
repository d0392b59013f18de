"""The documents in docs/schemas: equal to those that the code generates, complete, and valid for real messages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from schemas.documents import INCOMING, OUTGOING, documents
from schemas.events import EventType, PausedBy, Vat
from schemas.samples import samples
from schemas.status import AttentionReason, CancelledBy, Cause, Conflict, DeliveryStatus, Detail, Evidence, Reason
from schemas.vocabulary import Vocabulary
from tests.schemas.node import run
from worker.local.demo.orders import SAMPLES, placed

Json = dict[str, Any]

ABSENT = object()
COMMITTED = Path(__file__).parents[2] / "docs" / "schemas"
DOCUMENTS = documents()
SCHEMAS = [f"{name}.schema.json" for name in (*INCOMING, *OUTGOING)]
CLOSED: tuple[type[Vocabulary], ...] = (DeliveryStatus, Evidence, CancelledBy, Vat)
OPEN: tuple[type[Vocabulary], ...] = (Detail, Reason, AttentionReason, Conflict, Cause, EventType, PausedBy)

COMPILE = """
const Ajv = require("ajv/dist/2020"), formats = require("ajv-formats");
const fault = document => {
    try { formats(new Ajv({ strict: true, strictTypes: true, strictRequired: true })).compile(document); return ""; }
    catch (error) { return error.message; }
};
console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8")).map(fault)));
"""
"""Prints why Ajv refuses each schema on standard input; an empty text if it accepts it."""


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(DOCUMENTS[f"{name}.schema.json"])


def parts(node: Any, *path: str) -> Iterator[tuple[str, Json]]:
    """Yield each schema with its path, from the outside in; examples and defaults are no schemas."""
    if isinstance(node, list):
        for number, each in enumerate(node):
            yield from parts(each, *path, str(number))
    if isinstance(node, dict):
        if path[-1:] not in {("properties",), ("$defs",), ("schemas",)}:
            yield "/".join(path), node
        for name, each in node.items():
            if name not in {"examples", "example", "default"} or path[-1:] == ("properties",):
                yield from parts(each, *path, name)


def properties(document: Json) -> Iterator[tuple[str, Json, Json]]:
    """Yield each property with its path and the schema that holds it."""
    for path, schema in parts(document):
        for name, each in schema.get("properties", {}).items():
            if not {"allOf", "anyOf"} & set(path.split("/")):  # what only narrows a property
                yield f"{path}/{name}", each, schema


def _is_described(part: Json) -> bool:
    """Return whether a property has a text and an example. If it is but a reference, that schema has them."""
    references = {"$ref"} in [each.keys() for each in (part, *part.get("anyOf", ()))] and "type" not in part
    return (references and "description" not in part) or {"description", "examples"} <= part.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_equals_the_generated_one(name: str) -> None:
    assert json.loads((COMMITTED / name).read_text()) == DOCUMENTS[name], "run `make docs`"


def test_every_committed_document_is_generated() -> None:
    assert {path.name for path in COMMITTED.iterdir()} == set(DOCUMENTS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_document_is_a_valid_json_schema(name: str) -> None:
    document = DOCUMENTS[name]
    assert list(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(document)) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_has_a_description_and_an_example(name: str) -> None:
    lacking = [path for path, each, _ in properties(DOCUMENTS[name]) if not _is_described(each)]
    assert lacking == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_property_has_a_title_or_the_default_null(name: str) -> None:
    found = [(path, each) for path, each, _ in properties(DOCUMENTS[name])]
    assert [path for path, each in found if "title" in each or each.get("default", ...) is None] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_schema_has_one_type_and_defines_what_it_requires(name: str) -> None:
    found = [(path, each) for path, each in parts(DOCUMENTS[name])]
    assert [path for path, each in found if isinstance(each.get("type"), list)] == []
    required = [(path, each) for path, each in found if isinstance(each.get("required"), list)]
    assert [path for path, each in required if set(each["required"]) - each.get("properties", {}).keys()] == []


def test_a_strict_validator_accepts_every_document_and_refuses_an_undefined_property() -> None:
    vague = {"type": "object", "required": ["order_id"]}
    *found, refused = run(COMPILE, [*(DOCUMENTS[name] for name in SCHEMAS), vague])
    assert (found, "strictRequired" in refused) == ([""] * len(SCHEMAS), True)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_example_is_valid_by_its_own_schema(name: str) -> None:
    document = DOCUMENTS[name]
    definitions = document.get("$defs", {})
    found = [(path, schema) for path, schema in parts(document) if "examples" in schema]
    assert found
    for path, schema in found:
        check = Draft202012Validator({**schema, "$defs": definitions})
        assert [(path, error.message) for each in schema["examples"] for error in check.iter_errors(each)] == []


@pytest.mark.parametrize("side", ["messages", "events"])
def test_every_sample_is_valid_by_the_schema_of_its_envelope(side: str) -> None:
    check = validator({"messages": "message", "events": "event"}[side])
    assert [error for each in samples(side) for error in check.iter_errors(each["document"])] == []


@pytest.mark.parametrize("vocabulary", [*CLOSED, *OPEN])
def test_every_published_value_is_described(vocabulary: type[Vocabulary]) -> None:
    schema = TypeAdapter(vocabulary).json_schema()
    described = [line.split("`")[1] for line in schema["description"].splitlines() if line.startswith("* `")]
    assert described == schema["enum"] == list(vocabulary)


@pytest.mark.parametrize("name", [f"{name}.schema.json" for name in OUTGOING])
def test_an_event_may_have_more_fields(name: str) -> None:
    assert [path for path, schema in parts(DOCUMENTS[name]) if "additionalProperties" in schema] == []


@pytest.mark.parametrize(
    ("field", "is_open"),
    [
        ("status", False),
        ("previous_status", False),
        ("evidence", False),
        ("cancelled_by", False),
        ("detail", True),
        ("reason", True),
        ("reason_text", True),
        ("cause", True),
    ],
)
def test_the_schema_says_which_values_may_be_added_without_notice(field: str, *, is_open: bool) -> None:
    data = next(each["document"]["data"] for each in samples("events"))
    errors = validator("delivery-event").iter_errors({**data, field: "a value of a later version"})
    assert [list(error.path) for error in errors] == ([] if is_open else [[field]])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.order_id))
def test_a_sample_order_is_valid_by_the_schemas(sample: object) -> None:
    message = json.loads(placed(sample))  # type: ignore[arg-type]
    for name, document in (("message", message), ("order", message["data"])):
        assert list(validator(name).iter_errors(document)) == []


def test_money_as_a_number_is_invalid_by_the_schema() -> None:
    order = json.loads(placed(SAMPLES[0]))["data"]
    order["payment"]["amount"] = 125.0
    errors = validator("order").iter_errors(order)
    assert [list(error.path) for error in errors] == [["payment", "amount"]]


def event_of(kind: str) -> Json:
    return next(each["document"] for each in samples("events") if each["document"]["type"] == kind)


@pytest.mark.parametrize(
    ("kind", "envelope", "data"),
    [
        ("delivery.status_changed", {}, {"status": "teleported"}),
        ("delivery.status_changed", {}, {"status": ABSENT}),
        ("delivery.status_changed", {}, {"final": ABSENT}),
        ("delivery.status_changed", {"dataschema": ABSENT}, {}),
        ("delivery.status_changed", {"dataschema": "urn:order-sync:order-event:1"}, {}),
        ("delivery.status_changed", {"source": ABSENT}, {}),
        ("delivery.status_changed", {"specversion": ABSENT}, {}),
        ("order.quarantined", {"type": "delivery.status_changed"}, {}),
        ("order.quarantined", {}, {"order_id": ABSENT}),
        ("carrier.paused", {}, {"since": ABSENT}),
        ("carrier.paused", {"dataschema": "urn:order-sync:delivery-event:1"}, {}),
    ],
)
def test_an_event_without_the_data_of_its_type_is_invalid(kind: str, envelope: Json, data: Json) -> None:
    event = event_of(kind)
    wrong = _with(_with(event, data=_with(event["data"], **data)), **envelope)
    components = DOCUMENTS["asyncapi.json"]["components"]
    payload = components["messages"][wrong["type"]]["payload"]
    assert list(validator("event").iter_errors(event)) == []
    for check in (validator("event"), Draft202012Validator({**payload, "components": components})):
        assert list(check.iter_errors(wrong))


def test_an_event_of_a_later_type_is_valid_with_any_data_schema() -> None:
    event = event_of("order.skipped")
    later = {**event, "type": "store.closed", "dataschema": "urn:order-sync:store-event:1"}
    assert list(validator("event").iter_errors(later)) == []


def _with(document: Json, **changes: Any) -> Json:
    return {name: value for name, value in {**document, **changes}.items() if value is not ABSENT}
