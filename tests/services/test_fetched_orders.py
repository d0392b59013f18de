"""Orders whose message gives only their id: they are fetched from the platform."""

import json

import pytest

from tests.services.simulation import Simulation
from worker.database import deliveries, inbox
from worker.domain.operator import Operator

OPERATOR = Operator("maria")


def test_an_order_named_by_its_id_is_fetched_from_the_platform(simulation: Simulation) -> None:
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    simulation.until(lambda it: it.status("5150") == "delivered")
    assert [each for each, _ in simulation.ledger()] == ["ordering", "deliverit"]


@pytest.mark.fault("F-81")
def test_an_order_that_is_fetched_long_after_its_time_is_rejected_and_can_be_retried(simulation: Simulation) -> None:
    old = {"created_at": "2026-11-01 12:00:00", "delivery_datetime_utc": None, "delivery_datetime": None}
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17, **old})
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    found = simulation.delivery("5150")
    assert (found.status, found.reason) == ("rejected", "deadline_passed")
    simulation.container.decisions.retry(found.id, OPERATOR)
    simulation.until(lambda it: it.status("5150") == "delivered")
    assert [each for each, _ in simulation.ledger()] == ["ordering", "deliverit"]


@pytest.mark.quirk("O-10")
def test_an_order_the_platform_does_not_know_is_quarantined_and_can_be_replayed(simulation: Simulation) -> None:
    simulation.put_message("order.placed", {"order_id": "404404"})
    simulation.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = simulation.container.database.read(inbox.dead_letters, 5)
    assert letter["reason"] == "the platform has no such order"
    (event,) = simulation.events(letter["id"])
    assert (event["data"]["order_id"], event["data"]["order_source"]) == ("404404", "demo")
    assert event["data"]["message_id"] != json.loads(letter["raw"])["id"]  # that of the platform, not of the replay
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 404404, "business_id": 17})
    simulation.put(letter["raw"])
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "404404")))


def test_an_order_whose_message_precedes_its_commit_is_fetched_later(simulation: Simulation) -> None:
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.pass_time()
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    assert simulation.container.database.read(inbox.dead_letters, 5) == []


def test_an_order_of_an_unreachable_platform_becomes_a_dead_letter(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "ordering", times=None)
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = simulation.container.database.read(inbox.dead_letters, 5)
    assert letter["reason"] == "the platform cannot be asked: the platform answered 500"
    assert simulation.container.database.write(inbox.claim_fetches, simulation.now, 5) == []
