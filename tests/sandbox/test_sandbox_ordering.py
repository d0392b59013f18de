import json
from typing import Any

import pytest

from tests.sandbox.bench import FIRST, Bench

NEW = {
    "paymethod_id": 1,
    "business_id": 17,
    "delivery_type": 1,
    "delivery_datetime": "2026-11-21 18:00:00",
    "location": {"lat": 55.4, "lng": 10.4},
    "products": [{"id": 1}],
}


def seed(bench: Bench, *orders: dict[str, Any]) -> list[int]:
    reply = bench.post("/sandbox/ordering/orders", list(orders))
    assert reply.status_code == 201
    return [order["id"] for order in reply.json()["orders"]]


def listed(bench: Bench, query: str) -> list[int]:
    return [order["id"] for order in bench.get(f"/orders?{query}").json()["result"]]


def test_a_seeded_order_is_read_by_its_id(bench: Bench) -> None:
    reply = bench.post("/sandbox/ordering/orders", {"comment": "ring the bell"})
    (order,) = reply.json()["orders"]
    assert bench.get(f"/orders/{FIRST}").json() == {"error": False, "result": order}
    assert [order[name] for name in ("id", "status", "delivery_type", "comment", "created_at")] == [
        FIRST,
        0,
        1,
        "ring the bell",
        "2026-11-21 17:00:00",
    ]


def test_another_key_is_unauthorized(bench: Bench) -> None:
    reply = bench.get("/orders/1", headers={"x-api-key": "other"})
    assert (reply.status_code, reply.json()) == (401, {"error": True, "result": ["Unauthorized"]})


def test_an_unknown_order_is_not_found(bench: Bench) -> None:
    replies = [bench.get("/orders/1"), bench.put("/orders/1", {"status": 8}), bench.delete("/orders/1")]
    expected = (404, {"error": True, "result": ["Order not found"]})
    assert [(reply.status_code, reply.json()) for reply in replies] == [expected] * 3


@pytest.mark.trap("O-10")
def test_only_the_dashboard_lists_orders(bench: Bench) -> None:
    seed(bench, {"id": 1}, {"id": 2})
    assert (listed(bench, ""), listed(bench, "mode=dashboard")) == ([], [2, 1])


def test_a_list_begins_with_the_newest_unless_it_is_asked_for_otherwise(bench: Bench) -> None:
    seed(bench, {"id": 1}, {"id": 2})
    asked = [listed(bench, f"mode=dashboard&orderBy={order}") for order in ("-id", "id")]
    assert asked == [[2, 1], [1, 2]]


def test_a_list_is_filtered_and_paged(bench: Bench) -> None:
    seed(bench, {"id": 1, "status": 7}, {"id": 2}, {"id": 3, "status": 8})
    where = json.dumps([{"attribute": "status", "value": [7, 8]}])
    page = bench.get("/orders", params={"mode": "dashboard", "where": where, "page": 2, "page_size": 1}).json()
    assert [order["id"] for order in page["result"]] == [1]
    assert page["pagination"] == {"current_page": 2, "page_size": 1, "total": 2, "total_pages": 2}


@pytest.mark.parametrize("query", ["where=x", 'where=[{"attribute":"products","value":1}]', "page=0", "page_size=x"])
def test_a_list_that_cannot_be_read_is_refused(bench: Bench, query: str) -> None:
    reply = bench.get(f"/orders?mode=dashboard&{query}")
    assert (reply.status_code, reply.json()) == (400, {"error": True, "result": ["Invalid parameters"]})


def test_a_status_is_written_and_noted(bench: Bench) -> None:
    seed(bench, {"id": 1})
    reply = bench.put("/orders/1", {"status": 22, "id": 9}, headers={"X-APP-X": "order-sync"})
    assert (reply.status_code, reply.json()["error"], reply.json()["result"]["status"]) == (200, False, 22)
    entry = bench.sandbox.world.ledger.entries[-1]
    assert (entry.action, entry.carrier_id, entry.detail) == ("update", "1", {"app": "order-sync", "status": 22})


@pytest.mark.trap("O-19")
@pytest.mark.parametrize("status", [13, 26, -1, "x", None])
def test_a_status_that_cannot_be_set_is_refused(bench: Bench, status: Any) -> None:
    seed(bench, {"id": 1})
    reply = bench.put("/orders/1", {"status": status})
    assert (reply.status_code, reply.json()) == (400, {"error": True, "result": ["The selected status is invalid."]})


