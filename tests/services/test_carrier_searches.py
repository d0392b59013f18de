"""An operator looks for the order of a create with an unknown outcome in the carrier's own list."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.database import accounts
from worker.domain import lifecycle
from worker.domain.candidates import CarrierSearch, Fit
from worker.domain.carrier_terms import build_booking
from worker.errors import Unavailable
from worker.http.call import Call, Reply

LISTING = [("21", "borzo"), ("17", "deliverit")]
listing_carriers = pytest.mark.parametrize(("shop", "carrier"), LISTING)


def lose_create(simulation: Simulation, shop: str, carrier: str, *, created: bool) -> None:
    """Place an order whose create gets no answer, after the carrier has created the order or without that."""
    kind = "error_after" if created else "error_before"
    simulation.inject_fault(kind, carrier, operation="create")
    simulation.place(store_id=shop, ready_at="2026-11-21T18:30:00+00:00")
    simulation.work()
    assert simulation.status() == "submit_unknown"


def search(simulation: Simulation) -> CarrierSearch:
    found = simulation.container.candidates.search(simulation.delivery())
    assert found is not None
    return found


def book_by_hand(simulation: Simulation, carrier: str) -> str:
    """Create the order at the carrier as the shop would, without our reference; return the carrier's id of it."""
    delivery = simulation.delivery()
    booking = build_booking(delivery, replace(delivery.attempts[0], id=new_attempt()[0]), None)
    call = simulation.container.accounts.logged_in(carrier).book(booking, simulation.now)
    without = call.body.replace(booking.reference.encode(), b"by phone")
    simulation.container.gateway.send_one(carrier, replace(call, body=without))
    return simulation.ledger()[-1][1]


@listing_carriers
def test_the_order_that_was_created_is_found_by_its_reference(simulation: Simulation, shop: str, carrier: str) -> None:
    lose_create(simulation, shop, carrier, created=True)
    found = search(simulation)
    ((_, ref),) = simulation.ledger()
    assert (found.account, found.problem) == (carrier, None)
    best = found.candidates[0]
    assert (best.order.ref, best.fit, best.why, best.blocker) == (ref, Fit.SAME, ("it carries our reference",), None)
    assert simulation.status() == "submit_unknown"


@listing_carriers
def test_an_order_that_somebody_booked_by_hand_is_likely_and_can_be_followed(
    simulation: Simulation, shop: str, carrier: str
) -> None:
    lose_create(simulation, shop, carrier, created=False)
    ref = book_by_hand(simulation, carrier)
    found = search(simulation)
    best = found.candidates[0]
    assert (best.order.ref, best.fit, best.blocker) == (ref, Fit.LIKELY, None)
    assert found.risks[1:] == ("Of the listed orders, 1 may be this one.",)
    simulation.decide(lambda it: lifecycle.resolve_unknown_outcome(it, ref, simulation.container.terms, simulation.now))
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert [each for _, each in simulation.ledger()] == [ref]


@listing_carriers
def test_the_order_of_another_delivery_cannot_be_chosen(simulation: Simulation, shop: str, carrier: str) -> None:
    simulation.place(store_id=shop, order_id="2012", ready_at="2026-11-21T18:30:00+00:00")
    simulation.work()
    lose_create(simulation, shop, carrier, created=False)
    blockers = [each.blocker for each in search(simulation).candidates]
    assert blockers == ["it belongs to order 2012"]


@listing_carriers
def test_nothing_of_any_customer_is_in_the_result(simulation: Simulation, shop: str, carrier: str) -> None:
    lose_create(simulation, shop, carrier, created=True)
    customer = simulation.delivery().order.customer
    secrets = ("Customer 1", "45123456789", "Hovedgaden", customer.name, customer.phone)
    text = repr(search(simulation))
    assert [each for each in secrets if each in text] == []


def test_cervo_lists_nothing_and_it_is_said_what_to_search_for(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    lose_create(simulation, "34", "cervo", created=False)
    gateway.take_sent()
    found, attempt = search(simulation), simulation.delivery().attempts[0]
    assert found == CarrierSearch(
        "cervo",
        names={
            "order_id": "2011",
            "id": str(attempt.id),
            "sent at": "2026-11-21 20:00:00 (Asia/Riyadh)",
            "store": f"{simulation.delivery().store.name} (34)",  # type: ignore[union-attr]
            "amount": found.names["amount"],
            "phone": found.names["phone"],
        },
        problem="cervo does not list such orders. Search for this one on its own screen.",
        risks=(
            "It was sent only 0 s ago, so the carrier may still be creating it.",
            "The carrier may have an order that is not listed here.",
        ),
    )
    assert gateway.sent == []


def test_without_calls_it_is_only_said_what_to_search_for(simulation: Simulation, gateway: ScriptedGateway) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    gateway.take_sent()
    found = simulation.container.candidates.search(simulation.delivery(), calls=False)
    assert found is not None
    assert (found.problem, found.names["note"], gateway.sent) == ("The carrier was not asked.", "Order 2011", [])


def test_an_order_whose_id_is_known_is_not_searched_for(simulation: Simulation) -> None:
    simulation.place(store_id="21")
    simulation.work()
    assert simulation.container.candidates.search(simulation.delivery()) is None


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (Unavailable("connection refused"), "borzo could not be asked: connection refused."),
        (Reply(200, b"<html>"), "borzo could not be asked: "),
    ],
)
def test_an_error_of_the_carrier_is_a_sentence(
    simulation: Simulation, gateway: ScriptedGateway, outcome: Any, problem: str
) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    gateway.outcome = lambda _account, _call: outcome
    found = search(simulation)
    assert (found.candidates, (found.problem or "").startswith(problem)) == ((), True)


def test_a_paused_account_is_not_asked(simulation: Simulation, gateway: ScriptedGateway) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    gateway.take_sent()
    simulation.container.database.write(accounts.pause, "borzo", "operator", "a holiday", simulation.now)
    assert search(simulation).problem == "borzo could not be asked: the account is paused."
    assert gateway.sent == []


def test_an_account_that_left_the_settings_is_said(simulation: Simulation) -> None:
    lose_create(simulation, "21", "borzo", created=True)
    service = simulation.container.candidates
    codecs = {name: each for name, each in service.codecs.items() if name != "borzo"}
    found = replace(service, codecs=codecs, terms={}).search(simulation.delivery())
    assert found is not None
    assert (found.problem, found.names["our number"]) == (
        "The account borzo is not in the settings.",
        str(simulation.delivery().attempts[0].id),
    )


def test_a_long_list_is_read_to_ten_pages_and_called_incomplete(
    simulation: Simulation, gateway: ScriptedGateway
) -> None:
    lose_create(simulation, "21", "borzo", created=False)
    gateway.take_sent()
    numbers = iter(range(9000, 0, -1))

    def page(_account: str, _call: Call) -> Reply | None:
        orders = [{"order_id": next(numbers), "created_datetime": "2026-11-21T19:00:00-03:00", "points": []}]
        return Reply(200, json.dumps({"is_successful": True, "orders": orders, "orders_count": 9000}).encode())

    gateway.outcome = page
    found = search(simulation)
    assert found.problem == "The list of borzo could not be read completely."
    assert gateway.take_sent() == {("borzo", "query"): 10}
