"""Which of two reports is newer: reads by their begin, callbacks by the carrier's clock, and a read where that is open.

The carrier's clock may be wrong, so no test here compares it with ours.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from schemas.status import Cause
from tests.domain.scenario import START, DeliveryScenario, line, observed
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable

Make = Callable[..., DeliveryScenario]
AHEAD, BEHIND = timedelta(minutes=10), -timedelta(minutes=10)


def call_back(scenario: DeliveryScenario, status: str, skew: timedelta = timedelta(0), **details: Any) -> None:
    """Report a status by a callback that is made now, by a clock that differs from ours."""
    scenario.observe(observed(status, carrier_time=scenario.now + skew, **details), cause=Cause.CALLBACK)


# --- a read that began before other news ---


@pytest.mark.fault("F-75")
@pytest.mark.parametrize(
    ("told", "read"),
    [("courier_assigned", "created"), ("pickup_enroute", "courier_assigned"), ("cancelled", "picked_up")],
)
def test_a_read_that_began_before_a_callback_arrived_changes_nothing_and_is_repeated(
    created: Make, told: str, read: str
) -> None:
    scenario = created("borzo")
    began = scenario.now
    scenario.wait(5)
    call_back(scenario, told)
    scenario.wait(20)
    scenario.new_events()
    scenario.observe(observed(read, codec_state={"old": "1"}), heard=began)
    assert (scenario.new_events(), scenario.delivery.status, scenario.attempt.codec_state) == ([], told, {})
    assert (scenario.next_step, scenario.delivery.next_run_at) == ((Step.TRACK, 1), scenario.now)


@pytest.mark.fault("F-75")
def test_of_two_reads_the_one_that_began_first_counts_first(created: Make) -> None:
    scenario = created("cervo")
    began = scenario.now
    scenario.wait(30)
    scenario.observe(observed("courier_assigned"), heard=scenario.now)
    scenario.wait(10)
    scenario.observe(observed("created"), heard=began)
    assert scenario.delivery.status == "courier_assigned"


@pytest.mark.fault("F-75")
def test_an_outdated_read_that_agrees_is_not_repeated(created: Make) -> None:
    scenario = created("borzo")
    began = scenario.now
    scenario.wait(5)
    call_back(scenario, "courier_assigned")
    scenario.observe(observed("courier_assigned"), heard=began)
    assert scenario.delivery.next_run_at is not None
    assert scenario.delivery.next_run_at > scenario.now


@pytest.mark.fault("F-75")
def test_a_read_that_began_after_the_callback_arrived_may_step_back(created: Make) -> None:
    scenario = created("borzo")
    call_back(scenario, "pickup_enroute", AHEAD)
    scenario.wait(1)
    scenario.observe(observed("created"))
    assert (scenario.delivery.status, scenario.delivery.detail) == ("created", "reassigned")


@pytest.mark.fault("F-75")
@pytest.mark.parametrize(("seconds", "asked"), [(59, False), (60, True)])
def test_the_read_that_confirms_a_contradiction_begins_a_minute_after_the_first_was_applied(
    created: Make, *, seconds: float, asked: bool
) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up")
    scenario.wait(30)
    scenario.observe(observed("created"), heard=scenario.now)
    began = scenario.now + timedelta(seconds=seconds)
    scenario.wait(90)
    scenario.observe(observed("created"), heard=began)
    assert ("went_backwards" in scenario.delivery.attention_reasons) is asked


@pytest.mark.fault("F-75")
def test_a_look_up_that_began_before_the_order_was_reported_is_no_proof_of_absence() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    began, (attempt,) = scenario.now, scenario.delivery.attempts
    scenario.wait(5)
    call_back(scenario, "created", ref="R-1")
    before = scenario.delivery
    scenario.apply(lifecycle.record_not_found(before, attempt, scenario.terms, scenario.now, began))
    assert scenario.delivery == before


@pytest.mark.fault("F-75")
def test_a_follow_up_read_that_began_early_does_not_replace_the_planned_one(created: Make) -> None:
    scenario = created("cervo")
    scenario.poll("delivered")
    began = scenario.now + timedelta(minutes=9)
    scenario.wait(660)
    scenario.observe(observed("delivered"), heard=began)
    assert scenario.attempt.follow_up_reads == 0


@pytest.mark.fault("F-75")
def test_the_time_of_an_event_is_never_before_that_of_an_earlier_one(created: Make) -> None:
    scenario = created("borzo")
    scenario.wait(10)
    scenario.poll("courier_assigned")
    scenario.now -= timedelta(milliseconds=3)  # another host, whose clock is behind
    call_back(scenario, "pickup_enroute")
    times = [(event.at, event.data.observed_at) for event in scenario.events]
    assert times[-2:] == [(START + timedelta(seconds=10),) * 2] * 2


@pytest.mark.fault("F-51", "F-75")
def test_a_clock_that_is_set_back_makes_no_read_outdated_and_delays_none(created: Make) -> None:
    scenario = created("borzo")
    call_back(scenario, "courier_assigned")
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now))
    scenario.now -= timedelta(hours=1)
    scenario.observe(observed("picked_up"), heard=scenario.now - timedelta(seconds=1))
    assert scenario.delivery.status == "picked_up"
    assert scenario.delivery.next_run_at is not None
    assert scenario.delivery.next_run_at <= scenario.now + timedelta(minutes=6)


# --- a requested read ---


@pytest.mark.fault("F-75", "F-77")
def test_a_requested_read_is_still_due_after_a_running_one_and_after_another_change(created: Make) -> None:
    scenario = created("cervo")
    began = scenario.now
    scenario.wait(5)
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now))
    requested = scenario.now
    scenario.wait(5)
    scenario.observe(observed("created"), heard=began)
    scenario.change_order(notes="ring twice")
    assert (scenario.delivery.step, scenario.delivery.next_run_at) == (Step.TRACK, requested)
    scenario.poll("created")
    assert scenario.delivery.next_run_at is not None
    assert scenario.delivery.next_run_at > scenario.now


@pytest.mark.fault("F-75")
@pytest.mark.parametrize("ended", [False, True])
def test_a_requested_read_that_fails_is_repeated_later(created: Make, *, ended: bool) -> None:
    scenario = created("cervo")
    if ended:
        scenario.poll("delivered")
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now, 1))
    error = Unavailable("connection refused")
    scenario.apply(lifecycle.record_read_failure(scenario.delivery, 1, error, scenario.terms, scenario.now))
    assert scenario.delivery.next_run_at is not None
    assert scenario.now < scenario.delivery.next_run_at <= scenario.now + timedelta(minutes=5)


# --- callbacks, and callbacks beside reads ---


@pytest.mark.fault("F-76")
@pytest.mark.parametrize("skew", [AHEAD, BEHIND, -timedelta(seconds=5)])
def test_callbacks_are_followed_between_reads_whatever_the_carrier_s_clock_says(created: Make, skew: timedelta) -> None:
    scenario = created("borzo")
    for status in ("courier_assigned", "pickup_arrived", "picked_up", "delivered"):
        scenario.wait(30)
        call_back(scenario, status, skew)
        scenario.wait(1)
        scenario.poll(status)
    assert scenario.new_events() == [
        "3 status_changed created>courier_assigned at borzo#1 [callback]",
        "4 status_changed courier_assigned>pickup_arrived at borzo#1 [callback]",
        "5 status_changed pickup_arrived>picked_up at borzo#1 [callback]",
        "6 status_changed picked_up>delivered at borzo#1 [callback]",
    ]


@pytest.mark.fault("F-75", "F-76")
def test_a_callback_that_may_be_older_than_the_last_read_never_steps_back_but_a_read_follows(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("pickup_arrived")
    scenario.wait(5)
    scenario.new_events()
    call_back(scenario, "pickup_enroute")
    assert (scenario.new_events(), scenario.delivery.status) == ([], "pickup_arrived")
    assert (scenario.next_step, scenario.delivery.next_run_at) == ((Step.TRACK, 1), scenario.now)
    call_back(scenario, "picked_up", BEHIND)  # older by the carrier's own clock
    call_back(scenario, "picked_up", AHEAD)
    assert [line(event) for event in scenario.events[-1:]] == [
        "4 status_changed pickup_arrived>picked_up at borzo#1 [callback]"
    ]


@pytest.mark.fault("F-75", "F-76")
def test_a_late_callback_of_a_courier_who_was_replaced_is_left_to_a_read(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("courier_assigned", "created")
    scenario.new_events()
    call_back(scenario, "pickup_enroute")
    assert (scenario.new_events(), scenario.attempt.prompted_at) == ([], scenario.now)


@pytest.mark.fault("F-76")
def test_callbacks_of_one_second_are_applied_in_the_order_of_their_arrival(created: Make) -> None:
    scenario = created("borzo")
    for status in ("pickup_enroute", "created", "courier_assigned"):
        call_back(scenario, status)
    assert [event.data.status for event in scenario.events[2:]] == ["pickup_enroute", "created", "courier_assigned"]


# --- a callback that is applied late ---


@pytest.mark.fault("F-75")
@pytest.mark.parametrize("end", ["delivered", "cancelled", "failed"])
def test_a_callback_that_arrived_before_the_read_of_the_end_began_reopens_nothing(created: Make, end: str) -> None:
    scenario = created("borzo")
    arrived = scenario.now
    scenario.wait(300)
    scenario.observe(observed(end), heard=scenario.now)
    scenario.new_events()
    late = observed("picked_up", carrier_time=arrived, reopens=True)
    scenario.observe(late, cause=Cause.CALLBACK, heard=arrived)
    assert (scenario.new_events(), scenario.delivery.status) == ([], end)


@pytest.mark.fault("F-75")
def test_a_callback_after_the_answer_to_a_change_takes_nothing_back_and_prompts_a_read(created: Make) -> None:
    scenario = created("borzo")
    arrived = scenario.now
    scenario.wait(5)
    scenario.observe(observed("pickup_enroute"), cause=Cause.RESPONSE)
    scenario.new_events()
    scenario.observe(observed("courier_assigned", carrier_time=arrived), cause=Cause.CALLBACK, heard=arrived)
    assert (scenario.new_events(), scenario.delivery.status) == ([], "pickup_enroute")
    assert (scenario.next_step, scenario.delivery.next_run_at) == ((Step.TRACK, 1), scenario.now)
