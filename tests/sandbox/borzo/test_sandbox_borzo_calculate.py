from typing import Any

import pytest

from tests.sandbox.borzo.borzo_calls import ROOT, at_the_drop
from tests.sandbox.client import FIRST, SandboxClient, borzo_order
from worker.sandbox.borzo.errors import REQUEST_CODES

ERRORS: list[tuple[str, str, Any]] = [
    *((code, code, None) for code in sorted(REQUEST_CODES)),
    ("invalid_region", "invalid_parameters", at_the_drop(address=["invalid_region"])),
    ("address_not_found", "invalid_parameters", at_the_drop(address=["address_not_found"])),
    ("cod_agreement_required", "invalid_parameters", at_the_drop(taking_amount=["cod_agreement_required"])),
    ("invalid_phone", "invalid_parameters", at_the_drop(contact_person={"phone": ["invalid_phone"]})),
    ("invalid_bank_card", "invalid_parameters", {"bank_card_id": ["invalid_bank_card"]}),
]


def test_a_price_has_an_order_id_but_creates_no_order(client: SandboxClient) -> None:
    reply = client.post(f"{ROOT}/calculate-order", borzo_order()).json()
    order = reply["order"]
    assert (reply["warnings"], reply["parameter_warnings"], order["payment_amount"]) == ([], None, "18.00")
    assert [order[name] for name in ("order_id", "order_name", "status", "status_description")] == [
        FIRST,
        None,
        None,
        None,
    ]
    assert [(each["point_id"], each["delivery"], each["estimated_arrival_datetime"]) for each in order["points"]] == [
        (None, None, "2026-11-21T14:30:00-03:00"),
        (None, {"status": "planned"}, "2026-11-21T15:30:00-03:00"),
    ]
    assert client.ledger() == []


def test_a_price_is_returned_even_for_an_invalid_order(client: SandboxClient) -> None:
    no_contacts = [{"address": "R. Guamiranga, 1140"}, {"address": "Av. Paulista, 1439", "latitude": "north"}]
    replies = [
        client.post(f"{ROOT}/calculate-order", order).json()
        for order in ({"matter": "Documents", "points": no_contacts}, {})
    ]
    assert [(reply["warnings"], reply["parameter_warnings"], len(reply["order"]["points"])) for reply in replies] == [
        (
            ["invalid_parameters"],
            {
                "points": [
                    {"contact_person": {"phone": ["required"]}},
                    {"contact_person": {"phone": ["required"]}, "latitude": ["invalid_float"]},
                ]
            },
            2,
        ),
        (["invalid_parameters"], {"matter": ["required"], "points": ["required"]}, 0),
    ]


@pytest.mark.parametrize(("requested", "code", "tree"), ERRORS, ids=[requested for requested, *_ in ERRORS])
def test_a_code_in_the_free_text_refuses_the_create_and_adds_a_warning_to_the_price(
    client: SandboxClient, requested: str, code: str, tree: Any
) -> None:
    order = borzo_order(f"ring sandbox:borzo=refused={requested}")
    refused, priced = (client.post(f"{ROOT}/{method}", order) for method in ("create-order", "calculate-order"))
    assert (refused.status_code, refused.json()) == (
        400,
        {"is_successful": False, "errors": [code], "parameter_errors": tree},
    )
    price = priced.json()
    assert (priced.status_code, price["warnings"], price["parameter_warnings"]) == (200, [code], tree)
    assert (price["order"]["payment_amount"], client.ledger()) == ("18.00", [])


def test_a_price_contains_every_warning_at_once(client: SandboxClient) -> None:
    order = borzo_order()
    order["points"][1] = {"address": "Av. Paulista, 1439 sandbox:refused=invalid_region"}
    price = client.post(f"{ROOT}/calculate-order", order).json()
    assert (price["warnings"], price["parameter_warnings"]) == (
        ["invalid_parameters"],
        at_the_drop(contact_person={"phone": ["required"]}, address=["invalid_region"]),
    )


def test_a_refused_fault_returns_any_code_from_any_method(client: SandboxClient) -> None:
    client.add_fault("refused", api="borzo", operation="courier", body="service_unavailable")
    client.add_fault("refused", api="borzo", operation="cancel", body="invalid_order")
    replies = [
        client.get(f"{ROOT}/courier?order_id=1"),
        client.post(f"{ROOT}/cancel-order", {"order_id": 1}),
    ]
    assert [reply.json()["errors"] for reply in replies] == [["service_unavailable"], ["invalid_parameters"]]
