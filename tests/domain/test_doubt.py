"""Creates whose outcome nobody knows: quarantine, proof of absence, parking and a person's ruling."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, news, refused
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable, Uncertain, Unreadable


def in_doubt(*carriers: str) -> DeliveryScenario:
    """Give a life whose create timed out when its deadline was over."""
    life = DeliveryScenario(*carriers)
    life.place()
    life.begin()
    life.wait(45)
    life.answer(Uncertain("timed out"))
    life.lines()
    return life


@pytest.mark.quirk("X-03")
def test_a_create_whose_process_was_lost_is_in_doubt_once_its_lease_is_over() -> None:
    life = DeliveryScenario("borzo", "cervo")
    life.place()
    life.begin()
    assert life.reach(Step.RECONCILE) == timedelta(seconds=75)
    life.take(lifecycle.mark_outcome_unknown(life.delivery, life.rules, life.now))
    assert life.lines()[1:] == ["2 status_changed queued>submit_unknown at borzo#1 [timer]"]
    assert life.state == ("submit_unknown", Step.RECONCILE, "borzo")
    assert life.delivery.next_run_at == life.attempt.submitted_at + timedelta(seconds=45 + 60)


def test_only_a_create_in_flight_can_be_lost() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    assert lifecycle.mark_outcome_unknown(life.delivery, life.rules, life.now) is None
    life.book()
    assert lifecycle.mark_outcome_unknown(life.delivery, life.rules, life.now) is None


def test_the_late_answer_of_a_lost_create_settles_the_doubt() -> None:
    life = in_doubt("borzo")
    life.answer(Booked(news("created", ref="R-1")))
    assert life.lines() == ["3 status_changed submit_unknown>created at borzo#1 [response]"]
    assert life.state == ("created", Step.TRACK, "borzo")


def left_to_a_person() -> DeliveryScenario:
    life = in_doubt("cervo", "borzo")
    life.unfindable()
    assert (life.attempt.awaiting_operator, life.delivery.attention) == (True, "outcome_unknown")
    life.lines()
    return life


def test_a_late_refusal_ends_the_doubt_and_the_next_carrier_is_asked() -> None:
    life = left_to_a_person()
    life.answer(refused(Reason.CARRIER_CLOSED))
    assert life.lines() == [
        "4 attempt_ended queued>submit_unknown carrier_closed at cervo#1 [response]",
        "5 status_changed submit_unknown>queued (fallback) [response]",
    ]
    assert (life.state, life.delivery.attention) == (("queued", Step.BOOK, "borzo"), None)


def test_a_create_that_turns_out_to_have_never_been_sent_is_sent() -> None:
    life = left_to_a_person()
    life.answer(Unavailable("not sent"))
    assert life.lines() == ["4 status_changed submit_unknown>queued (resubmit) at cervo#1 [response]"]
    assert (life.state, life.delivery.attention, life.attempt.awaiting_operator) == (
        ("queued", Step.BOOK, "cervo"),
        None,
        False,
    )
    life.book()
    assert (life.state[0], life.attempt.number) == ("created", 1)


def test_a_create_that_turns_out_to_have_never_been_sent_needs_no_cancel() -> None:
    life = left_to_a_person()
    life.ask_cancel()
    life.answer(Unavailable("not sent"))
    assert life.state == ("cancelled", None, "cervo")


def test_a_late_answer_that_says_nothing_leaves_the_doubt_as_it_is() -> None:
    life = left_to_a_person()
    before = life.delivery
    life.answer(Uncertain("no answer"))
    assert (life.delivery, life.lines()) == (before, [])


@pytest.mark.fault("F-28")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize("carrier", ["borzo", "deliverit"])
def test_look_ups_wait_for_the_quarantine(carrier: str) -> None:
    life = in_doubt(carrier)
    sent = life.attempt.submitted_at
    times: list[float] = []
    for _ in range(3):
        life.look_up()
        times.append((life.now - sent).total_seconds() - 45)
    assert times == [60, 90, 120]


@pytest.mark.fault("F-36")
@pytest.mark.quirk("D-60", "B-60")
def test_what_a_look_up_finds_is_adopted() -> None:
    life = in_doubt("borzo", "cervo")
    life.look_up()
    life.see(news("courier_assigned", ref="R-1"), cause=Cause.RECONCILE)
    assert life.lines() == ["3 status_changed submit_unknown>courier_assigned at borzo#1 [reconcile]"]
    assert (life.state, life.attempt.ref) == (("courier_assigned", Step.TRACK, "borzo"), "R-1")


@pytest.mark.fault("F-37")
@pytest.mark.quirk("D-60", "B-60")
def test_two_clean_look_ups_prove_nothing() -> None:
    life = in_doubt("borzo", "cervo")
    life.look_up()
    life.look_up()
    assert life.lines() == []
    assert life.state == ("submit_unknown", Step.RECONCILE, "borzo")


@pytest.mark.fault("F-37")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize("error", [Unavailable("down"), Unreadable("HTML"), Uncertain("timed out")])
def test_a_look_up_that_failed_proves_nothing(error: Unavailable | Unreadable | Uncertain) -> None:
    life = in_doubt("borzo")
    for _ in range(9):
        life.reach(Step.RECONCILE)
        before = life.now
        life.take(lifecycle.record_read_failure(life.delivery, life.attempt.id, error, life.rules, life.now))
        assert life.delivery.next_run_at is not None
        assert life.delivery.next_run_at > before
    assert (life.attempt.lookups, life.state) == (0, ("submit_unknown", Step.RECONCILE, "borzo"))


@pytest.mark.quirk("D-60", "B-60")
def test_three_clean_look_ups_are_followed_by_one_more_create_at_the_same_carrier_and_then_by_a_person() -> None:
    life = in_doubt("borzo", "cervo")
    for _ in range(3):
        life.look_up()
    assert life.lines() == ["3 status_changed submit_unknown>queued (resubmit) [reconcile]"]
    assert life.state == ("queued", Step.BOOK, "borzo")
    life.book(Uncertain("timed out"))
    assert [(each.number, each.carrier, each.state) for each in life.delivery.attempts] == [
        (1, "borzo", "rejected"),
        (2, "borzo", "submit_unknown"),
    ]
    for _ in range(3):
        life.look_up()
    assert life.lines() == [
        "4 status_changed queued>submit_unknown at borzo#2 [response]",
        "5 attention_required queued>submit_unknown 'outcome_unknown' at borzo#2 [reconcile]",
    ]
    assert (life.attempt.awaiting_operator, life.state) == (True, ("submit_unknown", Step.RECONCILE, "borzo"))


def test_a_parked_create_goes_on_being_looked_up_and_is_told_once() -> None:
    life = in_doubt("borzo")
    life.with_terms("borzo", max_creates=1)
    waits = [life.look_up() for _ in range(6)][3:]
    assert waits == [timedelta(minutes=10)] * 3
    assert [each for each in life.lines() if "attention" in each] == [
        "3 attention_required queued>submit_unknown 'outcome_unknown' at borzo#1 [reconcile]"
    ]
    life.see(news("created", ref="R-1"), cause=Cause.RECONCILE)
    assert (life.state, life.delivery.attention) == (("created", Step.TRACK, "borzo"), None)


def test_a_create_refused_after_a_resubmit_falls_back() -> None:
    life = in_doubt("borzo", "cervo")
    for _ in range(3):
        life.look_up()
    life.book(refused(Reason.NO_COURIER))
    assert life.state == ("queued", Step.BOOK, "cervo")


def test_an_update_between_doubt_and_resubmit_leaves_the_carrier() -> None:
    life = in_doubt("borzo")
    life.resolve(None)
    order = life.order.model_copy(update={"revision": 2, "notes": "no onions"})
    assert life.amend(order)
    assert life.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("C-23")
def test_a_carrier_without_look_up_is_given_time_to_call_back_and_then_left_to_a_person() -> None:
    life = in_doubt("cervo", "borzo")
    assert life.unfindable() == timedelta(seconds=180)
    assert life.lines() == ["3 attention_required queued>submit_unknown 'outcome_unknown' at cervo#1 [timer]"]
    assert (life.attempt.awaiting_operator, life.state) == (True, ("submit_unknown", Step.RECONCILE, "cervo"))
    assert [life.unfindable() for _ in range(3)] == [timedelta(minutes=10)] * 3
    assert life.lines() == []


@pytest.mark.quirk("C-23")
def test_a_callback_settles_the_doubt_where_there_is_no_look_up() -> None:
    life = in_doubt("cervo")
    life.see(news("created"), cause=Cause.CALLBACK)
    assert life.lines() == ["3 status_changed submit_unknown>created at cervo#1 [callback]"]
    assert life.state == ("created", Step.TRACK, "cervo")


@pytest.mark.quirk("C-23")
def test_resubmitting_in_doubt_is_done_once_where_it_is_wished() -> None:
    life = in_doubt("cervo")
    life.with_terms("cervo", max_creates=2)
    life.unfindable()
    assert life.lines() == ["3 status_changed submit_unknown>queued (resubmit) [timer]"]
    life.book(Uncertain("timed out"))
    life.unfindable()
    assert life.lines()[-1] == "5 attention_required queued>submit_unknown 'outcome_unknown' at cervo#2 [timer]"


def test_an_earlier_carriers_attempt_does_not_use_up_the_resubmit() -> None:
    life = DeliveryScenario("borzo", "cervo")
    life.with_terms("cervo", max_creates=2)
    life.place()
    life.book(refused())
    life.book(Uncertain("timed out"))
    life.unfindable()
    assert life.state == ("queued", Step.BOOK, "cervo")


@pytest.mark.quirk("C-23")
def test_a_person_who_finds_the_order_at_the_carrier_settles_the_doubt() -> None:
    life = in_doubt("cervo")
    life.unfindable()
    life.lines()
    life.resolve("25")
    assert life.lines() == ["4 status_changed submit_unknown>created at cervo#1 [operator]"]
    assert (life.state, life.attempt.ref) == (("created", Step.TRACK, "cervo"), "25")
    assert (life.attempt.awaiting_operator, life.delivery.attention) == (False, None)


@pytest.mark.quirk("C-23")
def test_a_person_who_finds_no_order_has_it_created_again_at_the_same_carrier() -> None:
    life = in_doubt("cervo", "borzo")
    life.unfindable()
    life.lines()
    life.resolve(None)
    assert life.lines() == ["4 status_changed submit_unknown>queued (resubmit) [operator]"]
    assert life.state == ("queued", Step.BOOK, "cervo")
    life.book()
    assert life.lines() == ["5 status_changed queued>created at cervo#2 [response]"]


def test_there_is_nothing_to_resolve_without_a_doubt() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.book()
    assert lifecycle.resolve_unknown_outcome(life.delivery, "25", life.rules, life.now) is None


@pytest.mark.fault("F-28")
@pytest.mark.quirk("X-03")
def test_a_create_taken_for_absent_that_shows_up_before_the_next_is_followed_instead() -> None:
    life = in_doubt("borzo")
    for _ in range(3):
        life.look_up()
    life.lines()
    life.see(news("created", ref="R-1"), cause=Cause.CALLBACK)
    assert life.lines() == [
        "4 status_changed queued>created at borzo#1 [callback]",
        "5 conflict queued>created 'orphan_found' at borzo#1 [callback]",
    ]
    assert life.state == ("created", Step.TRACK, "borzo")
    assert lifecycle.begin_booking(life.delivery, 9, "token", life.rules, life.now) is None


@pytest.mark.quirk("X-03")
def test_a_create_taken_for_absent_that_shows_up_beside_the_next_is_surplus_and_told_once() -> None:
    life = in_doubt("borzo")
    for _ in range(3):
        life.look_up()
    life.book()
    life.lines()
    for status in ("created", "courier_assigned"):
        life.see(news(status, ref="R-0"), cause=Cause.CALLBACK, attempt=1)
    assert life.lines() == ["5 conflict queued>created 'orphan_found' at borzo#1 [callback]"]
    assert [(each.surplus, each.state) for each in life.delivery.attempts] == [
        (True, "courier_assigned"),
        (False, "created"),
    ]
    assert life.turn == (Step.CANCEL, 1)


def test_the_late_answer_of_a_create_taken_for_absent_is_an_orphan_too() -> None:
    life = in_doubt("borzo")
    for _ in range(3):
        life.look_up()
    life.lines()
    life.answer(Booked(news("created", ref="R-1")))
    assert life.lines()[-1] == "5 conflict queued>created 'orphan_found' at borzo#1 [response]"
    assert life.state == ("created", Step.TRACK, "borzo")


def test_a_wrong_reference_can_be_mended_until_the_carrier_shows_more() -> None:
    life = left_to_a_person()
    life.resolve("99998")
    life.take(
        lifecycle.record_read_failure(life.delivery, 1, Unreadable("there is no such order"), life.rules, life.now)
    )
    life.resolve("99999")
    assert (life.attempt.ref, life.state) == ("99999", ("created", Step.TRACK, "cervo"))
    life.poll("courier_assigned")
    assert lifecycle.resolve_unknown_outcome(life.delivery, "99998", life.rules, life.now) is None


def test_what_was_ruled_absent_and_is_there_after_all_is_followed_or_cancelled() -> None:
    life = left_to_a_person()
    life.resolve(None)
    life.resolve("99999")
    assert (life.state, life.attempt.ref) == (("created", Step.TRACK, "cervo"), "99999")
    wished = left_to_a_person()
    wished.ask_cancel()
    wished.resolve(None)
    assert (wished.delivery.status, wished.delivery.final) == ("cancelled", True)
    wished.resolve("99999")
    (first,) = wished.delivery.attempts
    assert (wished.delivery.status, first.surplus, first.ref) == ("cancelled", True, "99999")
    assert wished.turn == (Step.CANCEL, 1)


def test_a_ruling_about_one_courier_does_not_forget_another() -> None:
    life = left_to_a_person()
    life.delivery = replace(life.delivery, attention="surplus_courier, outcome_unknown")
    life.resolve("99999")
    assert life.delivery.attention == "surplus_courier"


def disputed(*carriers: str) -> DeliveryScenario:
    """Give a life whose first create its carrier calls a duplicate."""
    life = DeliveryScenario(*carriers)
    life.place()
    life.lines()
    life.book(refused(Reason.DUPLICATE, "order_is_duplicate"))
    return life


@pytest.mark.fault("F-36")
@pytest.mark.quirk("B-31")
def test_a_first_create_that_is_called_a_duplicate_asks_for_a_person_and_for_no_second_courier() -> None:
    life = disputed("borzo", "cervo")
    assert life.lines() == [
        "2 status_changed queued>submit_unknown at borzo#1 [response]",
        "3 attention_required queued>submit_unknown 'duplicate_at_carrier' at borzo#1 [response]",
    ]
    for _ in range(6):
        life.look_up()
    assert (life.state, life.lines()) == (("submit_unknown", Step.RECONCILE, "borzo"), [])


@pytest.mark.quirk("B-31")
def test_a_duplicate_that_a_person_finds_is_followed() -> None:
    life = disputed("borzo", "cervo")
    life.resolve("1250032")
    assert (life.state, life.attempt.ref) == (("created", Step.TRACK, "borzo"), "1250032")
    assert life.delivery.attention is None


@pytest.mark.quirk("B-31")
def test_a_duplicate_of_which_a_person_says_that_it_is_another_order_goes_to_the_next_carrier() -> None:
    life = disputed("borzo", "cervo")
    life.lines()
    life.resolve(None)
    assert life.lines() == [
        "4 attempt_ended queued>submit_unknown duplicate 'order_is_duplicate' at borzo#1 [operator]",
        "5 status_changed submit_unknown>queued (fallback) [operator]",
    ]
    assert (life.state, life.delivery.attention) == (("queued", Step.BOOK, "cervo"), None)


@pytest.mark.quirk("B-31")
def test_a_duplicate_is_not_called_cancelled_because_no_look_up_finds_it() -> None:
    life = disputed("borzo", "cervo")
    life.ask_cancel()
    for _ in range(5):
        life.look_up()
    assert (life.state[0], life.delivery.attention) == ("submit_unknown", "duplicate_at_carrier")
    life.resolve(None)
    assert (life.state[0], life.delivery.attention) == ("cancelled", None)
