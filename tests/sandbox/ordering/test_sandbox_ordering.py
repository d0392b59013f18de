import json
from typing import Any

import pytest

from tests.sandbox.client import FIRST, SandboxClient

NEW = {
    "paymethod_id": 1,
    "business_id": 17,
    "delivery_type": 1,
    "delivery_datetime": "2026-11-21 18:00:00",
    "location": {"lat": 55.4, "lng": 10.4},
    "products": [{"id": 1}],
}


def seed(client: SandboxClient, *orders: dict[str, Any]) -> list[int]:
    reply = client.post("/sandbox/ordering/orders", list(orders))
    assert reply.status_code == 201
    return [order["id"] for order in reply.json()["orders"]]


def listed(client: SandboxClient, query: str) -> list[int]:
    return [order["id"] for order in client.get(f"/orders?{query}").json()["result"]]


def test_a_seeded_order_is_returned_by_its_id(client: SandboxClient) -> None:
    reply = client.post("/sandbox/ordering/orders", {"comment": "ring the bell"})
    (order,) = reply.json()["orders"]
    assert client.get(f"/orders/{FIRST}").json() == {"error": False, "result": order}
    assert [order[name] for name in ("id", "status", "delivery_type", "comment", "created_at")] == [
        FIRST,
        0,
        1,
        "ring the bell",
        "2026-11-21 17:00:00",
    ]


def test_a_wrong_key_is_unauthorized(client: SandboxClient) -> None:
    reply = client.get("/orders/1", headers={"x-api-key": "other"})
    assert (reply.status_code, reply.json()) == (401, {"error": True, "result": ["Unauthorized"]})


def test_an_unknown_order_is_not_found(client: SandboxClient) -> None:
    replies = [client.get("/orders/1"), client.put("/orders/1", {"status": 8}), client.delete("/orders/1")]
    expected = (404, {"error": True, "result": ["Order not found"]})
    assert [(reply.status_code, reply.json()) for reply in replies] == [expected] * 3


@pytest.mark.quirk("O-10")
def test_orders_are_listed_only_in_dashboard_mode(client: SandboxClient) -> None:
    seed(client, {"id": 1}, {"id": 2})
    assert (listed(client, ""), listed(client, "mode=dashboard")) == ([], [2, 1])


def test_a_list_starts_with_the_newest_order_by_default(client: SandboxClient) -> None:
    seed(client, {"id": 1}, {"id": 2})
    orders = [listed(client, f"mode=dashboard&orderBy={order}") for order in ("-id", "id")]
    assert orders == [[2, 1], [1, 2]]


def test_a_list_can_be_filtered_and_paged(client: SandboxClient) -> None:
    seed(client, {"id": 1, "status": 7}, {"id": 2}, {"id": 3, "status": 8})
    where = json.dumps([{"attribute": "status", "value": [7, 8]}])
    page = client.get("/orders", params={"mode": "dashboard", "where": where, "page": 2, "page_size": 1}).json()
    assert [order["id"] for order in page["result"]] == [1]
    assert page["pagination"] == {"current_page": 2, "page_size": 1, "total": 2, "total_pages": 2}


@pytest.mark.parametrize("query", ["where=x", 'where=[{"attribute":"products","value":1}]', "page=0", "page_size=x"])
def test_an_invalid_list_query_is_refused(client: SandboxClient, query: str) -> None:
    reply = client.get(f"/orders?mode=dashboard&{query}")
    assert (reply.status_code, reply.json()) == (400, {"error": True, "result": ["Invalid parameters"]})


def test_a_status_update_is_stored_and_recorded(client: SandboxClient) -> None:
    seed(client, {"id": 1})
    reply = client.put("/orders/1", {"status": 22, "id": 9}, headers={"X-APP-X": "order-sync"})
    assert (reply.status_code, reply.json()["error"], reply.json()["result"]["status"]) == (200, False, 22)
    entry = client.sandbox.world.ledger.entries[-1]
    assert (entry.action, entry.carrier_id, entry.detail) == ("update", "1", {"app": "order-sync", "status": 22})


