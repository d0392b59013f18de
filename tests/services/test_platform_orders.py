"""The platform's own orders: gates, preorders, what is called off there, and those whose message never came."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.ordering import ORDERING_SCHEMA
from tests.services.simulation import START, Simulation
from worker.app import create_app
from worker.database import accounts, deliveries, inbox, leases
from worker.http.call import Reply
from worker.http.gateway import Gateway
from worker.local.demo.orders import message
from worker.resilience.bulkhead import Admission
from worker.services import backfill

FOUND_SOURCE = "demo"
PLACED = "2026-11-21 16:50:00"
SHOP = {"id": 2011, "business_id": 17, "created_at": PLACED, "delivery_datetime_utc": PLACED}
"""An order of ten minutes ago, as soon as possible, at the shop whose carriers are DeliverIt and Borzo."""


@pytest.fixture
def open_street(tmp_path: Path) -> Iterator[Callable[..., Simulation]]:
    """Open a simulation with settings of its own."""
    opened: list[Simulation] = []

    def opens(**environment: str) -> Simulation:
        wanted = {"ORDERING__SOURCE": FOUND_SOURCE, **environment}
        opened.append(Simulation(tmp_path, **wanted))
        return opened[-1]

    yield opens
    for simulation in opened:
        simulation.close()


def seed(simulation: Simulation, **order: Any) -> dict[str, Any]:
    """Put an order on the platform."""
    (made,) = simulation.ask("POST", "/sandbox/ordering/orders", {**SHOP, **order})["orders"]
    return dict(made)


def sandbox_status(simulation: Simulation, status: int, order_id: str = "2011") -> None:
    """Let the platform's order change there."""
    simulation.ask("POST", f"/sandbox/orders/ordering/{order_id}/step", {"state": status})


def tell(simulation: Simulation, order: dict[str, Any], kind: str = "order.placed", identity: str = "m-1") -> None:
    """Put the platform's own message about its order on the bus."""
    document = json.loads(message(kind, identity, order))
    simulation.put(json.dumps({**document, "dataschema": ORDERING_SCHEMA}))


def look(simulation: Simulation) -> None:
    """Let the beat's hour strike: look for orders whose message never came."""
    simulation.app.tasks["orders.backfill"]()
    simulation.work()


def carriers(simulation: Simulation) -> list[str]:
    return [carrier for carrier, _ in simulation.ledger() if carrier != "ordering"]


def quiet(simulation: Simulation, minutes: int) -> None:
    for _ in range(minutes * 2):
        simulation.pass_time(30)


# --- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-20")
@pytest.mark.parametrize(("gate", "script", "opens_after"), [("accepted", "accepted", 60), ("ready", "ready", 120)])
def test_no_carrier_is_asked_before_the_shop_is_that_far(
    open_street: Callable[..., Simulation], gate: str, script: str, opens_after: int
) -> None:
    simulation = open_street(ORDERING__GATE=gate)
    tell(simulation, seed(simulation, comment=f"sandbox:ordering={script}"))
    simulation.until(lambda it: bool(carriers(it)))
    assert simulation.published()[:2] == ["queued (waiting_for_shop)", "delivery.updated"]
    assert timedelta(seconds=opens_after) <= simulation.now - START <= timedelta(seconds=opens_after + 60)


