"""The choice of a carrier: one that cannot take an order is skipped, one that cannot be reached is left in time."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.status import DeliveryStatus
from tests.services.gateways import ScriptedGateway
from tests.services.simulation import START, Simulation
from worker.database import accounts
from worker.errors import Unavailable

PAID_AT_THE_DOOR: dict[str, Any] = {
    "payment": {"prepaid": False, "amount": "125.00", "currency": "BRL", "method": "cash"}
}


def carriers(simulation: Simulation) -> list[str]:
    return [carrier for carrier, _ in simulation.ledger()]


def time_to_fail_over(simulation: Simulation) -> timedelta:
    """Wait until the order is at the next carrier and return how long that took."""
    since = simulation.now
    simulation.until(lambda it: it.delivery().carrier == "borzo")
    simulation.work()
    return simulation.now - since


@pytest.mark.quirk("D-19")
def test_an_order_that_is_paid_at_the_door_skips_a_carrier_that_collects_no_money(simulation: Simulation) -> None:
    with capture_logs() as logs:
        simulation.place(store_id="17", **PAID_AT_THE_DOOR)
        simulation.work()
    assert (simulation.status(), carriers(simulation)) == ("created", ["borzo"])
    assert [each.carrier for each in simulation.delivery().attempts] == ["borzo"]
    skipped = [each for each in logs if each["event"] == "carrier.passed_over"]
    assert skipped == [
        {
            "event": "carrier.passed_over",
            "log_level": "info",
            "account": "deliverit",
            "order_id": "2011",
            "delivery_id": simulation.delivery().id,
            "reason": "unserviceable",
        }
    ]


def test_an_order_that_no_carrier_can_take_is_rejected_at_once(simulation: Simulation) -> None:
    simulation.place(store_id="17", carriers=["deliverit"], **PAID_AT_THE_DOOR)
    simulation.work()
    assert (simulation.published(), simulation.ledger()) == (["queued", "rejected", "delivery.dispatch_failed"], [])
    (_, rejected, _) = simulation.events()
    assert (rejected["data"]["reason"], rejected["data"]["reason_text"]) == (
        "unserviceable",
        "deliverit: payment.prepaid: this carrier cannot collect money",
    )


def test_an_order_outside_the_postal_codes_of_an_account_goes_to_the_next_carrier(tmp_path: Path) -> None:
    with closing(Simulation(tmp_path, CARRIERS__DELIVERIT__POSTAL_CODES="80,82")) as simulation:
        simulation.place(store_id="17")
        simulation.work()
        assert carriers(simulation) == ["borzo"]


def test_an_order_at_a_paused_carrier_fails_over_after_two_minutes(simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, "deliverit", "operator", "a holiday", simulation.now)
    simulation.place(store_id="17")
    simulation.work()
    with capture_logs() as logs:
        assert time_to_fail_over(simulation) == timedelta(minutes=2)
    assert (simulation.published(), carriers(simulation)) == (["queued", "delivery.updated", "created"], ["borzo"])
    assert [
        (each["order_id"], each["account"], each["following"])
        for each in logs
        if each["event"] == "carrier.failed_over"
    ] == [("2011", "deliverit", "borzo")]
    simulation.container.database.write(accounts.resume, "deliverit", "operator", simulation.now)
    simulation.until(lambda it: it.delivery().final, step=30)
    assert (simulation.status(), carriers(simulation)) == ("delivered", ["borzo"])


@pytest.mark.fault("F-26")
def test_an_order_whose_carriers_refuse_connections_gets_one_courier_from_the_first_that_recovers(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    down = {"deliverit", "borzo"}
    gateway.outcome = lambda account, _call: Unavailable("connection refused") if account in down else None
    simulation.place(store_id="17")
    with capture_logs() as logs:
        simulation.work()
        assert time_to_fail_over(simulation) <= timedelta(minutes=2, seconds=10)
    assert [
        (each["order_id"], each["account"], each["following"])
        for each in logs
        if each["event"] == "carrier.failed_over"
    ] == [("2011", "deliverit", "borzo")]
    simulation.until(lambda it: it.delivery().carrier == "deliverit")
    down.clear()
    simulation.until(lambda it: it.status() != DeliveryStatus.QUEUED)
    states = {each.carrier: each.state for each in simulation.delivery().attempts}
    assert (states, carriers(simulation)) == ({"deliverit": "created", "borzo": "queued"}, ["deliverit"])
    simulation.until(lambda it: it.delivery().final, step=30)
    simulation.until(lambda it: it.now > START + timedelta(hours=4), step=600)
    assert (simulation.status(), carriers(simulation)) == ("delivered", ["deliverit"])


def test_a_preorder_does_not_fail_over_before_its_dispatch_time(simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, "deliverit", "operator", "", simulation.now)
    simulation.place(store_id="17", deliver_at="2026-11-21T22:00:00Z")
    simulation.until(lambda it: it.now == START + timedelta(hours=4), step=1800)
    simulation.until(lambda it: it.delivery().carrier == "borzo", step=60)
    assert simulation.now == START + timedelta(hours=4, minutes=32)


def test_a_carrier_that_recovers_in_time_keeps_its_order(simulation: Simulation) -> None:
    simulation.inject_fault("unauthorized", "deliverit", times=None)
    simulation.place(store_id="17")
    simulation.work()
    simulation.pass_time(60)
    simulation.sandbox.faults.clear()
    simulation.container.database.write(accounts.resume, "deliverit", "operator", simulation.now)
    simulation.pass_time(1)
    assert (simulation.status(), carriers(simulation)) == ("created", ["deliverit"])
