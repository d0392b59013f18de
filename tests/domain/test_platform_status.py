"""What the platform's statuses mean for a known order, and what a gate waits for."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.messages import Cancellation
from schemas.order import fingerprint
from schemas.ordering import INBOUND
from schemas.platform_status import PlatformStatus
from tests.domain.scenario import START, DeliveryScenario, an_order
from worker.domain import lifecycle
from worker.domain.delivery import Gate, Step
from worker.domain.lifecycle.order_messages import OPENED_BY, is_open
from worker.domain.planner import Alarm, alarms

NOTHING: list[str] = []
STATUSES = [*range(26), 26, 99]


def placed(gate: str = "placed", **order: Any) -> DeliveryScenario:
    """Return a scenario whose order was accepted with this gate."""
    scenario = DeliveryScenario(**order)
    order_ = lifecycle.with_ready_time(scenario.order, START)
    scenario.delivery = replace(scenario.delivery, order=order_, gate=lifecycle.closed_gate(Gate(gate), scenario.order))
    scenario.place()
    scenario.new_events()
    return scenario


def read_status(scenario: DeliveryScenario, status: int | None) -> list[str]:
    """Apply a read of the platform's order; return the new events."""
    scenario.apply(lifecycle.apply_platform_status(scenario.delivery, status, scenario.terms, scenario.now))
    return scenario.new_events()


def at_shop() -> DeliveryScenario:
    scenario = placed()
    scenario.book()
    scenario.poll("courier_assigned", "pickup_arrived")
    scenario.new_events()
    return scenario


def do_next_step(scenario: DeliveryScenario) -> None:
    """Give the next alarm, or do the next step while there is no attempt, which is routing."""
    if scenario.delivery.alarm_at == scenario.due_at:
        scenario.fire_alarms()
    else:
        scenario.wait_for_next_step()
        scenario.apply(lifecycle.route(scenario.delivery, scenario.store, scenario.terms, scenario.now))


# --- gates ------------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-20")
@pytest.mark.parametrize(
    ("gate", "opened_by"),
    [
        ("placed", [status for status in STATUSES if status != 13]),
        ("accepted", [4, 7, 14, 22]),
        ("ready", [4]),
    ],
)
def test_a_gate_opens_at_the_statuses_that_prove_the_shop_is_that_far(gate: str, opened_by: list[int]) -> None:
    assert [status for status in STATUSES if is_open(Gate(gate), status)] == opened_by


@pytest.mark.quirk("O-20")
def test_an_order_without_a_status_opens_only_the_gate_placed() -> None:
    assert {gate: is_open(gate, None) for gate in OPENED_BY} == {"placed": True, "accepted": False, "ready": False}


@pytest.mark.quirk("O-20")
@pytest.mark.parametrize(
    ("gate", "status", "deliver_at", "waits"),
    [
        ("placed", 0, None, None),
        ("placed", 13, None, "placed"),
        ("placed", 13, START + timedelta(hours=2), None),
        ("accepted", 13, START + timedelta(hours=2), "accepted"),
        ("accepted", 0, None, "accepted"),
        ("accepted", None, None, "accepted"),
        ("accepted", 7, None, None),
        ("ready", 7, None, "ready"),
        ("ready", 4, None, None),
    ],
)
def test_a_new_order_waits_at_the_gate_of_its_deployment(
    gate: str, status: int | None, deliver_at: Any, waits: str | None
) -> None:
    scenario = placed(gate, status=status, deliver_at=deliver_at)
    detail = "waiting_for_shop" if waits else None
    step = Step.ROUTE if waits else Step.BOOK
    assert (scenario.delivery.gate, scenario.delivery.detail, scenario.state[1]) == (waits, detail, step)


