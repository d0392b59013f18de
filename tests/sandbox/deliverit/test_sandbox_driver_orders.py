from typing import Any

import pytest

from tests.sandbox.client import FIRST, SandboxClient, deliverit_order

CANNOT_ACCEPT = "You cannot accept this anymore. Time limit reached or order does not exist. Please create new order"
ALREADY = "You have already accepted this trip or it has not been pushed. Nothing to do"
UNDERWAY = "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766"
MILESTONES = ("driverArrive", "driverLeft", "arriveAtCustomer", "done", "cancel", "canceled_at")


def place(client: SandboxClient, **changes: Any) -> dict[str, Any]:
    reply = client.post_form("/orderdriver/create", deliverit_order(**changes))
    assert reply.status_code == 201
    body: dict[str, Any] = reply.json()
    return body


def path(link: str) -> str:
    return link.partition("/api/v1")[2]


def own_rows(client: SandboxClient) -> list[dict[str, Any]]:
    reply = client.day_list()
    return reply.json()["orders"][2:] if reply.status_code == 200 else []


def token(link: str) -> str:
    return link.rpartition("/")[2]


def test_a_login_returns_a_201_with_the_company(client: SandboxClient) -> None:
    form = {"username": "sandbox@deliverit.example", "password": "sandbox-deliverit-password"}
    reply = client.post_form("/login", form)
    assert (reply.status_code, reply.json()) == (201, {"login": True, "company": 14, "msg": "Welcome"})


def test_a_wrong_login_returns_a_401(client: SandboxClient) -> None:
    reply = client.post("/api/v1/login", {"username": "sandbox@deliverit.example", "password": "x"})
    assert (reply.status_code, reply.json()) == (401, {"login": False, "msg": "nope, try again"})


def test_wrong_credentials_return_a_401(client: SandboxClient) -> None:
    reply = client.post("/api/v1/orderdriver/create", deliverit_order())
    assert (reply.status_code, reply.json()) == (401, {"error": True, "message": "You should not be here"})


def test_a_free_time_is_booked_without_an_offer(client: SandboxClient) -> None:
    body = place(client)
    link = body.pop("cancelUrl")
    assert body == {
        "DeliverItOpen": True,
        "order_driver": True,
        "push": False,
        "DeliveryPrice": "60",
        "DeliveryDistance": "1914",
        "time": "18:30",
        "arrive_at_customer": "18:41",
        "order_id": FIRST + 1,
        "acceptUrl": "",
        "denyUrl": "",
    }
    assert link == f"http://butik.deliverit.dk/api/v1/orderdriver/cancel/14/{token(link)}"
    assert (len(token(link)), client.ledger()) == (20, [("deliverit", "create", "#AB12")])


def test_json_and_a_bare_time_of_day_are_accepted(client: SandboxClient) -> None:
    order = deliverit_order(time="18:45", zip=5000, telephone=12345678)
    assert client.post_form("/orderdriver/create", json=order).json()["time"] == "18:45"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"telephone": ""}, "Telephone cannot be empty"),
        ({"telephone": "+4512345678"}, "Telephone is not valid"),
        ({"telephone": "004512345678"}, "Telephone is not valid"),
        ({"latitude": "north"}, "Latitude is not valid"),
        ({"time": "half past six"}, "Time is not valid"),
        ({"time": "2026-11-21 17:30"}, "Time is not valid"),
        ({"remarks": "sandbox:closed"}, "Sorry. DeliverIt is closed."),
        ({"remarks": "sandbox:refused"}, "Street cannot be empty"),
    ],
)
def test_an_invalid_create_is_refused_while_deliverit_is_open(
    client: SandboxClient, changes: dict[str, str], message: str
) -> None:
    reply = client.post_form("/orderdriver/create", deliverit_order(**changes))
    assert (reply.status_code, reply.json()) == (400, {"DeliverItOpen": True, "error": True, "message": message})
    assert client.ledger() == []


