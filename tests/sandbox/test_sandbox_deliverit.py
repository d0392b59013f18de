from typing import Any

import pytest

from tests.sandbox.bench import FIRST, Bench, deliverit_order

CANNOT_ACCEPT = "You cannot accept this anymore. Time limit reached or order does not exist. Please create new order"
ALREADY = "You have already accepted this trip or it has not been pushed. Nothing to do"
UNDERWAY = "You cannot cancel this order. The driver is on the way. Contact DeliverIt +45 93 866 766"
MILESTONES = ("driverArrive", "driverLeft", "arriveAtCustomer", "done", "cancel", "canceled_at")


def place(bench: Bench, **changes: Any) -> dict[str, Any]:
    reply = bench.deliverit("/orderdriver/create", deliverit_order(**changes))
    assert reply.status_code == 201
    body: dict[str, Any] = reply.json()
    return body


def path(link: str) -> str:
    return link.partition("/api/v1")[2]


def own_rows(bench: Bench) -> list[dict[str, Any]]:
    reply = bench.day()
    return reply.json()["orders"][2:] if reply.status_code == 200 else []


def token(link: str) -> str:
    return link.rpartition("/")[2]


def test_login_answers_201_with_the_company(bench: Bench) -> None:
    form = {"username": "sandbox@deliverit.example", "password": "sandbox-deliverit-password"}
    reply = bench.deliverit("/login", form)
    assert (reply.status_code, reply.json()) == (201, {"login": True, "company": 14, "msg": "Welcome"})


def test_a_wrong_login_is_told_to_try_again(bench: Bench) -> None:
    reply = bench.post("/api/v1/login", {"username": "sandbox@deliverit.example", "password": "x"})
    assert (reply.status_code, reply.json()) == (401, {"login": False, "msg": "nope, try again"})


def test_other_credentials_should_not_be_here(bench: Bench) -> None:
    reply = bench.post("/api/v1/orderdriver/create", deliverit_order())
    assert (reply.status_code, reply.json()) == (401, {"error": True, "message": "You should not be here"})


def test_a_free_time_is_booked_without_a_push(bench: Bench) -> None:
    body = place(bench)
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
    assert (len(token(link)), bench.ledger()) == (20, [("deliverit", "create", "#AB12")])


def test_json_and_a_bare_time_of_day_are_taken_too(bench: Bench) -> None:
    order = deliverit_order(time="18:45", zip=5000, telephone=12345678)
    assert bench.deliverit("/orderdriver/create", json=order).json()["time"] == "18:45"


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
def test_a_bad_request_is_refused_while_deliverit_is_open(bench: Bench, changes: dict[str, str], message: str) -> None:
    reply = bench.deliverit("/orderdriver/create", deliverit_order(**changes))
    assert (reply.status_code, reply.json()) == (400, {"DeliverItOpen": True, "error": True, "message": message})
    assert bench.ledger() == []


def test_a_row_is_written_as_documented(bench: Bench) -> None:
    link = place(bench)["cancelUrl"]
    reply = bench.day().json()
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


def test_a_day_holds_rows_of_other_customers(bench: Bench) -> None:
    place(bench)
    rows = bench.day().json()["orders"]
    assert [(row["name"], row["remarks"]) for row in rows[:2]] == [("Customer 1", ""), ("Customer 2", "")]
    assert {key for row in rows for key in row} == set(rows[2])


def test_an_empty_day_is_a_404(bench: Bench) -> None:
    reply = bench.day()
    assert (reply.status_code, reply.json()) == (
        404,
        {"error": True, "message": "No order is found. Are the dates correct?."},
    )


def test_a_period_begins_with_the_bigger_date(bench: Bench) -> None:
    place(bench)
    assert [bench.day("2026-11-22", "2026-11-20").status_code, bench.day("2026-11-20", "2026-11-22").status_code] == [
        200,
        404,
    ]


def test_another_company_should_not_be_here(bench: Bench) -> None:
    replies = [bench.deliverit(f"/orderdriver/{action}/15/x") for action in ("accept", "deny", "cancel")]
    assert [(reply.status_code, reply.json()["message"]) for reply in replies] == [
        (401, "You should not be here"),
        (400, "You should not be here"),
        (401, "You should not be here"),
    ]


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("happy", ["18:00", "18:00", "18:00", "18:00", "0", "N/A"]),
        ("courier_withdraws", ["18:00", "18:00", "18:00", "18:00", "0", "N/A"]),
        ("returned", ["18:00", "18:00", "N/A", "N/A", "1", "18:00"]),
        ("cancelled", ["18:00", "N/A", "N/A", "N/A", "1", "18:00"]),
        ("weak_done", ["N/A", "N/A", "N/A", "18:00", "0", "N/A"]),
    ],
)
def test_a_deliverit_script_sets_its_times(bench: Bench, script: str, last: list[str]) -> None:
    place(bench, remarks=f"#T sandbox:{script}")
    bench.life(lambda: None, 4)
    assert [own_rows(bench)[0][name] for name in MILESTONES] == last


