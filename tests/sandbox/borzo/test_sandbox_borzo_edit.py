from typing import Any

from tests.sandbox.borzo.borzo_calls import ROOT
from tests.sandbox.client import FIRST, SandboxClient, borzo_order


def place(client: SandboxClient) -> dict[str, Any]:
    order = borzo_order()
    for at, point in enumerate(order["points"]):
        point["packages"] = [{"ware_code": str(at), "items_count": 1, "item_payment_amount": "35.00"}]
    created: dict[str, Any] = client.post(f"{ROOT}/create-order", order).json()["order"]
    return created


def edit(client: SandboxClient, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = client.post(f"{ROOT}/edit-order", {"order_id": FIRST, **changes}).json()
    return body


def ids(order: dict[str, Any]) -> list[int]:
    return [point["point_id"] for point in order["points"]]


def test_an_edit_keeps_parameters_that_are_not_sent(client: SandboxClient) -> None:
    before = place(client)
    after = edit(client, matter="Flowers", backpayment_details=None)["order"]
    assert after == {**before, "matter": "Flowers"}
    assert client.ledger() == [("borzo", "create", "A-1"), ("borzo", "edit", "A-1")]


def test_an_edit_deletes_points_that_are_not_mentioned_and_adds_points_without_an_id(client: SandboxClient) -> None:
    pickup, drop = ids(place(client))
    new = borzo_order()["points"][0]
    grown = edit(client, points=[{"point_id": pickup}, {"point_id": drop}, new])["order"]
    shrunk = edit(client, points=[{"point_id": pickup}, {"point_id": ids(grown)[2]}])["order"]
    assert (ids(grown)[:2], ids(shrunk)) == ([pickup, drop], [pickup, ids(grown)[2]])
    assert [point["delivery"] for point in grown["points"]] == [None, {"status": "planned"}, {"status": "planned"}]


def test_an_edit_deletes_packages_that_are_not_mentioned(client: SandboxClient) -> None:
    before = place(client)
    (pickup, drop), (package,) = ids(before), before["points"][0]["packages"]
    points = [
        {"point_id": pickup, "packages": [{"order_package_id": package["order_package_id"], "items_count": 3}]},
        {"point_id": drop},
    ]
    after = edit(client, points=points)["order"]["points"]
    assert [point["packages"] for point in after] == [[{**package, "items_count": 3}], []]


def test_an_edit_of_one_value_of_a_point_keeps_the_others(client: SandboxClient) -> None:
    before = place(client)
    pickup, drop = ids(before)
    changed = {"point_id": drop, "taking_amount": 118.00, "contact_person": {"name": "Anna"}, "client_order_id": None}
    after = edit(client, points=[{"point_id": pickup}, changed])["order"]["points"][1]
    assert after == {
        **before["points"][1],
        "taking_amount": "118.00",
        "contact_person": {"name": "Anna", "phone": "5511900000001"},
        "client_order_id": None,
        "packages": [],
    }


def test_an_edit_with_unknown_points_or_packages_is_refused(client: SandboxClient) -> None:
    pickup, drop = ids(place(client))
    replies = [
        edit(client, points=[{"point_id": pickup}, {"point_id": 1}]),
        edit(client, points=[{"point_id": pickup}, {"point_id": drop, "packages": [{"order_package_id": 1}]}]),
        edit(client, points=[{"point_id": pickup}]),
        edit(client, matter=None),
    ]
    assert [reply["parameter_errors"] for reply in replies] == [
        {"points": [None, {"point_id": ["invalid_point"]}]},
        {"points": [None, {"packages": [{"order_package_id": ["invalid_order_package"]}]}]},
        {"points": ["min_size"]},
        {"matter": ["not_nullable"]},
    ]


def test_a_completed_order_cannot_be_edited(client: SandboxClient) -> None:
    place(client)
    client.advance(35)
    assert edit(client, matter="Flowers") == {
        "is_successful": False,
        "errors": ["order_cannot_be_edited"],
        "parameter_errors": None,
    }


def test_the_address_that_the_courier_has_visited_is_not_editable(client: SandboxClient) -> None:
    pickup, drop = ids(place(client))
    client.advance(15)
    there = [{"point_id": pickup, "address": "Rua Nova, 1"}, {"point_id": drop}]
    elsewhere = [{"point_id": pickup, "address": "R. Guamiranga, 1140"}, {"point_id": drop, "address": "Rua Nova, 1"}]
    assert edit(client, points=there)["parameter_errors"] == {"points": [{"address": ["not_editable"]}, None]}
    assert [point["address"] for point in edit(client, points=elsewhere)["order"]["points"]] == [
        "R. Guamiranga, 1140",
        "Rua Nova, 1",
    ]


def test_an_edit_fails_with_the_code_that_its_text_requests(client: SandboxClient) -> None:
    place(client)
    assert edit(client, matter="sandbox:refused=insufficient_balance")["errors"] == ["insufficient_balance"]