def test_an_order_is_created_with_what_is_required(bench: Bench) -> None:
    created = bench.post("/orders", NEW).json()["result"]
    refused = bench.post("/orders", {**NEW, "location": None})
    assert (created["id"], created["status"]) == (FIRST, 0)
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": True, "result": ["The location field is required."]},
    )


def test_an_order_is_deleted(bench: Bench) -> None:
    seed(bench, {"id": 1})
    assert bench.delete("/orders/1").json() == {"error": False, "result": "OK"}
    assert bench.get("/orders/1").status_code == 404


@pytest.mark.parametrize("body", [b"x", b"[1]", b"null"])
def test_what_is_no_order_is_not_seeded(bench: Bench, body: bytes) -> None:
    assert bench.post("/sandbox/ordering/orders", content=body).status_code == 422


def status_of(bench: Bench, order_id: int = 1) -> int:
    return int(bench.get(f"/orders/{order_id}").json()["result"]["status"])


@pytest.mark.trap("O-19")
@pytest.mark.parametrize(
    ("script", "lived"),
    [
        ("accepted", [0, 7, 7]),
        ("ready", [0, 7, 4, 4]),
        ("shop_rejects", [0, 5, 5]),
        ("customer_cancels", [0, 7, 16, 16]),
        ("preorder", [13, 0, 7, 7]),
        ("preorder_cancelled", [13, 16, 16]),
        ("own_driver", [0, 7, 8, 3, 9, 11, 11]),
        ("no_such_script", [0, 0]),
    ],
)
def test_a_shop_lives_its_script_a_status_a_step(bench: Bench, script: str, lived: list[int]) -> None:
    seed(bench, {"id": 1, "comment": f"sandbox:ordering={script}"})
    assert bench.life(lambda: status_of(bench), len(lived) - 1) == lived


def test_what_changes_by_itself_has_its_time_and_is_found_under_its_new_status(bench: Bench) -> None:
    seed(bench, {"id": 1, "comment": "sandbox:ordering=accepted"})
    bench.later(60)
    (order,) = bench.get('/orders?mode=dashboard&where=[{"attribute":"status","value":7}]').json()["result"]
    assert (order["created_at"], order["updated_at"]) == ("2026-11-21 17:00:00", "2026-11-21 17:00:05")


@pytest.mark.trap("O-17")
def test_what_is_written_holds_until_the_kitchen_goes_on(bench: Bench) -> None:
    seed(bench, {"id": 1, "comment": "sandbox:ordering=ready"})
    bench.put("/orders/1", {"status": 22})
    assert bench.life(lambda: status_of(bench), 3) == [22, 7, 4, 4]


@pytest.mark.trap("O-12")
def test_a_closed_order_stays_closed_whatever_its_script_says(bench: Bench) -> None:
    seed(bench, {"id": 1, "comment": "sandbox:ordering=ready"})
    bench.put("/orders/1", {"status": 11})
    assert bench.life(lambda: status_of(bench), 2) == [11, 11, 11]


@pytest.mark.trap("O-15")
@pytest.mark.parametrize(("put", "then"), [(8, [18, 18]), (3, [23, 23]), (9, [23, 19, 19]), (25, [25])])
def test_the_platform_goes_on_by_itself_where_it_watches_the_courier(put: int, then: list[int]) -> None:
    watching, blind = Bench(ordering_automatic=True), Bench()
    for bench in (watching, blind):
        seed(bench, {"id": 1})
        bench.put("/orders/1", {"status": put})
    lived = [bench.life(lambda bench=bench: status_of(bench), len(then)) for bench in (watching, blind)]  # type: ignore[misc]
    watching.close()
    blind.close()
    assert lived == [[put, *then], [put] * (len(then) + 1)]


@pytest.mark.parametrize(("kind", "status"), [("error_before", 500), ("error_after", 500), ("unauthorized", 401)])
def test_a_fault_of_the_platform_is_played(bench: Bench, kind: str, status: int) -> None:
    seed(bench, {"id": 1})
    bench.fault(kind, api="ordering", operation="update")
    reply = bench.put("/orders/1", {"status": 22})
    assert (reply.status_code, status_of(bench)) == (status, 22 if kind == "error_after" else 0)
