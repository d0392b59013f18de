"""Offered pickup times: accepted at once, decided by an operator, or denied in the end."""

from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, observed, refused
from worker.carriers.port import Booked, Offer
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Uncertain

ASKS = "3 attention_required queued>awaiting_confirmation 'offer_waits' at deliverit#1 [response]"


def offered(minutes: float, *carriers: str, **order: str) -> DeliveryScenario:
    scenario = DeliveryScenario(*(carriers or ("deliverit",)), **order)
    scenario.place()
    scenario.book_with_offer(minutes)
    return scenario


def suitable(*carriers: str) -> DeliveryScenario:
    """Return a scenario with a suitable offer; its events have been read."""
    scenario = offered(5, *carriers)
    scenario.new_events()
    return scenario


def unsuitable(*carriers: str) -> DeliveryScenario:
    """Return a scenario with an offer that an operator must decide; its events have been read."""
    scenario = offered(60, *carriers)
    assert scenario.new_events()[2:] == [ASKS]
    return scenario


@pytest.mark.quirk("D-30")
@pytest.mark.parametrize(("minutes", "accepted"), [(0, True), (15, True), (15.02, False), (-15, True), (-16, False)])
def test_an_offer_within_the_accounts_limit_is_accepted_at_once_and_any_other_waits_for_an_operator(
    minutes: float, *, accepted: bool
) -> None:
    scenario = offered(minutes)
    assert (scenario.attempt.offer_decision, scenario.delivery.attention) == (
        ("accept", None) if accepted else (None, "offer_waits")
    )
    assert scenario.wait_for(Step.CONFIRM) == timedelta(seconds=0 if accepted else 180)


@pytest.mark.parametrize(("minutes", "ruling"), [(5, "accept"), (-1, "accept"), (-2, None)])
def test_an_offer_before_the_food_is_ready_waits_for_an_operator(minutes: float, ruling: str | None) -> None:
    assert offered(minutes, ready_at="2026-11-21T17:30:00Z").attempt.offer_decision == ruling


@pytest.mark.parametrize("word", ["accept", "deny"])
def test_an_operators_decision_is_sent_at_once(word: str) -> None:
    scenario = unsuitable()
    scenario.wait(60)
    assert scenario.decide_offer(word)
    assert scenario.wait_for(Step.CONFIRM) == timedelta()
    scenario.begin_call(Step.CONFIRM)
    assert (scenario.attempt.offer_decision, scenario.delivery.attention, scenario.new_events()) == (word, None, [])


def test_an_operators_acceptance_moves_the_pickup() -> None:
    scenario = unsuitable("deliverit", "borzo")
    agreed = scenario.attempt.offered_at
    scenario.decide_offer("accept")
    scenario.confirm(observed("created"))
    assert scenario.new_events() == ["4 status_changed awaiting_confirmation>created at deliverit#1 [response]"]
    assert (scenario.state, scenario.attempt.pickup_at) == (("created", Step.TRACK, "deliverit"), agreed)


@pytest.mark.fault("F-56")
def test_a_denied_offer_falls_back() -> None:
    scenario = unsuitable("deliverit", "borzo")
    scenario.decide_offer("deny")
    scenario.confirm(observed("rejected", reason=Reason.TIME_DENIED))
    assert scenario.new_events() == [
        "4 attempt_ended queued>awaiting_confirmation time_denied at deliverit#1 [response]",
        "5 status_changed awaiting_confirmation>queued (fallback) [response]",
    ]
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("D-31")
def test_an_offer_without_a_decision_is_denied_and_the_attention_cleared() -> None:
    scenario = unsuitable()
    assert scenario.wait_for(Step.CONFIRM) == timedelta(seconds=180)
    scenario.begin_call(Step.CONFIRM)
    assert (scenario.attempt.offer_decision, scenario.delivery.attention) == ("deny", None)


def test_an_account_sets_how_long_its_offers_wait_for_an_operator() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.change_capabilities("deliverit", offer_wait=30)
    scenario.place()
    scenario.book_with_offer(60)
    assert scenario.wait_for(Step.CONFIRM) == timedelta(seconds=30)


def test_an_offer_is_decided_once() -> None:
    assert not suitable().decide_offer("deny")
    scenario = unsuitable()
    assert [scenario.decide_offer("accept"), scenario.decide_offer("deny")] == [True, False]


def test_a_decision_with_an_unknown_outcome_is_sent_again_unchanged() -> None:
    scenario = unsuitable()
    scenario.confirm(Uncertain("timed out"))
    assert not scenario.decide_offer("accept")
    scenario.begin_call(Step.CONFIRM)
    assert scenario.attempt.offer_decision == "deny"


def test_an_offer_can_be_decided_only_while_it_is_open() -> None:
    scenario = unsuitable()
    scenario.observe(observed("courier_assigned"), cause=Cause.CALLBACK)
    assert (scenario.decide_offer("accept"), scenario.delivery.attention) == (False, None)
    scenario = unsuitable()
    scenario.confirm(refused(Reason.OFFER_LAPSED))
    assert not scenario.decide_offer("accept")


@pytest.mark.parametrize("minutes", [5, 60])
def test_an_offer_is_denied_at_once_when_a_cancel_is_requested(minutes: float) -> None:
    scenario = offered(minutes)
    assert scenario.request_cancel()
    assert scenario.wait_for(Step.CONFIRM) == timedelta()
    scenario.begin_call(Step.CONFIRM)
    assert (scenario.attempt.offer_decision, scenario.delivery.attention) == ("deny", None)


