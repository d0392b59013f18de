from typing import Any

import pytest

from tests.sandbox.client import SandboxClient

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


def links(client: SandboxClient, **changes: Any) -> tuple[str, str]:
    body = client.post_form(CREATE, details(**changes)).json()
    update, cancel = (body[name].partition("/api/v1")[2] for name in ("update_url", "cancel_url"))
    return update, cancel


@pytest.mark.parametrize(
    ("delivery", "message"),
    [("1", "ok,This order is for delivery"), ("0", "ok,The customer will pick up this order")],
)
def test_details_are_stored_under_a_new_id(client: SandboxClient, delivery: str, message: str) -> None:
    reply = client.post_form(CREATE, details(delivery=delivery))
    ref = next(iter(client.sandbox.apis["deliverit_info"].orders))
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
    assert (client.ledger(), client.day_list().status_code) == ([("deliverit_info", "create", "A-1")], 404)


@pytest.mark.quirk("D-74")
def test_an_order_number_can_be_used_once(client: SandboxClient) -> None:
    client.post_form(CREATE, details())
    reply = client.post_form(CREATE, details())
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
def test_invalid_details_are_refused(client: SandboxClient, changes: dict[str, str], message: str) -> None:
    reply = client.post_form(CREATE, details(**changes))
    assert (reply.status_code, reply.json(), client.ledger()) == (400, {"error": True, "message": message}, [])


def test_details_for_another_company_are_refused(client: SandboxClient) -> None:
    reply = client.post_form("/orderinfo/15/create", details())
    assert (reply.status_code, reply.json()) == (401, {"error": True, "message": "You should not be here"})


@pytest.mark.quirk("D-76")
def test_a_successful_update_returns_error_true(client: SandboxClient) -> None:
    update, _ = links(client)
    reply = client.post_form(update, details(delivery="1"))
    body = reply.json()
    assert (reply.status_code, body["error"], body["message"]) == (200, True, "Update ok,This order is for delivery")


@pytest.mark.quirk("D-77")
def test_an_update_needs_every_field_and_a_known_id(client: SandboxClient) -> None:
    update, _ = links(client)
    replies = [
        client.post_form(update, details()),
        client.post_form("/orderinfo/14/unknown/update", details(delivery="1")),
    ]
    assert [(reply.status_code, reply.json()["message"]) for reply in replies] == [
        (400, "Variable delivery cannot be empty"),
        (400, "Order with that number does not exist. Please use correct number"),
    ]


def test_known_details_can_be_cancelled(client: SandboxClient) -> None:
    _, cancel = links(client)
    reply = client.post_form(cancel)
    assert (reply.status_code, reply.json()) == (
        200,
        {"error": False, "canceled": True, "message": "Cancellation ok,"},
    )
    assert client.post_form("/orderinfo/14/unknown/cancel").status_code == 400


@pytest.mark.quirk("D-71")
def test_an_unpaid_order_can_be_booked_only_after_an_update_marks_it_as_paid(client: SandboxClient) -> None:
    update, _ = links(client, paid="0", remarks="#T sandbox:booked")
    booking = "/sandbox/orders/deliverit_info/A-1/book"
    assert (client.post(booking).status_code, client.day_list().status_code) == (404, 404)
    client.post_form(update, details(remarks="#T sandbox:booked", delivery="1"))
    assert [row["remarks"] for row in client.day_list().json()["orders"][2:]] == ["#T sandbox:booked"]


def test_an_order_that_the_customer_collects_cannot_be_booked(client: SandboxClient) -> None:
    links(client, delivery="0")
    assert client.post("/sandbox/orders/deliverit_info/A-1/book").status_code == 404


@pytest.mark.quirk("D-70")
def test_an_operator_can_book_a_driver_once(client: SandboxClient) -> None:
    links(client, remarks="#T ring the bell")
    booking = "/sandbox/orders/deliverit_info/A-1/book"
    replies = [client.post(booking, body) for body in ({"pickup_in": -1}, {"pickup_in": 3600}, {"pickup_in": 3600})]
    assert [reply.status_code for reply in replies] == [422, 201, 404]
    assert [(row["remarks"], row["pickupTime"]) for row in client.day_list().json()["orders"][2:]] == [
        ("#T ring the bell", "19:00")
    ]
    assert client.ledger() == [("deliverit_info", "create", "A-1"), ("deliverit", "create", "#T")]
    live = [order["carrier"] for order in client.get("/sandbox/orders").json()["orders"] if order["live"]]
    assert live == ["deliverit"]


def test_a_booking_by_hand_accepts_the_offered_pickup_time(client: SandboxClient) -> None:
    links(client, remarks="#T sandbox:offered")
    client.post("/sandbox/orders/deliverit_info/A-1/book")
    assert [row["pickupTime"] for row in client.day_list().json()["orders"][2:]] == ["18:40"]


def test_cancelled_details_can_be_neither_updated_nor_booked(client: SandboxClient) -> None:
    update, cancel = links(client)
    client.post_form(cancel)
    assert client.post_form(update, details(delivery="1")).status_code == 400
    assert client.post("/sandbox/orders/deliverit_info/A-1/book").status_code == 404


@pytest.mark.quirk("D-78")
def test_a_driver_who_has_arrived_is_not_cancelled_with_the_details(client: SandboxClient) -> None:
    _, cancel = links(client, remarks="#T sandbox:booked")
    client.advance(5)
    assert (client.post_form(cancel).status_code, client.day_list().json()["orders"][2]["cancel"]) == (202, "0")


def test_a_booked_driver_appears_in_the_day_list(client: SandboxClient) -> None:
    links(client, remarks="#T sandbox:booked")
    row = client.day_list().json()["orders"][2]
    assert (row["name"], row["remarks"], row["pickupTime"]) == ("Anna Jensen", "#T sandbox:booked", "18:30")


@pytest.mark.quirk("D-78")
def test_a_cancel_less_than_15_minutes_before_the_pickup_returns_202_but_cancels_nothing(client: SandboxClient) -> None:
    _, cancel = links(client, remarks="sandbox:booked")
    client.advance(16 * 60)
    reply = client.post_form(cancel)
    assert (reply.status_code, reply.json()) == (
        202,
        {
            "error": False,
            "canceled": False,
            "message": "You cannot cancel an order, where the driver is booked, "
            "and there are less than 15 minutes til pickup.",
        },
    )
