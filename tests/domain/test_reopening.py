"""Ended attempts: carriers revive some of them, which only follow-up reads show."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from schemas.status import CancelledBy, Cause
from tests.domain.scenario import START, TERMS, DeliveryScenario, observed, refused
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
CALLED = replace(
    TERMS["borzo"],
    capabilities=Borzo(BorzoAccount(name="b", kind="borzo", token="t", callback_secret="s"), {}).capabilities,
)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ended(carrier: str, status: str = "cancelled", *others: str, called: bool = False) -> DeliveryScenario:
    """Return a scenario whose first attempt has ended; its events have been read.

    `called`: the carrier's account relies on callbacks.
    """
    scenario = DeliveryScenario(carrier, *others)
    if called:
        scenario.terms[carrier] = CALLED
    scenario.place()
    scenario.book()
    scenario.observe(observed(status, cancelled_by=CancelledBy.UNKNOWN if status == "cancelled" else None))
    scenario.new_events()
    return scenario


def follow_up(scenario: DeliveryScenario, saw: str | None = None) -> timedelta:
    """Do the next follow-up read of the first attempt; return how long after its end that is."""
    (first, *_) = scenario.delivery.attempts
    assert first.ended_at is not None
    assert scenario.next_step == (Step.TRACK, 1)
    scenario.wait_for_next_step()
    if saw is None:
        scenario.apply(lifecycle.record_missing(scenario.delivery, first.id, scenario.terms, scenario.now))
    else:
        scenario.observe(observed(saw), attempt=first.id)
    return scenario.now - first.ended_at


@pytest.mark.quirk("C-61")
@pytest.mark.parametrize("end", ["delivered", "cancelled", "failed"])
@pytest.mark.parametrize("saw", [None, "the same"])
@pytest.mark.parametrize(
    ("carrier", "called", "times"),
    [
        ("cervo", False, [10 * MINUTE, 2 * HOUR]),
        ("deliverit", False, [10 * MINUTE, 2 * HOUR]),
        ("borzo", False, [10 * MINUTE, 2 * HOUR]),
        ("borzo", True, [2 * HOUR]),
    ],
)
def test_an_ended_attempt_is_read_again_and_then_left_alone(
    carrier: str, times: list[timedelta], end: str, saw: str | None, *, called: bool
) -> None:
    scenario = ended(carrier, end, called=called)
    assert [follow_up(scenario, saw and end) for _ in times] == times
    assert (scenario.next_step, scenario.delivery.next_run_at, scenario.new_events()) == ((None, None), None, [])


def test_an_end_that_no_carrier_takes_back_is_not_read_again() -> None:
    assert ended("cervo", "returned").next_step == (None, None)
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(refused())
    assert scenario.next_step == (None, None)


def test_a_failed_follow_up_read_is_repeated_for_six_hours() -> None:
    scenario = ended("cervo", "delivered")
    reads = 0
    while scenario.next_step == (Step.TRACK, 1):
        scenario.wait_for_next_step()
        scenario.apply(
            lifecycle.record_read_failure(
                scenario.delivery, 1, Unavailable("down", retry_after=1800), scenario.terms, scenario.now
            )
        )
        reads += 1
    assert (reads, scenario.delivery.failures, scenario.new_events()) == (12, 0, [])


def test_a_failed_follow_up_read_does_not_delay_the_next_courier() -> None:
    scenario = ended("cervo", "cancelled", "deliverit")
    scenario.book()
    scenario.apply(
        lifecycle.record_read_failure(
            scenario.delivery, 1, Unavailable("down", retry_after=1800), scenario.terms, scenario.now
        )
    )
    assert (scenario.next_step, scenario.delivery.retry_at) == ((Step.TRACK, 2), None)


@pytest.mark.parametrize("status", ["picked_up", "dropoff_arrived"])
@pytest.mark.parametrize("cause", [Cause.POLL, Cause.CALLBACK])
def test_a_cancelled_courier_with_the_goods_is_followed_again_at_once(status: str, cause: Cause) -> None:
    scenario = ended("borzo")
    scenario.observe(observed(status, carrier_time=later(999)), cause=cause)
    assert scenario.new_events() == [
        f"6 reopened cancelled>{status} at borzo#1 [{cause}]",
        f"7 conflict cancelled>{status} 'cancelled_but_alive' at borzo#1 [{cause}]",
    ]
    assert scenario.state == (status, Step.TRACK, "borzo")
    scenario.poll("delivered")
    assert scenario.delivery.status == "delivered"


def test_a_courier_who_has_the_goods_of_an_order_cancelled_on_request_needs_an_operator() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    scenario.request_cancel()
    scenario.cancel()
    scenario.wait(5)
    scenario.poll("cancelled")
    scenario.new_events()
    scenario.wait(60)
    scenario.poll("picked_up")
    scenario.poll("picked_up")
    assert scenario.new_events() == [
        "5 reopened cancelled>picked_up at borzo#1 [poll]",
        "6 cancel_refused cancelled>picked_up 'the courier has the goods' at borzo#1 [poll]",
        "7 conflict cancelled>picked_up 'cancelled_but_alive' at borzo#1 [poll]",
        "8 attention_required cancelled>picked_up 'cancel_refused' at borzo#1 [poll]",
    ]


def test_a_cancelled_courier_can_deliver() -> None:
    scenario = ended("cervo")
    follow_up(scenario, "delivered")
    assert scenario.new_events() == [
        "6 reopened cancelled>delivered at cervo#1 [poll]",
        "7 conflict cancelled>delivered 'cancelled_but_alive' at cervo#1 [poll]",
    ]
    assert follow_up(scenario) == 10 * MINUTE


def test_a_courier_who_goes_on_settles_the_search_for_another() -> None:
    scenario = ended("cervo", "cancelled", "borzo")
    scenario.book(Unavailable("down", retry_after=3600))
    scenario.fire_alarms()
    listed = scenario.delivery.attention
    scenario.observe(observed("picked_up"), attempt=1)
    assert (listed, scenario.state[0], scenario.delivery.attention) == ("not_dispatched_in_time", "picked_up", None)


@pytest.mark.quirk("C-61")
def test_goods_that_arrive_after_a_cancel_need_no_operator_any_more() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    scenario.poll("picked_up", "cancelled")
    listed = scenario.delivery.attention
    scenario.poll("delivered")
    assert (listed, scenario.state[0], scenario.delivery.attention) == ("goods_with_courier", "delivered", None)


def test_a_callback_without_a_time_reopens_nothing() -> None:
    scenario = ended("cervo")
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert (scenario.new_events(), scenario.delivery.status) == ([], "cancelled")


def test_a_cancelled_courier_with_the_goods_beside_another_courier_is_surplus() -> None:
    scenario = ended("cervo", "cancelled", "borzo")
    scenario.book()
    scenario.new_events()
    scenario.observe(observed("picked_up"), attempt=1)
    assert scenario.new_events() == [
        "6 conflict queued>created 'two_couriers' at cervo#1 [poll]",
        "7 attention_required queued>created 'surplus_courier' at cervo#1 [poll]",
    ]
    assert scenario.state == ("created", Step.TRACK, "borzo")
    scenario.observe(observed("delivered"), attempt=1)
    assert scenario.new_events() == ["8 attempt_ended queued>created at cervo#1 [poll]"]
    scenario.poll("courier_assigned", "delivered")
    assert (scenario.delivery.status, scenario.delivery.attention) == ("delivered", "surplus_courier")


@pytest.mark.parametrize("end", ["delivered", "cancelled", "failed"])
def test_two_reads_a_minute_apart_reopen_an_ended_delivery(end: str) -> None:
    scenario = ended("cervo", end)
    follow_up(scenario, "courier_assigned")
    assert scenario.new_events() == []
    assert follow_up(scenario, "courier_assigned") == 11 * MINUTE
    number = 4 if end == "delivered" else 6
    assert scenario.new_events() == [f"{number} reopened {end}>courier_assigned at cervo#1 [poll]"]
    assert scenario.state == ("courier_assigned", Step.TRACK, "cervo")


@pytest.mark.parametrize("end", ["delivered", "failed"])
def test_two_reads_with_different_live_statuses_reopen_an_ended_delivery(end: str) -> None:
    scenario = ended("cervo", end)
    follow_up(scenario, "courier_assigned")
    assert follow_up(scenario, "picked_up") == 11 * MINUTE
    assert scenario.state == ("picked_up", Step.TRACK, "cervo")


@pytest.mark.fault("F-54")
@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_courier_who_continues_after_a_later_cancel_request_is_cancelled(end: str) -> None:
    scenario = ended("borzo", end)
    assert scenario.request_cancel(cancelled_by="customer")
    follow_up(scenario, "courier_assigned")
    follow_up(scenario, "courier_assigned")
    assert scenario.state == ("courier_assigned", Step.CANCEL, "borzo")


def test_one_read_or_several_at_once_reopen_nothing() -> None:
    scenario = ended("cervo", "delivered")
    follow_up(scenario, "created")
    for _ in range(5):
        scenario.poll("created")
    assert scenario.delivery.status == "delivered"


def test_an_end_that_the_next_read_confirms_stays() -> None:
    scenario = ended("cervo", "delivered")
    follow_up(scenario, "created")
    follow_up(scenario, "delivered")
    follow_up(scenario, "created")
    assert (scenario.delivery.status, scenario.new_events()) == ("delivered", [])
    assert follow_up(scenario, "delivered") == 2 * HOUR + MINUTE
    assert scenario.next_step == (None, None)


@pytest.mark.parametrize("saw", [None, "an unknown word"])
def test_a_confirming_read_that_shows_nothing_is_repeated_for_six_hours(saw: str | None) -> None:
    scenario = ended("cervo")
    follow_up(scenario, "courier_assigned")
    (first,) = scenario.delivery.attempts
    reads: list[timedelta] = []
    while scenario.next_step == (Step.TRACK, 1) and len(reads) < 100:
        scenario.wait_for_next_step()
        reads.append(scenario.now - first.changed_at)
        if saw is None:
            scenario.apply(lifecycle.record_missing(scenario.delivery, 1, scenario.terms, scenario.now))
        else:
            scenario.observe(observed(None, saw), attempt=1)
    assert reads == [11 * MINUTE + step * 5 * MINUTE for step in range(70)]
    assert (scenario.delivery.status, scenario.delivery.next_run_at) == ("cancelled", None)


def test_callbacks_alone_reopen_nothing() -> None:
    scenario = ended("borzo", "delivered")
    for second in (0, 61, 122):
        scenario.wait(second)
        scenario.observe(observed("created", carrier_time=later(1000 + second)), cause=Cause.CALLBACK)
    assert (scenario.delivery.status, scenario.new_events()) == ("delivered", [])


def test_an_older_attempt_that_goes_on_does_not_reopen_what_another_courier_delivered() -> None:
    scenario = ended("cervo", "cancelled", "borzo")
    scenario.book()
    scenario.poll("delivered")
    scenario.new_events()
    follow_up(scenario, "picked_up")
    assert scenario.delivery.status == "delivered"
    assert scenario.new_events() == [
        "7 conflict created>delivered 'two_couriers' at cervo#1 [poll]",
        "8 attention_required created>delivered 'surplus_courier' at cervo#1 [poll]",
    ]


def test_a_read_of_an_ended_attempt_can_be_scheduled_now() -> None:
    scenario = ended("cervo", "cancelled", "deliverit")
    scenario.book()
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now, 1))
    assert (scenario.next_step, scenario.delivery.next_run_at) == ((Step.TRACK, 1), scenario.now)


def test_only_the_last_of_several_observations_can_reopen() -> None:
    scenario = ended("cervo", "cancelled")
    scenario.observe(observed("picked_up"), observed("cancelled"))
    assert (scenario.delivery.status, scenario.new_events()) == ("cancelled", [])


def never_created(*carriers: str) -> DeliveryScenario:
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    scenario.book(Uncertain("no answer"))
    for _ in range(3):
        scenario.miss_lookup()
    scenario.book()
    scenario.new_events()
    return scenario


def test_a_never_created_attempt_is_looked_up_again() -> None:
    scenario = never_created("deliverit")
    since = scenario.delivery.attempts[0].ended_at
    assert since is not None
    looked: list[timedelta] = []
    scenario.poll("delivered")
    for _ in range(6):
        scenario.wait_for_next_step()
        looked.append(scenario.now - since)
        if scenario.next_step == (Step.RECONCILE, 1):
            scenario.apply(
                lifecycle.record_not_found(
                    scenario.delivery, scenario.delivery.attempts[0], scenario.terms, scenario.now
                )
            )
        else:
            scenario.apply(lifecycle.record_missing(scenario.delivery, 2, scenario.terms, scenario.now))
    assert scenario.next_step == (None, None)
    assert looked == [2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE, 2 * HOUR, 2 * HOUR]


@pytest.mark.fault("F-28")
@pytest.mark.quirk("X-03")
def test_a_never_created_attempt_that_is_found_is_cancelled() -> None:
    scenario = never_created("deliverit")
    while scenario.next_step != (Step.RECONCILE, 1):
        scenario.wait_for_next_step()
        scenario.poll("courier_assigned")
    scenario.new_events()
    scenario.wait_for_next_step()
    scenario.observe(observed("created", ref="R-0"), cause=Cause.RECONCILE, attempt=1)
    assert scenario.new_events() == ["6 conflict created>courier_assigned 'orphan_found' at deliverit#1 [reconcile]"]
    assert scenario.next_step == (Step.CANCEL, 1)


@pytest.mark.fault("F-09")
def test_a_never_created_attempt_that_answers_is_cancelled() -> None:
    scenario = never_created("borzo")
    scenario.answer_create(Booked(observed("created", ref="R-0")), attempt=1)
    assert scenario.next_step == (Step.CANCEL, 1)
    assert scenario.state == ("created", Step.TRACK, "borzo")


def test_an_early_read_does_not_replace_the_planned_one() -> None:
    scenario = ended("borzo", "delivered", called=True)
    scenario.wait(60)
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now, 1))
    scenario.observe(observed("delivered"), attempt=1)
    assert follow_up(scenario, "delivered") == 2 * HOUR
    assert scenario.next_step == (None, None)
