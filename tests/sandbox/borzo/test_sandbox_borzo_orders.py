from typing import Any

import pytest

from tests.sandbox.borzo.borzo_calls import ROOT, errors, place, read, status
from tests.sandbox.client import FIRST, SandboxClient, borzo_order

ASSIGNED = ["available/planned", "active/courier_assigned"]
TO_PICKUP = ["active/courier_departed", "active/courier_at_pickup", "active/parcel_picked_up"]
TO_DOOR = [*TO_PICKUP, "active/active", "active/courier_arrived"]


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("happy", [*ASSIGNED, *TO_DOOR, "completed/finished"]),
        ("weak_done", [*ASSIGNED, *TO_DOOR, "completed/finished"]),
        (
            "courier_withdraws",
            [*ASSIGNED, "reactivated/planned", "active/courier_assigned", *TO_DOOR, "completed/finished"],
        ),
        ("withdrawn_for_good", [*ASSIGNED, "reactivated/planned", "reactivated/planned"]),
        (
            "returned",
            [
                *ASSIGNED,
                *TO_DOOR,
                "active/return_planned",
                "active/return_courier_assigned",
                "active/return_courier_departed",
                "active/return_courier_picked_up",
                "completed/return_finished",
            ],
        ),
        (
            "reattempt",
            [
                *ASSIGNED,
                *TO_DOOR,
                "active/reattempt_planned",
                "active/reattempt_courier_assigned",
                "active/reattempt_courier_departed",
                "active/reattempt_courier_picked_up",
                "completed/reattempt_finished",
            ],
        ),
        ("cancelled", [*ASSIGNED, "canceled/canceled", "canceled/canceled"]),
        ("unknown_word", [*ASSIGNED, *TO_PICKUP, "active/left_in_locker"]),
        ("delayed", [*ASSIGNED, "delayed/delayed", "active/courier_assigned", *TO_DOOR, "completed/finished"]),
        ("verified", ["new/planned", *ASSIGNED, *TO_DOOR, "completed/finished"]),
    ],
)
def test_an_order_passes_through_the_statuses_of_its_script(
    client: SandboxClient, script: str, statuses: list[str]
) -> None:
    order = place(client, f"ring sandbox:{script}")
    assert client.observe(lambda: status(read(client, order)), len(statuses) - 1) == statuses


def test_a_finished_order_contains_its_times_and_its_recipient(client: SandboxClient) -> None:
    order = place(client)
    client.advance(35)
    done = read(client, order)
    assert (done["finish_datetime"], done["courier"]["latitude"]) == ("2026-11-21T14:00:35-03:00", None)
    assert [each["courier_visit_datetime"] for each in done["points"]] == [
        "2026-11-21T14:00:15-03:00",
        "2026-11-21T14:00:30-03:00",
    ]
    assert (done["points"][1]["checkin"], done["points"][1]["tracking_url"]) == (
        {"recipient_full_name": None, "recipient_position": None},
        f"https://tracking.borzo.example/{FIRST}",
    )


def test_a_courier_has_a_position_only_while_moving(client: SandboxClient) -> None:
    order = place(client)
    couriers = client.observe(lambda: client.get(f"{ROOT}/courier?order_id={order['order_id']}").json()["courier"], 2)
    courier = {
        "courier_id": 72384,
        "surname": "Surname",
        "name": "Name",
        "middlename": None,
        "phone": "5511900000001",
        "photo_url": None,
    }
    assert couriers == [
        None,
        {**courier, "latitude": None, "longitude": None},
        {**courier, "latitude": "-23.562747", "longitude": "-46.6576753"},
    ]


