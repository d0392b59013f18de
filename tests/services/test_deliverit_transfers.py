"""Orders that are transferred to DeliverIt, where an operator books their driver by hand, end to end."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.status import DeliveryStatus
from tests.services.simulation import Simulation
from worker.carriers.port import Observation
from worker.domain import lifecycle

TRANSFERRED = ["queued", "awaiting_confirmation (manual_dispatch)"]


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path, CARRIERS__DELIVERIT__MODE="transfer")) as running:
        yield running


def transfer(simulation: Simulation, script: str = "happy", **more: Any) -> None:
    simulation.place(script, store_id="17", ready_at="2026-11-21T19:00:00+00:00", **more)
    simulation.work()


def book_by_hand(simulation: Simulation) -> None:
    """Book the driver, as an operator does on DeliverIt's pages."""
    simulation.ask("POST", f"/sandbox/orders/deliverit_info/{details(simulation).reference}/book", {"pickup_in": 7200})


def details(simulation: Simulation) -> Any:
    (order,) = simulation.sandbox.order_info.orders.values()
    return order


@pytest.mark.quirk("D-70", "D-72")
def test_a_transferred_order_waits_for_its_driver_and_is_tracked_once_they_are_booked_by_hand(
    simulation: Simulation,
) -> None:
    transfer(simulation)
    for _ in range(5):
        simulation.pass_time(60)
    assert simulation.published() == TRANSFERRED
    price = simulation.events()[-1]["data"]["price"]
    assert (price["amount"], price["currency"], price["vat"]) == ("125.00", "DKK", "included")
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() == "delivered")
    assert [each for each in simulation.published()[2:] if each != "delivery.updated"] == [
        "created", "pickup_arrived", "picked_up", "dropoff_arrived", "delivered",
    ]  # fmt: skip
    assert [carrier for carrier, _ in simulation.ledger()] == ["deliverit_info", "deliverit"]
    assert simulation.delivery().attempts[0].ref == details(simulation).id


def test_a_transferred_order_whose_driver_is_booked_at_once_is_delivered(simulation: Simulation) -> None:
    transfer(simulation, "booked")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert simulation.published()[:2] == TRANSFERRED


@pytest.mark.quirk("D-70")
def test_a_transferred_order_without_a_driver_requests_attention_and_tries_no_other_carrier(
    simulation: Simulation,
) -> None:
    transfer(simulation)
    simulation.until(lambda it: it.delivery().attention is not None, step=300)
    assert (simulation.status(), simulation.delivery().attention) == ("awaiting_confirmation", "not_dispatched_in_time")
    assert [carrier for carrier, _ in simulation.ledger()] == ["deliverit_info"]
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() == "created")
    assert simulation.delivery().attention is None


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-60", "D-70")
def test_a_transferred_order_that_is_booked_twice_by_hand_gets_one_driver(simulation: Simulation) -> None:
    transfer(simulation)
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() == "created")
    second = simulation.sandbox.order_info.book(details(simulation), timedelta(hours=2))
    second.scenario.hold(simulation.now, "booked")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert ("delivery.conflict" in simulation.published(), second.scenario.status(simulation.now)) == (
        True,
        "cancelled",
    )
    assert simulation.ledger("cancel") == [("deliverit", second.id)]


@pytest.mark.quirk("D-19", "D-71")
def test_an_unpaid_order_is_not_transferred(simulation: Simulation) -> None:
    transfer(simulation, payment={"prepaid": False, "amount": "125.00", "currency": "DKK"})
    simulation.until(lambda it: it.delivery().final, step=30)
    assert "deliverit_info" not in [carrier for carrier, _ in simulation.ledger()]


@pytest.mark.quirk("D-78")
def test_a_transferred_order_without_a_driver_is_cancelled_by_the_carriers_reply(simulation: Simulation) -> None:
    transfer(simulation)
    simulation.cancel(store_id="17")
    simulation.work()
    assert simulation.published()[2:] == ["delivery.attempt_ended", "cancelled"]
    assert simulation.events()[-1]["data"]["cancelled_by"] == "customer"
    assert (details(simulation).scenario.status(simulation.now), simulation.ledger("cancel")) == (
        "cancelled", [("deliverit_info", details(simulation).id)],
    )  # fmt: skip


@pytest.mark.quirk("C-47", "D-78")
def test_a_transferred_order_with_a_driver_is_cancelled_once_the_list_shows_it(simulation: Simulation) -> None:
    transfer(simulation)
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() == "created")
    simulation.cancel(store_id="17")
    simulation.work()
    assert simulation.status() == "created"
    simulation.until(lambda it: it.delivery().final, step=30)
    assert (simulation.published()[-1], simulation.events()[-1]["data"]["cancelled_by"]) == ("cancelled", "customer")
    assert [carrier for carrier, _ in simulation.ledger("cancel")] == ["deliverit_info"]


@pytest.mark.quirk("C-47", "D-78")
def test_the_carriers_reply_alone_cancels_no_transferred_order_that_has_a_driver(simulation: Simulation) -> None:
    transfer(simulation)
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() == "created")
    attempt, reply = simulation.delivery().attempts[0].id, Observation(DeliveryStatus.CANCELLED, None)
    simulation.decide(
        lambda it: lifecycle.apply_cancel_outcome(it, attempt, reply, simulation.container.terms, simulation.now)
    )
    assert simulation.status() == "created"


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-78")
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_a_cancel_of_a_transfer_whose_reply_was_lost_is_sent_again(simulation: Simulation, kind: str) -> None:
    transfer(simulation)
    simulation.inject_fault(kind, "deliverit_info", operation="cancel")
    simulation.cancel(store_id="17")
    simulation.until(lambda it: it.delivery().final, step=30)
    assert (simulation.published()[-1], details(simulation).scenario.status(simulation.now)) == (
        "cancelled",
        "cancelled",
    )


