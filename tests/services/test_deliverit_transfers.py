"""Orders that are handed to DeliverIt for a driver to be booked by hand, end to end."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.status import DeliveryStatus
from tests.services.simulation import Simulation
from worker.carriers.port import Observation
from worker.domain import lifecycle

HANDED_OVER = ["queued", "awaiting_confirmation (manual_dispatch)"]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path, CARRIERS__DELIVERIT__MODE="transfer")
    yield made
    made.close()


def spoil(street: Simulation, kind: str, operation: str, times: int = 1) -> None:
    fault = {"kind": kind, "api": "deliverit_info", "operation": operation, "times": times}
    street.ask("POST", "/sandbox/faults", fault)


def handed_over(street: Simulation, script: str = "happy", **more: Any) -> None:
    street.place(script, store_id="17", ready_at="2026-11-21T19:00:00+00:00", **more)
    street.work()


def book_by_hand(street: Simulation) -> None:
    """Book the driver in DeliverIt's pages."""
    street.ask("POST", f"/sandbox/orders/deliverit_info/{details(street).reference}/book", {"pickup_in": 7200})


def details(street: Simulation) -> Any:
    (order,) = street.sandbox.order_info.orders.values()
    return order


@pytest.mark.quirk("D-70", "D-72")
def test_an_order_waits_for_its_driver_and_is_followed_once_he_is_booked_by_hand(street: Simulation) -> None:
    handed_over(street)
    for _ in range(5):
        street.pass_time(60)
    assert street.told() == HANDED_OVER
    price = street.events()[-1]["data"]["price"]
    assert (price["amount"], price["currency"], price["vat"]) == ("125.00", "DKK", "included")
    book_by_hand(street)
    street.until(lambda it: it.status() == "delivered")
    assert [word for word in street.told()[2:] if word != "delivery.updated"] == [
        "created", "pickup_arrived", "picked_up", "dropoff_arrived", "delivered",
    ]  # fmt: skip
    assert [carrier for carrier, _ in street.ledger()] == ["deliverit_info", "deliverit"]
    assert street.delivery().attempts[0].ref == details(street).id


def test_the_sandboxs_script_books_a_driver_at_once(street: Simulation) -> None:
    handed_over(street, "booked")
    street.until(lambda it: it.status() == "delivered", step=30)
    assert street.told()[:2] == HANDED_OVER


@pytest.mark.quirk("D-70")
def test_an_order_whose_driver_nobody_books_asks_for_a_person_and_no_other_carrier(street: Simulation) -> None:
    handed_over(street)
    street.until(lambda it: it.delivery().attention is not None, step=300)
    assert (street.status(), street.delivery().attention) == ("awaiting_confirmation", "not_dispatched_in_time")
    assert [carrier for carrier, _ in street.ledger()] == ["deliverit_info"]
    book_by_hand(street)
    street.until(lambda it: it.status() == "created")
    assert street.delivery().attention is None


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-60", "D-70")
def test_a_driver_who_is_booked_twice_by_hand_comes_once(street: Simulation) -> None:
    handed_over(street)
    book_by_hand(street)
    street.until(lambda it: it.status() == "created")
    second = street.sandbox.order_info.book(details(street), timedelta(hours=2))
    second.scenario.hold(street.now, "booked")
    street.until(lambda it: it.status() == "delivered", step=30)
    assert ("delivery.conflict" in street.told(), second.scenario.status(street.now)) == (True, "cancelled")
    assert street.ledger("cancel") == [("deliverit", second.id)]


@pytest.mark.quirk("D-19", "D-71")
def test_an_unpaid_order_is_not_handed_over(street: Simulation) -> None:
    handed_over(street, payment={"prepaid": False, "amount": "125.00", "currency": "DKK"})
    street.until(lambda it: it.delivery().final, step=30)
    assert "deliverit_info" not in [carrier for carrier, _ in street.ledger()]


@pytest.mark.quirk("D-78")
def test_an_order_without_a_driver_is_cancelled_by_the_carriers_word(street: Simulation) -> None:
    handed_over(street)
    street.cancel(store_id="17")
    street.work()
    assert street.told()[2:] == ["delivery.attempt_ended", "cancelled"]
    assert street.events()[-1]["data"]["cancelled_by"] == "customer"
    assert (details(street).scenario.status(street.now), street.ledger("cancel")) == (
        "cancelled", [("deliverit_info", details(street).id)],
    )  # fmt: skip


@pytest.mark.quirk("C-47", "D-78")
def test_an_order_with_a_driver_is_cancelled_once_the_list_shows_it(street: Simulation) -> None:
    handed_over(street)
    book_by_hand(street)
    street.until(lambda it: it.status() == "created")
    street.cancel(store_id="17")
    street.work()
    assert street.status() == "created"
    street.until(lambda it: it.delivery().final, step=30)
    assert (street.told()[-1], street.events()[-1]["data"]["cancelled_by"]) == ("cancelled", "customer")
    assert [carrier for carrier, _ in street.ledger("cancel")] == ["deliverit_info"]


@pytest.mark.quirk("C-47", "D-78")
def test_the_carriers_word_alone_cancels_nothing_that_somebody_drives_for_by_then(street: Simulation) -> None:
    handed_over(street)
    book_by_hand(street)
    street.until(lambda it: it.status() == "created")
    attempt, said = street.delivery().attempts[0].id, Observation(DeliveryStatus.CANCELLED, None)
    street.decide(lambda it: lifecycle.apply_cancel_outcome(it, attempt, said, street.container.terms, street.now))
    assert street.status() == "created"


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-78")
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_a_cancel_whose_answer_was_lost_is_asked_for_again(street: Simulation, kind: str) -> None:
    handed_over(street)
    spoil(street, kind, "cancel")
    street.cancel(store_id="17")
    street.until(lambda it: it.delivery().final, step=30)
    assert (street.told()[-1], details(street).scenario.status(street.now)) == ("cancelled", "cancelled")


