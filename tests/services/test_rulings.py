"""What a person decides: offers that are accepted, denied or left alone, and deliveries that are tried again."""

from datetime import timedelta

import pytest

from tests.services.simulation import Simulation
from worker.domain import lifecycle
from worker.domain.delivery import OfferDecision

DENIED = ["delivery.attempt_ended", "queued (fallback)", "created"]


def rule(street: Simulation, word: OfferDecision) -> None:
    street.decide(lambda each: lifecycle.decide_offer(each, word, street.container.terms, street.now))


@pytest.fixture
def offered(street: Simulation) -> Simulation:
    """Give a street on which DeliverIt offers a time that is too late to be accepted without asking."""
    street.place("deliverit=offered_late", store_id="17")
    street.work()
    assert street.told() == ["queued", "awaiting_confirmation", "delivery.attention_required"]
    assert street.events()[-1]["data"]["reason_text"] == "offer_waits"
    return street


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
    assert offered.told()[3:] == DENIED
    assert [made for made, _ in offered.ledger("deny")] == ["deliverit"]


@pytest.mark.quirk("D-31")
def test_an_offer_that_nobody_answers_is_denied_after_three_minutes(offered: Simulation) -> None:
    offered.pass_time(179)
    assert offered.ledger("deny") == []
    offered.pass_time(1)
    assert (offered.told()[3:], offered.delivery().attention) == (DENIED, None)


def test_an_offer_that_lapsed_before_a_person_accepted_it_goes_to_the_next_carrier(offered: Simulation) -> None:
    """The worker stood still for longer than the carrier keeps its offer."""
    offered.now += timedelta(minutes=6)
    rule(offered, OfferDecision.ACCEPT)
    offered.until(lambda it: it.status() == "created")
    ended = offered.events()[3]["data"]
    assert (ended["carrier"], ended["reason"]) == ("deliverit", "offer_lapsed")
    assert [made for made, _ in offered.ledger("create")] == ["borzo"]


def test_what_the_only_carrier_refused_is_delivered_when_a_person_tries_it_again(street: Simulation) -> None:
    street.ask("POST", "/sandbox/faults", {"kind": "refused", "api": "borzo", "operation": "create"})
    street.place("happy", store_id="21")
    street.work()
    refused = ["queued", "delivery.attempt_ended", "rejected", "delivery.dispatch_failed"]
    assert street.told() == refused
    street.pass_time(600)
    street.decide(lambda each: lifecycle.retry(each, street.container.terms, street.now))
    street.until(lambda it: it.status() == "delivered")
    assert street.told()[4:6] == ["delivery.reopened", "queued (retry)"]
    assert [made for made, _ in street.ledger()] == ["borzo"]
