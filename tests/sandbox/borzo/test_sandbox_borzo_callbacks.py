import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox.borzo.borzo_calls import ROOT
from tests.sandbox.client import CALLBACK_URL, FIRST, SandboxClient, borzo_order

COURIER = {
    "courier_id": 72384,
    "surname": "Surname",
    "name": "Name",
    "middlename": None,
    "phone": "5511900000001",
    "photo_url": None,
}


@pytest.fixture
def client(make_client: Callable[..., SandboxClient]) -> SandboxClient:
    return make_client(borzo_callback_url=CALLBACK_URL)


def place(client: SandboxClient, note: str | None = None) -> dict[str, Any]:
    order: dict[str, Any] = client.post(f"{ROOT}/create-order", borzo_order(note)).json()["order"]
    client.advance(0)
    return order


def sent(client: SandboxClient) -> list[tuple[str, str]]:
    bodies = [json.loads(request.content) for request in client.callbacks]
    return [(body["event_type"], (body.get("order") or body["delivery"])["status"]) for body in bodies]


def test_a_callback_is_signed_over_its_raw_body(client: SandboxClient) -> None:
    place(client)
    request = client.callbacks[0]
    expected = hmac.new(b"sandbox-borzo-secret", request.content, hashlib.sha256).hexdigest()
    assert (request.method, str(request.url), request.headers["X-DV-Signature"]) == ("POST", CALLBACK_URL, expected)


def test_an_order_callback_contains_the_order_without_estimated_arrivals(client: SandboxClient) -> None:
    order = place(client)
    for point in order["points"]:
        del point["estimated_arrival_datetime"]
    assert json.loads(client.callbacks[0].content) == {
        "event_datetime": "2026-11-21T14:00:00-03:00",
        "event_type": "order_created",
        "order": order,
    }


def test_a_delivery_callback_contains_the_documented_fields(client: SandboxClient) -> None:
    place(client)
    client.advance(5)
    assert json.loads(client.callbacks[3].content) == {
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


def test_the_delivery_callback_of_a_handover_contains_the_proof_of_delivery(client: SandboxClient) -> None:
    place(client, note="sandbox:reattempt")
    client.advance(60)
    bodies = [json.loads(request.content) for request in client.callbacks]
    deliveries = [body["delivery"] for body in bodies if "delivery" in body]
    proof = {
        "checkin": {"recipient_full_name": None, "recipient_position": None},
        "place_photo_url": f"https://pictures.borzo.example/{FIRST}/place.jpg",
        "sign_photo_url": f"https://pictures.borzo.example/{FIRST}/sign.jpg",
    }
    assert [each["status"] for each in deliveries if "checkin" in each] == ["reattempt_finished"]
    assert proof.items() <= deliveries[-1].items()
    issue = "O destinatário está ausente"
    assert [each["status"] for each in deliveries if each["checkin_issue_name"] == issue] == [
        "reattempt_planned",
        "reattempt_courier_assigned",
        "reattempt_courier_departed",
        "reattempt_courier_picked_up",
    ]


def test_each_status_is_sent_once(client: SandboxClient) -> None:
    place(client)
    client.observe(lambda: None, 8)
    assert sent(client) == [
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


def test_statuses_that_passed_together_are_sent_one_by_one(client: SandboxClient) -> None:
    place(client, "sandbox:withdrawn_for_good")
    client.advance(60)
    events = [json.loads(request.content)["event_datetime"][-14:-6] for request in client.callbacks]
    assert (sent(client)[2:], events[2:]) == (
        [
            ("order_changed", "active"),
            ("delivery_changed", "courier_assigned"),
            ("order_changed", "reactivated"),
            ("delivery_changed", "planned"),
        ],
        ["14:00:05", "14:00:05", "14:00:10", "14:00:10"],
    )


def test_a_cancel_and_an_edit_send_callbacks(client: SandboxClient) -> None:
    place(client)
    client.post(f"{ROOT}/edit-order", {"order_id": FIRST, "matter": "Flowers"})
    client.advance(1)
    client.post(f"{ROOT}/cancel-order", {"order_id": FIRST})
    client.observe(lambda: None, 3)
    assert sent(client)[2:] == [("order_changed", "available"), ("order_changed", "canceled")]


def test_a_delayed_callback_describes_the_order_at_the_time_of_its_status(client: SandboxClient) -> None:
    client.post(f"{ROOT}/create-order", borzo_order())
    client.now += timedelta(seconds=1)
    client.post(f"{ROOT}/cancel-order", {"order_id": FIRST})
    client.advance(0)
    assert sent(client) == [
        ("order_created", "available"),
        ("delivery_created", "planned"),
        ("order_changed", "canceled"),
    ]


def test_no_callback_is_sent_without_a_callback_url(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client()
    place(client)
    client.advance(60)
    assert client.callbacks == []


def test_a_failed_callback_is_retried_at_growing_intervals(client: SandboxClient) -> None:
    client.callback_statuses = [500, 200, 302]
    place(client, "sandbox:withdrawn_for_good")
    counts = []
    for wait in (0, 0.9, 0.1, 3, 2, 60):
        client.advance(wait)
        counts.append(len(client.callbacks))
    assert counts == [2, 2, 3, 3, 6, 8]
    bodies = [request.content for request in client.callbacks]
    assert bodies.count(bodies[0]) == 3


def test_a_failed_callback_is_no_longer_retried_after_a_day(client: SandboxClient) -> None:
    client.callback_statuses = [500] * 1000
    place(client, "sandbox:cancelled")
    for _ in range(30):
        client.advance(3600)
    before = len(client.callbacks)
    client.advance(7200)
    assert len(client.callbacks) == before