@pytest.mark.quirk("D-40", "D-78")
def test_a_driver_who_is_too_close_is_not_cancelled(street: Simulation) -> None:
    handed_over(street)
    door = f"/sandbox/orders/deliverit_info/{details(street).reference}/book"
    street.ask("POST", door, {"pickup_in": 600})
    street.cancel(store_id="17")  # before the list was read: only DeliverIt's own 202 can tell
    street.work()
    refused = street.events()[-1]
    assert (refused["type"], refused["data"]["reason"]) == ("delivery.cancel_refused", "deadline_passed")
    street.until(lambda it: it.status() == "delivered", step=30)


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-60", "D-74")
@pytest.mark.parametrize(
    ("kind", "number_known"), [("error_before", True), ("drop_before", True), ("error_after", False), ("late", False)]
)
def test_a_transfer_in_doubt_is_settled_without_a_second_entry(
    street: Simulation, kind: str, *, number_known: bool
) -> None:
    spoil(street, kind, "create")
    handed_over(street)
    assert street.status() == "submit_unknown"
    street.until(lambda it: it.status() == "awaiting_confirmation")
    street.pass_time(60)
    assert [carrier for carrier, _ in street.ledger()] == ["deliverit_info"]
    assert street.delivery().attention == (None if number_known else "reference_missing")
    book_by_hand(street)
    street.until(lambda it: it.status() != "awaiting_confirmation")
    assert street.delivery().attention is None
    street.until(lambda it: it.status() == "delivered", step=30)
    assert len(street.delivery().attempts) == 1


@pytest.mark.quirk("D-74")
def test_a_doubt_that_a_person_was_asked_about_is_no_question_once_it_is_settled(street: Simulation) -> None:
    spoil(street, "error_before", "create", times=1000)
    handed_over(street)
    street.until(lambda it: it.delivery().attention == "outcome_unknown", step=300)
    street.sandbox.faults.clear()
    street.until(lambda it: it.status() == "awaiting_confirmation")
    assert (street.delivery().attention, len(street.ledger())) == (None, 1)


@pytest.mark.fault("F-68")
@pytest.mark.quirk("D-74")
def test_what_a_person_wrote_off_is_not_made_by_looking_for_it(street: Simulation) -> None:
    spoil(street, "error_before", "create", times=1)
    handed_over(street)
    street.decide(lambda it: lifecycle.resolve_unknown_outcome(it, None, street.container.terms, street.now))
    street.cancel(store_id="17")
    for _ in range(30):
        street.pass_time(60)
    assert (street.status(), street.ledger()) == ("cancelled", [])


@pytest.mark.quirk("D-74")
def test_a_person_tells_the_number_of_an_order_whose_links_were_lost_and_it_can_be_cancelled(
    street: Simulation,
) -> None:
    spoil(street, "error_after", "create")
    handed_over(street)
    street.until(lambda it: it.delivery().attention == "reference_missing")
    street.decide(
        lambda it: lifecycle.resolve_unknown_outcome(it, details(street).id, street.container.terms, street.now)
    )
    street.cancel(store_id="17")
    street.until(lambda it: it.delivery().final, step=30)
    assert (street.status(), details(street).scenario.status(street.now)) == ("cancelled", "cancelled")


@pytest.mark.quirk("D-75")
def test_an_order_that_was_not_saved_is_sent_again_under_its_number(street: Simulation) -> None:
    strange = "Some strange error has occured. Please try again. If the error remains, please contact DeliverIt"
    body = {"error": True, "message": strange}
    fault = {"kind": "error_before", "api": "deliverit_info", "operation": "create", "status": 400, "body": body}
    street.ask("POST", "/sandbox/faults", {**fault, "times": 2})
    handed_over(street)
    street.until(lambda it: it.status() == "awaiting_confirmation")
    assert (street.told(), len(street.ledger()), len(street.delivery().attempts)) == (HANDED_OVER, 1, 1)


@pytest.mark.quirk("D-76", "D-77")
@pytest.mark.parametrize("kind", [None, "error_after"])
def test_a_change_is_carried_to_an_order_that_has_no_driver_yet(street: Simulation, kind: str | None) -> None:
    handed_over(street)
    if kind:
        spoil(street, kind, "update")
    changed(street, notes="no onions")
    street.until(lambda it: [each.sent_fingerprint for each in it.delivery().attempts] == [it.delivery().fingerprint])
    assert details(street).form["remarks"].endswith("no onions")
    assert (street.status(), street.delivery().attention) == ("awaiting_confirmation", None)
    assert {carrier for carrier, _ in street.ledger("edit")} == {"deliverit_info"}


@pytest.mark.quirk("D-77")
def test_a_change_after_a_driver_is_booked_is_left_to_a_person(street: Simulation) -> None:
    handed_over(street)
    book_by_hand(street)
    street.until(lambda it: it.status() == "created")
    changed(street, notes="no onions")
    street.until(lambda it: it.delivery().attention is not None)
    assert (street.delivery().attention, street.ledger("edit")) == ("order_changed_after_dispatch", [])


def changed(street: Simulation, **fields: Any) -> None:
    """Let the platform change the order."""
    update = street.placed()
    update.update(id="update", type="order.updated")
    update["data"].update(fields, revision=2)
    street.put(json.dumps(update))
    street.work()
