"""Creates with an unknown outcome: they never lead to a second courier, and never silently to none."""

import json

import pytest

from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.domain import lifecycle
from worker.domain.delivery import Step

WITH_LOOK_UP = [("21", "borzo"), ("17", "deliverit")]


@pytest.mark.fault("F-27", "F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), WITH_LOOK_UP)
def test_an_order_that_was_created_behind_an_error_is_found_and_tracked(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.inject_fault("error_after", carrier, operation="create")
    simulation.place(store_id=store_id)
    simulation.work()
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "delivered")
    assert [each for each, _ in simulation.ledger()] == [carrier]
    assert simulation.published()[:2] == ["queued", "submit_unknown"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), WITH_LOOK_UP)
def test_an_order_that_was_never_created_is_sent_again_only_after_proof_of_absence(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.inject_fault("error_before", carrier, operation="create")
    simulation.place(store_id=store_id)
    simulation.until(lambda it: bool(it.ledger()))
    assert (simulation.now - simulation.delivery().attempts[0].submitted_at).total_seconds() >= 45 + 120
    simulation.until(lambda it: it.status() == "delivered")
    assert [each for each, _ in simulation.ledger()] == [carrier]
    assert simulation.published()[:4] == ["queued", "submit_unknown", "queued (resubmit)", "created"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("X-03")
def test_an_unknown_outcome_at_the_first_carrier_blocks_the_second(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "deliverit", operation="create", times=2)
    simulation.place(store_id="17")
    for _ in range(120):
        simulation.pass_time(10)
    assert simulation.ledger() == []
    assert (simulation.status(), simulation.delivery().attention) == ("submit_unknown", "outcome_unknown")


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-23")
def test_an_unknown_outcome_at_cervo_waits_for_an_operator_when_no_callback_comes(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create")
    simulation.place()
    for _ in range(60):
        simulation.pass_time(10)
    assert simulation.published() == ["queued", "submit_unknown", "delivery.attention_required"]
    assert simulation.ledger() == []
    simulation.decide(
        lambda it: lifecycle.resolve_unknown_outcome(it, None, simulation.container.terms, simulation.now)
    )
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-17", "C-23", "C-24")
def test_cervos_callback_proves_that_the_order_exists(simulation: Simulation) -> None:
    simulation.inject_fault("error_after", "cervo", operation="create")
    simulation.place()
    simulation.work()
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert [each for each in simulation.published() if each.startswith("delivery.attention")] == [
        "delivery.attention_required"
    ]
    changes = [event for event in simulation.events()[2:] if event["type"] == "delivery.status_changed"]
    assert {event["data"]["cause"] for event in changes} == {"callback"}


@pytest.mark.fault("F-02")
@pytest.mark.quirk("X-03")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_died_during_its_create_leaves_an_unknown_outcome_and_no_second_courier(
    simulation: Simulation, store_id: str
) -> None:
    simulation.lose_wake_ups = True
    simulation.place(store_id=store_id)
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.decide(
        lambda it: lifecycle.begin_booking(it, *new_attempt(), simulation.container.terms, simulation.now)
    )
    simulation.until(lambda it: it.status() == "submit_unknown")
    assert simulation.ledger() == []
    assert simulation.delivery().step is Step.RECONCILE


def test_an_order_that_moves_to_an_unknown_store_is_still_looked_for_where_it_may_have_been_created(
    simulation: Simulation,
) -> None:
    simulation.inject_fault("error_before", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    simulation.inject_fault("unauthorized", "borzo", operation="create")
    simulation.until(lambda it: it.delivery().attempts[0].ended_at is not None)
    moved = simulation.placed()
    simulation.put(json.dumps({**moved, "id": "2", "data": {**moved["data"], "revision": 2, "store_id": "999"}}))
    for _ in range(20):
        simulation.pass_time(30)
    assert (simulation.delivery().attention, simulation.delivery().attempts[0].follow_up_reads) == ("unknown_store", 3)
    simulation.put(json.dumps({**moved, "id": "3", "data": {**moved["data"], "revision": 3}}))
    simulation.until(lambda it: it.status() == "delivered")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_cancel_during_an_unknown_outcome_is_executed_once_the_order_is_found(simulation: Simulation) -> None:
    simulation.inject_fault("error_after", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    simulation.cancel(store_id="21")
    simulation.until(lambda it: it.delivery().final)
    assert simulation.status() == "cancelled"
    assert [each for each, _ in simulation.ledger("cancel")] == ["borzo"]


@pytest.mark.quirk("C-21")
def test_an_id_that_another_order_has_already_is_an_unknown_outcome(simulation: Simulation) -> None:
    simulation.place()
    simulation.work()
    known = simulation.delivery().attempts[0].ref
    simulation.inject_fault("html", "cervo", operation="create", body=known)
    simulation.place(order_id="2012")
    simulation.work()
    assert (simulation.status("2012"), simulation.delivery("2012").attempts[0].ref) == ("submit_unknown", None)
    assert simulation.published("2012") == ["queued", "submit_unknown"]


@pytest.mark.quirk("C-21")
def test_one_id_for_two_orders_that_were_created_together_counts_once(simulation: Simulation) -> None:
    simulation.inject_fault("html", "cervo", operation="create", body="99999", times=2)
    for order_id in ("1", "2"):
        simulation.place(order_id=order_id)
    simulation.app.tasks["deliveries.book"]("cervo", [simulation.delivery(order_id).id for order_id in ("1", "2")])
    assert sorted(simulation.status(order_id) for order_id in ("1", "2")) == ["created", "submit_unknown"]
