import json
from collections.abc import Callable

from tests.sandbox.client import CALLBACK_URL, SandboxClient, borzo_order, cervo_order, deliverit_order

AHEAD = {"cervo": 180.0, "borzo": -420.0, "deliverit": 300.0}


def test_each_carrier_writes_its_times_by_its_own_clock(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client(borzo_callback_url=CALLBACK_URL, clocks_ahead=AHEAD)
    ref = client.post("/apis/v2/order", cervo_order()).text
    client.post("/api/business/1.6/create-order", borzo_order())
    booked = client.post_form("/orderdriver/create", deliverit_order()).json()
    client.advance(5)

    (row,) = client.day_list().json()["orders"][2:]
    assert {
        "cervo": client.get("/apis/v2/order", params={"id": ref}).json()["OrderStatus"],
        "borzo": json.loads(client.callbacks[0].content)["event_datetime"],
        "deliverit": [row[name] for name in ("driverArrive", "pickupTime")],
        "agreed": booked["time"],
    } == {
        "cervo": [{"Status": 2, "Date": "2026-11-21 20:03"}],
        "borzo": "2026-11-21T13:53:00-03:00",
        "deliverit": ["18:05", "18:30"],
        "agreed": "18:30",
    }


def test_a_carrier_whose_clock_is_ahead_acts_early(make_client: Callable[..., SandboxClient]) -> None:
    client = make_client(clocks_ahead={"deliverit": 600.0})
    late = client.post_form("/orderdriver/create", deliverit_order(time="2026-11-21 18:04"))
    assert (late.status_code, late.json()["message"]) == (400, "Time is not valid")
