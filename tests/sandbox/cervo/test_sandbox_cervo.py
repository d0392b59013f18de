import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.client import CALLBACK_URL, FIRST, SandboxClient, cervo_order

ORDER, CANCEL = "/apis/v2/order", "/apis/v2/cancelorder"


def place(client: SandboxClient, **changes: Any) -> str:
    return client.post(ORDER, cervo_order(**changes)).text


def test_a_create_returns_a_bare_id(client: SandboxClient) -> None:
    reply = client.post(ORDER, cervo_order())
    assert (reply.status_code, reply.text, client.ledger()) == (200, str(FIRST), [("cervo", "create", "2011")])


def test_missing_fields_are_listed_in_a_body_that_is_not_json(client: SandboxClient) -> None:
    order = cervo_order(customer="", mobile="")
    del order["callback"]
    reply = client.post(ORDER, order)
    expected = '{ "Customer is required , Mobile is required , Callback is required" }'
    assert (reply.status_code, reply.text, client.ledger()) == (400, expected, [])


def test_a_body_that_is_not_json_is_refused(client: SandboxClient) -> None:
    reply = client.post(ORDER, content=b"customer=x")
    assert (reply.status_code, reply.text) == (400, '{ "Body is required" }')


@pytest.mark.parametrize("script", ["closed", "refused"])
def test_a_script_that_refuses_the_create_returns_a_validation_error(client: SandboxClient, script: str) -> None:
    reply = client.post(ORDER, cervo_order(notes=f"sandbox:{script}"))
    assert (reply.status_code, reply.text) == (400, '{ "Customer is required" }')


def test_a_wrong_token_is_unauthorized(client: SandboxClient) -> None:
    reply = client.post(ORDER, cervo_order(), headers={"Authorization": "Bearer other"})
    assert (reply.status_code, reply.text, client.ledger()) == (401, "", [])


def test_the_details_of_an_order_are_returned_as_documented(client: SandboxClient) -> None:
    ref = place(client)
    client.advance(10)
    assert client.get(ORDER, params={"id": ref}).json() == {
        "DriverName": "Sandbox Driver",
        "DriverMobile": "599000111",
        "Status": 3,
        "OrderStatus": [{"Status": 2, "Date": "2026-11-21 20:00"}, {"Status": 3, "Date": "2026-11-21 20:00"}],
        "tracking": f"https://tracking.cervo.example/{ref}",
    }


def test_a_new_order_has_no_driver_and_no_history(client: SandboxClient) -> None:
    assert client.get(ORDER, params={"id": place(client)}).json() == {
        "DriverName": "",
        "DriverMobile": "",
        "Status": 1,
        "OrderStatus": [],
        "tracking": "",
    }


def test_the_id_is_read_from_the_query_the_path_or_a_header(client: SandboxClient) -> None:
    ref = place(client)
    replies = [
        client.get(ORDER, params={"id": ref}),
        client.get(f"{ORDER}/{ref}"),
        client.get(ORDER, headers={"id": ref}),
    ]
    assert [reply.json()["Status"] for reply in replies] == [1, 1, 1]


def test_the_id_is_read_only_from_the_configured_location(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client(cervo_id_location=("path",))
    ref = place(client)
    assert [client.get(f"{ORDER}?id={ref}").status_code, client.get(f"{ORDER}/{ref}").status_code] == [400, 200]


def test_an_unknown_id_returns_an_empty_400(client: SandboxClient) -> None:
    replies = [client.get(ORDER, params={"id": "25"}), client.get(CANCEL, params={"id": "25"}), client.get(ORDER)]
    assert [(reply.status_code, reply.text) for reply in replies] == [(400, "")] * 3


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("happy", [1, 2, 3, 4, 4]),
        ("courier_withdraws", [1, 2, 5, 2, 3, 4, 4]),
        ("withdrawn_for_good", [1, 2, 5, 5]),
        ("returned", [1, 2, 3, 0, 0]),
        ("cancelled", [1, 2, 0, 0]),
        ("unknown_word", [1, 2, 3, 6, 6]),
        ("offered", [1, 2, 3, 4, 4]),
        ("reattempt", [1, 2, 3, 4, 4]),
        ("nonsense", [1, 2, 3, 4, 4]),
    ],
)
def test_an_order_passes_through_the_statuses_of_its_script(
    client: SandboxClient, script: str, statuses: list[int]
) -> None:
    ref = place(client, notes=f"2nd floor sandbox:{script}")
    assert client.observe(lambda: client.get(ORDER, params={"id": ref}).json()["Status"], len(statuses) - 1) == statuses


def test_a_get_cancels_an_order(client: SandboxClient) -> None:
    ref = place(client)
    reply = client.get(CANCEL, params={"id": ref})
    status = client.get(ORDER, params={"id": ref}).json()["Status"]
    assert (reply.status_code, reply.text, status) == (200, "", 0)
    assert client.ledger() == [("cervo", "create", "2011"), ("cervo", "cancel", "2011")]


def test_a_picked_up_or_cancelled_order_cannot_be_cancelled(client: SandboxClient) -> None:
    first, second = place(client), place(client)
    client.get(CANCEL, params={"id": second})
    client.advance(10)
    assert [client.get(CANCEL, params={"id": ref}).status_code for ref in (first, second)] == [400, 400]


def test_a_repeated_id_creates_a_second_order(client: SandboxClient) -> None:
    assert (place(client), place(client)) == (str(FIRST), str(FIRST + 1))


def test_a_repeated_id_is_refused_when_configured(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client(cervo_refuses_repeats=True)
    place(client)
    reply = client.post(ORDER, cervo_order())
    assert (reply.status_code, reply.text) == (400, '{ "Id is duplicated" }')


def test_each_status_change_is_sent_to_the_callback_of_the_order(client: SandboxClient) -> None:
    ref = place(client, callback=CALLBACK_URL)
    client.observe(lambda: None, 3)
    sent = [json.loads(request.content) for request in client.callbacks]
    driver = {
        "order_id": "2011",
        "driver_name": "Sandbox Driver",
        "driver_mobile": "599000111",
        "cancel": "",
        "tracking": f"https://tracking.cervo.example/{ref}",
    }
    assert sent == [{**driver, "order_status": status} for status in (2, 3, 4)]
    assert {str(request.url) for request in client.callbacks} == {CALLBACK_URL}


def test_a_cancel_is_sent_once_with_a_reason_and_never_retried(client: SandboxClient) -> None:
    ref = place(client, callback=CALLBACK_URL)
    client.get(CANCEL, params={"id": ref})
    client.callback_statuses = [500]
    client.observe(lambda: None, 3)
    sent = [json.loads(request.content) for request in client.callbacks]
    assert [(content["order_status"], content["cancel"]) for content in sent] == [(0, "Canceled by the sandbox")]