def test_times_become_set_one_after_the_other(bench: Bench) -> None:
    place(bench)
    seen = bench.life(lambda: sum(own_rows(bench)[0][name] != "N/A" for name in MILESTONES[:4]), 5)
    assert seen == [0, 1, 2, 3, 4, 4]


@pytest.mark.parametrize(("script", "time"), [("offered", "18:40"), ("offered_late", "19:10")])
def test_a_taken_time_is_pushed_and_not_listed(bench: Bench, script: str, time: str) -> None:
    body = place(bench, remarks=f"#T sandbox:{script}")
    assert (body["push"], body["time"], bench.day().status_code) == (True, time, 404)
    assert bench.ledger() == [("deliverit", "offer", "#T")]
    assert token(body["acceptUrl"]) == token(body["denyUrl"]) != token(body["cancelUrl"])


def test_an_accepted_push_is_booked_under_a_new_cancel_link(bench: Bench) -> None:
    body = place(bench, remarks="#T sandbox:offered")
    reply = bench.deliverit(path(body["acceptUrl"]))
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
    assert [token(row["canceUrl"]) for row in own_rows(bench)] == [token(link)] != [token(body["cancelUrl"])]
    assert bench.ledger() == [("deliverit", "offer", "#T"), ("deliverit", "accept", "#T")]


def test_a_second_accept_has_nothing_to_do(bench: Bench) -> None:
    link = path(place(bench, remarks="sandbox:offered")["acceptUrl"])
    bench.deliverit(link)
    reply = bench.deliverit(link)
    body = reply.json()
    assert (reply.status_code, body["order_driver"], body["message"]) == (200, False, ALREADY)
    assert token(body["cancelurl"]) == token(own_rows(bench)[0]["canceUrl"])


def test_an_offer_lapses_after_its_limit(bench: Bench) -> None:
    link = path(place(bench, remarks="sandbox:offered")["acceptUrl"])
    bench.later(300)
    reply = bench.deliverit(link)
    assert (reply.status_code, reply.json()) == (
        400,
        {"DeliverItOpen": True, "order_driver": False, "message": CANNOT_ACCEPT},
    )


def test_a_denied_offer_is_over(bench: Bench) -> None:
    body = place(bench, remarks="#T sandbox:offered")
    replies = [bench.deliverit(path(body[link])) for link in ("denyUrl", "denyUrl", "acceptUrl")]
    assert [(reply.status_code, reply.json()["message"]) for reply in replies] == [
        (200, "The order is now canceled"),
        (400, "You should not be here"),
        (400, CANNOT_ACCEPT),
    ]
    assert bench.ledger() == [("deliverit", "offer", "#T"), ("deliverit", "deny", "#T")]


def test_a_driver_is_cancelled_once(bench: Bench) -> None:
    link = path(place(bench)["cancelUrl"])
    replies = [bench.deliverit(link), bench.deliverit(link)]
    assert [(reply.status_code, reply.json()) for reply in replies] == [
        (200, {"error": False, "message": "Okay, the order is canceled"}),
        (200, {"error": True, "message": "The order is already canceled"}),
    ]
    assert [own_rows(bench)[0][name] for name in ("cancel", "canceled_at")] == ["1", "18:00"]


@pytest.mark.parametrize(("time", "free"), [("18:21", True), ("18:20", False), ("18:16", False)])
def test_a_cancel_is_free_until_20_minutes_before_pickup(bench: Bench, time: str, free: bool) -> None:  # noqa: FBT001
    bench.deliverit(path(place(bench, time=time)["cancelUrl"]))
    assert bench.sandbox.world.ledger.entries[-1].detail == {"free": free}


def test_a_driver_15_minutes_away_is_not_cancelled(bench: Bench) -> None:
    reply = bench.deliverit(path(place(bench, time="18:15")["cancelUrl"]))
    assert (reply.status_code, reply.json()) == (400, {"error": True, "message": UNDERWAY})


def test_a_driver_who_has_arrived_is_not_cancelled(bench: Bench) -> None:
    link = path(place(bench)["cancelUrl"])
    bench.later(5)
    assert bench.deliverit(link).json() == {"error": True, "message": UNDERWAY}


def test_an_unknown_cancel_link_is_somebody_elses(bench: Bench) -> None:
    reply = bench.deliverit("/orderdriver/cancel/14/F64u3fbxNdaoTyAcOisM")
    assert (reply.status_code, reply.json()) == (401, {"error": True, "message": "You should not be here"})
