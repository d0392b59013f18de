import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox.bench import CALLBACK_URL, FIRST, Bench, borzo_order

ROOT = "/api/business/1.6"
COURIER = {
    "courier_id": 72384,
    "surname": "Surname",
    "name": "Name",
    "middlename": None,
    "phone": "5511900000001",
    "photo_url": None,
}


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(borzo_callback_url=CALLBACK_URL)


def place(bench: Bench, note: str | None = None) -> dict[str, Any]:
    order: dict[str, Any] = bench.post(f"{ROOT}/create-order", borzo_order(note)).json()["order"]
    bench.later(0)
    return order


def told(bench: Bench) -> list[tuple[str, str]]:
    bodies = [json.loads(request.content) for request in bench.inbox]
    return [(body["event_type"], (body.get("order") or body["delivery"])["status"]) for body in bodies]


def test_a_callback_is_signed_over_its_raw_body(bench: Bench) -> None:
    place(bench)
    request = bench.inbox[0]
    expected = hmac.new(b"sandbox-borzo-secret", request.content, hashlib.sha256).hexdigest()
    assert (request.method, str(request.url), request.headers["X-DV-Signature"]) == ("POST", CALLBACK_URL, expected)


def test_an_order_callback_holds_the_order_without_estimates(bench: Bench) -> None:
    order = place(bench)
    for point in order["points"]:
        del point["estimated_arrival_datetime"]
    assert json.loads(bench.inbox[0].content) == {
        "event_datetime": "2026-11-21T14:00:00-03:00",
        "event_type": "order_created",
        "order": order,
    }


def test_a_delivery_callback_is_written_as_documented(bench: Bench) -> None:
    place(bench)
    bench.later(5)
    assert json.loads(bench.inbox[3].content) == {
        "event_datetime": "2026-11-21T14:00:05-03:00",
        "event_type": "delivery_changed",
        "delivery": {
            "delivery_id": FIRST + 4,
            "delivery_type": "plain",
            "order_id": FIRST,
            "client_id": 180198,
            "client_order_id": "A-1",
            "address": "Av. Paulista, 1439",
            "latitude": "-23.562747",
            "longitude": "-46.6576753",
            "status": "courier_assigned",
            "status_description": "courier_assigned",
            "status_datetime": "2026-11-21T14:00:05-03:00",
            "created_datetime": "2026-11-21T14:00:00-03:00",
            "order_name": str(FIRST)[-5:],
            "order_payment_amount": "18.00",
            "delivery_price_amount": "18.00",
            "point_id": FIRST + 2,
            "contact_person": {"name": None, "phone": "5511900000001"},
            "note": None,
            "building_number": None,
            "apartment_number": None,
            "entrance_number": None,
            "intercom_code": None,
            "floor_number": None,
            "invisible_mile_navigation_instructions": None,
            "required_start_datetime": "2026-11-21T15:30:00-03:00",
            "required_finish_datetime": "2026-11-21T16:00:00-03:00",
            "taking_amount": "0.00",
            "buyout_amount": "0.00",
            "is_cod_cash_voucher_required": False,
            "is_motobox_required": False,
            "is_door_to_door": False,
            "is_return_to_first_point_required": False,
            "matter": "Documents",
            "insurance_amount": "0.00",
            "weight_kg": 0,
            "packages": [],
            "checkin_issue_name": None,
            "tracking_url": None,
            "courier": {**COURIER, "latitude": None, "longitude": None},
        },
    }


def test_the_delivery_callback_of_a_handover_brings_the_proof(bench: Bench) -> None:
    place(bench, note="sandbox:reattempt")
    bench.later(60)
    letters = [json.loads(request.content) for request in bench.inbox]
    deliveries = [letter["delivery"] for letter in letters if "delivery" in letter]
    proof = {
        "checkin": {"recipient_full_name": None, "recipient_position": None},
        "place_photo_url": f"https://pictures.borzo.example/{FIRST}/place.jpg",
        "sign_photo_url": f"https://pictures.borzo.example/{FIRST}/sign.jpg",
    }
    assert [each["status"] for each in deliveries if "checkin" in each] == ["reattempt_finished"]
    assert proof.items() <= deliveries[-1].items()
    absent = [each["status"] for each in deliveries if each["checkin_issue_name"] == "O destinatário está ausente"]
    assert absent == [
        "reattempt_planned",
        "reattempt_courier_assigned",
        "reattempt_courier_departed",
        "reattempt_courier_picked_up",
    ]


def test_each_step_is_told_once(bench: Bench) -> None:
    place(bench)
    bench.life(lambda: None, 8)
    assert told(bench) == [
        ("order_created", "available"),
        ("delivery_created", "planned"),
        ("order_changed", "active"),
        ("delivery_changed", "courier_assigned"),
        ("delivery_changed", "courier_departed"),
        ("delivery_changed", "courier_at_pickup"),
        ("delivery_changed", "parcel_picked_up"),
        ("delivery_changed", "active"),
        ("delivery_changed", "courier_arrived"),
        ("order_changed", "completed"),
        ("delivery_changed", "finished"),
    ]


def test_steps_that_passed_at_once_are_told_one_by_one(bench: Bench) -> None:
    place(bench, "sandbox:withdrawn_for_good")
    bench.later(60)
    events = [json.loads(request.content)["event_datetime"][-14:-6] for request in bench.inbox]
    assert (told(bench)[2:], events[2:]) == (
        [
            ("order_changed", "active"),
            ("delivery_changed", "courier_assigned"),
            ("order_changed", "reactivated"),
            ("delivery_changed", "planned"),
        ],
        ["14:00:05", "14:00:05", "14:00:10", "14:00:10"],
    )


def test_a_cancel_and_an_edit_are_told_too(bench: Bench) -> None:
    place(bench)
    bench.post(f"{ROOT}/edit-order", {"order_id": FIRST, "matter": "Flowers"})
    bench.later(1)
    bench.post(f"{ROOT}/cancel-order", {"order_id": FIRST})
    bench.life(lambda: None, 3)
    assert told(bench)[2:] == [("order_changed", "available"), ("order_changed", "canceled")]


def test_news_that_is_told_late_tells_how_it_was(bench: Bench) -> None:
    bench.post(f"{ROOT}/create-order", borzo_order())
    bench.now += timedelta(seconds=1)
    bench.post(f"{ROOT}/cancel-order", {"order_id": FIRST})
    bench.later(0)
    assert told(bench) == [
        ("order_created", "available"),
        ("delivery_created", "planned"),
        ("order_changed", "canceled"),
    ]


def test_an_order_without_a_listener_tells_nobody(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench()
    place(bench)
    bench.later(60)
    assert bench.inbox == []


def test_a_callback_that_is_not_taken_comes_again_at_growing_intervals(bench: Bench) -> None:
    bench.answers = [500, 200, 302]
    place(bench, "sandbox:withdrawn_for_good")
    counts = []
    for wait in (0, 0.9, 0.1, 3, 2, 60):
        bench.later(wait)
        counts.append(len(bench.inbox))
    assert counts == [2, 2, 3, 3, 6, 8]
    bodies = [request.content for request in bench.inbox]
    assert bodies.count(bodies[0]) == 3


def test_a_callback_is_given_up_after_a_day(bench: Bench) -> None:
    bench.answers = [500] * 1000
    place(bench, "sandbox:cancelled")
    for _ in range(30):
        bench.later(3600)
    before = len(bench.inbox)
    bench.later(7200)
    assert len(bench.inbox) == before
