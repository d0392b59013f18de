"""Which carrier gets an order: who cannot take it is passed over, who cannot be called is left in time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.status import DeliveryStatus
from tests.services.simulation import START, Simulation
from tests.services.test_carrier_trouble import Wire, fault, mend
from worker.database import accounts
from worker.errors import Unavailable

OWED: dict[str, Any] = {"payment": {"prepaid": False, "amount": "125.00", "currency": "BRL", "method": "cash"}}


@pytest.fixture
def wire(simulation: Simulation) -> Wire:
    return Wire(simulation)


def carriers(simulation: Simulation) -> list[str]:
    return [carrier for carrier, _ in simulation.ledger()]


def fails_over(simulation: Simulation) -> timedelta:
    """Wait for the next carrier; tell how long that took."""
    since = simulation.now
    simulation.until(lambda it: it.delivery().carrier == "borzo")
    simulation.work()
    return simulation.now - since


@pytest.mark.quirk("D-19")
def test_an_order_to_be_paid_at_the_door_goes_past_a_carrier_that_collects_nothing(simulation: Simulation) -> None:
    with capture_logs() as logs:
        simulation.place(store_id="17", **OWED)
        simulation.work()
    assert (simulation.status(), carriers(simulation)) == ("created", ["borzo"])
    assert [each.carrier for each in simulation.delivery().attempts] == ["borzo"]
    passed = [each for each in logs if each["event"] == "carrier.passed_over"]
    assert passed == [
        {
            "event": "carrier.passed_over",
            "log_level": "info",
            "carrier": "deliverit",
            "order_id": "2011",
            "reason": "unserviceable",
        }
    ]


def test_an_order_that_nobody_can_take_is_rejected_as_it_comes_in(simulation: Simulation) -> None:
    simulation.place(store_id="17", carriers=["deliverit"], **OWED)
    simulation.work()
    assert (simulation.published(), simulation.ledger()) == (["queued", "rejected", "delivery.dispatch_failed"], [])
    (_, rejected, _) = simulation.events()
    assert (rejected["data"]["reason"], rejected["data"]["reason_text"]) == (
        "unserviceable",
        "deliverit: payment.prepaid: this carrier cannot collect money",
    )


def test_the_settings_of_an_account_send_an_order_elsewhere(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, CARRIERS__DELIVERIT__POSTAL_CODES="80,82")
    simulation.place(store_id="17")
    simulation.work()
    assert carriers(simulation) == ["borzo"]
    simulation.close()


def test_an_order_leaves_a_carrier_that_a_person_has_paused_after_two_minutes(simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, "deliverit", "operator", "a holiday", simulation.now)
    simulation.place(store_id="17")
    simulation.work()
    with capture_logs() as logs:
        assert fails_over(simulation) == timedelta(minutes=2)
    assert (simulation.published(), carriers(simulation)) == (["queued", "delivery.updated", "created"], ["borzo"])
    assert [(each["carrier"], each["following"]) for each in logs if each["event"] == "carrier.failed_over"] == [
        ("deliverit", "borzo")
    ]
    simulation.container.database.write(accounts.resume, "deliverit", "operator", simulation.now)
    simulation.until(lambda it: it.delivery().final, step=30)
    assert (simulation.status(), carriers(simulation)) == ("delivered", ["borzo"])


@pytest.mark.fault("F-26")
def test_an_order_whose_carrier_refuses_connections_has_one_courier_whoever_answers_first(
    simulation: Simulation, wire: Wire
) -> None:
    down = {"deliverit", "borzo"}
    wire.instead = lambda account, _call: Unavailable("connection refused") if account in down else None
    simulation.place(store_id="17")
    with capture_logs() as logs:
        simulation.work()
        assert fails_over(simulation) <= timedelta(minutes=2, seconds=10)
    assert [(each["carrier"], each["following"]) for each in logs if each["event"] == "carrier.failed_over"] == [
        ("deliverit", "borzo")
    ]
    simulation.until(lambda it: it.delivery().carrier == "deliverit")
    down.clear()
    simulation.until(lambda it: it.status() != DeliveryStatus.QUEUED)
    states = {each.carrier: each.state for each in simulation.delivery().attempts}
    assert (states, carriers(simulation)) == ({"deliverit": "created", "borzo": "queued"}, ["deliverit"])
    simulation.until(lambda it: it.delivery().final, step=30)
    simulation.until(lambda it: it.now > START + timedelta(hours=4), step=600)
    assert (simulation.status(), carriers(simulation)) == ("delivered", ["deliverit"])


def test_a_preorder_is_not_given_away_before_its_time(simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, "deliverit", "operator", "", simulation.now)
    simulation.place(store_id="17", deliver_at="2026-11-21T22:00:00Z")
    simulation.until(lambda it: it.now == START + timedelta(hours=4), step=1800)
    simulation.until(lambda it: it.delivery().carrier == "borzo", step=60)
    assert simulation.now == START + timedelta(hours=4, minutes=32)


def test_a_carrier_that_lets_us_in_again_in_time_keeps_its_order(simulation: Simulation) -> None:
    fault(simulation, "unauthorized", "deliverit")
    simulation.place(store_id="17")
    simulation.work()
    simulation.pass_time(60)
    mend(simulation)
    simulation.container.database.write(accounts.resume, "deliverit", "operator", simulation.now)
    simulation.pass_time(1)
    assert (simulation.status(), carriers(simulation)) == ("created", ["deliverit"])
