from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.bench import FIRST, Bench, borzo_order

ROOT = "/api/business/1.6"
ASSIGNED = ["available/planned", "active/courier_assigned"]
TO_PICKUP = ["active/courier_departed", "active/courier_at_pickup", "active/parcel_picked_up"]
TO_DOOR = [*TO_PICKUP, "active/active", "active/courier_arrived"]


def place(bench: Bench, note: str | None = None, **changes: Any) -> dict[str, Any]:
    reply = bench.post(f"{ROOT}/create-order", borzo_order(note, **changes))
    assert reply.status_code == 200, reply.text
    order: dict[str, Any] = reply.json()["order"]
    return order


def read(bench: Bench, order: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bench.get(f"{ROOT}/orders?order_id[]={order['order_id']}").json()["orders"][0]
    return found


def word(order: dict[str, Any]) -> str:
    return f"{order['status']}/{order['points'][1]['delivery']['status']}"


def errors(code: str, parameters: Any = None) -> tuple[int, dict[str, Any]]:
    return 400, {"is_successful": False, "errors": [code], "parameter_errors": parameters}


def point(point_id: int, address: str, spot: tuple[str, str], hours: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "point_id": point_id,
        "delivery_id": None,
        "client_order_id": None,
        "address": address,
        "latitude": spot[0],
        "longitude": spot[1],
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


def test_a_created_order_is_written_as_documented(bench: Bench) -> None:
    reply = bench.post(f"{ROOT}/create-order", borzo_order())
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
    assert bench.ledger() == [("borzo", "create", "A-1")]


def test_the_documents_faulty_request_gets_the_documents_answer(bench: Bench) -> None:
    reply = bench.post(f"{ROOT}/create-order", {"points": [borzo_order()["points"][0], {}]})
    missing = {"address": ["required"], "contact_person": {"phone": ["required"]}}
    tree = {"matter": ["required"], "points": [None, missing]}
    assert (reply.status_code, reply.json()) == errors("invalid_parameters", tree)
    assert bench.ledger() == []


PICKUP, DROP = borzo_order()["points"]


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
def test_a_faulty_parameter_is_named_in_its_place(bench: Bench, changes: dict[str, Any], tree: dict[str, Any]) -> None:
    reply = bench.post(f"{ROOT}/create-order", borzo_order(**changes))
    assert (reply.status_code, reply.json()) == errors("invalid_parameters", tree)


def test_amounts_are_taken_as_numbers_or_strings_and_written_as_strings(bench: Bench) -> None:
    packages = [{"ware_code": "1", "items_count": 1, "item_payment_amount": 35.00}]
    drop = place(bench, points=[PICKUP, {**DROP, "taking_amount": "118", "packages": packages}])["points"][1]
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


def test_a_return_point_carries_no_delivery(bench: Bench) -> None:
    points = place(bench, is_return_required=True)["points"]
    assert [(each["is_return_point"], each["delivery"]) for each in points] == [
        (False, None),
        (False, {"status": "planned"}),
        (True, None),
    ]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("happy", [*ASSIGNED, *TO_DOOR, "completed/finished"]),
        ("weak_done", [*ASSIGNED, *TO_DOOR, "completed/finished"]),
        (
            "courier_withdraws",
            [*ASSIGNED, "reactivated/planned", "active/courier_assigned", *TO_DOOR, "completed/finished"],
        ),
        ("withdrawn_for_good", [*ASSIGNED, "reactivated/planned", "reactivated/planned"]),
        (
            "returned",
            [
                *ASSIGNED,
                *TO_DOOR,
                "active/return_planned",
                "active/return_courier_assigned",
                "active/return_courier_departed",
                "active/return_courier_picked_up",
                "completed/return_finished",
            ],
        ),
        (
            "reattempt",
            [
                *ASSIGNED,
                *TO_DOOR,
                "active/reattempt_planned",
                "active/reattempt_courier_assigned",
                "active/reattempt_courier_departed",
                "active/reattempt_courier_picked_up",
                "completed/reattempt_finished",
            ],
        ),
        ("cancelled", [*ASSIGNED, "canceled/canceled", "canceled/canceled"]),
        ("unknown_word", [*ASSIGNED, *TO_PICKUP, "active/left_in_locker"]),
        ("delayed", [*ASSIGNED, "delayed/delayed", "active/courier_assigned", *TO_DOOR, "completed/finished"]),
        ("verified", ["new/planned", *ASSIGNED, *TO_DOOR, "completed/finished"]),
    ],
)
def test_a_borzo_script_passes_through_its_words(bench: Bench, script: str, words: list[str]) -> None:
    order = place(bench, f"ring sandbox:{script}")
    assert bench.life(lambda: word(read(bench, order)), len(words) - 1) == words


