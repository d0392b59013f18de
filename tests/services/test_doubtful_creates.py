"""Creates whose outcome nobody knows: never a second courier, never silently none."""

import json

import pytest

from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.database import deliveries, inbox
from worker.domain import lifecycle
from worker.domain.delivery import Step

FINDABLE = [("21", "borzo"), ("17", "deliverit")]


def spoil(simulation: Simulation, kind: str, api: str, times: int = 1) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": kind, "api": api, "operation": "create", "times": times})


@pytest.mark.fault("F-27", "F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), FINDABLE)
def test_an_order_created_behind_an_error_is_found_again_and_followed(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    spoil(simulation, "error_after", carrier)
    simulation.place(store_id=store_id)
    simulation.work()
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "delivered")
    assert [made for made, _ in simulation.ledger()] == [carrier]
    assert simulation.published()[:2] == ["queued", "submit_unknown"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), FINDABLE)
def test_an_order_that_was_never_created_is_sent_again_only_after_proof_of_absence(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    spoil(simulation, "error_before", carrier)
    simulation.place(store_id=store_id)
    simulation.until(lambda it: bool(it.ledger()))
    assert (simulation.now - simulation.delivery().attempts[0].submitted_at).total_seconds() >= 45 + 120
    simulation.until(lambda it: it.status() == "delivered")
    assert [made for made, _ in simulation.ledger()] == [carrier]
    assert simulation.published()[:4] == ["queued", "submit_unknown", "queued (resubmit)", "created"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("X-03")
def test_a_doubt_at_the_first_carrier_blocks_the_second(simulation: Simulation) -> None:
    spoil(simulation, "error_before", "deliverit", times=2)
    simulation.place(store_id="17")
    for _ in range(120):
        simulation.pass_time(10)
    assert simulation.ledger() == []
    assert (simulation.status(), simulation.delivery().attention) == ("submit_unknown", "outcome_unknown")


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-23")
def test_cervo_without_a_callback_waits_for_a_person_who_finds_the_order(simulation: Simulation) -> None:
    spoil(simulation, "error_before", "cervo")
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
    spoil(simulation, "error_after", "cervo")
    simulation.place()
    simulation.work()
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert [word for word in simulation.published() if word.startswith("delivery.attention")] == [
        "delivery.attention_required"
    ]
    news = [event for event in simulation.events()[2:] if event["type"] == "delivery.status_changed"]
    assert {event["data"]["cause"] for event in news} == {"callback"}


@pytest.mark.fault("F-02")
@pytest.mark.quirk("X-03")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_died_with_its_call_leaves_a_doubt_not_a_second_courier(
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
    spoil(simulation, "error_before", "borzo")
    simulation.place(store_id="21")
    simulation.work()
    simulation.ask(
        "POST", "/sandbox/faults", {"kind": "unauthorized", "api": "borzo", "operation": "create", "times": 1}
    )
    simulation.until(lambda it: it.delivery().attempts[0].ended_at is not None)
    moved = simulation.placed()
    simulation.put(json.dumps({**moved, "id": "2", "data": {**moved["data"], "revision": 2, "store_id": "999"}}))
    for _ in range(20):
        simulation.pass_time(30)
    assert (simulation.delivery().attention, simulation.delivery().attempts[0].follow_up_reads) == ("unknown_store", 3)
    simulation.put(json.dumps({**moved, "id": "3", "data": {**moved["data"], "revision": 3}}))
    simulation.until(lambda it: it.status() == "delivered")


@pytest.mark.quirk("C-02")
def test_an_order_whose_account_is_shut_out_waits_without_blame(simulation: Simulation) -> None:
    spoil(simulation, "unauthorized", "borzo")
    simulation.place(store_id="21")
    simulation.work()
    assert (simulation.status(), simulation.published()) == ("queued", ["queued"])
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.delivery().attempts) == 1


def test_an_order_named_by_its_id_is_fetched_from_the_platform(simulation: Simulation) -> None:
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    simulation.until(lambda it: it.status("5150") == "delivered")
    assert [made for made, _ in simulation.ledger()] == ["ordering", "deliverit"]


@pytest.mark.quirk("O-10")
def test_an_order_the_platform_does_not_know_is_quarantined_and_can_be_replayed(simulation: Simulation) -> None:
    simulation.put_message("order.placed", {"order_id": "404404"})
    simulation.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = simulation.container.database.read(inbox.dead_letters, 5)
    assert letter["reason"] == "the platform has no such order"
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 404404, "business_id": 17})
    simulation.put(letter["raw"])
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "404404")))


def test_an_order_whose_message_overtakes_its_own_transaction_is_fetched_a_little_later(simulation: Simulation) -> None:
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.pass_time()
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    assert simulation.container.database.read(inbox.dead_letters, 5) == []


def test_an_order_of_a_platform_that_stays_away_becomes_a_dead_letter_and_never_waits_unseen(
    simulation: Simulation,
) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": "error_before", "api": "ordering", "times": None})
    simulation.put_message("order.placed", {"order_id": "5150"})
    simulation.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = simulation.container.database.read(inbox.dead_letters, 5)
    assert letter["reason"] == "the platform cannot be asked: the platform answered 500"
    assert not simulation.container.database.read(inbox.has_due_fetch, simulation.now)


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_cancel_while_the_create_is_in_doubt_is_carried_out_once_the_order_is_found(simulation: Simulation) -> None:
    spoil(simulation, "error_after", "borzo")
    simulation.place(store_id="21")
    simulation.work()
    simulation.cancel(store_id="21")
    simulation.until(lambda it: it.delivery().final)
    assert simulation.status() == "cancelled"
    assert [made for made, _ in simulation.ledger("cancel")] == ["borzo"]


@pytest.mark.quirk("C-21")
def test_an_id_that_another_order_has_already_is_doubt_and_no_ride_along(simulation: Simulation) -> None:
    simulation.place()
    simulation.work()
    known = simulation.delivery().attempts[0].ref
    simulation.ask("POST", "/sandbox/faults", {"kind": "html", "api": "cervo", "operation": "create", "body": known})
    simulation.place(order_id="2012")
    simulation.work()
    assert (simulation.status("2012"), simulation.delivery("2012").attempts[0].ref) == ("submit_unknown", None)
    assert simulation.published("2012") == ["queued", "submit_unknown"]


@pytest.mark.quirk("C-21")
def test_one_id_for_two_orders_that_were_created_together_counts_once(simulation: Simulation) -> None:
    fault = {"kind": "html", "api": "cervo", "operation": "create", "body": "99999", "times": 2}
    simulation.ask("POST", "/sandbox/faults", fault)
    for order_id in ("1", "2"):
        simulation.place(order_id=order_id)
    simulation.app.tasks["deliveries.book"]("cervo", [simulation.delivery(order_id).id for order_id in ("1", "2")])
    assert sorted(simulation.status(order_id) for order_id in ("1", "2")) == ["created", "submit_unknown"]
