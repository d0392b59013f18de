"""The OpenAPI document of the HTTP door is valid, and every generated request is answered as it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, seed, settings
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from schemas.documents import documents
from schemas.openapi import ANSWERS, DELIVERY, EVENT, EVENTS, openapi
from tests.web.edge import Edge
from tests.web.test_orders_api import KEY, KEYS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = settings().max_examples // 5
NOT_CHECKED: list[Any] = [negative_data_rejection, positive_data_acceptance]
"""A schema cannot say everything: fields that only decorate are read leniently, and 30 February is no time."""
OPERATIONS = [(path, "GET" if path in {DELIVERY, EVENTS} else "POST") for path in ANSWERS]


def test_the_document_is_valid() -> None:
    validate(openapi())


def test_the_example_of_an_order_is_that_of_the_bus() -> None:
    assert json.loads((ROOT / "docs" / "order-placed.json").read_text()) == EVENT


def test_the_document_is_served_without_a_key(make_edge: Callable[..., Edge]) -> None:
    reply = make_edge(**KEYS).request("GET", "/openapi.json", b"", {})
    assert (reply.status_code, reply.headers["content-type"], reply.json()) == (200, "application/json", openapi())


def test_every_published_document_is_served_without_a_key(make_edge: Callable[..., Edge]) -> None:
    edge = make_edge(**KEYS)
    served = {name: edge.request("GET", f"/schemas/{name}", b"", {}).json() for name in documents()}
    assert served == documents()
    reply = edge.request("GET", "/schemas/parcel.schema.json", b"", {})
    assert (reply.status_code, reply.json()["title"]) == (404, "Not Found")


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_generated_request_is_answered_as_the_document_says(
    path: str, method: str, mode: GenerationMode, make_edge: Callable[..., Edge]
) -> None:
    edge = make_edge(**KEYS)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError  # the heartbeat of callbacks would outlive the test
        await edge.web(scope, receive, send)

    document = schemathesis.openapi.from_asgi("/openapi.json", app)

    @seed(2011)
    @settings(max_examples=EXAMPLES, database=None)
    @given(case=document[path][method].as_strategy(mode))
    def answer(case: Case[Any]) -> None:
        if "wait" in case.query:
            case.query["wait"] = 0 if str(case.query["wait"]).isdecimal() else case.query["wait"]
        case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, excluded_checks=NOT_CHECKED)

    answer()
