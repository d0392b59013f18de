"""What an operator decides: to accept or deny an offer, and to retry a delivery."""

from datetime import timedelta

import pytest

from tests.services.simulation import Simulation
from worker.domain import lifecycle
from worker.domain.delivery import OfferDecision
from worker.domain.operator import Operator

DENIED = ["delivery.attempt_ended", "queued (fallback)", "created"]
OPERATOR = Operator("maria")


def decide_offer(simulation: Simulation, decision: OfferDecision) -> None:
    """Decide about the offer as an operator."""
    simulation.decide(lambda each: lifecycle.decide_offer(each, decision, simulation.container.terms, simulation.now))


@pytest.fixture
def offered(simulation: Simulation) -> Simulation:
    """Return a simulation in which DeliverIt offers a time that is too late to be accepted automatically."""
    simulation.place("deliverit=offered_late", store_id="17")
    simulation.work()
    assert simulation.published() == ["queued", "awaiting_confirmation", "delivery.attention_required"]
    assert simulation.events()[-1]["data"]["reason_text"] == "offer_waits"
    return simulation


@pytest.mark.quirk("D-30")
def test_an_offer_that_an_operator_accepts_is_delivered(offered: Simulation) -> None:
    offered.pass_time(60)
    decide_offer(offered, OfferDecision.ACCEPT)
    offered.until(lambda it: it.status() == "delivered")
    assert [carrier for carrier, _ in offered.ledger("accept")] == ["deliverit"]
    assert offered.delivery().attention is None


@pytest.mark.quirk("D-34")
def test_a_delivery_whose_offer_an_operator_denies_goes_to_the_next_carrier_at_once(offered: Simulation) -> None:
    offered.pass_time(60)
    decide_offer(offered, OfferDecision.DENY)
    offered.pass_time(1)
    assert offered.published()[3:] == DENIED
    assert [carrier for carrier, _ in offered.ledger("deny")] == ["deliverit"]


@pytest.mark.quirk("D-31")
def test_an_offer_without_a_decision_is_denied_after_three_minutes(offered: Simulation) -> None:
    offered.pass_time(179)
    assert offered.ledger("deny") == []
    offered.pass_time(1)
    assert (offered.published()[3:], offered.delivery().attention) == (DENIED, None)


def test_a_delivery_whose_offer_lapsed_before_an_operator_accepted_it_goes_to_the_next_carrier(
    offered: Simulation,
) -> None:
    """The worker was stopped for longer than the carrier keeps its offer."""
    offered.now += timedelta(minutes=6)
    decide_offer(offered, OfferDecision.ACCEPT)
    offered.until(lambda it: it.status() == "created")
    ended = offered.events()[3]["data"]
    assert (ended["carrier"], ended["reason"]) == ("deliverit", "offer_lapsed")
    assert [carrier for carrier, _ in offered.ledger("create")] == ["borzo"]


def test_an_order_that_the_only_carrier_refused_is_delivered_when_an_operator_retries_it(
    simulation: Simulation,
) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": "refused", "api": "borzo", "operation": "create"})
    simulation.place("happy", store_id="21")
    simulation.work()
    refused = ["queued", "delivery.attempt_ended", "rejected", "delivery.dispatch_failed"]
    assert simulation.published() == refused
    simulation.pass_time(600)
    simulation.decide(lambda each: lifecycle.retry(each, simulation.container.terms, simulation.now))
    simulation.until(lambda it: it.status() == "delivered")
    assert simulation.published()[4:6] == ["delivery.reopened", "queued (retry)"]
    assert [carrier for carrier, _ in simulation.ledger()] == ["borzo"]


def test_the_wake_up_task_of_a_decision_is_sent_at_once(simulation: Simulation) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": "refused", "api": "borzo", "operation": "create"})
    simulation.place("happy", store_id="21")
    simulation.work()
    simulation.let_clock_run()
    retried = simulation.container.decisions.retry(simulation.delivery().id, OPERATOR)
    assert retried is not None
    simulation.work()
    assert simulation.published()[4:] == ["delivery.reopened", "queued (retry)", "created"]
