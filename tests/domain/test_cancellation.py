"""A cancel: requested once, sent once, and confirmed only by a read."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.messages import Cancellation
from schemas.status import CancelledBy, Cause, Reason
from tests.domain.scenario import DeliveryScenario, observed, refused
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable

Make = Callable[..., DeliveryScenario]


def test_a_queued_delivery_is_cancelled_at_once() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    assert scenario.request_cancel(cancelled_by="customer")
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>cancelled by customer [message]",
    ]
    assert scenario.state == ("cancelled", None, "borzo")


def test_a_cancellation_that_came_before_its_order_cancels_it_at_once() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place(Cancellation(order_id="2011"))
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>cancelled by merchant [message]",
    ]


def test_cancelling_a_delivery_that_waits_for_its_store_clears_the_attention() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.apply(lifecycle.accept_order(scenario.delivery, None, None, scenario.terms, scenario.now))
    scenario.request_cancel()
    assert (scenario.delivery.status, scenario.delivery.attention) == ("cancelled", None)


def test_a_repeated_cancel_request_changes_nothing() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    assert [scenario.request_cancel(), scenario.request_cancel()] == [True, False]


def test_a_cancel_request_after_the_end_changes_nothing(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("delivered")
    assert not scenario.request_cancel()


@pytest.mark.quirk("C-47")
def test_a_cancel_is_requested_once_and_confirmed_by_a_read(created: Make) -> None:
    scenario = created("borzo")
    assert scenario.request_cancel()
    assert scenario.state == ("created", Step.CANCEL, "borzo")
    scenario.cancel()
    assert scenario.state == ("created", Step.TRACK, "borzo")
    assert scenario.wait_for(Step.TRACK) == timedelta(seconds=5)
    scenario.poll("created")
    assert scenario.wait_for(Step.TRACK) == timedelta(seconds=30)
    assert scenario.new_events() == []
    scenario.poll("cancelled")
    assert scenario.new_events() == [
        "3 attempt_ended queued>created at borzo#1 [poll]",
        "4 status_changed created>cancelled by merchant at borzo#1 [poll]",
    ]


def test_the_intent_to_cancel_is_leased_until_the_call_must_be_over(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    assert (scenario.delivery.step, scenario.attempt.cancel_requested_at) == (Step.TRACK, scenario.now)
    assert scenario.delivery.next_run_at == scenario.now + timedelta(seconds=75)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("C-47", "B-99")
@pytest.mark.parametrize("error", [Uncertain("timed out"), Unreadable("HTML")])
def test_a_cancel_with_an_unknown_outcome_is_confirmed_by_a_read(created: Make, error: CarrierError) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(error)
    assert scenario.state == ("created", Step.TRACK, "borzo")
    scenario.poll("cancelled")
    assert scenario.delivery.status == "cancelled"


@pytest.mark.quirk("C-47")
def test_a_cancel_whose_process_was_lost_is_repeated_once_a_read_shows_the_order(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    assert scenario.wait_for(Step.TRACK) == timedelta(seconds=75)
    scenario.poll("created")
    assert scenario.state == ("created", Step.CANCEL, "borzo")
    scenario.cancel()
    scenario.wait_for(Step.TRACK)
    scenario.poll("cancelled")
    assert (scenario.delivery.status, scenario.attempt.cancel_requests) == ("cancelled", 2)


@pytest.mark.quirk("C-47")
def test_a_cancel_with_an_unknown_outcome_is_sent_three_times_at_most_and_then_only_checked(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    for _ in range(3):
        scenario.cancel(Uncertain("timed out"))
        scenario.wait_for(Step.TRACK)
        scenario.poll("created")
    assert (scenario.state, scenario.attempt.cancel_requests) == (("created", Step.TRACK, "borzo"), 3)
    for _ in range(3):
        scenario.wait_for(Step.TRACK)
        scenario.poll("created")
    assert scenario.new_events() == ["3 cancel_unconfirmed queued>created at borzo#1 [poll]"]


@pytest.mark.quirk("C-45")
def test_a_cancel_that_the_carrier_accepted_is_never_repeated(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel()
    for _ in range(10):
        scenario.wait_for(Step.TRACK)
        scenario.poll("created")
    assert (scenario.attempt.cancel_requests, scenario.attempt.cancel_accepted) == (1, True)


def test_a_cancel_is_not_repeated_after_a_read_that_began_before_it(created: Make) -> None:
    scenario = created("borzo")
    began = scenario.now
    scenario.request_cancel()
    scenario.cancel(Uncertain("timed out"))
    scenario.wait(6)
    change = lifecycle.apply_observations(
        scenario.delivery, 1, [observed("created")], scenario.terms, scenario.now, Cause.POLL, began
    )
    (attempt,) = change.delivery.attempts
    assert (change.delivery.step, attempt.cancel_requested_at) == (Step.TRACK, scenario.attempt.cancel_requested_at)


def test_a_cancel_is_not_repeated_when_the_read_did_not_show_the_order(created: Make) -> None:
    scenario = created("deliverit")
    scenario.request_cancel()
    scenario.cancel(Uncertain("timed out"))
    scenario.wait_for(Step.TRACK)
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    assert (scenario.state, scenario.attempt.cancel_checks) == (("created", Step.TRACK, "deliverit"), 1)


@pytest.mark.quirk("C-47", "B-99")
def test_a_repeated_cancel_that_is_refused_may_have_been_carried_out_the_first_time(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(Uncertain("timed out"))
    scenario.wait_for(Step.TRACK)
    scenario.poll("created")
    scenario.cancel(refused(Reason.UNKNOWN, "order_cannot_be_canceled"))
    assert scenario.wait_for(Step.TRACK) == timedelta(0)
    scenario.poll("cancelled")
    assert scenario.new_events() == [
        "3 cancel_refused queued>created unknown 'order_cannot_be_canceled' at borzo#1 [response]",
        "4 attempt_ended queued>created at borzo#1 [poll]",
        "5 status_changed created>cancelled by merchant at borzo#1 [poll]",
    ]


@pytest.mark.fault("F-55")
def test_an_operator_is_asked_about_a_refusal_also_when_an_earlier_request_got_no_answer(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(Uncertain("timed out"))
    scenario.wait_for(Step.TRACK)
    scenario.poll("created")
    scenario.cancel(refused(Reason.UNKNOWN, "order_cannot_be_canceled"))
    scenario.poll("created")
    assert scenario.delivery.attention == "cancel_refused"


@pytest.mark.fault("F-55")
def test_an_operator_is_asked_after_a_minute_when_no_read_shows_whether_a_refused_cancel_left_the_order(
    created: Make,
) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(refused(Reason.UNKNOWN, "order_cannot_be_canceled"))
    refused_at = scenario.now
    failure = Unavailable("down")
    scenario.apply(lifecycle.record_read_failure(scenario.delivery, 1, failure, scenario.terms, scenario.now))
    scenario.new_events()
    scenario.fire_alarms()
    assert scenario.now - refused_at == timedelta(minutes=1)
    assert scenario.new_events() == ["4 attention_required queued>created 'cancel_refused' at borzo#1 [timer]"]
    scenario.apply(lifecycle.resolve_attention(scenario.delivery, scenario.terms, scenario.now))
    scenario.poll("created")
    assert scenario.delivery.attention is None


@pytest.mark.fault("F-55")
def test_a_read_that_shows_the_end_of_an_order_settles_the_question_of_its_refused_cancel(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(refused(Reason.UNKNOWN, "order_cannot_be_canceled"))
    scenario.fire_alarms()
    scenario.poll("cancelled")
    assert (scenario.delivery.status, scenario.delivery.attention) == ("cancelled", None)


@pytest.mark.quirk("X-05")
def test_a_courier_who_takes_the_goods_before_the_cancel_is_repeated_keeps_them(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(Uncertain("timed out"))
    scenario.wait_for(Step.TRACK)
    scenario.poll("picked_up")
    assert (
        scenario.new_events()[-1] == "4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [poll]"
    )
    assert scenario.state == ("picked_up", Step.TRACK, "borzo")
    scenario.poll("delivered")
    assert scenario.delivery.status == "delivered"


def test_a_cancel_that_was_not_sent_is_sent_again(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(Unavailable("down", retry_after=20))
    assert scenario.wait_for(Step.CANCEL) == timedelta(seconds=20)
    scenario.cancel()
    assert scenario.state == ("created", Step.TRACK, "borzo")


@pytest.mark.quirk("C-47")
def test_an_unconfirmed_cancel_is_published_once_after_the_checks(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel()
    waits: list[float] = []
    for _ in range(6):
        waits.append(scenario.wait_for(Step.TRACK).total_seconds())
        scenario.poll("courier_assigned")
    assert waits[:4] == [5, 30, 120, 600]
    assert scenario.new_events() == [
        "3 status_changed created>courier_assigned at borzo#1 [poll]",
        "4 cancel_unconfirmed created>courier_assigned at borzo#1 [poll]",
    ]


@pytest.mark.quirk("D-54")
def test_a_read_that_does_not_show_the_order_confirms_no_cancel(created: Make) -> None:
    scenario = created("deliverit")
    scenario.request_cancel()
    scenario.cancel()
    for _ in range(4):
        scenario.wait_for(Step.TRACK)
        scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    assert scenario.new_events() == ["3 cancel_unconfirmed queued>created at deliverit#1 [poll]"]


def test_callbacks_do_not_use_up_the_checks(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel()
    for _ in range(5):
        scenario.observe(observed("created"), cause=Cause.CALLBACK)
    assert (scenario.new_events(), scenario.attempt.cancel_checks) == ([], 0)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("D-42", "B-99")
def test_a_refused_cancel_is_published_and_the_courier_is_tracked_as_usual(created: Make) -> None:
    scenario = created("deliverit")
    scenario.request_cancel()
    scenario.cancel(refused(Reason.UNKNOWN, "The driver is on the way"))
    assert scenario.new_events() == [
        "3 cancel_refused queued>created unknown 'The driver is on the way' at deliverit#1 [response]"
    ]
    assert scenario.wait_for(Step.TRACK) == timedelta(0)
    scenario.poll("created")
    scenario.wait_for(Step.TRACK)
    for _ in range(6):
        scenario.poll("created")
        assert scenario.wait_for(Step.TRACK) == timedelta(seconds=30)
    scenario.poll("delivered")
    assert scenario.new_events() == [
        "4 attention_required queued>created 'cancel_refused' at deliverit#1 [poll]",
        "5 status_changed created>delivered at deliverit#1 [poll]",
    ]
    assert scenario.delivery.attention_reasons == ()


@pytest.mark.fault("F-55")
@pytest.mark.quirk("B-99")
def test_an_operator_is_asked_once_about_a_refused_cancel_and_not_if_the_order_has_ended(created: Make) -> None:
    stands, ended = created("borzo"), created("borzo")
    for scenario in (stands, ended):
        scenario.request_cancel()
        scenario.cancel(refused(Reason.UNKNOWN, "order_cannot_be_canceled"))
        scenario.new_events()
    scenario = stands
    scenario.apply(lifecycle.record_missing(scenario.delivery, 1, scenario.terms, scenario.now))
    assert scenario.new_events() == []  # a read that does not show the order proves nothing
    for _ in range(2):
        scenario.poll("courier_assigned")
        scenario.apply(lifecycle.resolve_attention(scenario.delivery, scenario.terms, scenario.now))
    assert scenario.new_events() == [
        "4 status_changed created>courier_assigned at borzo#1 [poll]",
        "5 attention_required created>courier_assigned 'cancel_refused' at borzo#1 [poll]",
    ]
    ended.poll("cancelled")
    assert [each.split(" ", 1)[1] for each in ended.new_events()] == [
        "attempt_ended queued>created at borzo#1 [poll]",
        "status_changed created>cancelled by merchant at borzo#1 [poll]",
    ]


@pytest.mark.quirk("X-05")
def test_a_courier_who_delivers_while_a_cancel_is_under_way_wins(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel()
    scenario.poll("picked_up", "delivered")
    assert (scenario.delivery.status, scenario.delivery.cancelled_by) == ("delivered", None)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("C-48")
def test_goods_with_the_courier_are_not_cancelled(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up")
    scenario.new_events()
    assert scenario.request_cancel()
    assert scenario.new_events() == [
        "4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [message]"
    ]
    assert scenario.state == ("picked_up", Step.TRACK, "borzo")


@pytest.mark.quirk("X-05")
def test_goods_picked_up_between_the_request_and_the_call_refuse_the_cancel(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.poll("picked_up", "dropoff_enroute")
    assert scenario.new_events() == [
        "3 status_changed created>picked_up at borzo#1 [poll]",
        "4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [poll]",
        "5 status_changed picked_up>dropoff_enroute at borzo#1 [poll]",
        "6 attention_required picked_up>dropoff_enroute 'cancel_refused' at borzo#1 [poll]",
    ]
    assert scenario.state == ("dropoff_enroute", Step.TRACK, "borzo")


def requested_in_flight(*carriers: str) -> DeliveryScenario:
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.begin_booking()
    scenario.new_events()
    assert scenario.request_cancel()
    assert (scenario.new_events(), scenario.state) == ([], ("queued", Step.RECONCILE, carriers[0]))
    return scenario


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_cancel_request_during_the_create_is_sent_right_after_it() -> None:
    scenario = requested_in_flight("borzo")
    scenario.answer_create(Booked(observed("created", ref="R-1")))
    assert scenario.state == ("created", Step.CANCEL, "borzo")
    assert scenario.delivery.next_run_at == scenario.now


def test_a_cancel_request_during_a_create_that_is_not_sent_cancels_at_once() -> None:
    scenario = requested_in_flight("borzo", "cervo")
    scenario.answer_create(Unavailable("down"))
    assert scenario.new_events() == ["2 status_changed queued>cancelled by merchant [response]"]
    assert scenario.state == ("cancelled", None, "borzo")


def test_a_cancel_request_during_a_create_that_is_refused_cancels_at_once() -> None:
    scenario = requested_in_flight("borzo", "cervo")
    scenario.answer_create(refused())
    assert scenario.delivery.status == "cancelled"


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_cancel_request_during_an_unknown_outcome_takes_effect_with_the_proof_of_absence() -> None:
    scenario = requested_in_flight("borzo", "cervo")
    scenario.answer_create(Uncertain("timed out"))
    assert scenario.delivery.status == "submit_unknown"
    scenario.new_events()
    for _ in range(3):
        scenario.miss_lookup()
    assert scenario.new_events() == ["3 status_changed submit_unknown>cancelled by merchant at borzo#1 [reconcile]"]


@pytest.mark.quirk("X-04")
def test_a_cancel_request_during_an_unknown_outcome_is_sent_once_the_order_is_found() -> None:
    scenario = requested_in_flight("borzo", "cervo")
    scenario.answer_create(Uncertain("timed out"))
    scenario.miss_lookup()
    scenario.observe(observed("courier_assigned", ref="R-1"), cause=Cause.RECONCILE)
    assert scenario.state == ("courier_assigned", Step.CANCEL, "borzo")


@pytest.mark.quirk("X-04")
@pytest.mark.parametrize("resubmits", [False, True])
def test_a_cancel_request_during_an_unknown_outcome_without_look_up_is_left_to_an_operator(*, resubmits: bool) -> None:
    scenario = requested_in_flight("cervo")
    scenario.change_capabilities("cervo", resubmits=resubmits)
    scenario.answer_create(Uncertain("timed out"))
    scenario.miss_callback()
    assert (scenario.delivery.status, scenario.delivery.attention) == ("submit_unknown", "outcome_unknown")
    scenario.resolve(None)
    assert (scenario.delivery.status, scenario.delivery.cancelled_by) == ("cancelled", "merchant")


def withdrawn(*carriers: str) -> DeliveryScenario:
    """Return a scenario whose courier withdrew and whose grace is over."""
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.book()
    scenario.poll("courier_assigned", "courier_withdrawn")
    scenario.new_events()
    scenario.wait(599)
    scenario.poll("courier_withdrawn")
    assert scenario.delivery.step is Step.TRACK
    scenario.wait(1)
    scenario.poll("courier_withdrawn")
    return scenario


@pytest.mark.quirk("C-34")
def test_the_order_of_a_withdrawn_courier_is_cancelled_after_the_grace() -> None:
    scenario = withdrawn("cervo", "borzo")
    assert scenario.state == ("courier_withdrawn", Step.CANCEL, "cervo")
    assert scenario.new_events() == []


@pytest.mark.quirk("C-34")
@pytest.mark.parametrize(
    ("answer", "still"),
    [
        (None, "courier_withdrawn"),
        (None, "cancelled"),
        (Uncertain("timed out"), "cancelled"),
        (refused(Reason.UNKNOWN, "400"), "courier_withdrawn"),
        (refused(Reason.UNKNOWN, "400"), "cancelled"),
    ],
)
def test_a_withdrawn_order_that_still_has_no_courier_after_the_cancel_falls_back(
    answer: CarrierError | None, still: str
) -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.cancel(answer)
    scenario.new_events()
    scenario.wait_for(Step.TRACK)
    scenario.observe(observed(still, cancelled_by=CancelledBy.MERCHANT if still == "cancelled" else None))
    assert [each.split(" ", 1)[1] for each in scenario.new_events()] == [
        "attempt_ended courier_assigned>courier_withdrawn by courier at cervo#1 [poll]",
        "status_changed courier_withdrawn>queued (fallback) [poll]",
    ]
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("C-34", "C-47")
def test_a_withdrawn_order_whose_cancel_has_no_answer_ends_after_the_third_request_only() -> None:
    scenario = withdrawn("cervo", "borzo")
    for _ in range(2):
        scenario.cancel(Uncertain("timed out"))
        scenario.wait_for(Step.TRACK)
        scenario.poll("courier_withdrawn")
        assert scenario.state == ("courier_withdrawn", Step.CANCEL, "cervo")
    scenario.cancel(Uncertain("timed out"))
    scenario.wait_for(Step.TRACK)
    scenario.poll("courier_withdrawn")
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("C-34", "C-47")
def test_a_withdrawn_order_whose_third_cancel_was_lost_with_its_process_ends() -> None:
    scenario = withdrawn("cervo", "borzo")
    for _ in range(3):
        scenario.begin_call(Step.CANCEL)
        scenario.poll("courier_withdrawn")
        assert scenario.delivery.status == "courier_withdrawn"
        scenario.wait_for(Step.TRACK)
        scenario.poll("courier_withdrawn")
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("C-34", "C-47")
def test_a_withdrawn_order_whose_cancel_was_lost_with_its_process_is_cancelled_again() -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.begin_call(Step.CANCEL)
    scenario.wait_for(Step.TRACK)
    scenario.poll("courier_withdrawn")
    assert scenario.state == ("courier_withdrawn", Step.CANCEL, "cervo")
    scenario.poll("courier_assigned", "picked_up", "delivered")
    assert scenario.delivery.status == "delivered"


@pytest.mark.fault("F-75")
@pytest.mark.quirk("C-34", "C-47")
@pytest.mark.parametrize("requested", [False, True])
def test_a_read_that_began_before_a_refused_cancel_ends_no_withdrawn_order(*, requested: bool) -> None:
    scenario = withdrawn("cervo", "borzo")
    began = scenario.now
    scenario.wait(1)
    if requested:
        scenario.request_cancel()
    scenario.cancel(refused(Reason.UNKNOWN, "a driver has accepted the order"))
    scenario.wait(1)
    scenario.observe(observed("courier_withdrawn"), heard=began)
    assert scenario.state == ("courier_withdrawn", Step.TRACK, "cervo")
    scenario.poll("courier_withdrawn")
    assert scenario.delivery.status == ("cancelled" if requested else "queued")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("C-24", "C-34")
def test_a_withdrawn_order_without_a_reference_ends_only_after_a_cancel_under_its_reference() -> None:
    scenario = DeliveryScenario("cervo", "borzo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.observe(observed("courier_withdrawn"), cause=Cause.CALLBACK)
    scenario.wait(600)
    scenario.apply(lifecycle.record_missing(scenario.delivery, 1, scenario.terms, scenario.now))
    scenario.cancel(refused(Reason.UNKNOWN, "Cervo's order id is unknown"))
    scenario.wait(1)
    scenario.observe(observed("courier_withdrawn"), cause=Cause.CALLBACK)
    waiting = scenario.state[0], scenario.delivery.attention
    scenario.resolve("R-1")
    assert (waiting, scenario.state) == (
        ("courier_withdrawn", "reference_missing"),
        ("courier_withdrawn", Step.CANCEL, "cervo"),
    )
    scenario.cancel()
    scenario.wait(5)
    scenario.poll("courier_withdrawn")
    assert scenario.state == ("queued", Step.BOOK, "borzo")


def test_a_cancel_that_our_codec_refused_for_want_of_a_reference_is_sent_once_the_carrier_reports_one() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.observe(observed("created"), cause=Cause.CALLBACK)
    scenario.request_cancel()
    scenario.cancel(refused(Reason.UNKNOWN, "Cervo's order id is unknown"))
    scenario.observe(observed("created", ref="R-1"), cause=Cause.CALLBACK)
    assert (scenario.state, scenario.delivery.attention) == (("created", Step.CANCEL, "cervo"), None)


@pytest.mark.quirk("C-34")
def test_a_withdrawn_order_without_another_carrier_is_cancelled_by_the_courier() -> None:
    scenario = withdrawn("cervo")
    scenario.cancel()
    scenario.wait_for(Step.TRACK)
    scenario.poll("courier_withdrawn")
    assert (scenario.delivery.status, scenario.delivery.cancelled_by) == ("cancelled", "courier")
    assert scenario.new_events()[-1] == "7 dispatch_failed courier_withdrawn>cancelled by courier at cervo#1 [poll]"


@pytest.mark.quirk("C-34")
def test_a_new_courier_within_the_grace_keeps_the_order() -> None:
    scenario = DeliveryScenario("cervo", "borzo")
    scenario.place()
    scenario.book()
    scenario.poll("courier_assigned", "courier_withdrawn")
    scenario.wait(500)
    scenario.poll("courier_assigned")
    scenario.wait(500)
    scenario.poll("courier_assigned")
    assert scenario.state == ("courier_assigned", Step.TRACK, "cervo")


def test_a_withdrawn_order_that_is_delivered_has_no_canceller() -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.cancel()
    scenario.poll("picked_up", "delivered")
    assert (scenario.delivery.status, scenario.delivery.cancelled_by) == ("delivered", None)


def test_a_withdrawal_that_is_already_history_ends_nothing() -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.cancel()
    scenario.poll("created", "courier_withdrawn", "courier_assigned")
    assert scenario.state == ("courier_assigned", Step.TRACK, "cervo")


@pytest.mark.parametrize("cause", [Cause.POLL, Cause.CALLBACK])
def test_a_withdrawal_confirms_no_cancel_that_is_still_under_way(cause: Cause) -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.begin_call(Step.CANCEL)
    scenario.observe(observed("courier_withdrawn"), cause=cause)
    scenario.apply(
        lifecycle.apply_cancel_outcome(scenario.delivery, 1, Unavailable("down"), scenario.terms, scenario.now)
    )
    assert scenario.state == ("courier_withdrawn", Step.CANCEL, "cervo")


@pytest.mark.quirk("C-47")
def test_a_withdrawal_confirms_a_requested_cancel(created: Make) -> None:
    scenario = created("cervo", "borzo")
    scenario.poll("courier_assigned")
    scenario.request_cancel()
    scenario.cancel()
    scenario.new_events()
    scenario.wait_for(Step.TRACK)
    scenario.poll("courier_withdrawn")
    assert scenario.new_events() == [
        "4 status_changed courier_assigned>courier_withdrawn at cervo#1 [poll]",
        "5 attempt_ended courier_assigned>courier_withdrawn by courier at cervo#1 [poll]",
        "6 status_changed courier_withdrawn>cancelled by merchant at cervo#1 [poll]",
    ]


@pytest.mark.fault("F-55")
@pytest.mark.quirk("C-34", "C-47")
def test_a_courier_who_withdraws_after_a_refused_cancel_causes_another_request(created: Make) -> None:
    scenario = created("cervo")
    scenario.poll("courier_assigned")
    scenario.request_cancel()
    scenario.cancel(refused(Reason.UNKNOWN, "a driver has accepted the order"))
    scenario.poll("courier_assigned")
    listed = scenario.delivery.attention
    scenario.wait(600)
    scenario.poll("courier_withdrawn")
    assert (listed, scenario.delivery.attention) == ("cancel_refused", None)
    assert scenario.state == ("courier_withdrawn", Step.CANCEL, "cervo")


@pytest.mark.quirk("C-34", "C-47")
@pytest.mark.parametrize("answer", [None, refused(Reason.UNKNOWN, "a driver has accepted the order")])
def test_each_courier_who_withdraws_has_a_grace_and_a_cancel_of_its_own(answer: CarrierError | None) -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.cancel(answer)
    scenario.wait(30)
    scenario.poll("courier_assigned")
    scenario.wait(900)
    scenario.poll("courier_withdrawn")
    scenario.wait(599)
    scenario.poll("courier_withdrawn")
    assert scenario.state == ("courier_withdrawn", Step.TRACK, "cervo")
    scenario.wait(1)
    scenario.poll("courier_withdrawn")
    scenario.cancel()
    scenario.wait(5)
    scenario.poll("courier_withdrawn")
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("C-34", "C-47")
def test_a_cancel_that_takes_effect_after_a_later_courier_withdrew_is_still_ours() -> None:
    scenario = withdrawn("cervo", "borzo")
    scenario.cancel()
    scenario.wait(5)
    scenario.poll("courier_assigned", "courier_withdrawn")
    scenario.observe(observed("cancelled", cancelled_by=CancelledBy.MERCHANT))
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("B-67")
def test_a_cancelled_order_that_the_carrier_reactivates_is_cancelled_again(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel()
    scenario.poll("cancelled")
    scenario.new_events()
    scenario.observe(observed("created", reopens=True), cause=Cause.CALLBACK)
    assert scenario.new_events() == ["5 reopened cancelled>created at borzo#1 [callback]"]
    assert scenario.state == ("created", Step.CANCEL, "borzo")


@pytest.mark.quirk("D-40")
def test_a_refused_cancel_may_be_requested_again_at_a_charge(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    refused = Refused(Reason.UNKNOWN, "too late to cancel for free")
    scenario.apply(
        lifecycle.apply_cancel_outcome(scenario.delivery, scenario.attempt.id, refused, scenario.terms, scenario.now)
    )
    assert scenario.state == ("created", Step.TRACK, "borzo")
    assert scenario.request_cancel(allow_paid=True)
    assert scenario.state == ("created", Step.CANCEL, "borzo")
    assert scenario.delivery.cancel_request is not None
    assert scenario.delivery.cancel_request.allow_paid is True


def test_a_cancel_that_is_under_way_is_not_requested_again(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel(allow_paid=True)
    scenario.begin_call(Step.CANCEL)
    assert [scenario.request_cancel(allow_paid=fee) for fee in (True, False)] == [False, False]


@pytest.mark.fault("F-55")
@pytest.mark.quirk("D-40")
@pytest.mark.parametrize("outcome", [Refused(Reason.UNKNOWN, "not free any more"), Unavailable("connection refused")])
def test_a_request_that_allows_a_fee_is_sent_after_a_free_cancel_that_failed(
    created: Make, outcome: CarrierError
) -> None:
    scenario = created("deliverit")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    assert scenario.request_cancel(allow_paid=True)
    assert (scenario.delivery.step, scenario.delivery.next_run_at) == (Step.CANCEL, scenario.attempt.wait_until)
    scenario.apply(lifecycle.apply_cancel_outcome(scenario.delivery, 1, outcome, scenario.terms, scenario.now))
    assert scenario.wait_for(Step.CANCEL) <= timedelta(seconds=10)
    assert (scenario.new_events(), scenario.delivery.cancel_request) == (
        [],
        Cancellation(order_id="2011", allow_paid=True),
    )


@pytest.mark.quirk("D-40")
@pytest.mark.parametrize("outcome", [None, Uncertain("timed out")])
def test_a_request_that_allows_a_fee_waits_for_a_read_after_a_free_cancel_that_may_have_worked(
    created: Make, outcome: CarrierError | None
) -> None:
    scenario = created("deliverit")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    scenario.request_cancel(allow_paid=True)
    scenario.apply(lifecycle.apply_cancel_outcome(scenario.delivery, 1, outcome, scenario.terms, scenario.now))
    scenario.wait_for(Step.TRACK)
    scenario.poll("created")
    assert scenario.state == ("created", Step.TRACK if outcome is None else Step.CANCEL, "deliverit")
