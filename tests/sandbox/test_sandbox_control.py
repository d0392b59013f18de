import socket
import threading
from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.bench import CALLBACK_URL, FIRST, Bench, borzo_order, cervo_order, deliverit_order
from worker.sandbox import server


def test_the_index_explains_itself(bench: Bench) -> None:
    reply = bench.get("/sandbox")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert all(
        word in reply.text for word in ("/sandbox/ledger", "courier_withdraws", "no_reply", "sandbox-cervo-token")
    )


def test_the_ledger_says_what_happened_and_when(bench: Bench) -> None:
    bench.post("/apis/v2/order", cervo_order())
    assert bench.get("/sandbox/ledger").json() == {
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


def test_the_ledger_is_read_on_and_filtered(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.post("/apis/v2/order", cervo_order(id=number))
    queries = ("since=2", "reference=2", "carrier=borzo")
    pages = [bench.get(f"/sandbox/ledger?{query}").json()["ledger"] for query in queries]
    assert [[entry["seq"] for entry in page] for page in pages] == [[3], [2], []]
    assert bench.get("/sandbox/ledger?since=x").status_code == 422


def test_an_order_is_shown_with_its_history(bench: Bench) -> None:
    bench.post("/apis/v2/order", cervo_order(notes="sandbox:cancelled"))
    bench.later(10)
    assert bench.get("/sandbox/orders").json() == {
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


def test_live_counts_what_stands_at_a_carrier(bench: Bench) -> None:
    bench.post("/api/business/1.6/create-order", borzo_order())
    bench.deliverit("/orderdriver/create", deliverit_order())
    bench.deliverit("/orderdriver/create", deliverit_order(remarks="#B sandbox:offered"))
    orders = bench.get("/sandbox/orders").json()["orders"]
    assert [(order["carrier"], order["reference"], order["live"]) for order in orders] == [
        ("borzo", "A-1", True),
        ("deliverit", "#AB12", True),
        ("deliverit", "#B", False),
    ]


def test_a_forced_word_is_held(bench: Bench) -> None:
    bench.post("/apis/v2/order", cervo_order())
    reply = bench.post("/sandbox/orders/cervo/2011/step", {"state": 5})
    bench.later(60)
    assert (reply.json()["status"], bench.get(f"/apis/v2/order?id={FIRST}").json()["Status"]) == ("5", 5)


def test_a_step_begins_the_next_word_and_the_script_goes_on(bench: Bench) -> None:
    bench.post("/apis/v2/order", cervo_order())
    words = [bench.post(f"/sandbox/orders/cervo/{FIRST}/step").json()["status"] for _ in range(2)]
    bench.later(5)
    assert (words, bench.get(f"/apis/v2/order?id={FIRST}").json()["Status"]) == (["2", "3"], 4)


def test_a_forced_word_is_told_and_the_script_after_a_step_is_told_once(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(borzo_callback_url=CALLBACK_URL)
    bench.post("/api/business/1.6/create-order", borzo_order())
    bench.later(1)
    bench.post("/sandbox/orders/borzo/A-1/step")
    bench.later(1)
    bench.post("/sandbox/orders/borzo/A-1/step", {"state": "active/failed"})
    bench.life(lambda: None, 4)
    assert [request.content.count(b'"status":"failed"') for request in bench.inbox] == [0, 0, 0, 0, 1]


def test_an_unknown_order_or_a_strange_step_is_refused(bench: Bench) -> None:
    bench.post("/apis/v2/order", cervo_order())
    paths = ("cervo/1/step", "acme/1/step")
    assert [bench.post(f"/sandbox/orders/{path}").status_code for path in paths] == [404, 404]
    assert bench.post("/sandbox/orders/cervo/2011/step", {"word": 5}).status_code == 422


def test_a_reset_forgets_everything_but_the_numbers(bench: Bench) -> None:
    bench.post("/apis/v2/order", cervo_order(callback=CALLBACK_URL))
    bench.fault("html")
    assert bench.post("/sandbox/reset").status_code == 204
    bench.later(60)
    assert (bench.ledger(), bench.get("/sandbox/orders").json(), bench.inbox) == ([], {"orders": []}, [])
    assert bench.post("/apis/v2/order", cervo_order()).text == str(FIRST + 1)


@pytest.mark.parametrize("kind", ["drop_before", "no_reply", "late"])
def test_a_server_closes_the_connection_without_a_reply(kind: str) -> None:
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
