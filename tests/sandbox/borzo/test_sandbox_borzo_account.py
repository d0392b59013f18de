from collections.abc import Callable

import pytest

from tests.sandbox.borzo.borzo_calls import ROOT, errors, place
from tests.sandbox.client import FIRST, SandboxClient


def test_the_account_and_its_bank_card_are_returned(client: SandboxClient) -> None:
    assert [client.get(f"{ROOT}{method}").json() for method in ("", "/client", "/bank-cards")] == [
        {"is_successful": True},
        {
            "is_successful": True,
            "client": {
                "name": "Sandbox",
                "phone": "5511900000001",
                "email": "sandbox@borzo.example",
                "legal_type": "individual_person",
                "allowed_payment_methods": ["cash", "balance", "bank_card"],
            },
        },
        {
            "is_successful": True,
            "bank_cards": [
                {
                    "bank_card_id": 80,
                    "bank_card_number_mask": "411111XXXXXX1111",
                    "expiration_date": "2029-01-31",
                    "card_type": "visa",
                }
            ],
        },
    ]


@pytest.mark.parametrize(("kind", "key"), [("zpl", "content"), ("pdf", "content_base64")])
def test_each_point_has_a_label(client: SandboxClient, kind: str, key: str) -> None:
    order = place(client)
    labels = client.get(f"{ROOT}/labels?type={kind}&order_id[]={order['order_id']}").json()["labels"]
    assert [(label["type"], label["order_id"], label["point_id"], label["delivery_id"]) for label in labels] == [
        (kind, FIRST, FIRST + 1, None),
        (kind, FIRST, FIRST + 2, None),
    ]
    assert all(label[key] for label in labels)


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"X-DV-Auth-Token": "other"}, "invalid_auth_token")],
)
def test_a_wrong_token_is_refused(client: SandboxClient, headers: dict[str, str], code: str) -> None:
    reply = client.get(f"{ROOT}/client", headers=headers)
    assert (reply.status_code, reply.json()) == errors(code)


def test_a_missing_token_is_refused(client: SandboxClient) -> None:
    del client.headers["X-DV-Auth-Token"]
    reply = client.get(f"{ROOT}/client")
    assert (reply.status_code, reply.json()) == errors("required_auth_token")


def test_protocol_errors_have_their_documented_codes(client: SandboxClient) -> None:
    replies = [
        client.get(f"{ROOT}/unknown"),
        client.get("/api/business/1.9/orders"),
        client.get(f"{ROOT}/create-order"),
        client.post(f"{ROOT}/orders"),
        client.post(f"{ROOT}/create-order", content=b"matter=x"),
    ]
    codes = "invalid_api_method invalid_api_version required_method_post required_method_get invalid_post_json"
    assert [(reply.status_code, reply.json()) for reply in replies] == [errors(code) for code in codes.split()]


def test_requests_beyond_the_configured_limits_are_refused(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client(borzo_limits=((2, 60.0), (3, 86400.0)))
    codes = []
    for wait in (0, 1, 1, 60, 60):
        client.advance(wait)
        codes.append(client.get(f"{ROOT}/client").json().get("errors"))
    assert codes == [None, None, ["requests_limit_exceeded"], None, ["requests_limit_exceeded"]]
