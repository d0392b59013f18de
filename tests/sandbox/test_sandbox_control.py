import socket
import threading
from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.client import CALLBACK_URL, FIRST, SandboxClient, borzo_order, cervo_order, deliverit_order
from worker.sandbox import server


def test_the_index_lists_endpoints_scripts_faults_and_credentials(client: SandboxClient) -> None:
    reply = client.get("/sandbox")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert all(
        text in reply.text for text in ("/sandbox/ledger", "courier_withdraws", "no_reply", "sandbox-cervo-token")
    )


def test_the_ledger_contains_each_action_and_its_time(client: SandboxClient) -> None:
    client.post("/apis/v2/order", cervo_order())
    assert client.get("/sandbox/ledger").json() == {
        "ledger": [
            {
                "seq": 1,
                "at": "2026-11-21T17:00:00+00:00",
                "carrier": "cervo",
                "action": "create",
                "reference": "2011",
                "carrier_id": str(FIRST),
                "detail": {"order_id": "2011"},
            }
        ]
    }


def test_the_ledger_can_be_continued_and_filtered(client: SandboxClient) -> None:
    for number in (1, 2, 3):
        client.post("/apis/v2/order", cervo_order(id=number))
    queries = ("since=2", "reference=2", "carrier=borzo")
    pages = [client.get(f"/sandbox/ledger?{query}").json()["ledger"] for query in queries]
    assert [[entry["seq"] for entry in page] for page in pages] == [[3], [2], []]
    assert client.get("/sandbox/ledger?since=x").status_code == 422


def test_an_order_is_listed_with_its_history(client: SandboxClient) -> None:
    client.post("/apis/v2/order", cervo_order(notes="sandbox:cancelled"))
    client.advance(10)
    assert client.get("/sandbox/orders").json() == {
        "orders": [
            {
                "carrier": "cervo",
                "id": str(FIRST),
                "reference": "2011",
                "script": "cancelled",
                "status": "0",
                "live": False,
                "created_at": "2026-11-21T17:00:00+00:00",
                "history": [
                    {"word": "1", "at": "2026-11-21T17:00:00+00:00"},
                    {"word": "2", "at": "2026-11-21T17:00:05+00:00"},
                    {"word": "0", "at": "2026-11-21T17:00:10+00:00"},
                ],
            }
        ]
    }


def test_an_order_is_live_while_a_courier_is_booked(client: SandboxClient) -> None:
    client.post("/api/business/1.6/create-order", borzo_order())
    client.post_form("/orderdriver/create", deliverit_order())
    client.post_form("/orderdriver/create", deliverit_order(remarks="#B sandbox:offered"))
    orders = client.get("/sandbox/orders").json()["orders"]
    assert [(order["carrier"], order["reference"], order["live"]) for order in orders] == [
        ("borzo", "A-1", True),
        ("deliverit", "#AB12", True),
        ("deliverit", "#B", False),
    ]


def test_a_forced_status_is_held(client: SandboxClient) -> None:
    client.post("/apis/v2/order", cervo_order())
    reply = client.post("/sandbox/orders/cervo/2011/step", {"state": 5})
    client.advance(60)
    assert (reply.json()["status"], client.get(f"/apis/v2/order?id={FIRST}").json()["Status"]) == ("5", 5)


def test_a_step_begins_the_next_status_and_the_script_continues(client: SandboxClient) -> None:
    client.post("/apis/v2/order", cervo_order())
    statuses = [client.post(f"/sandbox/orders/cervo/{FIRST}/step").json()["status"] for _ in range(2)]
    client.advance(5)
    assert (statuses, client.get(f"/apis/v2/order?id={FIRST}").json()["Status"]) == (["2", "3"], 4)


def test_a_forced_status_is_sent_once_even_after_a_step_of_the_script(
    make_client: Callable[..., SandboxClient],
) -> None:
    client = make_client(borzo_callback_url=CALLBACK_URL)
    client.post("/api/business/1.6/create-order", borzo_order())
    client.advance(1)
    client.post("/sandbox/orders/borzo/A-1/step")
    client.advance(1)
    client.post("/sandbox/orders/borzo/A-1/step", {"state": "active/failed"})
    client.observe(lambda: None, 4)
    assert [request.content.count(b'"status":"failed"') for request in client.callbacks] == [0, 0, 0, 0, 1]


def test_an_unknown_order_and_an_invalid_step_are_refused(client: SandboxClient) -> None:
    client.post("/apis/v2/order", cervo_order())
    paths = ("cervo/1/step", "acme/1/step")
    assert [client.post(f"/sandbox/orders/{path}").status_code for path in paths] == [404, 404]
    assert client.post("/sandbox/orders/cervo/2011/step", {"word": 5}).status_code == 422


def test_a_reset_removes_everything_but_the_number_sequence(client: SandboxClient) -> None:
    client.post("/apis/v2/order", cervo_order(callback=CALLBACK_URL))
    client.add_fault("html")
    assert client.post("/sandbox/reset").status_code == 204
    client.advance(60)
    assert (client.ledger(), client.get("/sandbox/orders").json(), client.callbacks) == ([], {"orders": []}, [])
    assert client.post("/apis/v2/order", cervo_order()).text == str(FIRST + 1)


@pytest.mark.parametrize("kind", ["drop_before", "no_reply", "late"])
def test_a_real_server_closes_the_connection_without_a_reply(kind: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    ready = server()
    thread = threading.Thread(target=ready.run, args=([listener],), daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
        client.post("/sandbox/faults", json={"kind": kind, "delay": 0})
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/apis/v2/order")
    ready.should_exit = True
    thread.join(5)
    assert not thread.is_alive()
