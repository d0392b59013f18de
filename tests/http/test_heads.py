"""The redacted heads of requests and replies."""

import json

import pytest

from tests.carriers.sample import booking
from worker.http.call import Call, Operation
from worker.http.heads import LONGEST, reply_head, request_head

ORDER = booking(name="Jane Doe", notes="ring twice", street="Nørregade 7").order
BODY = {
    "id": 7290118456613,
    "price": 125.5,
    "paid": True,
    "customer": {"name": 'Jane "JD": Doe', "phone": "+4520304050", "mobile": 20304050, "at": [55.3956, 10.3883]},
    "notes": None,
}


def create(body: bytes) -> Call:
    return Call(Operation.CREATE, "POST", "/order", headers=(("Authorization", "secret"),), body=body)


def test_a_json_request_shows_its_names_and_small_numbers_and_no_texts() -> None:
    assert request_head(create(json.dumps(BODY).encode())) == (
        'POST /order {"id": ***, "price": 125.5, "paid": true, "customer": {"name": ***, "phone": ***, "mobile": ***, '
        '"at": [***, ***]}, "notes": null}'
    )


def test_a_text_that_is_cut_off_is_hidden_too() -> None:
    assert request_head(create(b'{"name":"Jane Do')) == 'POST /order {"name":***'


def test_a_form_shows_only_its_names() -> None:
    assert request_head(create(b"name=Jane+Doe&phone=%2B4520304050")) == "POST /order name=***&phone=***"


def test_a_query_shows_only_its_names() -> None:
    assert request_head(Call(Operation.READ, "GET", "/orders", query=(("token", "secret"),))) == "GET /orders?token=***"


def test_an_answer_shows_statuses_and_ids_and_no_free_text() -> None:
    body = {
        "status": "created",
        "orderId": "A-17",
        "message": "Jane Doe is happy",
        "zip_code": "5000",
        "door code": "1",
    }
    assert json.loads(reply_head(json.dumps(body).encode(), None)) == {
        "status": "created",
        "orderId": "A-17",
        "message": "***",
        "zip_code": "***",
        "door code": "***",
    }


@pytest.mark.quirk("X-15")
def test_a_refusal_shows_its_reason_without_the_customer() -> None:
    body = b'{"errors": ["N\\u00f8rregade 7 is too far away for Jane"], "error_code": "outside_area", "at": 55.39561}'
    assert json.loads(reply_head(body, ORDER)) == {
        "errors": ["*** is too far away for ***"],
        "error_code": "outside_area",
        "at": "***",
    }


@pytest.mark.parametrize(
    ("body", "head"),
    [
        (b"", ""),
        (b"<h1>502 Bad Gateway</h1>", "<h1>502 Bad Gateway</h1>"),
        (b"Jane Doe, +4520304050", "***, ***"),
        (b"\xff\x00", "\N{REPLACEMENT CHARACTER}"),
        (b"[" * 15_000, "[" * LONGEST),
        (b"[" * 30_000, "30000 bytes"),
    ],
)
def test_a_failure_that_is_no_json_is_one_redacted_line(body: bytes, head: str) -> None:
    assert reply_head(body, ORDER) == head


def test_an_answer_that_is_no_json_shows_only_its_size() -> None:
    assert reply_head(b"Jane Doe", None) == "8 bytes"