@pytest.mark.quirk("D-40", "D-78")
def test_a_driver_who_is_too_close_to_the_pickup_is_not_cancelled(simulation: Simulation) -> None:
    transfer(simulation)
    path = f"/sandbox/orders/deliverit_info/{details(simulation).reference}/book"
    simulation.ask("POST", path, {"pickup_in": 600})
    simulation.cancel(store_id="17")  # before the list was read: only DeliverIt's 202 shows it
    simulation.work()
    refused, _, asked = simulation.events()[-3:]
    assert (refused["type"], refused["data"]["reason"]) == ("delivery.cancel_refused", "deadline_passed")
    assert asked["data"]["reason_text"] == "cancel_refused"
    simulation.until(lambda it: it.status() == "delivered", step=30)


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-60", "D-74")
@pytest.mark.parametrize(
    ("kind", "number_known"), [("error_before", True), ("drop_before", True), ("error_after", False), ("late", False)]
)
def test_a_transfer_with_an_unknown_outcome_is_resolved_without_a_second_entry(
    simulation: Simulation, kind: str, *, number_known: bool
) -> None:
    simulation.inject_fault(kind, "deliverit_info", operation="create")
    transfer(simulation)
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "awaiting_confirmation")
    simulation.pass_time(60)
    assert [carrier for carrier, _ in simulation.ledger()] == ["deliverit_info"]
    assert simulation.delivery().attention == (None if number_known else "reference_missing")
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() != "awaiting_confirmation")
    assert simulation.delivery().attention is None
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert len(simulation.delivery().attempts) == 1


@pytest.mark.quirk("D-74")
def test_a_request_for_attention_is_cleared_once_the_unknown_outcome_is_resolved(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "deliverit_info", operation="create", times=1000)
    transfer(simulation)
    simulation.until(lambda it: it.delivery().attention == "outcome_unknown", step=300)
    simulation.sandbox.faults.clear()
    simulation.until(lambda it: it.status() == "awaiting_confirmation")
    assert (simulation.delivery().attention, len(simulation.ledger())) == (None, 1)


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-74")
def test_a_look_up_creates_no_order_that_an_operator_declared_never_created(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "deliverit_info", operation="create", times=1)
    transfer(simulation)
    simulation.decide(
        lambda it: lifecycle.resolve_unknown_outcome(it, None, simulation.container.terms, simulation.now)
    )
    simulation.cancel(store_id="17")
    for _ in range(30):
        simulation.pass_time(60)
    assert (simulation.status(), simulation.ledger()) == ("cancelled", [])


@pytest.mark.quirk("D-74")
def test_an_order_whose_lost_id_an_operator_supplies_can_be_cancelled(simulation: Simulation) -> None:
    simulation.inject_fault("error_after", "deliverit_info", operation="create")
    transfer(simulation)
    simulation.until(lambda it: it.delivery().attention == "reference_missing")
    simulation.decide(
        lambda it: lifecycle.resolve_unknown_outcome(
            it, details(simulation).id, simulation.container.terms, simulation.now
        )
    )
    simulation.cancel(store_id="17")
    simulation.until(lambda it: it.delivery().final, step=30)
    assert (simulation.status(), details(simulation).scenario.status(simulation.now)) == ("cancelled", "cancelled")


@pytest.mark.quirk("D-75")
def test_a_transfer_that_was_not_saved_is_sent_again_under_its_number(simulation: Simulation) -> None:
    message = "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt"
    body = {"error": True, "message": message}
    simulation.inject_fault("error_before", "deliverit_info", operation="create", status=400, body=body, times=2)
    transfer(simulation)
    simulation.until(lambda it: it.status() == "awaiting_confirmation")
    assert (simulation.published(), len(simulation.ledger()), len(simulation.delivery().attempts)) == (
        TRANSFERRED,
        1,
        1,
    )


@pytest.mark.quirk("D-76", "D-77")
@pytest.mark.parametrize("kind", [None, "error_after"])
def test_a_change_is_sent_to_a_transferred_order_that_has_no_driver_yet(
    simulation: Simulation, kind: str | None
) -> None:
    transfer(simulation)
    if kind:
        simulation.inject_fault(kind, "deliverit_info", operation="update")
    change_order(simulation, notes="no onions")
    simulation.until(
        lambda it: [each.sent_fingerprint for each in it.delivery().attempts] == [it.delivery().fingerprint]
    )
    assert details(simulation).form["remarks"].endswith("no onions")
    assert (simulation.status(), simulation.delivery().attention) == ("awaiting_confirmation", None)
    assert {carrier for carrier, _ in simulation.ledger("edit")} == {"deliverit_info"}


@pytest.mark.quirk("D-77")
def test_a_change_after_a_driver_is_booked_is_left_to_an_operator(simulation: Simulation) -> None:
    transfer(simulation)
    book_by_hand(simulation)
    simulation.until(lambda it: it.status() == "created")
    change_order(simulation, notes="no onions")
    simulation.until(lambda it: it.delivery().attention is not None)
    assert (simulation.delivery().attention, simulation.ledger("edit")) == ("order_changed_after_dispatch", [])


def change_order(simulation: Simulation, **fields: Any) -> None:
    """Put the changed order on the bus and run the tasks that follow."""
    update = simulation.placed()
    update.update(id="update", type="order.updated")
    update["data"].update(fields, revision=2)
    simulation.put(json.dumps(update))
    simulation.work()
