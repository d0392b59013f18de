"""Alarms for what should have happened by now, and the rejection of orders that no courier comes for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from schemas.status import Cause
from tests.domain.scenario import START, DeliveryScenario, observed
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DOWN = Unavailable("down", retry_after=3600)


def alarms_given(scenario: DeliveryScenario) -> list[tuple[float, str]]:
    """Return each attention reason and each dispatch failure or stall, with the minutes since the start."""
    return [
        ((event.at - START) / MINUTE, event.data.reason_text or event.type.value)
        for event in scenario.events
        if event.type in {"delivery.attention_required", "delivery.dispatch_failed", "delivery.stalled"}
    ]


def run_until(scenario: DeliveryScenario, until: timedelta, do: Callable[[DeliveryScenario], object]) -> None:
    """Do what is due: alarms are given, and every other step is `do`."""
    while scenario.due_at is not None and scenario.due_at < START + until:
        if scenario.delivery.alarm_at == scenario.due_at:
            scenario.fire_alarms()
        else:
            do(scenario)


def poll_as(status: str) -> Callable[[DeliveryScenario], None]:
    """Return a step that reads this status."""

    def poll(scenario: DeliveryScenario) -> None:
        scenario.wait_for(Step.TRACK)
        scenario.poll(status)

    return poll


@pytest.mark.parametrize(
    ("order", "minutes"),
    [
        ({}, 10),
        ({"ready_at": "2026-11-21T17:30:00Z"}, 25),
        ({"ready_at": "2026-11-21T17:05:00Z"}, 3),
        ({"ready_at": "2026-11-21T16:00:00Z"}, 3),
        ({"deliver_at": "2026-11-21T19:00:00Z"}, 100),
    ],
)
def test_an_order_without_a_courier_asks_for_an_operator_before_its_pickup(
    order: dict[str, Any], minutes: float
) -> None:
    scenario = DeliveryScenario("borzo", **order)
    scenario.place()
    run_until(scenario, 2 * HOUR, lambda it: it.book(DOWN))
    assert alarms_given(scenario) == [(minutes, "not_dispatched_in_time")]
    scenario.book()
    assert scenario.delivery.attention is None


def test_an_alarm_does_not_change_when_the_carrier_is_asked_again() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(DOWN)
    planned = scenario.next_step, scenario.delivery.next_run_at
    assert planned == ((Step.BOOK, None), scenario.delivery.retry_at)
    scenario.fire_alarms()
    assert (scenario.next_step, scenario.delivery.next_run_at) == planned


def test_a_change_of_an_order_without_a_courier_leaves_it_to_the_operator() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(DOWN)
    scenario.fire_alarms()
    scenario.change_order(notes="ring twice")
    assert (scenario.state[0], scenario.delivery.attention) == ("queued", "not_dispatched_in_time")


@pytest.mark.quirk("D-31")
def test_an_offer_that_cannot_be_accepted_in_time_asks_for_an_operator() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.book_with_offer(2)
    scenario.confirm(DOWN)
    scenario.fire_alarms()
    assert alarms_given(scenario) == [(10, "not_dispatched_in_time")]


def test_an_unknown_outcome_asks_for_an_operator_before_the_pickup_even_while_it_is_looked_up() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    missed = Unavailable("down", retry_after=1800)

    def look(it: DeliveryScenario) -> None:
        it.wait_for(Step.RECONCILE)
        it.apply(lifecycle.record_read_failure(it.delivery, it.attempt.id, missed, it.terms, it.now))

    run_until(scenario, HOUR, look)
    assert alarms_given(scenario) == [(10, "outcome_unknown")]
    assert lifecycle.resolve_attention(scenario.delivery, scenario.terms, scenario.now) is None
    scenario.observe(observed("created", ref="R-1"), cause=Cause.RECONCILE)
    assert scenario.delivery.attention is None


def test_proof_of_absence_clears_the_attention_for_an_unknown_outcome() -> None:
    scenario = DeliveryScenario("borzo", ready_at="2026-11-21T17:05:00Z")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.wait_for(Step.RECONCILE)
    missed = Unavailable("down", retry_after=300)
    scenario.apply(
        lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, missed, scenario.terms, scenario.now)
    )
    scenario.fire_alarms()
    assert alarms_given(scenario) == [(3, "outcome_unknown")]
    for _ in range(3):
        scenario.miss_lookup()
    assert scenario.state == ("queued", Step.BOOK, "borzo")
    assert scenario.delivery.attention is None


def test_an_order_without_a_courier_is_rejected_three_hours_after_its_pickup() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(DOWN)
    run_until(scenario, 30 * HOUR, lambda it: it.book(DOWN))
    assert alarms_given(scenario) == [(10, "not_dispatched_in_time"), (195, "delivery.dispatch_failed")]
    assert (scenario.state, scenario.delivery.reason) == (("rejected", None, "borzo"), "deadline_passed")
    assert [(each.state, each.reason, each.live) for each in scenario.delivery.attempts] == [
        ("rejected", "deadline_passed", False)
    ]
    assert scenario.next_step == (None, None)


def test_an_order_of_an_unknown_store_is_rejected_after_three_hours_too() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.apply(lifecycle.accept_order(scenario.delivery, None, None, scenario.terms, scenario.now))
    run_until(scenario, 30 * HOUR, route_nowhere)
    assert alarms_given(scenario) == [(0, "unknown_store"), (180, "delivery.dispatch_failed")]
    assert scenario.delivery.status == "rejected"


def test_an_order_that_loses_its_courier_long_after_its_pickup_is_rejected_when_no_other_can_be_booked() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    run_until(scenario, 25 * HOUR, lambda it: it.miss_callback())
    scenario.resolve(None)
    scenario.book(DOWN)
    resolved = round((scenario.now - START) / MINUTE)
    run_until(scenario, 50 * HOUR, lambda it: it.book(DOWN))
    assert [(round(minutes), word) for minutes, word in alarms_given(scenario)[2:]] == [
        (resolved, "not_dispatched_in_time"),
        (resolved + 3, "delivery.dispatch_failed"),
    ]
    assert (scenario.delivery.status, scenario.delivery.reason) == ("rejected", "deadline_passed")


@pytest.mark.fault("F-98")
def test_the_next_carrier_is_asked_before_an_order_without_a_courier_is_rejected(created: Make) -> None:
    scenario = created("cervo", "borzo")
    scenario.wait(4 * 3600)
    scenario.poll("cancelled")
    scenario.fire_alarms()
    assert scenario.state == ("queued", Step.BOOK, "borzo")
    assert scenario.delivery.alarm_at == scenario.now + 3 * MINUTE


def route_nowhere(scenario: DeliveryScenario) -> None:
    scenario.wait_for(Step.ROUTE)
    scenario.apply(lifecycle.route(scenario.delivery, None, scenario.terms, scenario.now))


def test_an_unknown_outcome_is_never_rejected_by_an_alarm() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    run_until(scenario, 30 * HOUR, lambda it: it.miss_callback())
    assert alarms_given(scenario) == [(3.75, "outcome_unknown"), (24 * 60, "still_open_after_a_day")]
    assert scenario.delivery.status == "submit_unknown"


@pytest.mark.quirk("C-36")
def test_goods_that_do_not_move_are_published_once(created: Make) -> None:
    scenario = created("borzo")
    scenario.wait(600)
    scenario.poll("picked_up")
    run_until(scenario, 12 * HOUR, poll_as("picked_up"))
    assert alarms_given(scenario) == [(190, "delivery.stalled")]
    scenario.poll("dropoff_enroute")
    since = (scenario.now - START) / MINUTE
    run_until(scenario, 20 * HOUR, poll_as("dropoff_enroute"))
    assert alarms_given(scenario)[1:] == [(since + 180, "delivery.stalled")]


@pytest.mark.quirk("C-61")
def test_a_delivery_that_is_open_after_a_day_asks_for_an_operator_and_keeps_its_status(created: Make) -> None:
    scenario = created("borzo")
    run_until(scenario, 60 * HOUR, poll_as("created"))
    assert alarms_given(scenario) == [(24 * 60, "still_open_after_a_day")]
    assert scenario.delivery.status == "created"


@pytest.mark.fault("F-98")
def test_a_lost_create_that_nobody_looks_for_asks_for_an_operator_before_the_pickup() -> None:
    scenario = DeliveryScenario("borzo", ready_at="2026-11-21T17:30:00Z")
    scenario.place()
    scenario.begin_booking()
    scenario.fire_alarms()
    assert alarms_given(scenario) == [(25, "outcome_unknown")]
    assert scenario.next_step == (Step.RECONCILE, 1)
    scenario.answer_create(Booked(observed("created", ref="R-1")))
    assert scenario.delivery.attention is None


def test_an_alarm_that_is_not_due_is_not_given() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    alarm_at = scenario.delivery.alarm_at
    assert alarm_at == START + 10 * MINUTE
    assert lifecycle.fire_alarms(scenario.delivery, scenario.terms, alarm_at - MINUTE / 60) is None


def test_a_step_back_that_two_reads_show_asks_for_an_operator_and_changes_nothing(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up")
    scenario.new_events()
    for seconds in (0, 59, 1, 60, 60):
        scenario.wait(seconds)
        scenario.poll("courier_assigned")
    assert scenario.new_events() == [
        "4 regression_seen created>picked_up at borzo#1 [poll]",
        "5 attention_required created>picked_up 'went_backwards' at borzo#1 [poll]",
    ]
    assert scenario.state == ("picked_up", Step.TRACK, "borzo")


def test_a_step_back_that_the_next_read_takes_back_asks_for_no_operator(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up")
    for _ in range(3):
        scenario.wait(61)
        scenario.poll("courier_assigned")
        scenario.wait(61)
        scenario.poll("picked_up")
    assert scenario.delivery.attention is None


@pytest.mark.fault("F-74")
@pytest.mark.parametrize("replanned", [False, True])
def test_a_create_whose_account_left_the_settings_has_an_unknown_outcome_and_an_alarm_minutes_later(
    *, replanned: bool
) -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    scenario.terms = {}
    if replanned:
        scenario.change_order(notes="no onions")
    scenario.wait_for(Step.RECONCILE)
    scenario.apply(lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now))
    run_until(scenario, 15 * MINUTE, lambda it: it.apply(lifecycle.postpone(it.delivery, DOWN, it.terms, it.now)))
    assert scenario.delivery.attention_reasons[-1] == "outcome_unknown"