def test_a_row_of_the_day_list_has_the_documented_fields(client: SandboxClient) -> None:
    link = place(client)["cancelUrl"]
    reply = client.day_list().json()
    assert (reply["error"], reply["message"], len(reply["orders"])) == (
        False,
        "Here are the orders you are looking for",
        3,
    )
    assert reply["orders"][2] == {
        "created_at": {"date": "2026-11-21 18:00:00.000000", "timezone_type": 3, "timezone": "Europe/Berlin"},
        "name": "Anna Jensen",
        "telephone": "+4512345678",
        "address": "Vestergade 1",
        "city": "Odense C",
        "zip": "5000",
        "remarks": "#AB12 ring the bell",
        "deliveryPrice": "60",
        "pickupTime": "18:30",
        "driverArrive": "N/A",
        "driverLeft": "N/A",
        "arriveAtCustomer": "N/A",
        "done": "N/A",
        "distance": "1914",
        "canceUrl": link,
        "cancel": "0",
        "canceled_at": "N/A",
    }


def test_a_day_list_contains_rows_of_other_customers(client: SandboxClient) -> None:
    place(client)
    rows = client.day_list().json()["orders"]
    assert [(row["name"], row["remarks"]) for row in rows[:2]] == [("Customer 1", ""), ("Customer 2", "")]
    assert {key for row in rows for key in row} == set(rows[2])


def test_an_empty_day_returns_a_404(client: SandboxClient) -> None:
    reply = client.day_list()
    assert (reply.status_code, reply.json()) == (
        404,
        {"error": True, "message": "No order is found. Are the dates correct?."},
    )


def test_a_period_starts_with_the_later_date(client: SandboxClient) -> None:
    place(client)
    assert [
        client.day_list("2026-11-22", "2026-11-20").status_code,
        client.day_list("2026-11-20", "2026-11-22").status_code,
    ] == [
        200,
        404,
    ]


def test_the_path_of_another_company_is_refused(client: SandboxClient) -> None:
    replies = [client.post_form(f"/orderdriver/{action}/15/x") for action in ("accept", "deny", "cancel")]
    assert [(reply.status_code, reply.json()["message"]) for reply in replies] == [
        (401, "You should not be here"),
        (400, "You should not be here"),
        (401, "You should not be here"),
    ]


@pytest.mark.parametrize(
    ("script", "times"),
    [
        ("happy", ["18:00", "18:00", "18:00", "18:00", "0", "N/A"]),
        ("courier_withdraws", ["18:00", "18:00", "18:00", "18:00", "0", "N/A"]),
        ("returned", ["18:00", "18:00", "N/A", "N/A", "1", "18:00"]),
        ("cancelled", ["18:00", "N/A", "N/A", "N/A", "1", "18:00"]),
        ("weak_done", ["N/A", "N/A", "N/A", "18:00", "0", "N/A"]),
    ],
)
def test_a_script_sets_the_times_of_a_row(client: SandboxClient, script: str, times: list[str]) -> None:
    place(client, remarks=f"#T sandbox:{script}")
    client.observe(lambda: None, 4)
    assert [own_rows(client)[0][name] for name in MILESTONES] == times


def test_the_times_of_a_row_are_set_one_after_the_other(client: SandboxClient) -> None:
    place(client)
    seen = client.observe(lambda: sum(own_rows(client)[0][name] != "N/A" for name in MILESTONES[:4]), 5)
    assert seen == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(("script", "time"), [("offered", "18:40"), ("offered_late", "19:10")])
def test_an_offered_time_is_pushed_and_not_listed(client: SandboxClient, script: str, time: str) -> None:
    body = place(client, remarks=f"#T sandbox:{script}")
    assert (body["push"], body["time"], client.day_list().status_code) == (True, time, 404)
    assert client.ledger() == [("deliverit", "offer", "#T")]
    assert token(body["acceptUrl"]) == token(body["denyUrl"]) != token(body["cancelUrl"])