@pytest.mark.parametrize(
    ("script", "code", "tree"),
    [
        ("closed", "route_not_found", None),
        ("refused", "invalid_parameters", {"points": [None, {"contact_person": {"phone": ["invalid_phone"]}}]}),
    ],
)
def test_a_refusing_script_creates_nothing(bench: Bench, script: str, code: str, tree: Any) -> None:
    reply = bench.post(f"{ROOT}/create-order", borzo_order(matter=f"Pizza sandbox:{script}"))
    assert (reply.status_code, reply.json(), bench.ledger()) == (*errors(code, tree), [])


def test_a_finished_order_tells_when_and_to_whom(bench: Bench) -> None:
    order = place(bench)
    bench.later(35)
    done = read(bench, order)
    assert (done["finish_datetime"], done["courier"]["latitude"]) == ("2026-11-21T14:00:35-03:00", None)
    assert [each["courier_visit_datetime"] for each in done["points"]] == [
        "2026-11-21T14:00:15-03:00",
        "2026-11-21T14:00:30-03:00",
    ]
    assert (done["points"][1]["checkin"], done["points"][1]["tracking_url"]) == (
        {"recipient_full_name": None, "recipient_position": None},
        f"https://tracking.borzo.example/{FIRST}",
    )


def test_a_courier_has_a_position_only_on_the_way(bench: Bench) -> None:
    order = place(bench)
    couriers = bench.life(lambda: bench.get(f"{ROOT}/courier?order_id={order['order_id']}").json()["courier"], 2)
    courier = {
        "courier_id": 72384,
        "surname": "Surname",
        "name": "Name",
        "middlename": None,
        "phone": "5511900000001",
        "photo_url": None,
    }
    assert couriers == [
        None,
        {**courier, "latitude": None, "longitude": None},
        {**courier, "latitude": "-23.562747", "longitude": "-46.6576753"},
    ]


def test_orders_are_listed_newest_first_by_tens_and_without_type(bench: Bench) -> None:
    placed = [place(bench)["order_id"] for _ in range(12)]
    first = bench.get(f"{ROOT}/orders").json()
    rest = bench.get(f"{ROOT}/orders?offset=10").json()
    everything = bench.get(f"{ROOT}/orders?count=50").json()
    ids = [[order["order_id"] for order in page["orders"]] for page in (first, rest, everything)]
    newest = placed[::-1]
    assert ids == [newest[:10], newest[10:], newest]
    assert (first["orders_count"], "type" in first["orders"][0]) == (12, False)


def test_a_list_is_filtered_by_ids_and_status(bench: Bench) -> None:
    old = place(bench, "sandbox:withdrawn_for_good")["order_id"]
    bench.later(10)
    new = place(bench)["order_id"]
    queries = [
        f"order_id[]={old}&order_id[]={new}&order_id[]=1",
        "status=reactivated",
        f"order_id[]={old}&status=available",
    ]
    pages = [bench.get(f"{ROOT}/orders?{query}").json() for query in queries]
    assert [[order["order_id"] for order in page["orders"]] for page in pages] == [[new, old], [old], []]
    assert [page["orders_count"] for page in pages] == [2, 1, 0]


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("page=2", {"page": ["unknown"]}),
        ("count=51", {"count": ["max_value"]}),
        ("offset=-1", {"offset": ["invalid_integer"]}),
        ("status=flying", {"status": ["invalid_order_status"]}),
    ],
)
def test_a_faulty_list_query_is_refused(bench: Bench, query: str, tree: dict[str, Any]) -> None:
    reply = bench.get(f"{ROOT}/orders?{query}")
    assert (reply.status_code, reply.json()) == errors("invalid_parameters", tree)


