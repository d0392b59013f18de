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
def wire(street: Simulation) -> Wire:
    return Wire(street)


def carriers(street: Simulation) -> list[str]:
    return [carrier for carrier, _ in street.ledger()]


def fails_over(street: Simulation) -> timedelta:
    """Wait for the next carrier; tell how long that took."""
    since = street.now
    street.until(lambda it: it.delivery().carrier == "borzo")
    street.work()
    return street.now - since


@pytest.mark.quirk("D-19")
def test_an_order_to_be_paid_at_the_door_goes_past_a_carrier_that_collects_nothing(street: Simulation) -> None:
    with capture_logs() as logs:
        street.place(store_id="17", **OWED)
        street.work()
    assert (street.status(), carriers(street)) == ("created", ["borzo"])
    assert [each.carrier for each in street.delivery().attempts] == ["borzo"]
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


def test_an_order_that_nobody_can_take_is_rejected_as_it_comes_in(street: Simulation) -> None:
    street.place(store_id="17", carriers=["deliverit"], **OWED)
    street.work()
    assert (street.told(), street.ledger()) == (["queued", "rejected", "delivery.dispatch_failed"], [])
    (_, rejected, _) = street.events()
    assert (rejected["data"]["reason"], rejected["data"]["reason_text"]) == (
        "unserviceable",
        "deliverit: payment.prepaid: this carrier cannot collect money",
    )


def test_the_settings_of_an_account_send_an_order_elsewhere(tmp_path: Path) -> None:
    street = Simulation(tmp_path, CARRIERS__DELIVERIT__POSTAL_CODES="80,82")
    street.place(store_id="17")
    street.work()
    assert carriers(street) == ["borzo"]
    street.close()


def test_an_order_leaves_a_carrier_that_a_person_has_paused_after_two_minutes(street: Simulation) -> None:
    street.container.database.write(accounts.pause, "deliverit", "operator", "a holiday", street.now)
    street.place(store_id="17")
    street.work()
    with capture_logs() as logs:
        assert fails_over(street) == timedelta(minutes=2)
    assert (street.told(), carriers(street)) == (["queued", "delivery.updated", "created"], ["borzo"])
    assert [(each["carrier"], each["following"]) for each in logs if each["event"] == "carrier.failed_over"] == [
        ("deliverit", "borzo")
    ]
    street.container.database.write(accounts.resume, "deliverit", "operator", street.now)
    street.until(lambda it: it.delivery().final, step=30)
    assert (street.status(), carriers(street)) == ("delivered", ["borzo"])


@pytest.mark.fault("F-26")
def test_an_order_whose_carrier_refuses_connections_has_one_courier_whoever_answers_first(
    street: Simulation, wire: Wire
) -> None:
    down = {"deliverit", "borzo"}
    wire.instead = lambda account, _call: Unavailable("connection refused") if account in down else None
    street.place(store_id="17")
    with capture_logs() as logs:
        street.work()
        assert fails_over(street) <= timedelta(minutes=2, seconds=10)
    assert [(each["carrier"], each["following"]) for each in logs if each["event"] == "carrier.failed_over"] == [
        ("deliverit", "borzo")
    ]
    street.until(lambda it: it.delivery().carrier == "deliverit")
    down.clear()
    street.until(lambda it: it.status() != DeliveryStatus.QUEUED)
    states = {each.carrier: each.state for each in street.delivery().attempts}
    assert (states, carriers(street)) == ({"deliverit": "created", "borzo": "queued"}, ["deliverit"])
    street.until(lambda it: it.delivery().final, step=30)
    street.until(lambda it: it.now > START + timedelta(hours=4), step=600)
    assert (street.status(), carriers(street)) == ("delivered", ["deliverit"])


def test_a_preorder_is_not_given_away_before_its_time(street: Simulation) -> None:
    street.container.database.write(accounts.pause, "deliverit", "operator", "", street.now)
    street.place(store_id="17", deliver_at="2026-11-21T22:00:00Z")
    street.until(lambda it: it.now == START + timedelta(hours=4), step=1800)
    street.until(lambda it: it.delivery().carrier == "borzo", step=60)
    assert street.now == START + timedelta(hours=4, minutes=32)


def test_a_carrier_that_lets_us_in_again_in_time_keeps_its_order(street: Simulation) -> None:
    fault(street, "unauthorized", "deliverit")
    street.place(store_id="17")
    street.work()
    street.pass_time(60)
    mend(street)
    street.container.database.write(accounts.resume, "deliverit", "operator", street.now)
    street.pass_time(1)
    assert (street.status(), carriers(street)) == ("created", ["deliverit"])