@pytest.mark.quirk("O-19")
@pytest.mark.parametrize("status", [13, 26, -1, "x", None])
def test_a_status_that_cannot_be_set_is_refused(client: SandboxClient, status: Any) -> None:
    seed(client, {"id": 1})
    reply = client.put("/orders/1", {"status": status})
    assert (reply.status_code, reply.json()) == (400, {"error": True, "result": ["The selected status is invalid."]})


def test_an_order_is_created_only_with_the_required_attributes(client: SandboxClient) -> None:
    created = client.post("/orders", NEW).json()["result"]
    refused = client.post("/orders", {**NEW, "location": None})
    assert (created["id"], created["status"]) == (FIRST, 0)
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": True, "result": ["The location field is required."]},
    )


def test_a_deleted_order_is_not_found(client: SandboxClient) -> None:
    seed(client, {"id": 1})
    assert client.delete("/orders/1").json() == {"error": False, "result": "OK"}
    assert client.get("/orders/1").status_code == 404


@pytest.mark.parametrize("body", [b"x", b"[1]", b"null"])
def test_a_body_that_is_not_an_order_is_not_seeded(client: SandboxClient, body: bytes) -> None:
    assert client.post("/sandbox/ordering/orders", content=body).status_code == 422


def status_of(client: SandboxClient, order_id: int = 1) -> int:
    return int(client.get(f"/orders/{order_id}").json()["result"]["status"])


@pytest.mark.quirk("O-19")
@pytest.mark.parametrize(
    ("script", "statuses"),
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
def test_a_script_sets_one_status_a_step(client: SandboxClient, script: str, statuses: list[int]) -> None:
    seed(client, {"id": 1, "comment": f"sandbox:ordering={script}"})
    assert client.observe(lambda: status_of(client), len(statuses) - 1) == statuses


def test_a_scripted_status_sets_its_time_and_is_used_by_the_filter(client: SandboxClient) -> None:
    seed(client, {"id": 1, "comment": "sandbox:ordering=accepted"})
    client.advance(60)
    (order,) = client.get('/orders?mode=dashboard&where=[{"attribute":"status","value":7}]').json()["result"]
    assert (order["created_at"], order["updated_at"]) == ("2026-11-21 17:00:00", "2026-11-21 17:00:05")


@pytest.mark.quirk("O-17")
def test_a_written_status_holds_until_the_script_continues(client: SandboxClient) -> None:
    seed(client, {"id": 1, "comment": "sandbox:ordering=ready"})
    client.put("/orders/1", {"status": 22})
    assert client.observe(lambda: status_of(client), 3) == [22, 7, 4, 4]


@pytest.mark.quirk("O-12")
def test_a_final_status_stops_the_script(client: SandboxClient) -> None:
    seed(client, {"id": 1, "comment": "sandbox:ordering=ready"})
    client.put("/orders/1", {"status": 11})
    assert client.observe(lambda: status_of(client), 2) == [11, 11, 11]


@pytest.mark.quirk("O-15")
@pytest.mark.parametrize(("put", "then"), [(8, [18, 18]), (3, [23, 23]), (9, [23, 19, 19]), (25, [25])])
def test_the_platform_sets_further_statuses_only_in_automatic_mode(put: int, then: list[int]) -> None:
    automatic, manual = SandboxClient(ordering_automatic=True), SandboxClient()
    for client in (automatic, manual):
        seed(client, {"id": 1})
        client.put("/orders/1", {"status": put})
    statuses = [client.observe(lambda client=client: status_of(client), len(then)) for client in (automatic, manual)]  # type: ignore[misc]
    automatic.close()
    manual.close()
    assert statuses == [[put, *then], [put] * (len(then) + 1)]


@pytest.mark.parametrize(("kind", "status"), [("error_before", 500), ("error_after", 500), ("unauthorized", 401)])
def test_a_fault_affects_an_update_on_the_platform(client: SandboxClient, kind: str, status: int) -> None:
    seed(client, {"id": 1})
    client.add_fault(kind, api="ordering", operation="update")
    reply = client.put("/orders/1", {"status": 22})
    assert (reply.status_code, status_of(client)) == (status, 22 if kind == "error_after" else 0)