def test_a_courier_moves_to_the_shop_and_then_to_the_customer(client: SandboxClient) -> None:
    order = client.post(f"{ROOT}/create-order", borzo_order()).json()["order"]

    def position() -> tuple[str | None, str | None]:
        courier = client.get(f"{ROOT}/courier?order_id={order['order_id']}").json()["courier"]
        return courier["latitude"], courier["longitude"]

    client.advance(10)
    seen = []
    for _ in range(5):
        seen.append(position())
        client.advance(5)
    shop, door = ("-23.5962988", "-46.5858049"), ("-23.562747", "-46.6576753")
    assert seen == [door, (None, None), shop, shop, door]  # the courier starts near the customer
    client.post(f"/sandbox/orders/borzo/{order['order_id']}/step", {"state": "active/active"})
    client.advance(2.5)
    assert position() == ("-23.5795229", "-46.6217401")


def test_orders_are_listed_newest_first_in_pages_of_ten_without_their_type(client: SandboxClient) -> None:
    placed = [place(client)["order_id"] for _ in range(12)]
    first = client.get(f"{ROOT}/orders").json()
    rest = client.get(f"{ROOT}/orders?offset=10").json()
    everything = client.get(f"{ROOT}/orders?count=50").json()
    ids = [[order["order_id"] for order in page["orders"]] for page in (first, rest, everything)]
    newest = placed[::-1]
    assert ids == [newest[:10], newest[10:], newest]
    assert (first["orders_count"], "type" in first["orders"][0]) == (12, False)


def test_a_list_is_filtered_by_ids_and_status(client: SandboxClient) -> None:
    old = place(client, "sandbox:withdrawn_for_good")["order_id"]
    client.advance(10)
    new = place(client)["order_id"]
    queries = [
        f"order_id[]={old}&order_id[]={new}&order_id[]=1",
        "status=reactivated",
        f"order_id[]={old}&status=available",
    ]
    pages = [client.get(f"{ROOT}/orders?{query}").json() for query in queries]
    assert [[order["order_id"] for order in page["orders"]] for page in pages] == [[new, old], [old], []]
    assert [page["orders_count"] for page in pages] == [2, 1, 0]


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("page=2", {"page": ["unknown"]}),
        ("count=51", {"count": ["max_value"]}),
        ("offset=-1", {"offset": ["invalid_integer"]}),
        ("status=flying", {"status": ["invalid_order_status"]}),
    ],
)
def test_an_invalid_list_query_is_refused(client: SandboxClient, query: str, tree: dict[str, Any]) -> None:
    reply = client.get(f"{ROOT}/orders?{query}")
    assert (reply.status_code, reply.json()) == errors("invalid_parameters", tree)


@pytest.mark.parametrize(("steps", "delivery"), [(0, "planned"), (1, "canceled"), (2, "canceled")])
def test_an_order_can_be_cancelled_before_the_courier_visits_an_address(
    client: SandboxClient, steps: int, delivery: str
) -> None:
    order = place(client)
    client.advance(5 * steps)
    reply = client.post(f"{ROOT}/cancel-order", {"order_id": order["order_id"]}).json()["order"]
    assert (status(reply), reply["status_description"]) == (f"canceled/{delivery}", "O cliente não está respondendo")
    assert client.ledger() == [("borzo", "create", "A-1"), ("borzo", "cancel", "A-1")]


@pytest.mark.parametrize(("script", "steps"), [("happy", 3), ("happy", 7), ("cancelled", 2), ("withdrawn_for_good", 2)])
def test_an_order_cannot_be_cancelled_after_a_visit_or_after_its_end(
    client: SandboxClient, script: str, steps: int
) -> None:
    order = place(client, f"sandbox:{script}")
    client.advance(5 * steps)
    reply = client.post(f"{ROOT}/cancel-order", {"order_id": order["order_id"]})
    assert (reply.status_code, reply.json()) == errors("order_cannot_be_canceled")


def test_an_unknown_order_is_reported_as_an_invalid_parameter(client: SandboxClient) -> None:
    replies = [
        client.post(f"{ROOT}/cancel-order", {"order_id": 1}),
        client.post(f"{ROOT}/edit-order", {"order_id": 1}),
        client.get(f"{ROOT}/courier?order_id=1"),
    ]
    expected = errors("invalid_parameters", {"order_id": ["invalid_order"]})
    assert [(reply.status_code, reply.json()) for reply in replies] == [expected] * 3
