"""What a person decides: offers that are accepted, denied or left alone, and deliveries that are tried again."""

from datetime import timedelta

import pytest

from tests.services.simulation import Simulation
from worker.domain import lifecycle
from worker.domain.delivery import OfferDecision

DENIED = ["delivery.attempt_ended", "queued (fallback)", "created"]


def rule(simulation: Simulation, word: OfferDecision) -> None:
    simulation.decide(lambda each: lifecycle.decide_offer(each, word, simulation.container.terms, simulation.now))


@pytest.fixture
def offered(simulation: Simulation) -> Simulation:
    """Give a simulation on which DeliverIt offers a time that is too late to be accepted without asking."""
    simulation.place("deliverit=offered_late", store_id="17")
    simulation.work()
    assert simulation.published() == ["queued", "awaiting_confirmation", "delivery.attention_required"]
    assert simulation.events()[-1]["data"]["reason_text"] == "offer_waits"
    return simulation


@pytest.mark.quirk("D-30")
def test_an_offer_that_a_person_accepts_is_followed(offered: Simulation) -> None:
    offered.pass_time(60)
    rule(offered, OfferDecision.ACCEPT)
    offered.until(lambda it: it.status() == "delivered")
    assert [made for made, _ in offered.ledger("accept")] == ["deliverit"]
    assert offered.delivery().attention is None


@pytest.mark.quirk("D-34")
def test_an_offer_that_a_person_denies_goes_to_the_next_carrier_at_once(offered: Simulation) -> None:
    offered.pass_time(60)
    rule(offered, OfferDecision.DENY)
    offered.pass_time(1)
    assert offered.published()[3:] == DENIED
    assert [made for made, _ in offered.ledger("deny")] == ["deliverit"]


@pytest.mark.quirk("D-31")
def test_an_offer_that_nobody_answers_is_denied_after_three_minutes(offered: Simulation) -> None:
    offered.pass_time(179)
    assert offered.ledger("deny") == []
    offered.pass_time(1)
    assert (offered.published()[3:], offered.delivery().attention) == (DENIED, None)


def test_an_offer_that_lapsed_before_a_person_accepted_it_goes_to_the_next_carrier(offered: Simulation) -> None:
    """The worker stood still for longer than the carrier keeps its offer."""
    offered.now += timedelta(minutes=6)
    rule(offered, OfferDecision.ACCEPT)
    offered.until(lambda it: it.status() == "created")
    ended = offered.events()[3]["data"]
    assert (ended["carrier"], ended["reason"]) == ("deliverit", "offer_lapsed")
    assert [made for made, _ in offered.ledger("create")] == ["borzo"]


def test_what_the_only_carrier_refused_is_delivered_when_a_person_tries_it_again(simulation: Simulation) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": "refused", "api": "borzo", "operation": "create"})
    simulation.place("happy", store_id="21")
    simulation.work()
    refused = ["queued", "delivery.attempt_ended", "rejected", "delivery.dispatch_failed"]
    assert simulation.published() == refused
    simulation.pass_time(600)
    simulation.decide(lambda each: lifecycle.retry(each, simulation.container.terms, simulation.now))
    simulation.until(lambda it: it.status() == "delivered")
    assert simulation.published()[4:6] == ["delivery.reopened", "queued (retry)"]
    assert [made for made, _ in simulation.ledger()] == ["borzo"]
