from typing import Any

import pytest

from tests.sandbox.borzo.borzo_calls import ROOT, at_the_drop, errors, place
from tests.sandbox.client import FIRST, SandboxClient, borzo_order

PICKUP, DROP = borzo_order()["points"]


def point(
    point_id: int, address: str, coordinates: tuple[str, str], hours: tuple[str, str], **more: Any
) -> dict[str, Any]:
    return {
        "point_id": point_id,
        "delivery_id": None,
        "client_order_id": None,
        "address": address,
        "latitude": coordinates[0],
        "longitude": coordinates[1],
        "required_start_datetime": f"2026-11-21T{hours[0]}:00-03:00",
        "required_finish_datetime": f"2026-11-21T{hours[1]}:00-03:00",
        "arrival_start_datetime": None,
        "arrival_finish_datetime": None,
        "estimated_arrival_datetime": None,
        "courier_visit_datetime": None,
        "contact_person": {"name": None, "phone": "5511900000001"},
        "taking_amount": "0.00",
        "buyout_amount": "0.00",
        "note": None,
        "packages": [],
        "is_cod_cash_voucher_required": False,
        "is_order_payment_here": False,
        "building_number": None,
        "entrance_number": None,
        "intercom_code": None,
        "floor_number": None,
        "apartment_number": None,
        "invisible_mile_navigation_instructions": None,
        "place_photo_url": None,
        "sign_photo_url": None,
        "checkin_code": None,
        "checkin": None,
        "is_return_point": False,
        "tracking_url": None,
        "delivery": None,
        **more,
    }


def test_a_create_returns_the_order_as_documented(client: SandboxClient) -> None:
    reply = client.post(f"{ROOT}/create-order", borzo_order())
    pickup = point(FIRST + 1, "R. Guamiranga, 1140", ("-23.5962988", "-46.5858049"), ("14:30", "15:00"))
    drop = point(
        FIRST + 2,
        "Av. Paulista, 1439",
        ("-23.562747", "-46.6576753"),
        ("15:30", "16:00"),
        client_order_id="A-1",
        delivery={"status": "planned"},
    )
    assert reply.json() == {
        "is_successful": True,
        "order": {
            "type": "standard",
            "order_id": FIRST,
            "order_name": str(FIRST)[-5:],
            "vehicle_type_id": 8,
            "created_datetime": "2026-11-21T14:00:00-03:00",
            "finish_datetime": None,
            "status": "available",
            "status_description": "available",
            "matter": "Documents",
            "total_weight_kg": 0,
            "is_client_notification_enabled": False,
            "is_contact_person_notification_enabled": False,
            "loaders_count": 0,
            "backpayment_details": None,
            "points": [pickup, drop],
            "payment_amount": "18.00",
            "delivery_fee_amount": "18.00",
            "weight_fee_amount": "0.00",
            "insurance_amount": "0.00",
            "insurance_fee_amount": "0.00",
            "loading_fee_amount": "0.00",
            "money_transfer_fee_amount": "0.00",
            "promo_code_discount_amount": "0.00",
            "backpayment_amount": "0.00",
            "cod_fee_amount": "0.00",
            "return_fee_amount": "0.00",
            "waiting_fee_amount": "0.00",
            "backpayment_photo_url": None,
            "itinerary_document_url": None,
            "waybill_document_url": None,
            "courier": None,
            "is_motobox_required": False,
            "payment_method": "cash",
            "bank_card_id": None,
            "applied_promo_code": None,
            "is_return_required": False,
        },
    }
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert client.ledger() == [("borzo", "create", "A-1")]


def test_the_documented_invalid_request_gets_the_documented_errors(client: SandboxClient) -> None:
    reply = client.post(f"{ROOT}/create-order", {"points": [borzo_order()["points"][0], {}]})
    missing = {"address": ["required"], "contact_person": {"phone": ["required"]}}
    tree = {"matter": ["required"], "points": [None, missing]}
    assert (reply.status_code, reply.json()) == errors("invalid_parameters", tree)
    assert client.ledger() == []