@pytest.mark.quirk("O-20")
def test_an_opened_gate_is_published_once_and_the_carrier_is_asked_at_once() -> None:
    scenario = placed("accepted", status=0)
    scenario.wait(120)
    assert read_status(scenario, 0) == NOTHING
    assert read_status(scenario, 7) == ["2 updated ->queued [poll]"]
    assert (scenario.delivery.gate, scenario.delivery.step, scenario.delivery.next_run_at) == (
        None,
        Step.BOOK,
        scenario.now,
    )
    assert (read_status(scenario, 7), read_status(scenario, 4)) == (NOTHING, NOTHING)


@pytest.mark.quirk("O-20")
def test_a_message_opens_a_gate_like_a_read() -> None:
    scenario = placed("accepted", status=0)
    assert scenario.receive_order(an_order(status=7, revision=9))
    assert scenario.new_events() == ["2 updated ->queued [message]"]
    assert (scenario.delivery.gate, scenario.delivery.order.revision) == (None, 9)
    assert not scenario.receive_order(an_order(status=7, revision=9))


def test_a_late_message_does_not_revert_the_platforms_status() -> None:
    scenario = placed(status=0, revision=1)
    scenario.receive_order(an_order(status=7, revision=9))
    assert not scenario.receive_order(an_order(status=0, revision=5))
    assert scenario.delivery.order.status == 7


@pytest.mark.quirk("O-20")
def test_an_operator_asked_for_behind_a_closed_gate_stays_asked_for() -> None:
    scenario = placed("accepted", status=0)
    for _ in range(15):
        do_next_step(scenario)
    assert scenario.new_events() == [
        "2 attention_required ->queued (waiting_for_shop) 'not_dispatched_in_time' [timer]"
    ]
    assert scenario.delivery.attention == "not_dispatched_in_time"


@pytest.mark.quirk("O-20")
def test_an_order_that_the_shop_never_accepts_is_rejected_three_hours_after_its_pickup() -> None:
    scenario = placed("accepted", status=0)
    while not scenario.delivery.final:
        do_next_step(scenario)
    assert scenario.now - START == timedelta(hours=3, minutes=15)
    assert (scenario.state[0], scenario.delivery.reason) == ("rejected", "deadline_passed")


def test_an_order_that_becomes_ready_is_fetched_at_once() -> None:
    scenario = placed("ready", status=7)
    scenario.wait(25 * 60)
    read_status(scenario, 4)
    scenario.begin_booking()
    assert (scenario.delivery.order.ready_at, scenario.attempt.pickup_at) == (scenario.now, scenario.now)


def test_an_order_that_arrives_ready_is_fetched_at_once_and_keeps_its_fingerprint() -> None:
    scenario = placed(status=4)
    scenario.begin_booking()
    assert scenario.attempt.pickup_at == START
    assert scenario.delivery.fingerprint == fingerprint(scenario.order)


@pytest.mark.parametrize("times", [(START + timedelta(hours=1), None), (None, START + timedelta(hours=1))])
def test_a_time_in_the_order_is_kept_whatever_the_kitchen_says(times: tuple[datetime | None, datetime | None]) -> None:
    scenario = placed(status=7, ready_at=times[0], deliver_at=times[1])
    read_status(scenario, 4)
    assert (scenario.delivery.order.ready_at, scenario.delivery.order.deliver_at) == times


def test_alarms_of_a_late_gate_count_from_its_opening() -> None:
    scenario = placed("ready", status=7)
    scenario.wait(60)
    read_status(scenario, 4)
    assert alarms(scenario.delivery)[0] == (scenario.now + timedelta(minutes=3), Alarm.NOT_DISPATCHED)


# --- preorders --------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-19")
def test_a_preorder_is_dispatched_at_its_lead_time_and_not_when_its_status_moves() -> None:
    scenario = placed(status=13, deliver_at=START + timedelta(hours=3))
    scenario.wait(60)
    assert read_status(scenario, 0) == NOTHING
    assert scenario.wait_for(Step.BOOK) == timedelta(hours=2, minutes=29)


