from typing import Any

import pytest

from tests.sandbox.bench import Bench

CREATE = "/orderinfo/14/create"


def details(**changes: Any) -> dict[str, Any]:
    return {
        "ordernumber": "A-1",
        "name": "Anna Jensen",
        "telephone": "12345678",
        "street": "Vestergade 1",
        "city": "Odense C",
        "zip": "5000",
        "paid": "1",
        "latitude": "55.3957969",
        "longitude": "10.3912053",
        **changes,
    }


def links(bench: Bench, **changes: Any) -> tuple[str, str]:
    body = bench.deliverit(CREATE, details(**changes)).json()
    update, cancel = (body[name].partition("/api/v1")[2] for name in ("update_url", "cancel_url"))
    return update, cancel


@pytest.mark.parametrize(
    ("delivery", "message"),
    [("1", "ok,This order is for delivery"), ("0", "ok,The customer will pick up this order")],
)
def test_details_are_stored_under_a_new_number(bench: Bench, delivery: str, message: str) -> None:
    reply = bench.deliverit(CREATE, details(delivery=delivery))
    ref = next(iter(bench.sandbox.apis["deliverit_info"].orders))
    assert (len(ref), reply.status_code, reply.json()) == (
        15,
        201,
        {
            "error": False,
            "message": message,
            "distance_in_km": 10.35,
            "price_with_vat": 125,
            "update_url": f"https://butik.deliverit.dk/api/v1/orderinfo/14/{ref}/update",
            "cancel_url": f"https://butik.deliverit.dk/api/v1/orderinfo/14/{ref}/cancel",
        },
    )
    assert (bench.ledger(), bench.day().status_code) == ([("deliverit_info", "create", "A-1")], 404)


@pytest.mark.trap("D-74")
def test_an_order_number_is_taken_once(bench: Bench) -> None:
    bench.deliverit(CREATE, details())
    reply = bench.deliverit(CREATE, details())
    message = "Order with that number exist. Please use unique number"
    assert (reply.status_code, reply.json()) == (400, {"error": True, "message": message})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "Variable 'name' cannot be empty"),
        ({"telephone": "+4512345678"}, "Variable 'telephone' is not valid"),
        (
            {"latitude": "", "street": "somewhere"},
            "Address is too messy. Cannot find latitude and longitude.",
        ),
        ({"remarks": "sandbox:refused"}, "Address is too messy. Cannot find latitude and longitude."),
        (
            {"remarks": "sandbox:closed"},
            "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt",
        ),
    ],
)
def test_bad_details_are_refused(bench: Bench, changes: dict[str, str], message: str) -> None:
    reply = bench.deliverit(CREATE, details(**changes))
    assert (reply.status_code, reply.json(), bench.ledger()) == (400, {"error": True, "message": message}, [])


def test_another_company_is_refused(bench: Bench) -> None:
    reply = bench.deliverit("/orderinfo/15/create", details())
    assert (reply.status_code, reply.json()) == (401, {"error": True, "message": "You should not be here"})


@pytest.mark.trap("D-76")
def test_a_good_update_says_error_true(bench: Bench) -> None:
    update, _ = links(bench)
    reply = bench.deliverit(update, details(delivery="1"))
    body = reply.json()
    assert (reply.status_code, body["error"], body["message"]) == (200, True, "Update ok,This order is for delivery")


@pytest.mark.trap("D-77")
def test_an_update_needs_the_whole_order_and_a_known_number(bench: Bench) -> None:
    update, _ = links(bench)
    replies = [
        bench.deliverit(update, details()),
        bench.deliverit("/orderinfo/14/unknown/update", details(delivery="1")),
    ]
    assert [(reply.status_code, reply.json()["message"]) for reply in replies] == [
        (400, "Variable delivery cannot be empty"),
        (400, "Order with that number does not exist. Please use correct number"),
    ]