@pytest.mark.parametrize(("steps", "delivery"), [(0, "planned"), (1, "canceled"), (2, "canceled")])
def test_an_order_is_cancelled_before_the_courier_visits(bench: Bench, steps: int, delivery: str) -> None:
    order = place(bench)
    bench.later(5 * steps)
    reply = bench.post(f"{ROOT}/cancel-order", {"order_id": order["order_id"]}).json()["order"]
    assert (word(reply), reply["status_description"]) == (f"canceled/{delivery}", "O cliente não está respondendo")
    assert bench.ledger() == [("borzo", "create", "A-1"), ("borzo", "cancel", "A-1")]


@pytest.mark.parametrize(("script", "steps"), [("happy", 3), ("happy", 7), ("cancelled", 2), ("withdrawn_for_good", 2)])
def test_an_order_is_not_cancelled_later(bench: Bench, script: str, steps: int) -> None:
    order = place(bench, f"sandbox:{script}")
    bench.later(5 * steps)
    reply = bench.post(f"{ROOT}/cancel-order", {"order_id": order["order_id"]})
    assert (reply.status_code, reply.json()) == errors("order_cannot_be_canceled")


def test_an_unknown_order_is_a_faulty_parameter(bench: Bench) -> None:
    replies = [
        bench.post(f"{ROOT}/cancel-order", {"order_id": 1}),
        bench.post(f"{ROOT}/edit-order", {"order_id": 1}),
        bench.get(f"{ROOT}/courier?order_id=1"),
    ]
    expected = errors("invalid_parameters", {"order_id": ["invalid_order"]})
    assert [(reply.status_code, reply.json()) for reply in replies] == [expected] * 3


def test_a_price_has_an_order_id_and_creates_nothing(bench: Bench) -> None:
    reply = bench.post(f"{ROOT}/calculate-order", borzo_order()).json()
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
    assert bench.ledger() == []


def test_a_price_is_given_even_for_a_faulty_order(bench: Bench) -> None:
    nobody = [{"address": "R. Guamiranga, 1140"}, {"address": "Av. Paulista, 1439", "latitude": "north"}]
    replies = [
        bench.post(f"{ROOT}/calculate-order", order).json() for order in ({"matter": "Documents", "points": nobody}, {})
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


def test_the_account_is_described(bench: Bench) -> None:
    assert [bench.get(f"{ROOT}{method}").json() for method in ("", "/client", "/bank-cards")] == [
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
def test_there_is_a_label_for_each_point(bench: Bench, kind: str, key: str) -> None:
    order = place(bench)
    labels = bench.get(f"{ROOT}/labels?type={kind}&order_id[]={order['order_id']}").json()["labels"]
    assert [(label["type"], label["order_id"], label["point_id"], label["delivery_id"]) for label in labels] == [
        (kind, FIRST, FIRST + 1, None),
        (kind, FIRST, FIRST + 2, None),
    ]
    assert all(label[key] for label in labels)


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"X-DV-Auth-Token": "other"}, "invalid_auth_token")],
)
def test_another_token_is_refused(bench: Bench, headers: dict[str, str], code: str) -> None:
    reply = bench.get(f"{ROOT}/client", headers=headers)
    assert (reply.status_code, reply.json()) == errors(code)


def test_protocol_errors_have_their_codes(bench: Bench) -> None:
    replies = [
        bench.get(f"{ROOT}/unknown"),
        bench.get("/api/business/1.9/orders"),
        bench.get(f"{ROOT}/create-order"),
        bench.post(f"{ROOT}/orders"),
        bench.post(f"{ROOT}/create-order", content=b"matter=x"),
    ]
    codes = "invalid_api_method invalid_api_version required_method_post required_method_get invalid_post_json"
    assert [(reply.status_code, reply.json()) for reply in replies] == [errors(code) for code in codes.split()]


def test_a_missing_token_is_required(bench: Bench) -> None:
    del bench._client.headers["X-DV-Auth-Token"]
    reply = bench.get(f"{ROOT}/client")
    assert (reply.status_code, reply.json()) == errors("required_auth_token")


def test_limits_are_kept_where_they_are_set(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(borzo_limits=((2, 60.0), (3, 86400.0)))
    codes = []
    for wait in (0, 1, 1, 60, 60):
        bench.later(wait)
        codes.append(bench.get(f"{ROOT}/client").json().get("errors"))
    assert codes == [None, None, ["requests_limit_exceeded"], None, ["requests_limit_exceeded"]]