@pytest.mark.quirk("O-19")
def test_a_preorder_without_a_time_waits_for_the_platform() -> None:
    scenario = placed(status=13)
    assert (scenario.delivery.gate, scenario.delivery.detail) == ("placed", "waiting_for_shop")
    scenario.wait(60)
    assert read_status(scenario, 0) == ["2 updated ->queued [poll]"]
    assert scenario.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("O-19", "O-20")
def test_a_preorder_behind_the_gate_accepted_waits_for_both() -> None:
    scenario = placed("accepted", status=13, deliver_at=START + timedelta(hours=3))
    assert read_status(scenario, 0) == NOTHING
    read_status(scenario, 7)
    assert scenario.wait_for(Step.BOOK) == timedelta(hours=2, minutes=30)


@pytest.mark.quirk("O-19", "O-13")
def test_a_cancelled_preorder_is_never_dispatched() -> None:
    scenario = placed(status=13, deliver_at=START + timedelta(hours=3))
    assert read_status(scenario, 16) == ["2 status_changed queued>cancelled by customer [poll]"]
    assert (scenario.delivery.step, scenario.delivery.attempts) == (None, ())


# --- the statuses, all of them ----------------------------------------------------------------------------------------


@pytest.mark.quirk("O-11", "O-12", "O-13", "O-14", "O-17", "O-19", "O-25")
@pytest.mark.parametrize("status", STATUSES)
def test_each_platform_status_before_any_attempt(status: int) -> None:
    stops = {
        **dict.fromkeys([2, 5], "cancelled by merchant"),
        16: "cancelled by customer",
        **dict.fromkeys([1, 11, 12, 15, 17], "cancelled (platform_closed) by merchant"),
        **dict.fromkeys([3, 8, 9, 18, 19, 23, 24, 25], "cancelled (own_driver) by merchant"),
    }
    asks = {6: "platform_canceled_by_driver", 10: "platform_pickup_failed"}
    scenario = placed()
    published = read_status(scenario, status)
    if status in stops:
        assert published == [f"2 status_changed queued>{stops[status]} [poll]"]
    elif status in asks:
        assert published == [f"2 attention_required ->queued '{asks[status]}' [poll]"]
    else:
        assert published == NOTHING
        assert scenario.state == ("queued", Step.BOOK, "borzo")
    assert read_status(scenario, status) == NOTHING


@pytest.mark.quirk("O-11", "O-12", "O-13", "O-14", "O-15", "O-17", "O-23", "O-25")
@pytest.mark.parametrize("status", STATUSES)
def test_each_platform_status_while_our_courier_is_at_the_shop(status: int) -> None:
    said = {
        **dict.fromkeys([1, 11, 12, 15, 17], "conflict courier_assigned>pickup_arrived 'platform_closed'"),
        6: "attention_required courier_assigned>pickup_arrived 'platform_canceled_by_driver'",
        10: "attention_required courier_assigned>pickup_arrived 'platform_pickup_failed'",
        14: "updated courier_assigned>pickup_arrived 'order_not_ready'",
    }
    scenario = at_shop()
    published = read_status(scenario, status)
    assert published == ([f"5 {said[status]} at borzo#1 [poll]"] if status in said else NOTHING)
    assert scenario.state[1] is (Step.CANCEL if status in {2, 5, 16} else Step.TRACK)
    assert (scenario.delivery.status, read_status(scenario, status)) == ("pickup_arrived", NOTHING)


def test_every_platform_status_is_tried() -> None:
    assert {*INBOUND} == {*PlatformStatus} == {*range(26)}


@pytest.mark.quirk("O-13")
@pytest.mark.parametrize(("status", "by"), [(2, "merchant"), (5, "merchant"), (16, "customer")])
def test_the_courier_of_a_cancelled_order_is_cancelled(status: int, by: str) -> None:
    scenario = at_shop()
    read_status(scenario, status)
    scenario.cancel()
    scenario.poll("cancelled")
    assert (scenario.state[0], scenario.delivery.cancelled_by) == ("cancelled", by)