@pytest.mark.parametrize(
    ("changes", "tree"),
    [
        ({"surprise": 1}, {"surprise": ["unknown"]}),
        ({"matter": "x" * 5001}, {"matter": ["max_length"]}),
        ({"vehicle_type_id": 6}, {"vehicle_type_id": ["invalid_vehicle_type"]}),
        ({"total_weight_kg": 1.5}, {"total_weight_kg": ["invalid_integer"]}),
        ({"payment_method": "bank_card"}, {"bank_card_id": ["required"]}),
        ({"bank_card_id": 81}, {"bank_card_id": ["invalid_bank_card"]}),
        ({"promo_code": "OLD"}, {"promo_code": ["invalid_value"]}),
        ({"loaders_count": None}, {"loaders_count": ["not_nullable"]}),
        ({"points": {}}, {"points": ["invalid_list"]}),
        ({"points": [PICKUP]}, {"points": ["min_size"]}),
        ({"points": [PICKUP] * 100}, {"points": ["max_size"]}),
        (
            {"points": [PICKUP, {**DROP, "latitude": "91"}]},
            {"points": [None, {"latitude": ["coordinates_out_of_bounds"]}]},
        ),
        (
            {"points": [PICKUP, {**DROP, "delivery_id": 1}]},
            {"points": [None, {"delivery_id": ["invalid_delivery_id"]}]},
        ),
        (
            {"points": [PICKUP, {**DROP, "contact_person": {"phone": "+5511900000001"}}]},
            {"points": [None, {"contact_person": {"phone": ["invalid_phone"]}}]},
        ),
        (
            {"points": [{**PICKUP, "required_start_datetime": "2026-11-21T18:00:00Z"}, DROP]},
            {"points": [{"required_start_datetime": ["invalid_date_format"]}, None]},
        ),
        (
            {"points": [{**PICKUP, "required_finish_datetime": "2026-11-21T13:00:00-03:00"}, DROP]},
            {"points": [{"required_finish_datetime": ["cannot_be_past"]}, None]},
        ),
        (
            {"points": [{**PICKUP, "is_order_payment_here": True}, {**DROP, "is_order_payment_here": True}]},
            {"points": [None, {"is_order_payment_here": ["order_payment_only_one_point"]}]},
        ),
    ],
)
def test_an_invalid_parameter_is_reported_in_its_place(
    client: SandboxClient, changes: dict[str, Any], tree: dict[str, Any]
) -> None:
    reply = client.post(f"{ROOT}/create-order", borzo_order(**changes))
    assert (reply.status_code, reply.json()) == errors("invalid_parameters", tree)


@pytest.mark.parametrize(
    ("changes", "errors"),
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
def test_conflicting_money_and_packages_are_refused(
    client: SandboxClient, changes: dict[str, Any], errors: dict[str, Any]
) -> None:
    order = borzo_order()
    order["points"][1] |= changes
    reply = client.post(f"{ROOT}/create-order", order)
    assert (reply.json()["errors"], reply.json()["parameter_errors"]) == (["invalid_parameters"], at_the_drop(**errors))


def test_amounts_are_accepted_as_numbers_or_strings_and_returned_as_strings(client: SandboxClient) -> None:
    packages = [{"ware_code": "1", "items_count": 1, "item_payment_amount": 35.00}]
    drop = place(client, points=[PICKUP, {**DROP, "taking_amount": "118", "packages": packages}])["points"][1]
    assert (drop["taking_amount"], drop["packages"]) == (
        "118.00",
        [
            {
                "order_package_id": FIRST + 2,
                "ware_code": "1",
                "description": None,
                "items_count": 1,
                "item_payment_amount": "35.00",
                "nomenclature_code": None,
            }
        ],
    )


def test_every_parameter_of_an_order_is_accepted(client: SandboxClient) -> None:
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
    created = client.post(f"{ROOT}/create-order", order).json()["order"]
    assert {name: created[name] for name in order if name not in ("points", "is_thermobox_required")} == {
        name: value for name, value in order.items() if name not in ("points", "is_thermobox_required")
    }
    assert created["is_thermobox_required"] is True
    assert [(each["description"], each["items_count"]) for each in created["points"][1]["packages"]] == [("Pizza", 2)]


def test_a_return_point_has_no_delivery(client: SandboxClient) -> None:
    points = place(client, is_return_required=True)["points"]
    assert [(each["is_return_point"], each["delivery"]) for each in points] == [
        (False, None),
        (False, {"status": "planned"}),
        (True, None),
    ]


@pytest.mark.parametrize(
    ("script", "code", "tree"),
    [
        ("closed", "route_not_found", None),
        ("refused", "invalid_parameters", {"points": [None, {"contact_person": {"phone": ["invalid_phone"]}}]}),
    ],
)
def test_a_script_that_refuses_the_create_creates_no_order(
    client: SandboxClient, script: str, code: str, tree: Any
) -> None:
    reply = client.post(f"{ROOT}/create-order", borzo_order(matter=f"Pizza sandbox:{script}"))
    assert (reply.status_code, reply.json(), client.ledger()) == (*errors(code, tree), [])
