from typing import Any

from tests.sandbox.bench import FIRST, Bench, borzo_order

ROOT = "/api/business/1.6"


def place(bench: Bench) -> dict[str, Any]:
    order = borzo_order()
    for at, point in enumerate(order["points"]):
        point["packages"] = [{"ware_code": str(at), "items_count": 1, "item_payment_amount": "35.00"}]
    created: dict[str, Any] = bench.post(f"{ROOT}/create-order", order).json()["order"]
    return created


def edit(bench: Bench, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = bench.post(f"{ROOT}/edit-order", {"order_id": FIRST, **changes}).json()
    return body


def ids(order: dict[str, Any]) -> list[int]:
    return [point["point_id"] for point in order["points"]]


def test_a_parameter_that_is_not_sent_is_not_changed(bench: Bench) -> None:
    before = place(bench)
    after = edit(bench, matter="Flowers", backpayment_details=None)["order"]
    assert after == {**before, "matter": "Flowers"}
    assert bench.ledger() == [("borzo", "create", "A-1"), ("borzo", "edit", "A-1")]


def test_a_point_that_is_not_mentioned_is_deleted_and_one_without_an_id_is_added(bench: Bench) -> None:
    pickup, drop = ids(place(bench))
    new = borzo_order()["points"][0]
    grown = edit(bench, points=[{"point_id": pickup}, {"point_id": drop}, new])["order"]
    shrunk = edit(bench, points=[{"point_id": pickup}, {"point_id": ids(grown)[2]}])["order"]
    assert (ids(grown)[:2], ids(shrunk)) == ([pickup, drop], [pickup, ids(grown)[2]])
    assert [point["delivery"] for point in grown["points"]] == [None, {"status": "planned"}, {"status": "planned"}]


def test_a_package_that_is_not_mentioned_is_deleted(bench: Bench) -> None:
    before = place(bench)
    (pickup, drop), (package,) = ids(before), before["points"][0]["packages"]
    points = [
        {"point_id": pickup, "packages": [{"order_package_id": package["order_package_id"], "items_count": 3}]},
        {"point_id": drop},
    ]
    after = edit(bench, points=points)["order"]["points"]
    assert [point["packages"] for point in after] == [[{**package, "items_count": 3}], []]


def test_one_value_of_a_point_is_changed_and_the_others_stay(bench: Bench) -> None:
    before = place(bench)
    pickup, drop = ids(before)
    changed = {"point_id": drop, "taking_amount": 118.00, "contact_person": {"name": "Anna"}, "client_order_id": None}
    after = edit(bench, points=[{"point_id": pickup}, changed])["order"]["points"][1]
    assert after == {
        **before["points"][1],
        "taking_amount": "118.00",
        "contact_person": {"name": "Anna", "phone": "5511900000001"},
        "client_order_id": None,
        "packages": [],
    }


def test_strange_points_and_packages_are_refused(bench: Bench) -> None:
    pickup, drop = ids(place(bench))
    replies = [
        edit(bench, points=[{"point_id": pickup}, {"point_id": 1}]),
        edit(bench, points=[{"point_id": pickup}, {"point_id": drop, "packages": [{"order_package_id": 1}]}]),
        edit(bench, points=[{"point_id": pickup}]),
        edit(bench, matter=None),
    ]
    assert [reply["parameter_errors"] for reply in replies] == [
        {"points": [None, {"point_id": ["invalid_point"]}]},
        {"points": [None, {"packages": [{"order_package_id": ["invalid_order_package"]}]}]},
        {"points": ["min_size"]},
        {"matter": ["not_nullable"]},
    ]


def test_a_completed_order_is_not_edited(bench: Bench) -> None:
    place(bench)
    bench.later(35)
    assert edit(bench, matter="Flowers") == {
        "is_successful": False,
        "errors": ["order_cannot_be_edited"],
        "parameter_errors": None,
    }


def test_the_address_where_the_courier_has_been_stays_as_it_was(bench: Bench) -> None:
    pickup, drop = ids(place(bench))
    bench.later(15)
    there = [{"point_id": pickup, "address": "Rua Nova, 1"}, {"point_id": drop}]
    elsewhere = [{"point_id": pickup, "address": "R. Guamiranga, 1140"}, {"point_id": drop, "address": "Rua Nova, 1"}]
    assert edit(bench, points=there)["parameter_errors"] == {"points": [{"address": ["not_editable"]}, None]}
    assert [point["address"] for point in edit(bench, points=elsewhere)["order"]["points"]] == [
        "R. Guamiranga, 1140",
        "Rua Nova, 1",
    ]


def test_an_edit_is_refused_with_the_code_that_its_text_asks_for(bench: Bench) -> None:
    place(bench)
    assert edit(bench, matter="sandbox:refused=insufficient_balance")["errors"] == ["insufficient_balance"]