def test_an_offer_for_an_order_that_is_to_be_cancelled_asks_for_no_operator() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.begin_booking()
    scenario.request_cancel()
    asked = scenario.attempt.pickup_at
    scenario.answer_create(
        Booked(observed("awaiting_confirmation", ref="R-1"), Offer(asked, asked + timedelta(hours=1)))
    )
    assert (scenario.delivery.attention, scenario.wait_for(Step.CONFIRM)) == (None, timedelta())


@pytest.mark.quirk("D-70")
def test_an_order_booked_by_hand_is_read_and_neither_accepted_nor_denied() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.book(Booked(observed("awaiting_confirmation", ref="R-1", detail="manual_dispatch")))
    scenario.new_events()
    assert (scenario.state, scenario.decide_offer("deny")) == (
        ("awaiting_confirmation", Step.TRACK, "deliverit"),
        False,
    )
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    scenario.poll("courier_assigned")
    assert scenario.new_events() == ["3 status_changed awaiting_confirmation>courier_assigned at deliverit#1 [poll]"]


def test_an_order_that_waits_to_be_booked_by_hand_can_be_cancelled() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    scenario.place()
    scenario.book(Booked(observed("awaiting_confirmation", ref="R-1", detail="manual_dispatch")))
    scenario.request_cancel()
    scenario.cancel()
    scenario.poll("cancelled")
    assert scenario.state == ("cancelled", None, "deliverit")


def test_an_accepted_offer_moves_the_pickup() -> None:
    scenario = offered(10)
    scenario.new_events()
    agreed = scenario.attempt.offered_at
    scenario.confirm(observed("created"))
    assert scenario.new_events() == ["3 status_changed awaiting_confirmation>created at deliverit#1 [response]"]
    assert (scenario.state, scenario.attempt.pickup_at) == (("created", Step.TRACK, "deliverit"), agreed)


def test_an_offer_denied_for_a_cancel_is_cancelled() -> None:
    scenario = suitable("deliverit", "borzo")
    scenario.request_cancel(cancelled_by="customer")
    scenario.confirm(observed("rejected", reason=Reason.TIME_DENIED))
    assert scenario.delivery.status == "cancelled"
    assert scenario.new_events()[-1] == (
        "4 status_changed awaiting_confirmation>cancelled time_denied by customer at deliverit#1 [response]"
    )


def test_the_intent_to_confirm_is_leased_until_the_call_must_be_over() -> None:
    scenario = suitable()
    scenario.begin_call(Step.CONFIRM)
    assert scenario.delivery.step is Step.CONFIRM
    assert scenario.delivery.next_run_at == scenario.now + timedelta(seconds=75)


def test_an_acceptance_with_an_unknown_outcome_is_sent_again() -> None:
    scenario = suitable()
    scenario.confirm(Uncertain("timed out"))
    assert scenario.new_events() == []
    assert scenario.state == ("awaiting_confirmation", Step.CONFIRM, "deliverit")
    assert timedelta(seconds=1) <= scenario.wait_for(Step.CONFIRM) <= timedelta(seconds=4)
    scenario.confirm(observed("created"))
    assert scenario.delivery.status == "created"


@pytest.mark.fault("F-56")
def test_an_offer_that_may_have_lapsed_is_looked_up_twice_before_it_counts_as_lapsed() -> None:
    scenario = suitable("deliverit", "borzo")
    scenario.confirm(refused(Reason.OFFER_LAPSED, "Time limit reached"))
    assert scenario.new_events() == []
    assert [scenario.miss_lookup(), scenario.miss_lookup()] == [timedelta(seconds=30)] * 2
    assert scenario.new_events() == [
        "3 attempt_ended queued>awaiting_confirmation offer_lapsed 'Time limit reached' at deliverit#1 [reconcile]",
        "4 status_changed awaiting_confirmation>queued (fallback) [reconcile]",
    ]
    assert scenario.state == ("queued", Step.BOOK, "borzo")


def test_an_offer_that_was_accepted_after_all_is_followed() -> None:
    scenario = suitable()
    scenario.confirm(refused(Reason.OFFER_LAPSED))
    scenario.miss_lookup()
    scenario.observe(observed("created"), cause=Cause.RECONCILE)
    assert scenario.new_events() == ["3 status_changed awaiting_confirmation>created at deliverit#1 [reconcile]"]
    assert scenario.state == ("created", Step.TRACK, "deliverit")


def test_an_answer_to_a_settled_offer_changes_nothing() -> None:
    scenario = suitable()
    scenario.observe(observed("courier_assigned"), cause=Cause.CALLBACK)
    scenario.new_events()
    before = scenario.delivery
    scenario.apply(
        lifecycle.apply_confirm_outcome(scenario.delivery, scenario.attempt.id, refused(), scenario.terms, scenario.now)
    )
    assert (scenario.delivery, scenario.new_events()) == (before, [])


def test_look_ups_of_an_unknown_outcome_do_not_count_for_its_offer() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.begin_booking()
    scenario.answer_create(Uncertain("timed out"))
    scenario.miss_lookup()
    asked = scenario.attempt.pickup_at
    scenario.answer_create(Booked(observed("awaiting_confirmation", ref="R-1"), Offer(asked, asked)))
    scenario.confirm(refused(Reason.OFFER_LAPSED))
    scenario.miss_lookup()
    assert scenario.delivery.status == "awaiting_confirmation"


def test_a_carrier_whose_offer_was_denied_is_not_asked_again() -> None:
    scenario = unsuitable()
    scenario.confirm(observed("rejected"))
    assert scenario.state == ("rejected", None, "deliverit")
