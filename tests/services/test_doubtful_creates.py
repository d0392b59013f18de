"""Creates whose outcome nobody knows: never a second courier, never silently none."""

import json

import pytest

from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.database import deliveries, inbox
from worker.domain import lifecycle
from worker.domain.delivery import Step

FINDABLE = [("21", "borzo"), ("17", "deliverit")]


def spoil(street: Simulation, kind: str, api: str, times: int = 1) -> None:
    street.ask("POST", "/sandbox/faults", {"kind": kind, "api": api, "operation": "create", "times": times})


@pytest.mark.fault("F-27", "F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), FINDABLE)
def test_an_order_created_behind_an_error_is_found_again_and_followed(
    street: Simulation, store_id: str, carrier: str
) -> None:
    spoil(street, "error_after", carrier)
    street.place(store_id=store_id)
    street.work()
    assert street.status() == "submit_unknown"
    street.until(lambda it: it.status() == "delivered")
    assert [made for made, _ in street.ledger()] == [carrier]
    assert street.told()[:2] == ["queued", "submit_unknown"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), FINDABLE)
def test_an_order_that_was_never_created_is_sent_again_only_after_proof_of_absence(
    street: Simulation, store_id: str, carrier: str
) -> None:
    spoil(street, "error_before", carrier)
    street.place(store_id=store_id)
    street.until(lambda it: bool(it.ledger()))
    assert (street.now - street.delivery().attempts[0].submitted_at).total_seconds() >= 45 + 120
    street.until(lambda it: it.status() == "delivered")
    assert [made for made, _ in street.ledger()] == [carrier]
    assert street.told()[:4] == ["queued", "submit_unknown", "queued (resubmit)", "created"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("X-03")
def test_a_doubt_at_the_first_carrier_blocks_the_second(street: Simulation) -> None:
    spoil(street, "error_before", "deliverit", times=2)
    street.place(store_id="17")
    for _ in range(120):
        street.pass_time(10)
    assert street.ledger() == []
    assert (street.status(), street.delivery().attention) == ("submit_unknown", "outcome_unknown")


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-23")
def test_cervo_without_a_callback_waits_for_a_person_who_finds_the_order(street: Simulation) -> None:
    spoil(street, "error_before", "cervo")
    street.place()
    for _ in range(60):
        street.pass_time(10)
    assert street.told() == ["queued", "submit_unknown", "delivery.attention_required"]
    assert street.ledger() == []
    street.decide(lambda it: lifecycle.resolve_unknown_outcome(it, None, street.container.terms, street.now))
    street.until(lambda it: it.status() == "delivered")
    assert len(street.ledger()) == 1


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-17", "C-23", "C-24")
def test_cervos_callback_proves_that_the_order_exists(street: Simulation) -> None:
    spoil(street, "error_after", "cervo")
    street.place()
    street.work()
    assert street.status() == "submit_unknown"
    street.until(lambda it: it.status() == "delivered")
    assert len(street.ledger()) == 1
    assert [word for word in street.told() if word.startswith("delivery.attention")] == ["delivery.attention_required"]
    news = [event for event in street.events()[2:] if event["type"] == "delivery.status_changed"]
    assert {event["data"]["cause"] for event in news} == {"callback"}


@pytest.mark.fault("F-02")
@pytest.mark.quirk("X-03")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_died_with_its_call_leaves_a_doubt_not_a_second_courier(
    street: Simulation, store_id: str
) -> None:
    street.lose_hints = True
    street.place(store_id=store_id)
    street.work()
    street.lose_hints = False
    street.decide(lambda it: lifecycle.begin_booking(it, *new_attempt(), street.container.terms, street.now))
    street.until(lambda it: it.status() == "submit_unknown")
    assert street.ledger() == []
    assert street.delivery().step is Step.RECONCILE


def test_an_order_that_moves_to_an_unknown_store_is_still_looked_for_where_it_may_have_been_created(
    street: Simulation,
) -> None:
    spoil(street, "error_before", "borzo")
    street.place(store_id="21")
    street.work()
    street.ask("POST", "/sandbox/faults", {"kind": "unauthorized", "api": "borzo", "operation": "create", "times": 1})
    street.until(lambda it: it.delivery().attempts[0].ended_at is not None)
    moved = street.placed()
    street.put(json.dumps({**moved, "id": "2", "data": {**moved["data"], "revision": 2, "store_id": "999"}}))
    for _ in range(20):
        street.pass_time(30)
    assert (street.delivery().attention, street.delivery().attempts[0].follow_up_reads) == ("unknown_store", 3)
    street.put(json.dumps({**moved, "id": "3", "data": {**moved["data"], "revision": 3}}))
    street.until(lambda it: it.status() == "delivered")


@pytest.mark.quirk("C-02")
def test_an_order_whose_account_is_shut_out_waits_without_blame(street: Simulation) -> None:
    spoil(street, "unauthorized", "borzo")
    street.place(store_id="21")
    street.work()
    assert (street.status(), street.told()) == ("queued", ["queued"])
    street.until(lambda it: it.status() == "delivered")
    assert len(street.delivery().attempts) == 1


def test_an_order_named_by_its_id_is_fetched_from_the_platform(street: Simulation) -> None:
    street.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    street.put_message("order.placed", {"order_id": "5150"})
    street.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    street.until(lambda it: it.status("5150") == "delivered")
    assert [made for made, _ in street.ledger()] == ["ordering", "deliverit"]


@pytest.mark.quirk("O-10")
def test_an_order_the_platform_does_not_know_is_quarantined_and_can_be_replayed(street: Simulation) -> None:
    street.put_message("order.placed", {"order_id": "404404"})
    street.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = street.container.database.read(inbox.dead_letters, 5)
    assert letter["reason"] == "the platform has no such order"
    street.ask("POST", "/sandbox/ordering/orders", {"id": 404404, "business_id": 17})
    street.put(letter["raw"])
    street.until(lambda it: bool(it.container.database.read(deliveries.find, "404404")))


def test_an_order_whose_message_overtakes_its_own_transaction_is_fetched_a_little_later(street: Simulation) -> None:
    street.put_message("order.placed", {"order_id": "5150"})
    street.pass_time()
    street.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    street.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    assert street.container.database.read(inbox.dead_letters, 5) == []


def test_an_order_of_a_platform_that_stays_away_becomes_a_dead_letter_and_never_waits_unseen(
    street: Simulation,
) -> None:
    street.ask("POST", "/sandbox/faults", {"kind": "error_before", "api": "ordering", "times": None})
    street.put_message("order.placed", {"order_id": "5150"})
    street.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = street.container.database.read(inbox.dead_letters, 5)
    assert letter["reason"] == "the platform cannot be asked: the platform answered 500"
    assert not street.container.database.read(inbox.has_due_fetch, street.now)


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_cancel_while_the_create_is_in_doubt_is_carried_out_once_the_order_is_found(street: Simulation) -> None:
    spoil(street, "error_after", "borzo")
    street.place(store_id="21")
    street.work()
    street.cancel(store_id="21")
    street.until(lambda it: it.delivery().final)
    assert street.status() == "cancelled"
    assert [made for made, _ in street.ledger("cancel")] == ["borzo"]


@pytest.mark.quirk("C-21")
def test_an_id_that_another_order_has_already_is_doubt_and_no_ride_along(street: Simulation) -> None:
    street.place()
    street.work()
    known = street.delivery().attempts[0].ref
    street.ask("POST", "/sandbox/faults", {"kind": "html", "api": "cervo", "operation": "create", "body": known})
    street.place(order_id="2012")
    street.work()
    assert (street.status("2012"), street.delivery("2012").attempts[0].ref) == ("submit_unknown", None)
    assert street.told("2012") == ["queued", "submit_unknown"]


@pytest.mark.quirk("C-21")
def test_one_id_for_two_orders_that_were_created_together_counts_once(street: Simulation) -> None:
    fault = {"kind": "html", "api": "cervo", "operation": "create", "body": "99999", "times": 2}
    street.ask("POST", "/sandbox/faults", fault)
    for order_id in ("1", "2"):
        street.place(order_id=order_id)
    street.app.tasks["deliveries.book"]("cervo", [street.delivery(order_id).id for order_id in ("1", "2")])
    assert sorted(street.status(order_id) for order_id in ("1", "2")) == ["created", "submit_unknown"]
