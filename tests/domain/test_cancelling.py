"""The cancel saga: wished once, asked once, believed only when a read shows it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.messages import Cancellation
from schemas.status import CancelledBy, Cause, Reason
from tests.domain.scenario import DeliveryScenario, news, refused
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Unavailable, Uncertain, Unreadable

Make = Callable[..., DeliveryScenario]


def test_a_queued_delivery_is_cancelled_at_once() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    assert life.ask_cancel(cancelled_by="customer")
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>cancelled by customer [message]",
    ]
    assert life.state == ("cancelled", None, "borzo")


def test_a_wish_that_came_before_its_order_cancels_it_at_once() -> None:
    life = DeliveryScenario("borzo")
    life.place(Cancellation(order_id="2011"))
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>cancelled by merchant [message]",
    ]


def test_a_delivery_that_waits_for_its_store_is_cancelled_and_asks_nobody_any_more() -> None:
    life = DeliveryScenario("borzo")
    life.take(lifecycle.accept_order(life.delivery, None, None, life.rules, life.now))
    life.ask_cancel()
    assert (life.delivery.status, life.delivery.attention) == ("cancelled", None)


def test_a_wish_is_taken_once() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book()
    assert [life.ask_cancel(), life.ask_cancel()] == [True, False]


def test_a_wish_after_the_end_changes_nothing(created: Make) -> None:
    life = created("borzo")
    life.poll("delivered")
    assert not life.ask_cancel()


@pytest.mark.quirk("C-47")
def test_the_carrier_is_asked_once_and_a_read_confirms_it(created: Make) -> None:
    life = created("borzo")
    assert life.ask_cancel()
    assert life.state == ("created", Step.CANCEL, "borzo")
    life.cancel()
    assert life.state == ("created", Step.TRACK, "borzo")
    assert life.reach(Step.TRACK) == timedelta(seconds=5)
    life.poll("created")
    assert life.reach(Step.TRACK) == timedelta(seconds=30)
    assert life.lines() == []
    life.poll("cancelled")
    assert life.lines() == [
        "3 attempt_ended queued>created at borzo#1 [poll]",
        "4 status_changed created>cancelled by merchant at borzo#1 [poll]",
    ]


def test_the_intent_to_cancel_is_leased_until_the_call_must_be_over(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.call(Step.CANCEL)
    assert (life.delivery.step, life.attempt.cancel_requested_at) == (Step.TRACK, life.now)
    assert life.delivery.next_run_at == life.now + timedelta(seconds=75)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("C-47", "B-99")
@pytest.mark.parametrize("error", [Uncertain("timed out"), Unreadable("HTML")])
def test_a_cancel_in_doubt_is_settled_by_reads(created: Make, error: CarrierError) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel(error)
    assert life.state == ("created", Step.TRACK, "borzo")
    life.poll("cancelled")
    assert life.delivery.status == "cancelled"


@pytest.mark.quirk("C-47")
def test_a_cancel_whose_process_died_is_repeated_once_a_read_shows_that_it_still_stands(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.call(Step.CANCEL)
    assert life.reach(Step.TRACK) == timedelta(seconds=75)
    life.poll("created")
    assert life.state == ("created", Step.CANCEL, "borzo")
    life.cancel()
    life.reach(Step.TRACK)
    life.poll("cancelled")
    assert (life.delivery.status, life.attempt.cancel_requests) == ("cancelled", 2)


@pytest.mark.quirk("C-47")
def test_a_cancel_in_doubt_is_asked_three_times_at_the_most_and_then_only_verified(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    for _ in range(3):
        life.cancel(Uncertain("timed out"))
        life.reach(Step.TRACK)
        life.poll("created")
    assert (life.state, life.attempt.cancel_requests) == (("created", Step.TRACK, "borzo"), 3)
    for _ in range(3):
        life.reach(Step.TRACK)
        life.poll("created")
    assert life.lines() == ["3 cancel_unconfirmed queued>created at borzo#1 [poll]"]


@pytest.mark.quirk("C-45")
def test_a_cancel_that_the_carrier_took_is_never_repeated(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel()
    for _ in range(10):
        life.reach(Step.TRACK)
        life.poll("created")
    assert (life.attempt.cancel_requests, life.attempt.cancel_accepted) == (1, True)


def test_a_cancel_is_not_repeated_on_a_read_that_was_begun_before_it(created: Make) -> None:
    life = created("borzo")
    began = life.now
    life.ask_cancel()
    life.cancel(Uncertain("timed out"))
    life.wait(6)
    change = lifecycle.apply_observations(life.delivery, 1, [news("created")], life.rules, life.now, Cause.POLL, began)
    assert (change.delivery.step, change.delivery.attempts) == (Step.TRACK, life.delivery.attempts)


def test_a_cancel_is_not_repeated_when_the_read_did_not_show_the_order(created: Make) -> None:
    life = created("deliverit")
    life.ask_cancel()
    life.cancel(Uncertain("timed out"))
    life.reach(Step.TRACK)
    life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    assert (life.state, life.attempt.cancel_checks) == (("created", Step.TRACK, "deliverit"), 1)


@pytest.mark.quirk("C-47", "B-99")
def test_a_repeated_cancel_that_is_refused_may_have_been_done_before(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel(Uncertain("timed out"))
    life.reach(Step.TRACK)
    life.poll("created")
    life.cancel(refused(Reason.UNKNOWN, "order_cannot_be_canceled"))
    assert life.lines() == []
    life.reach(Step.TRACK)
    life.poll("cancelled")
    assert life.delivery.status == "cancelled"


@pytest.mark.quirk("X-05")
def test_a_courier_who_takes_the_goods_before_the_cancel_is_repeated_keeps_them(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel(Uncertain("timed out"))
    life.reach(Step.TRACK)
    life.poll("picked_up")
    assert life.lines()[-1] == "4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [poll]"
    assert life.state == ("picked_up", Step.TRACK, "borzo")
    life.poll("delivered")
    assert life.delivery.status == "delivered"


def test_a_cancel_that_was_not_sent_is_asked_again(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel(Unavailable("down", retry_after=20))
    assert life.reach(Step.CANCEL) == timedelta(seconds=20)
    life.cancel()
    assert life.state == ("created", Step.TRACK, "borzo")


@pytest.mark.quirk("C-47")
def test_a_cancel_that_no_read_confirms_is_told_once_after_the_checks(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel()
    waits: list[float] = []
    for _ in range(6):
        waits.append(life.reach(Step.TRACK).total_seconds())
        life.poll("courier_assigned")
    assert waits[:4] == [5, 30, 120, 600]
    assert life.lines() == [
        "3 status_changed created>courier_assigned at borzo#1 [poll]",
        "4 cancel_unconfirmed created>courier_assigned at borzo#1 [poll]",
    ]


@pytest.mark.quirk("D-54")
def test_a_read_that_does_not_show_the_order_confirms_no_cancel(created: Make) -> None:
    life = created("deliverit")
    life.ask_cancel()
    life.cancel()
    for _ in range(4):
        life.reach(Step.TRACK)
        life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    assert life.lines() == ["3 cancel_unconfirmed queued>created at deliverit#1 [poll]"]


def test_callbacks_do_not_use_up_the_checks(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel()
    for _ in range(5):
        life.see(news("created"), cause=Cause.CALLBACK)
    assert (life.lines(), life.attempt.cancel_checks) == ([], 0)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("D-42", "B-99")
def test_a_refused_cancel_is_told_and_the_courier_is_followed_at_the_usual_pace(created: Make) -> None:
    life = created("deliverit")
    life.ask_cancel()
    life.cancel(refused(Reason.UNKNOWN, "The driver is on the way"))
    assert life.lines() == [
        "3 cancel_refused queued>created unknown 'The driver is on the way' at deliverit#1 [response]"
    ]
    life.reach(Step.TRACK)
    for _ in range(6):
        life.poll("created")
        assert life.reach(Step.TRACK) == timedelta(seconds=30)
    life.poll("delivered")
    assert life.lines() == ["4 status_changed created>delivered at deliverit#1 [poll]"]


@pytest.mark.quirk("X-05")
def test_a_courier_who_delivers_while_a_cancel_is_under_way_wins(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel()
    life.poll("picked_up", "delivered")
    assert (life.delivery.status, life.delivery.cancelled_by) == ("delivered", None)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("C-48")
def test_goods_with_the_courier_are_not_cancelled(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up")
    life.lines()
    assert life.ask_cancel()
    assert life.lines() == ["4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [message]"]
    assert life.state == ("picked_up", Step.TRACK, "borzo")


@pytest.mark.quirk("X-05")
def test_goods_taken_between_the_wish_and_the_call_are_told_as_a_refusal(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.poll("picked_up", "dropoff_enroute")
    assert life.lines() == [
        "3 status_changed created>picked_up at borzo#1 [poll]",
        "4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [poll]",
        "5 status_changed picked_up>dropoff_enroute at borzo#1 [poll]",
    ]
    assert life.state == ("dropoff_enroute", Step.TRACK, "borzo")


def wished_in_flight(*carriers: str) -> DeliveryScenario:
    life = DeliveryScenario(*carriers)
    life.place()
    life.begin()
    life.lines()
    assert life.ask_cancel()
    assert (life.lines(), life.state) == ([], ("queued", Step.RECONCILE, carriers[0]))
    return life


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_wish_during_the_create_is_the_next_thing_asked() -> None:
    life = wished_in_flight("borzo")
    life.answer(Booked(news("created", ref="R-1")))
    assert life.state == ("created", Step.CANCEL, "borzo")
    assert life.delivery.next_run_at == life.now


def test_a_wish_during_a_create_that_was_never_sent_cancels() -> None:
    life = wished_in_flight("borzo", "cervo")
    life.answer(Unavailable("down"))
    assert life.lines() == ["2 status_changed queued>cancelled by merchant [response]"]
    assert life.state == ("cancelled", None, "borzo")


def test_a_wish_during_a_create_that_is_refused_cancels() -> None:
    life = wished_in_flight("borzo", "cervo")
    life.answer(refused())
    assert life.delivery.status == "cancelled"


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_wish_during_doubt_waits_for_the_proof_and_then_cancels() -> None:
    life = wished_in_flight("borzo", "cervo")
    life.answer(Uncertain("timed out"))
    assert life.delivery.status == "submit_unknown"
    life.lines()
    for _ in range(3):
        life.look_up()
    assert life.lines() == ["3 status_changed submit_unknown>cancelled by merchant at borzo#1 [reconcile]"]


@pytest.mark.quirk("X-04")
def test_a_wish_during_doubt_that_ends_in_an_order_is_asked_of_the_carrier() -> None:
    life = wished_in_flight("borzo", "cervo")
    life.answer(Uncertain("timed out"))
    life.look_up()
    life.see(news("courier_assigned", ref="R-1"), cause=Cause.RECONCILE)
    assert life.state == ("courier_assigned", Step.CANCEL, "borzo")


@pytest.mark.quirk("X-04")
@pytest.mark.parametrize("max_creates", [1, 2])
def test_a_wish_during_doubt_without_look_up_is_left_to_a_person(max_creates: int) -> None:
    life = wished_in_flight("cervo")
    life.with_terms("cervo", max_creates=max_creates)
    life.answer(Uncertain("timed out"))
    life.unfindable()
    assert (life.delivery.status, life.delivery.attention) == ("submit_unknown", "outcome_unknown")
    life.resolve(None)
    assert (life.delivery.status, life.delivery.cancelled_by) == ("cancelled", "merchant")


def withdrawn(*carriers: str) -> DeliveryScenario:
    """Give a life whose courier gave the job back and whose grace is over."""
    life = DeliveryScenario(*carriers)
    life.place()
    life.book()
    life.poll("courier_assigned", "courier_withdrawn")
    life.lines()
    life.wait(599)
    life.poll("courier_withdrawn")
    assert life.delivery.step is Step.TRACK
    life.wait(1)
    life.poll("courier_withdrawn")
    return life


@pytest.mark.quirk("C-34")
def test_a_withdrawn_courier_is_waited_for_and_then_the_order_is_cancelled() -> None:
    life = withdrawn("cervo", "borzo")
    assert life.state == ("courier_withdrawn", Step.CANCEL, "cervo")
    assert life.lines() == []


@pytest.mark.quirk("C-34")
@pytest.mark.parametrize("still", ["courier_withdrawn", "cancelled"])
@pytest.mark.parametrize("answer", [None, Uncertain("timed out"), refused(Reason.UNKNOWN, "400")])
def test_a_withdrawn_order_that_still_has_no_courier_after_the_cancel_falls_back(
    still: str, answer: CarrierError | None
) -> None:
    life = withdrawn("cervo", "borzo")
    life.cancel(answer)
    life.lines()
    life.reach(Step.TRACK)
    life.see(news(still, cancelled_by=CancelledBy.MERCHANT if still == "cancelled" else None))
    assert [each.split(" ", 1)[1] for each in life.lines()] == [
        "attempt_ended courier_assigned>courier_withdrawn by courier at cervo#1 [poll]",
        "status_changed courier_withdrawn>queued (fallback) [poll]",
    ]
    assert life.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("C-34")
def test_a_withdrawn_order_without_another_carrier_is_cancelled_by_the_courier() -> None:
    life = withdrawn("cervo")
    life.cancel()
    life.reach(Step.TRACK)
    life.poll("courier_withdrawn")
    assert (life.delivery.status, life.delivery.cancelled_by) == ("cancelled", "courier")
    assert life.lines()[-1] == "7 dispatch_failed courier_withdrawn>cancelled by courier at cervo#1 [poll]"


@pytest.mark.quirk("C-34")
def test_a_new_courier_within_the_grace_keeps_the_order() -> None:
    life = DeliveryScenario("cervo", "borzo")
    life.place()
    life.book()
    life.poll("courier_assigned", "courier_withdrawn")
    life.wait(500)
    life.poll("courier_assigned")
    life.wait(500)
    life.poll("courier_assigned")
    assert life.state == ("courier_assigned", Step.TRACK, "cervo")


def test_a_courier_who_delivers_a_withdrawn_order_was_not_cancelled_by_anybody() -> None:
    life = withdrawn("cervo", "borzo")
    life.cancel()
    life.poll("picked_up", "delivered")
    assert (life.delivery.status, life.delivery.cancelled_by) == ("delivered", None)


def test_a_withdrawal_that_is_history_already_ends_nothing() -> None:
    life = withdrawn("cervo", "borzo")
    life.cancel()
    life.poll("created", "courier_withdrawn", "courier_assigned")
    assert life.state == ("courier_assigned", Step.TRACK, "cervo")


@pytest.mark.parametrize("cause", [Cause.POLL, Cause.CALLBACK])
def test_a_courier_who_gave_it_back_confirms_no_cancel_that_is_still_under_way(cause: Cause) -> None:
    life = withdrawn("cervo", "borzo")
    life.call(Step.CANCEL)
    life.see(news("courier_withdrawn"), cause=cause)
    life.take(lifecycle.apply_cancel_outcome(life.delivery, 1, Unavailable("down"), life.rules, life.now))
    assert life.state == ("courier_withdrawn", Step.CANCEL, "cervo")


@pytest.mark.quirk("C-47")
def test_a_courier_who_gives_back_what_the_merchant_cancelled_confirms_the_cancel(created: Make) -> None:
    life = created("cervo", "borzo")
    life.poll("courier_assigned")
    life.ask_cancel()
    life.cancel()
    life.lines()
    life.reach(Step.TRACK)
    life.poll("courier_withdrawn")
    assert life.lines() == [
        "4 status_changed courier_assigned>courier_withdrawn at cervo#1 [poll]",
        "5 attempt_ended courier_assigned>courier_withdrawn by courier at cervo#1 [poll]",
        "6 status_changed courier_withdrawn>cancelled by merchant at cervo#1 [poll]",
    ]


@pytest.mark.quirk("B-67")
def test_a_cancelled_order_that_the_carrier_reactivates_is_asked_to_cancel_again(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel()
    life.poll("cancelled")
    life.lines()
    life.see(news("created", reopens=True), cause=Cause.CALLBACK)
    assert life.lines() == ["5 reopened cancelled>created at borzo#1 [callback]"]
    assert life.state == ("created", Step.CANCEL, "borzo")