def test_an_accepted_offer_is_booked_with_a_new_cancel_link(client: SandboxClient) -> None:
    body = place(client, remarks="#T sandbox:offered")
    reply = client.post_form(path(body["acceptUrl"]))
    accepted = reply.json()
    link = accepted.pop("cancelurl")
    assert (reply.status_code, accepted) == (
        202,
        {
            "DeliverItOpen": True,
            "order_driver": True,
            "time": "18:40",
            "arriveAtCustomer": "18:51",
            "message": "The trip is saved and the driver will arrive at restaurant at 18:40",
        },
    )
    assert link.startswith("https://dev.butik.deliverit.dk/api/v1/orderdriver/cancel/14/")
    assert [token(row["canceUrl"]) for row in own_rows(client)] == [token(link)] != [token(body["cancelUrl"])]
    assert client.ledger() == [("deliverit", "offer", "#T"), ("deliverit", "accept", "#T")]


def test_a_second_accept_changes_nothing(client: SandboxClient) -> None:
    link = path(place(client, remarks="sandbox:offered")["acceptUrl"])
    client.post_form(link)
    reply = client.post_form(link)
    body = reply.json()
    assert (reply.status_code, body["order_driver"], body["message"]) == (200, False, ALREADY)
    assert token(body["cancelurl"]) == token(own_rows(client)[0]["canceUrl"])


def test_an_offer_lapses_after_its_time_limit(client: SandboxClient) -> None:
    link = path(place(client, remarks="sandbox:offered")["acceptUrl"])
    client.advance(300)
    reply = client.post_form(link)
    assert (reply.status_code, reply.json()) == (
        400,
        {"DeliverItOpen": True, "order_driver": False, "message": CANNOT_ACCEPT},
    )


def test_a_denied_offer_cannot_be_denied_or_accepted_again(client: SandboxClient) -> None:
    body = place(client, remarks="#T sandbox:offered")
    replies = [client.post_form(path(body[link])) for link in ("denyUrl", "denyUrl", "acceptUrl")]
    assert [(reply.status_code, reply.json()["message"]) for reply in replies] == [
        (200, "The order is now canceled"),
        (400, "You should not be here"),
        (400, CANNOT_ACCEPT),
    ]
    assert client.ledger() == [("deliverit", "offer", "#T"), ("deliverit", "deny", "#T")]


def test_a_driver_can_be_cancelled_once(client: SandboxClient) -> None:
    link = path(place(client)["cancelUrl"])
    replies = [client.post_form(link), client.post_form(link)]
    assert [(reply.status_code, reply.json()) for reply in replies] == [
        (200, {"error": False, "message": "Okay, the order is canceled"}),
        (200, {"error": True, "message": "The order is already canceled"}),
    ]
    assert [own_rows(client)[0][name] for name in ("cancel", "canceled_at")] == ["1", "18:00"]


@pytest.mark.parametrize(("time", "free"), [("18:21", True), ("18:20", False), ("18:16", False)])
def test_a_cancel_is_free_until_20_minutes_before_the_pickup(client: SandboxClient, time: str, free: bool) -> None:  # noqa: FBT001
    client.post_form(path(place(client, time=time)["cancelUrl"]))
    assert client.sandbox.world.ledger.entries[-1].detail == {"free": free}


def test_a_driver_15_minutes_away_cannot_be_cancelled(client: SandboxClient) -> None:
    reply = client.post_form(path(place(client, time="18:15")["cancelUrl"]))
    assert (reply.status_code, reply.json()) == (400, {"error": True, "message": UNDERWAY})


def test_a_driver_who_has_arrived_cannot_be_cancelled(client: SandboxClient) -> None:
    link = path(place(client)["cancelUrl"])
    client.advance(5)
    assert client.post_form(link).json() == {"error": True, "message": UNDERWAY}


def test_an_unknown_cancel_link_is_refused(client: SandboxClient) -> None:
    reply = client.post_form("/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM")
    assert (reply.status_code, reply.json()) == (401, {"error": True, "message": "You should not be here"})
