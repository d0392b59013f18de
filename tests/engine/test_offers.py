"""Offered pickup times: accepted or denied at once, asked again in doubt, lapsed after two look-ups."""

from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.engine.life import Life, news, refused
from worker import lifecycle
from worker.carriers.port import Booked, Offer
from worker.delivery import Step
from worker.errors import Uncertain


def offered(minutes: float, *carriers: str, **order: str) -> Life:
    life = Life(*(carriers or ("deliverit",)), **order)
    life.place()
    life.offered(minutes)
    life.lines()
    return life


def accepts(life: Life) -> bool:
    return lifecycle.accepts_offer(life.delivery, life.attempt, life.rules)


@pytest.mark.parametrize(("minutes", "accepted"), [(0, True), (15, True), (15.02, False), (-15, True), (-16, False)])
def test_an_offer_is_accepted_within_the_accounts_shift_and_denied_beyond(minutes: float, *, accepted: bool) -> None:
    assert accepts(offered(minutes)) == accepted


@pytest.mark.parametrize(("minutes", "accepted"), [(5, True), (-1, True), (-2, False)])
def test_an_offer_before_the_food_is_ready_is_denied(minutes: float, *, accepted: bool) -> None:
    assert accepts(offered(minutes, ready_at="2026-11-21T17:30:00Z")) == accepted


def test_an_offer_is_denied_once_a_cancel_is_wished() -> None:
    life = offered(5)
    assert life.ask_cancel()
    assert not accepts(life)


def test_an_accepted_offer_moves_the_pickup() -> None:
    life = offered(10)
    agreed = life.attempt.offered_at
    life.confirm(news("created"))
    assert life.lines() == ["3 status_changed awaiting_confirmation>created at deliverit#1 [response]"]
    assert (life.state, life.attempt.pickup_at) == (("created", Step.TRACK, "deliverit"), agreed)


def test_a_denied_offer_falls_back() -> None:
    life = offered(60, "deliverit", "borzo")
    life.confirm(news("rejected", reason=Reason.TIME_DENIED))
    assert life.lines() == [
        "3 attempt_ended queued>awaiting_confirmation time_denied at deliverit#1 [response]",
        "4 status_changed awaiting_confirmation>queued (fallback) [response]",
    ]
    assert life.state == ("queued", Step.BOOK, "borzo")


def test_an_offer_denied_for_a_cancel_is_cancelled() -> None:
    life = offered(5, "deliverit", "borzo")
    life.ask_cancel(cancelled_by="customer")
    life.confirm(news("rejected", reason=Reason.TIME_DENIED))
    assert life.delivery.status == "cancelled"
    assert life.lines()[-1] == (
        "4 status_changed awaiting_confirmation>cancelled time_denied by customer at deliverit#1 [response]"
    )


def test_the_call_is_leased_so_that_nobody_else_answers_the_offer_meanwhile() -> None:
    life = offered(5)
    life.call(Step.CONFIRM)
    assert life.delivery.step is Step.CONFIRM
    assert life.delivery.next_run_at == life.now + timedelta(seconds=75)


def test_an_answer_in_doubt_is_given_again() -> None:
    life = offered(5)
    life.confirm(Uncertain("timed out"))
    assert life.lines() == []
    assert life.state == ("awaiting_confirmation", Step.CONFIRM, "deliverit")
    assert timedelta(seconds=1) <= life.reach(Step.CONFIRM) <= timedelta(seconds=4)
    life.confirm(news("created"))
    assert life.delivery.status == "created"


def test_an_offer_that_may_have_lapsed_is_looked_up_twice_before_it_counts_as_lapsed() -> None:
    life = offered(5, "deliverit", "borzo")
    life.confirm(refused(Reason.OFFER_LAPSED, "Time limit reached"))
    assert life.lines() == []
    assert [life.look_up(), life.look_up()] == [timedelta(seconds=30)] * 2
    assert life.lines() == [
        "3 attempt_ended queued>awaiting_confirmation offer_lapsed 'Time limit reached' at deliverit#1 [reconcile]",
        "4 status_changed awaiting_confirmation>queued (fallback) [reconcile]",
    ]
    assert life.state == ("queued", Step.BOOK, "borzo")


def test_an_offer_that_was_accepted_after_all_is_followed() -> None:
    life = offered(5)
    life.confirm(refused(Reason.OFFER_LAPSED))
    life.look_up()
    life.see(news("created"), cause=Cause.RECONCILE)
    assert life.lines() == ["3 status_changed awaiting_confirmation>created at deliverit#1 [reconcile]"]
    assert life.state == ("created", Step.TRACK, "deliverit")


def test_an_answer_to_an_offer_that_is_settled_changes_nothing() -> None:
    life = offered(5)
    life.see(news("courier_assigned"), cause=Cause.CALLBACK)
    life.lines()
    before = life.delivery
    life.take(lifecycle.confirmed(life.delivery, life.attempt.id, refused(), life.rules, life.now))
    assert (life.delivery, life.lines()) == (before, [])


def test_look_ups_of_a_doubtful_create_do_not_count_for_its_offer() -> None:
    life = Life("deliverit")
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
    life = offered(60)
    life.confirm(news("rejected"))
    assert life.state == ("rejected", None, "deliverit")
