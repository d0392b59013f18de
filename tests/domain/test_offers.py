"""Offered pickup times: accepted at once, ruled on by a person or denied in the end; asked again in doubt."""

from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, news, refused
from worker.carriers.port import Booked, Offer
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Uncertain

ASKS = "3 attention_required queued>awaiting_confirmation 'offer_waits' at deliverit#1 [response]"


def offered(minutes: float, *carriers: str, **order: str) -> DeliveryScenario:
    life = DeliveryScenario(*(carriers or ("deliverit",)), **order)
    life.place()
    life.offered(minutes)
    return life


def suited(*carriers: str) -> DeliveryScenario:
    """Be offered a time that suits, of which everything was told."""
    life = offered(5, *carriers)
    life.lines()
    return life


def unsuited(*carriers: str) -> DeliveryScenario:
    """Be offered a time that a person must rule on, of which everything was told."""
    life = offered(60, *carriers)
    assert life.lines()[2:] == [ASKS]
    return life


@pytest.mark.quirk("D-30")
@pytest.mark.parametrize(("minutes", "accepted"), [(0, True), (15, True), (15.02, False), (-15, True), (-16, False)])
def test_an_offer_within_the_accounts_shift_is_accepted_at_once_and_any_other_is_a_persons(
    minutes: float, *, accepted: bool
) -> None:
    life = offered(minutes)
    assert (life.attempt.offer_decision, life.delivery.attention) == (
        ("accept", None) if accepted else (None, "offer_waits")
    )
    assert life.reach(Step.CONFIRM) == timedelta(seconds=0 if accepted else 180)


@pytest.mark.parametrize(("minutes", "ruling"), [(5, "accept"), (-1, "accept"), (-2, None)])
def test_an_offer_before_the_food_is_ready_is_a_persons(minutes: float, ruling: str | None) -> None:
    assert offered(minutes, ready_at="2026-11-21T17:30:00Z").attempt.offer_decision == ruling


@pytest.mark.parametrize("word", ["accept", "deny"])
def test_what_a_person_says_is_answered_at_once(word: str) -> None:
    life = unsuited()
    life.wait(60)
    assert life.rule(word)
    assert life.reach(Step.CONFIRM) == timedelta()
    life.call(Step.CONFIRM)
    assert (life.attempt.offer_decision, life.delivery.attention, life.lines()) == (word, None, [])


def test_a_persons_acceptance_moves_the_pickup() -> None:
    life = unsuited("deliverit", "borzo")
    agreed = life.attempt.offered_at
    life.rule("accept")
    life.confirm(news("created"))
    assert life.lines() == ["4 status_changed awaiting_confirmation>created at deliverit#1 [response]"]
    assert (life.state, life.attempt.pickup_at) == (("created", Step.TRACK, "deliverit"), agreed)


@pytest.mark.fault("F-56")
def test_a_denied_offer_falls_back() -> None:
    life = unsuited("deliverit", "borzo")
    life.rule("deny")
    life.confirm(news("rejected", reason=Reason.TIME_DENIED))
    assert life.lines() == [
        "4 attempt_ended queued>awaiting_confirmation time_denied at deliverit#1 [response]",
        "5 status_changed awaiting_confirmation>queued (fallback) [response]",
    ]
    assert life.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("D-31")
def test_an_offer_that_nobody_rules_on_is_denied_and_nobody_is_asked_for_any_more() -> None:
    life = unsuited()
    assert life.reach(Step.CONFIRM) == timedelta(seconds=180)
    life.call(Step.CONFIRM)
    assert (life.attempt.offer_decision, life.delivery.attention) == ("deny", None)


def test_an_account_tells_how_long_its_offers_wait_for_a_person() -> None:
    life = DeliveryScenario("deliverit")
    life.with_terms("deliverit", offer_wait=30)
    life.place()
    life.offered(60)
    assert life.reach(Step.CONFIRM) == timedelta(seconds=30)


def test_the_word_on_an_offer_is_given_once() -> None:
    assert not suited().rule("deny")
    life = unsuited()
    assert [life.rule("accept"), life.rule("deny")] == [True, False]


def test_an_answer_in_doubt_is_given_again_as_it_was() -> None:
    life = unsuited()
    life.confirm(Uncertain("timed out"))
    assert not life.rule("accept")
    life.call(Step.CONFIRM)
    assert life.attempt.offer_decision == "deny"


def test_an_offer_is_ruled_on_only_while_it_is_open() -> None:
    life = unsuited()
    life.see(news("courier_assigned"), cause=Cause.CALLBACK)
    assert (life.rule("accept"), life.delivery.attention) == (False, None)
    life = unsuited()
    life.confirm(refused(Reason.OFFER_LAPSED))
    assert not life.rule("accept")


@pytest.mark.parametrize("minutes", [5, 60])
def test_an_offer_is_denied_at_once_when_a_cancel_is_wished(minutes: float) -> None:
    life = offered(minutes)
    assert life.ask_cancel()
    assert life.reach(Step.CONFIRM) == timedelta()
    life.call(Step.CONFIRM)
    assert (life.attempt.offer_decision, life.delivery.attention) == ("deny", None)