def test_details_are_cancelled(bench: Bench) -> None:
    _, cancel = links(bench)
    reply = bench.deliverit(cancel)
    assert (reply.status_code, reply.json()) == (
        200,
        {"error": False, "canceled": True, "message": "Cancellation ok,"},
    )
    assert bench.deliverit("/orderinfo/14/unknown/cancel").status_code == 400


@pytest.mark.trap("D-71")
def test_an_unpaid_order_is_not_shown_until_an_update_says_that_it_is_paid(bench: Bench) -> None:
    update, _ = links(bench, paid="0", remarks="#T sandbox:booked")
    door = "/sandbox/orders/deliverit_info/A-1/book"
    assert (bench.post(door).status_code, bench.day().status_code) == (404, 404)
    bench.deliverit(update, details(remarks="#T sandbox:booked", delivery="1"))
    assert [row["remarks"] for row in bench.day().json()["orders"][2:]] == ["#T sandbox:booked"]


def test_an_order_that_is_picked_up_has_no_driver(bench: Bench) -> None:
    links(bench, delivery="0")
    assert bench.post("/sandbox/orders/deliverit_info/A-1/book").status_code == 404


@pytest.mark.trap("D-70")
def test_a_driver_is_booked_by_hand_once(bench: Bench) -> None:
    links(bench, remarks="#T ring the bell")
    door = "/sandbox/orders/deliverit_info/A-1/book"
    replies = [bench.post(door, body) for body in ({"pickup_in": -1}, {"pickup_in": 3600}, {"pickup_in": 3600})]
    assert [reply.status_code for reply in replies] == [422, 201, 404]
    assert [(row["remarks"], row["pickupTime"]) for row in bench.day().json()["orders"][2:]] == [
        ("#T ring the bell", "19:00")
    ]
    assert bench.ledger() == [("deliverit_info", "create", "A-1"), ("deliverit", "create", "#T")]
    live = [order["carrier"] for order in bench.get("/sandbox/orders").json()["orders"] if order["live"]]
    assert live == ["deliverit"]


def test_a_driver_who_is_booked_by_hand_comes_at_the_time_that_is_free(bench: Bench) -> None:
    links(bench, remarks="#T sandbox:offered")
    bench.post("/sandbox/orders/deliverit_info/A-1/book")
    assert [row["pickupTime"] for row in bench.day().json()["orders"][2:]] == ["18:40"]


def test_details_that_were_taken_back_are_unknown_to_an_update_and_to_the_pages(bench: Bench) -> None:
    update, cancel = links(bench)
    bench.deliverit(cancel)
    assert bench.deliverit(update, details(delivery="1")).status_code == 400
    assert bench.post("/sandbox/orders/deliverit_info/A-1/book").status_code == 404


@pytest.mark.trap("D-78")
def test_a_driver_who_has_come_is_not_cancelled_with_the_details(bench: Bench) -> None:
    _, cancel = links(bench, remarks="#T sandbox:booked")
    bench.later(5)
    assert (bench.deliverit(cancel).status_code, bench.day().json()["orders"][2]["cancel"]) == (202, "0")


def test_a_booked_driver_appears_in_the_day_list(bench: Bench) -> None:
    links(bench, remarks="#T sandbox:booked")
    row = bench.day().json()["orders"][2]
    assert (row["name"], row["remarks"], row["pickupTime"]) == ("Anna Jensen", "#T sandbox:booked", "18:30")


@pytest.mark.trap("D-78")
def test_a_driver_less_than_15_minutes_away_is_accepted_but_not_cancelled(bench: Bench) -> None:
    _, cancel = links(bench, remarks="sandbox:booked")
    bench.later(16 * 60)
    reply = bench.deliverit(cancel)
    assert (reply.status_code, reply.json()) == (
        202,
        {
            "error": False,
            "canceled": False,
            "message": "You cannot cancel an order, where the driver is booked, "
            "and there are less than 15 minutes til pickup.",
        },
    )