@pytest.mark.quirk("O-13")
def test_a_refused_cancel_is_not_repeated_while_the_platform_status_stays() -> None:
    scenario = placed()
    scenario.book()
    scenario.poll("picked_up")
    scenario.new_events()
    assert read_status(scenario, 16) == [
        "4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [poll]"
    ]
    assert (read_status(scenario, 16), scenario.receive_order(an_order(status=16)), read_status(scenario, 2)) == (
        NOTHING,
        False,
        NOTHING,
    )


@pytest.mark.quirk("O-12")
def test_an_order_that_is_closed_again_is_one_conflict() -> None:
    scenario = at_shop()
    assert len(read_status(scenario, 11)) == 1
    assert (read_status(scenario, 1), read_status(scenario, 12)) == (NOTHING, NOTHING)


@pytest.mark.quirk("O-12", "O-23")
def test_our_own_final_status_read_back_is_no_conflict() -> None:
    scenario = at_shop()
    scenario.poll("picked_up", "returning")
    scenario.new_events()
    assert (read_status(scenario, 12), scenario.delivery.status) == (NOTHING, "returning")


@pytest.mark.quirk("O-23")
def test_our_own_statuses_read_back_between_two_carriers_stop_nothing() -> None:
    scenario = DeliveryScenario("borzo", "deliverit")
    scenario.place()
    scenario.book()
    scenario.poll("cancelled")
    scenario.new_events()
    assert [read_status(scenario, status) for status in (25, 8, 22)] == [NOTHING] * 3
    assert scenario.state == ("queued", Step.BOOK, "deliverit")


@pytest.mark.quirk("O-12")
def test_an_order_closed_between_two_carriers_gets_no_other_courier() -> None:
    scenario = DeliveryScenario("borzo", "deliverit")
    scenario.place()
    scenario.book()
    scenario.poll("cancelled")
    scenario.new_events()
    assert len(read_status(scenario, 1)) == 1
    assert (scenario.state[0], scenario.delivery.detail) == ("cancelled", "platform_closed")


@settings(deadline=None)
@given(
    gate=st.sampled_from(sorted(OPENED_BY)),
    said=st.lists(st.sampled_from([*STATUSES, "created", "courier_assigned", "picked_up", "cancelled", "delivered"])),
)
def test_no_order_of_platform_and_carrier_statuses_breaks_an_invariant(gate: str, said: list[int | str]) -> None:
    scenario = placed(gate, status=0)
    for word in said:
        if isinstance(word, int):
            read_status(scenario, word)
            assert read_status(scenario, word) == NOTHING
        elif scenario.delivery.active is not None:
            scenario.poll(word)
        elif scenario.delivery.step is Step.BOOK:
            scenario.book()
        assert scenario.delivery.gate is None or not scenario.delivery.attempts


def test_a_final_delivery_ignores_platform_statuses() -> None:
    scenario = at_shop()
    scenario.poll("picked_up", "delivered")
    scenario.new_events()
    assert [read_status(scenario, status) for status in STATUSES] == [NOTHING] * len(STATUSES)


def test_a_message_may_bring_a_status_and_other_content_at_once() -> None:
    scenario = placed("accepted", status=0)
    assert scenario.receive_order(an_order(status=7, revision=2, notes="ring twice"))
    assert scenario.new_events() == ["2 updated ->queued [message]", "3 updated ->queued [message]"]
    assert (scenario.delivery.order.notes, scenario.delivery.gate) == ("ring twice", None)


@pytest.mark.quirk("O-13")
def test_a_late_message_can_still_cancel() -> None:
    scenario = placed(revision=9)
    assert scenario.receive_order(an_order(status=16, revision=5))
    assert scenario.state[0] == "cancelled"


def test_a_cancellation_that_came_before_its_order_cancels_it_behind_a_gate_too() -> None:
    scenario = DeliveryScenario(status=0)
    scenario.delivery = replace(scenario.delivery, gate=Gate.ACCEPTED)
    scenario.place(Cancellation(order_id="2011"))
    assert scenario.state[0] == "cancelled"