def test_an_offer_for_what_is_to_be_cancelled_asks_nobody() -> None:
    life = DeliveryScenario("deliverit")
    life.place()
    life.begin()
    life.ask_cancel()
    asked = life.attempt.pickup_at
    life.answer(Booked(news("awaiting_confirmation", ref="R-1"), Offer(asked, asked + timedelta(hours=1))))
    assert (life.delivery.attention, life.reach(Step.CONFIRM)) == (None, timedelta())


@pytest.mark.quirk("D-70")
def test_what_a_person_books_at_the_carrier_is_read_and_neither_accepted_nor_denied() -> None:
    life = DeliveryScenario("deliverit")
    life.place()
    life.book(Booked(news("awaiting_confirmation", ref="R-1", detail="manual_dispatch")))
    life.lines()
    assert (life.state, life.rule("deny")) == (("awaiting_confirmation", Step.TRACK, "deliverit"), False)
    life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    life.poll("courier_assigned")
    assert life.lines() == ["3 status_changed awaiting_confirmation>courier_assigned at deliverit#1 [poll]"]


def test_what_waits_to_be_booked_at_the_carrier_can_be_cancelled_there() -> None:
    life = DeliveryScenario("deliverit", "borzo")
    life.place()
    life.book(Booked(news("awaiting_confirmation", ref="R-1", detail="manual_dispatch")))
    life.ask_cancel()
    life.cancel()
    life.poll("cancelled")
    assert life.state == ("cancelled", None, "deliverit")


def test_an_accepted_offer_moves_the_pickup() -> None:
    life = offered(10)
    life.lines()
    agreed = life.attempt.offered_at
    life.confirm(news("created"))
    assert life.lines() == ["3 status_changed awaiting_confirmation>created at deliverit#1 [response]"]
    assert (life.state, life.attempt.pickup_at) == (("created", Step.TRACK, "deliverit"), agreed)


def test_an_offer_denied_for_a_cancel_is_cancelled() -> None:
    life = suited("deliverit", "borzo")
    life.ask_cancel(cancelled_by="customer")
    life.confirm(news("rejected", reason=Reason.TIME_DENIED))
    assert life.delivery.status == "cancelled"
    assert life.lines()[-1] == (
        "4 status_changed awaiting_confirmation>cancelled time_denied by customer at deliverit#1 [response]"
    )


def test_the_call_is_leased_so_that_nobody_else_answers_the_offer_meanwhile() -> None:
    life = suited()
    life.call(Step.CONFIRM)
    assert life.delivery.step is Step.CONFIRM
    assert life.delivery.next_run_at == life.now + timedelta(seconds=75)


def test_an_answer_in_doubt_is_given_again() -> None:
    life = suited()
    life.confirm(Uncertain("timed out"))
    assert life.lines() == []
    assert life.state == ("awaiting_confirmation", Step.CONFIRM, "deliverit")
    assert timedelta(seconds=1) <= life.reach(Step.CONFIRM) <= timedelta(seconds=4)
    life.confirm(news("created"))
    assert life.delivery.status == "created"


@pytest.mark.fault("F-56")
def test_an_offer_that_may_have_lapsed_is_looked_up_twice_before_it_counts_as_lapsed() -> None:
    life = suited("deliverit", "borzo")
    life.confirm(refused(Reason.OFFER_LAPSED, "Time limit reached"))
    assert life.lines() == []
    assert [life.look_up(), life.look_up()] == [timedelta(seconds=30)] * 2
    assert life.lines() == [
        "3 attempt_ended queued>awaiting_confirmation offer_lapsed 'Time limit reached' at deliverit#1 [reconcile]",
        "4 status_changed awaiting_confirmation>queued (fallback) [reconcile]",
    ]
    assert life.state == ("queued", Step.BOOK, "borzo")


def test_an_offer_that_was_accepted_after_all_is_followed() -> None:
    life = suited()
    life.confirm(refused(Reason.OFFER_LAPSED))
    life.look_up()
    life.see(news("created"), cause=Cause.RECONCILE)
    assert life.lines() == ["3 status_changed awaiting_confirmation>created at deliverit#1 [reconcile]"]
    assert life.state == ("created", Step.TRACK, "deliverit")


def test_an_answer_to_an_offer_that_is_settled_changes_nothing() -> None:
    life = suited()
    life.see(news("courier_assigned"), cause=Cause.CALLBACK)
    life.lines()
    before = life.delivery
    life.take(lifecycle.apply_confirm_outcome(life.delivery, life.attempt.id, refused(), life.rules, life.now))
    assert (life.delivery, life.lines()) == (before, [])


def test_look_ups_of_a_doubtful_create_do_not_count_for_its_offer() -> None:
    life = DeliveryScenario("deliverit")
    life.place()
    life.begin()
    life.answer(Uncertain("timed out"))
    life.look_up()
    asked = life.attempt.pickup_at
    life.answer(Booked(news("awaiting_confirmation", ref="R-1"), Offer(asked, asked)))
    life.confirm(refused(Reason.OFFER_LAPSED))
    life.look_up()
    assert life.delivery.status == "awaiting_confirmation"


def test_a_carrier_whose_offer_was_denied_is_not_asked_again() -> None:
    life = unsuited()
    life.confirm(news("rejected"))
    assert life.state == ("rejected", None, "deliverit")
