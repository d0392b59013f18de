"""What Borzo offers beside orders, and each of its refusals on demand."""

from typing import Any

import pytest

from tests.sandbox.bench import Bench, borzo_order
from worker.sandbox.borzo_refusals import REQUEST_CODES

ROOT = "/api/business/1.6"


def on_the_drop(**faults: Any) -> dict[str, Any]:
    return {"points": [None, faults]}


REFUSALS: list[tuple[str, str, Any]] = [
    *((code, code, None) for code in sorted(REQUEST_CODES)),
    ("invalid_region", "invalid_parameters", on_the_drop(address=["invalid_region"])),
    ("address_not_found", "invalid_parameters", on_the_drop(address=["address_not_found"])),
    ("cod_agreement_required", "invalid_parameters", on_the_drop(taking_amount=["cod_agreement_required"])),
    ("invalid_phone", "invalid_parameters", on_the_drop(contact_person={"phone": ["invalid_phone"]})),
    ("invalid_bank_card", "invalid_parameters", {"bank_card_id": ["invalid_bank_card"]}),
]


@pytest.mark.parametrize(("asked", "code", "tree"), REFUSALS, ids=[asked for asked, *_ in REFUSALS])
def test_a_code_that_the_free_text_names_refuses_the_create_and_warns_with_the_price(
    bench: Bench, asked: str, code: str, tree: Any
) -> None:
    order = borzo_order(f"ring sandbox:borzo=refused={asked}")
    refused, priced = (bench.post(f"{ROOT}/{method}", order) for method in ("create-order", "calculate-order"))
    assert (refused.status_code, refused.json()) == (
        400,
        {"is_successful": False, "errors": [code], "parameter_errors": tree},
    )
    told = priced.json()
    assert (priced.status_code, told["warnings"], told["parameter_warnings"]) == (200, [code], tree)
    assert (told["order"]["payment_amount"], bench.ledger()) == ("18.00", [])


def test_a_price_warns_of_everything_at_once(bench: Bench) -> None:
    order = borzo_order()
    order["points"][1] = {"address": "Av. Paulista, 1439 sandbox:refused=invalid_region"}
    told = bench.post(f"{ROOT}/calculate-order", order).json()
    assert (told["warnings"], told["parameter_warnings"]) == (
        ["invalid_parameters"],
        on_the_drop(contact_person={"phone": ["required"]}, address=["invalid_region"]),
    )


def test_a_fault_refuses_any_method_with_any_code(bench: Bench) -> None:
    bench.fault("refused", api="borzo", operation="courier", body="service_unavailable")
    bench.fault("refused", api="borzo", operation="cancel", body="invalid_order")
    replies = [
        bench.get(f"{ROOT}/courier?order_id=1"),
        bench.post(f"{ROOT}/cancel-order", {"order_id": 1}),
    ]
    assert [reply.json()["errors"] for reply in replies] == [["service_unavailable"], ["invalid_parameters"]]


def test_a_courier_comes_to_the_shop_and_goes_on_to_the_customer(bench: Bench) -> None:
    order = bench.post(f"{ROOT}/create-order", borzo_order()).json()["order"]

    def place() -> tuple[str | None, str | None]:
        courier = bench.get(f"{ROOT}/courier?order_id={order['order_id']}").json()["courier"]
        return courier["latitude"], courier["longitude"]

    bench.later(10)
    seen = []
    for _ in range(5):
        seen.append(place())
        bench.later(5)
    shop, door = ("-23.5962988", "-46.5858049"), ("-23.562747", "-46.6576753")
    assert seen == [door, (None, None), shop, shop, door]  # he lives near the customer
    bench.post(f"/sandbox/orders/borzo/{order['order_id']}/step", {"state": "active/active"})
    bench.later(2.5)
    assert place() == ("-23.5795229", "-46.6217401")


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"is_cod_cash_voucher_required": True, "taking_amount": "9.00"}, {"packages": ["required"]}),
        (
            {"taking_amount": "9.00", "buyout_amount": "1.00"},
            {"taking_amount": ["cod_is_not_allowed_with_buyout"]},
        ),
        ({"packages": [{"ware_code": "x" * 256}]}, {"packages": [{"ware_code": ["max_length"]}]}),
        ({"packages": [{"quantity": 1}]}, {"packages": [{"quantity": ["unknown"]}]}),
    ],
)
def test_money_and_packages_that_do_not_fit_together_are_refused(
    bench: Bench, changes: dict[str, Any], faults: dict[str, Any]
) -> None:
    order = borzo_order()
    order["points"][1] |= changes
    reply = bench.post(f"{ROOT}/create-order", order)
    assert (reply.json()["errors"], reply.json()["parameter_errors"]) == (["invalid_parameters"], on_the_drop(**faults))


def test_everything_an_order_may_ask_for_is_taken(bench: Bench) -> None:
    order = borzo_order(
        insurance_amount="118.00",
        is_thermobox_required=True,
        is_motobox_required=True,
        loaders_count=1,
        total_weight_kg=3,
        payment_method="bank_card",
        bank_card_id=80,
    )
    package = {"description": "Pizza", "items_count": 2, "item_payment_amount": "59.00"}
    order["points"][1] |= {"taking_amount": "118.00", "is_cod_cash_voucher_required": True, "packages": [package]}
    told = bench.post(f"{ROOT}/create-order", order).json()["order"]
    assert {name: told[name] for name in order if name not in ("points", "is_thermobox_required")} == {
        name: value for name, value in order.items() if name not in ("points", "is_thermobox_required")
    }
    assert told["is_thermobox_required"] is True
    assert [(each["description"], each["items_count"]) for each in told["points"][1]["packages"]] == [("Pizza", 2)]
