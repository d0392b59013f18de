"""Orders of the Ordering platform: gates, preorders, changes of status there, and orders to fetch."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.ordering import ORDERING_SCHEMA
from tests.services.simulation import START, Simulation
from worker.database import inbox
from worker.database.search import Filter, search
from worker.local.demo.orders import message
from worker.resilience.bulkhead import Admission

PLACED = "2026-11-21 16:50:00"
SHOP = {"id": 2011, "business_id": 17, "created_at": PLACED, "delivery_datetime_utc": PLACED}
"""An order for as soon as possible, placed ten minutes ago at the shop whose carriers are DeliverIt and Borzo."""


@pytest.fixture
def make_simulation(tmp_path: Path) -> Iterator[Callable[..., Simulation]]:
    """Return a function that makes a simulation with these settings."""
    opened: list[Simulation] = []

    def make(**environment: str) -> Simulation:
        wanted = {"ORDERING__SOURCE": "demo", **environment}
        opened.append(Simulation(tmp_path, **wanted))
        return opened[-1]

    yield make
    for simulation in opened:
        simulation.close()


def seed(simulation: Simulation, **order: Any) -> dict[str, Any]:
    """Add an order to the platform and return it."""
    (added,) = simulation.ask("POST", "/sandbox/ordering/orders", {**SHOP, **order})["orders"]
    return dict(added)


def send_message(
    simulation: Simulation, order: dict[str, Any], kind: str = "order.placed", identity: str = "m-1"
) -> None:
    """Put the platform's message about its order on the bus."""
    document = json.loads(message(kind, identity, order))
    simulation.put(json.dumps({**document, "dataschema": ORDERING_SCHEMA}))


def carriers(simulation: Simulation) -> list[str]:
    """Return the carriers that created an order."""
    return [carrier for carrier, _ in simulation.ledger() if carrier != "ordering"]


def wait(simulation: Simulation, minutes: int) -> None:
    """Let minutes pass."""
    for _ in range(minutes * 2):
        simulation.pass_time(30)


# --- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-20")
@pytest.mark.parametrize(("gate", "script", "opens_after"), [("accepted", "accepted", 60), ("ready", "ready", 120)])
def test_no_carrier_gets_an_order_before_its_gate_opens(
    make_simulation: Callable[..., Simulation], gate: str, script: str, opens_after: int
) -> None:
    simulation = make_simulation(ORDERING__GATE=gate)
    send_message(simulation, seed(simulation, comment=f"sandbox:ordering={script}"))
    simulation.until(lambda it: bool(carriers(it)))
    assert simulation.published()[:2] == ["queued (waiting_for_shop)", "delivery.updated"]
    assert timedelta(seconds=opens_after) <= simulation.now - START <= timedelta(seconds=opens_after + 60)