@pytest.mark.quirk("O-20")
def test_the_shop_s_own_message_opens_the_gate_where_the_platform_cannot_be_asked(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street(ORDERING__GATE="accepted", ORDERING__BASE_URL="")
    simulation.place(store_id="17", status=0)
    quiet(simulation, 2)
    assert (carriers(simulation), simulation.delivery().gate) == ([], "accepted")
    placed = simulation.placed()
    update = {**placed, "id": "u-1", "type": "order.updated", "data": {**placed["data"], "status": 7, "revision": 2}}
    simulation.put(json.dumps(update))
    simulation.work()
    assert (carriers(simulation), simulation.delivery().gate) == (["deliverit"], None)


@pytest.mark.quirk("O-20")
def test_a_gate_that_stays_closed_asks_for_a_person_and_sends_nobody(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street(ORDERING__GATE="accepted")
    tell(simulation, seed(simulation))
    quiet(simulation, 12)
    assert (simulation.delivery().attention, carriers(simulation)) == ("not_dispatched_in_time", [])


@pytest.mark.quirk("O-11", "O-20")
def test_pending_is_a_status_and_goes_at_once_where_nothing_waits(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    tell(simulation, seed(simulation, status=0))
    simulation.work()
    assert carriers(simulation) == ["deliverit"]


# --- preorders --------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-19")
def test_a_preorder_is_dispatched_when_its_lead_time_comes(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    tell(simulation, seed(simulation, comment="sandbox:ordering=preorder", delivery_datetime_utc="2026-11-21 18:00:00"))
    simulation.until(lambda it: bool(carriers(it)), step=30)
    assert timedelta(minutes=30) <= simulation.now - START < timedelta(minutes=32)


@pytest.mark.quirk("O-19", "O-13")
@pytest.mark.parametrize("gate", ["placed", "accepted"])
def test_a_preorder_that_is_cancelled_before_its_time_sends_nobody(
    open_street: Callable[..., Simulation], gate: str
) -> None:
    simulation = open_street(ORDERING__GATE=gate)
    preorder = {"comment": "sandbox:ordering=preorder_cancelled", "delivery_datetime_utc": "2026-11-21 18:00:00"}
    tell(simulation, seed(simulation, **preorder))
    simulation.until(lambda it: it.delivery().final, step=60)
    quiet(simulation, 5)
    assert (simulation.status(), simulation.delivery().cancelled_by, carriers(simulation)) == (
        "cancelled",
        "customer",
        [],
    )


# --- what is called off or closed at the platform ---------------------------------------------------------------------


@pytest.mark.quirk("O-13", "O-18")
@pytest.mark.parametrize(("status", "by"), [(2, "merchant"), (5, "merchant"), (16, "customer")])
def test_a_courier_is_cancelled_when_the_order_is_off(
    open_street: Callable[..., Simulation], status: int, by: str
) -> None:
    simulation = open_street(ORDERING__BASE_URL="")
    simulation.place(store_id="34", status=7)
    simulation.work()
    placed = simulation.placed()
    update = {**placed["data"], "status": status, "revision": 2}
    simulation.put(json.dumps({**placed, "id": "u-1", "type": "order.updated", "data": update}))
    simulation.until(lambda it: it.delivery().final)
    assert (simulation.status(), simulation.delivery().cancelled_by) == ("cancelled", by)
    assert [carrier for carrier, _ in simulation.ledger("cancel")] == ["cervo"]


@pytest.mark.quirk("O-12")
def test_an_order_that_the_shop_closes_is_told_and_its_courier_goes_on(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    order = seed(simulation)
    tell(simulation, order)
    simulation.work()
    for identity in ("m-2", "m-3"):
        tell(simulation, {**order, "status": 1}, "order.updated", identity)
    simulation.until(lambda it: it.status() == "delivered")
    conflicts = [event["data"]["reason_text"] for event in simulation.events() if event["type"] == "delivery.conflict"]
    assert (conflicts.count("platform_closed"), simulation.ledger("cancel")) == (1, [])


def test_an_order_that_the_platform_s_own_driver_takes_meanwhile_sends_nobody(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street(ORDERING__GATE="ready")
    tell(simulation, seed(simulation, comment="sandbox:ordering=own_driver"))
    simulation.until(lambda it: it.delivery().final)
    assert simulation.published() == ["queued (waiting_for_shop)", "cancelled (own_driver)"]
    assert carriers(simulation) == []


# --- orders whose message never came ----------------------------------------------------------------------------------


@pytest.mark.quirk("O-10")
def test_exactly_the_orders_that_are_missing_are_taken_in(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    tell(simulation, seed(simulation, id=1))
    simulation.work()
    seed(simulation, id=2, status=7)
    seed(simulation, id=3, status=4, delivery_type=2)
    for order_id, status in ((4, 1), (5, 8), (6, 16), (7, 14)):
        seed(simulation, id=order_id, status=status)
    seed(simulation, id=8, status=13, delivery_datetime_utc="2026-11-21 20:00:00")
    look(simulation)
    for _ in range(3):
        simulation.pass_time()
    assert sorted(each.order.order_id for each in simulation.container.database.read(deliveries.recent, 100)) == [
        "1",
        "2",
        "8",
    ]
    simulation.until(lambda it: it.status("2") == "delivered")
    assert carriers(simulation) == ["deliverit", "deliverit"]


def test_an_order_is_found_once_however_often_it_is_looked_for(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation)
    for _ in range(3):
        look(simulation)
        simulation.pass_time()
    assert (simulation.status(), carriers(simulation)) == ("created", ["deliverit"])
    assert [row.order.order_id for row in simulation.container.database.read(deliveries.recent, 10)] == ["2011"]


def test_an_order_is_found_behind_pages_of_others_that_are_known(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation, id=1)
    for number in range(2, 64):
        tell(simulation, seed(simulation, id=number), identity=f"m-{number}")
    assert [each.order_id for each in simulation.container.backfill.find()] == ["1"]


@pytest.mark.quirk("O-02")
@pytest.mark.parametrize("status", [0, 7])
def test_the_message_of_an_order_that_was_found_is_a_repeat(
    open_street: Callable[..., Simulation], status: int
) -> None:
    simulation = open_street()
    order = seed(simulation)
    look(simulation)
    simulation.pass_time()
    before = simulation.delivery()
    tell(simulation, {**order, "status": status})
    after = simulation.delivery()
    assert (after.attention, after.fingerprint, after.sequence) == (None, before.fingerprint, before.sequence)
    assert carriers(simulation) == ["deliverit"]


def test_a_message_in_our_own_words_about_an_order_that_was_found_is_a_repeat_and_its_updates_count(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street()
    order = seed(simulation, delivery_datetime_utc="2026-11-21 20:00:00", comment="ring the bell")
    look(simulation)
    simulation.pass_time()
    simulation.place(store_id="17", order_id=str(order["id"]))
    assert (simulation.delivery().attention, simulation.delivery().order.notes) == (None, "ring the bell")
    placed = simulation.placed()
    update = {**placed["data"], "revision": 2, "notes": "ring twice", "deliver_at": "2026-11-21T20:00:00Z"}
    simulation.put(json.dumps({**placed, "id": "u-2", "type": "order.updated", "data": update}))
    assert (simulation.delivery().attention, simulation.delivery().order.notes) == (None, "ring twice")


@pytest.mark.fault("F-66")
@pytest.mark.quirk("X-03")
def test_a_message_that_comes_while_its_order_is_being_found_is_one_delivery(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street()
    order = seed(simulation, comment="as the platform has it")
    simulation.container.backfill.take_in(simulation.container.backfill.find())
    simulation.place(store_id="17", order_id=str(order["id"]))
    simulation.work()
    told = simulation.published()
    simulation.pass_time()
    simulation.pass_time()
    assert (simulation.delivery().attention, simulation.delivery().order.notes) == (None, "sandbox:happy")
    assert (simulation.published()[: len(told)], carriers(simulation)) == (told, ["deliverit"])


def test_an_order_that_cannot_be_read_becomes_one_dead_letter(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation, paymethod_id=9, paymethod={"id": 9, "gateway": "barter"})
    for _ in range(3):
        look(simulation)
        simulation.pass_time()
    (letter,) = simulation.container.database.read(inbox.dead_letters, 10)
    assert letter["reason"].startswith("paymethod.gateway: unknown")


@pytest.mark.quirk("O-20")
def test_an_order_that_is_found_waits_at_the_gate_as_any_other(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street(ORDERING__GATE="accepted")
    seed(simulation)
    look(simulation)
    simulation.pass_time()
    assert (simulation.delivery().gate, carriers(simulation)) == ("accepted", [])


@pytest.mark.quirk("O-10")
def test_a_key_that_may_see_nothing_finds_nothing_and_spoils_nothing(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    tell(simulation, seed(simulation))
    simulation.work()
    simulation.sandbox.ordering.orders.clear()
    assert simulation.container.backfill.find() == []
    look(simulation)
    assert simulation.delivery().status == "created"


@pytest.mark.parametrize("kind", ["error_before", "unauthorized", "garbage", "html", "drop_before"])
def test_a_platform_that_cannot_be_asked_is_looked_at_again_later(
    open_street: Callable[..., Simulation], kind: str
) -> None:
    simulation = open_street()
    seed(simulation)
    simulation.ask("POST", "/sandbox/faults", {"kind": kind, "api": "ordering", "operation": "list", "times": 1})
    look(simulation)
    assert simulation.container.database.read(deliveries.recent, 10) == []
    look(simulation)
    simulation.pass_time()
    assert simulation.status() == "created"


def test_a_message_has_two_minutes_to_come_before_its_order_is_missed(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation, created_at="2026-11-21 17:00:00", delivery_datetime_utc="2026-11-21 17:00:00")
    found = []
    for _ in range(2):
        simulation.pass_time(60)
        look(simulation)
        simulation.pass_time()
        found.append(len(simulation.container.database.read(deliveries.recent, 10)))
    assert found == [0, 1]


def test_a_page_waits_for_the_platform_s_budget(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation)
    spent = iter([True, True, False, True, False])
    simulation.container.gateway.close()
    simulation.container.gateway = Gateway(
        simulation.container.api_accounts,
        lambda _account, _rate, _operation, wanted: (0, 0.4) if next(spent) else (wanted, 0.0),
        simulation.container.clock,
        transport=httpx.ASGITransport(simulation.sandbox.app),
    )
    waits: list[float] = []
    assert [each.order_id for each in replace(simulation.container.backfill, sleep=waits.append).find()] == ["2011"]
    assert waits == [0.4, 0.4, 0.4]


def test_only_one_looks_at_a_time(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation)
    assert simulation.container.database.write(
        leases.take, backfill.LEASE, "somebody else", simulation.now, backfill.LEASE_SECONDS
    )
    look(simulation)
    assert simulation.container.database.read(deliveries.recent, 10) == []
    simulation.pass_time(backfill.LEASE_SECONDS + 1)
    look(simulation)
    simulation.pass_time()
    assert simulation.status() == "created"


def test_since_leaves_out_what_is_older_and_keeps_what_does_not_say(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation, id=1, created_at="2026-11-21 10:00:00")
    seed(simulation, id=2, created_at="2026-11-21 16:59:59")
    seed(simulation, id=3, created_at=None)
    found = simulation.container.backfill.find(since=START - timedelta(hours=1))
    assert [each.order_id for each in found] == ["2", "3"]


@pytest.mark.fault("F-66")
def test_an_order_that_has_stood_open_since_long_ago_is_left_alone_unless_somebody_asks_for_it(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street()
    before = START - backfill.STALE_AFTER
    seed(simulation, id=1, created_at="2026-08-01 12:00:00", delivery_datetime_utc="2026-08-01 12:45:00")
    seed(simulation, id=2, created_at="2026-08-01 12:00:00", delivery_datetime_utc="2026-11-21 20:00:00")
    seed(simulation, id=3, created_at=f"{before:%Y-%m-%d %H:%M:%S}")
    look(simulation)
    for _ in range(3):
        simulation.pass_time()
    assert sorted(each.order.order_id for each in simulation.container.database.read(deliveries.recent, 9)) == [
        "2",
        "3",
    ]
    found = simulation.container.backfill.find(since=START - timedelta(days=365))
    assert [each.order_id for each in found] == ["1"]


@pytest.mark.fault("F-66")
def test_what_a_list_showed_before_it_broke_off_is_taken_in(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    for number in range(1, 64):
        seed(simulation, id=number)
    real, pages = simulation.container.gateway.send_one, iter([200, 500])

    def breaks_off(*call: Any, **how: Any) -> Any:
        return real(*call, **how) if next(pages, 500) == 200 else Reply(500, b"")

    simulation.container.gateway.send_one = breaks_off  # type: ignore[method-assign]
    assert [each.order_id for each in simulation.container.backfill.find()] == [str(each) for each in range(39, 64)]


@pytest.mark.fault("F-66")
def test_an_answer_about_another_order_sends_no_courier(open_street: Callable[..., Simulation]) -> None:
    simulation = open_street()
    seed(simulation, id=2012)
    orders = simulation.sandbox.ordering.orders
    orders["2011"] = orders["2012"]
    simulation.put_message("order.placed", {"order_id": "2011"})
    simulation.pass_time()
    (letter,) = simulation.container.database.read(inbox.dead_letters, 9)
    assert (letter["reason"], simulation.container.database.read(deliveries.recent, 9)) == (
        "id: the platform's answer is another order",
        [],
    )


def test_a_platform_that_hangs_has_its_part_of_the_threads_while_orders_are_fetched(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street()
    seed(simulation)
    rooms = simulation.container.bulkhead
    while rooms.enter("ordering", ("hung", []), reading=False) is Admission.ADMITTED:
        pass
    simulation.put_message("order.placed", {"order_id": "2011"})
    simulation.pass_time()
    assert simulation.container.database.read(deliveries.recent, 9) == []
    assert rooms.leave("ordering", reading=False) == [("hung", [])]
    assert rooms.leave("ordering", reading=False) == [("orders.fetch", [])]
    simulation.app.tasks["orders.fetch"]()
    assert simulation.status() == "queued"


def test_a_platform_that_a_person_paused_is_left_alone_until_it_is_resumed(
    open_street: Callable[..., Simulation],
) -> None:
    simulation = open_street()
    for number in (1, 2):
        seed(simulation, id=number)
    simulation.container.database.write(accounts.pause, "ordering", "operator", "maintenance", simulation.now)
    simulation.put_message("order.placed", {"order_id": "1"})
    look(simulation)
    simulation.pass_time()
    assert simulation.container.database.read(deliveries.recent, 9) == []
    simulation.container.database.write(accounts.resume, "ordering", "operator", simulation.now)
    look(simulation)
    for _ in range(3):
        simulation.pass_time()
    assert sorted(each.order.order_id for each in simulation.container.database.read(deliveries.recent, 9)) == [
        "1",
        "2",
    ]


@pytest.mark.parametrize(("wished", "entries"), [("true", ["backfill"]), ("false", [])])
def test_the_beat_looks_every_five_minutes_where_that_is_wished(
    open_street: Callable[..., Simulation], wished: str, entries: list[str]
) -> None:
    schedule = create_app(open_street(ORDERING__BACKFILL=wished).container.settings).conf.beat_schedule
    assert [name for name in schedule if name == "backfill"] == entries
    assert [schedule[name]["schedule"] for name in entries] == [timedelta(minutes=5)] * len(entries)