@pytest.mark.quirk("O-20")
def test_a_message_opens_the_gate_where_the_platform_has_no_api(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation(ORDERING__GATE="accepted", ORDERING__BASE_URL="")
    simulation.place(store_id="17", status=0)
    wait(simulation, 2)
    assert (carriers(simulation), simulation.delivery().gate) == ([], "accepted")
    placed = simulation.placed()
    update = {**placed, "id": "u-1", "type": "order.updated", "data": {**placed["data"], "status": 7, "revision": 2}}
    simulation.put(json.dumps(update))
    simulation.work()
    assert (carriers(simulation), simulation.delivery().gate) == (["deliverit"], None)


@pytest.mark.quirk("O-20")
def test_a_gate_that_stays_closed_requests_attention_and_sends_no_courier(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation(ORDERING__GATE="accepted")
    send_message(simulation, seed(simulation))
    wait(simulation, 12)
    assert (simulation.delivery().attention, carriers(simulation)) == ("not_dispatched_in_time", [])


@pytest.mark.quirk("O-11", "O-20")
def test_a_pending_order_is_dispatched_at_once_where_no_gate_is_configured(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    send_message(simulation, seed(simulation, status=0))
    simulation.work()
    assert carriers(simulation) == ["deliverit"]


# --- preorders --------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-19")
def test_a_preorder_is_dispatched_when_its_lead_time_comes(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    send_message(
        simulation, seed(simulation, comment="sandbox:ordering=preorder", delivery_datetime_utc="2026-11-21 18:00:00")
    )
    simulation.until(lambda it: bool(carriers(it)), step=30)
    assert timedelta(minutes=30) <= simulation.now - START < timedelta(minutes=32)


@pytest.mark.quirk("O-19", "O-13")
@pytest.mark.parametrize("gate", ["placed", "accepted"])
def test_a_preorder_that_is_cancelled_before_its_time_gets_no_courier(
    make_simulation: Callable[..., Simulation], gate: str
) -> None:
    simulation = make_simulation(ORDERING__GATE=gate)
    preorder = {"comment": "sandbox:ordering=preorder_cancelled", "delivery_datetime_utc": "2026-11-21 18:00:00"}
    send_message(simulation, seed(simulation, **preorder))
    simulation.until(lambda it: it.delivery().final, step=60)
    wait(simulation, 5)
    assert (simulation.status(), simulation.delivery().cancelled_by, carriers(simulation)) == (
        "cancelled",
        "customer",
        [],
    )


# --- orders that the platform cancels or closes -----------------------------------------------------------------------


@pytest.mark.quirk("O-13", "O-18")
@pytest.mark.parametrize(("status", "by"), [(2, "merchant"), (5, "merchant"), (16, "customer")])
def test_the_courier_is_cancelled_when_the_platform_cancels_the_order(
    make_simulation: Callable[..., Simulation], status: int, by: str
) -> None:
    simulation = make_simulation(ORDERING__BASE_URL="")
    simulation.place(store_id="34", status=7)
    simulation.work()
    placed = simulation.placed()
    update = {**placed["data"], "status": status, "revision": 2}
    simulation.put(json.dumps({**placed, "id": "u-1", "type": "order.updated", "data": update}))
    simulation.until(lambda it: it.delivery().final)
    assert (simulation.status(), simulation.delivery().cancelled_by) == ("cancelled", by)
    assert [carrier for carrier, _ in simulation.ledger("cancel")] == ["cervo"]


@pytest.mark.quirk("O-12")
def test_an_order_that_the_shop_closes_is_reported_once_and_still_delivered(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    order = seed(simulation)
    send_message(simulation, order)
    simulation.work()
    for identity in ("m-2", "m-3"):
        send_message(simulation, {**order, "status": 1}, "order.updated", identity)
    simulation.until(lambda it: it.status() == "delivered")
    conflicts = [event["data"]["reason_text"] for event in simulation.events() if event["type"] == "delivery.conflict"]
    assert (conflicts.count("platform_closed"), simulation.ledger("cancel")) == (1, [])


def test_an_order_that_the_platform_s_own_driver_takes_gets_no_courier(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation(ORDERING__GATE="ready")
    send_message(simulation, seed(simulation, comment="sandbox:ordering=own_driver"))
    simulation.until(lambda it: it.delivery().final)
    assert simulation.published() == ["queued (waiting_for_shop)", "cancelled (own_driver)"]
    assert carriers(simulation) == []


# --- orders that are fetched for their messages -----------------------------------------------------------------------


@pytest.mark.fault("F-66")
def test_a_reply_about_another_order_sends_no_courier(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation, id=2012)
    orders = simulation.sandbox.ordering.orders
    orders["2011"] = orders["2012"]
    simulation.put_message("order.placed", {"order_id": "2011"})
    simulation.pass_time()
    (letter,) = simulation.container.database.read(inbox.dead_letters, 9)
    assert (letter["reason"], simulation.container.database.read(search, Filter(), 9)) == (
        "id: the platform's answer is another order",
        [],
    )


def test_an_order_fetch_waits_for_a_free_slot_while_the_platform_hangs(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    seed(simulation)
    bulkhead = simulation.container.bulkhead
    while bulkhead.enter("ordering", ("hung", []), reading=False) is Admission.ADMITTED:
        pass
    simulation.put_message("order.placed", {"order_id": "2011"})
    simulation.pass_time()
    assert simulation.container.database.read(search, Filter(), 9) == []
    assert bulkhead.leave("ordering", reading=False) == [("hung", [])]
    assert bulkhead.leave("ordering", reading=False) == [("orders.fetch", [])]
    simulation.app.tasks["orders.fetch"]()
    assert simulation.status() == "queued"
