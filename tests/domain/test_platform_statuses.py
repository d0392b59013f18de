"""What the platform's statuses mean for an order that is known, and what a gate waits for."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.messages import Cancellation
from schemas.order import fingerprint
from schemas.ordering import INBOUND
from schemas.status import PlatformStatus
from tests.domain.scenario import START, DeliveryScenario, an_order
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.domain.lifecycle.dispatch_gate import OPENS, is_open
from worker.domain.planner import Alarm, alarms

NOTHING: list[str] = []
STATUSES = [*range(26), 26, 99]


def placed(gate: str = "placed", **order: Any) -> DeliveryScenario:
    """Take an order in as the store does, with the gate of a deployment."""
    life = DeliveryScenario(**order)
    order_ = lifecycle.with_ready_time(life.order, START)
    life.delivery = replace(life.delivery, order=order_, gate=lifecycle.closed_gate(gate, life.order))
    life.place()
    life.lines()
    return life


def say(life: DeliveryScenario, status: int | None) -> list[str]:
    """Let the platform's order be read; give what that tells."""
    life.take(lifecycle.apply_platform_status(life.delivery, status, life.rules, life.now))
    return life.lines()


def at_shop() -> DeliveryScenario:
    life = placed()
    life.book()
    life.poll("courier_assigned", "pickup_arrived")
    life.lines()
    return life


def look_again(life: DeliveryScenario) -> None:
    """Do what is due next while nobody is sent: an alarm, or to look whether the gate is still closed."""
    life.reach_turn()
    if life.delivery.step is Step.ALARM:
        life.ring()
    else:
        life.take(lifecycle.route(life.delivery, life.store, life.rules, life.now))


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
def test_a_gate_opens_at_what_proves_that_the_shop_is_that_far(gate: str, opened_by: list[int]) -> None:
    assert [status for status in STATUSES if is_open(gate, status)] == opened_by


@pytest.mark.quirk("O-20")
def test_a_status_that_is_not_told_opens_only_the_gate_placed() -> None:
    assert {gate: is_open(gate, None) for gate in OPENS} == {"placed": True, "accepted": False, "ready": False}


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
    life = placed(gate, status=status, deliver_at=deliver_at)
    detail = "waiting_for_shop" if waits else None
    step = Step.ROUTE if waits else Step.BOOK
    assert (life.delivery.gate, life.delivery.detail, life.state[1]) == (waits, detail, step)


@pytest.mark.quirk("O-20")
def test_a_gate_that_opens_is_told_once_and_the_carrier_is_asked_at_once() -> None:
    life = placed("accepted", status=0)
    life.wait(120)
    assert say(life, 0) == NOTHING
    assert say(life, 7) == ["2 updated ->queued [poll]"]
    assert (life.delivery.gate, life.delivery.step, life.delivery.next_run_at) == (None, Step.BOOK, life.now)
    assert (say(life, 7), say(life, 4)) == (NOTHING, NOTHING)


@pytest.mark.quirk("O-20")
def test_a_message_opens_a_gate_as_a_read_does() -> None:
    life = placed("accepted", status=0)
    assert life.amend(an_order(status=7, revision=9))
    assert life.lines() == ["2 updated ->queued [message]"]
    assert (life.delivery.gate, life.delivery.order.revision) == (None, 9)
    assert not life.amend(an_order(status=7, revision=9))


def test_a_message_that_came_late_does_not_take_the_platform_s_status_back() -> None:
    life = placed(status=0, revision=1)
    life.amend(an_order(status=7, revision=9))
    assert not life.amend(an_order(status=0, revision=5))
    assert life.delivery.order.status == 7


@pytest.mark.quirk("O-20")
def test_a_person_is_asked_while_the_gate_is_closed_and_is_not_forgotten() -> None:
    life = placed("accepted", status=0)
    for _ in range(15):
        look_again(life)
    assert life.lines() == ["2 attention_required ->queued (waiting_for_shop) 'not_dispatched_in_time' [timer]"]
    assert life.delivery.attention == "not_dispatched_in_time"


@pytest.mark.quirk("O-20")
def test_what_a_shop_never_accepts_ends_three_hours_after_its_pickup() -> None:
    life = placed("accepted", status=0)
    while not life.delivery.final:
        look_again(life)
    assert life.now - START == timedelta(hours=3, minutes=15)
    assert (life.state[0], life.delivery.reason) == ("rejected", "deadline_passed")


def test_an_order_that_is_ready_is_fetched_at_once() -> None:
    life = placed("ready", status=7)
    life.wait(25 * 60)
    say(life, 4)
    life.begin()
    assert (life.delivery.order.ready_at, life.attempt.pickup_at) == (life.now, life.now)


def test_an_order_that_came_ready_is_fetched_at_once_and_is_the_same_order_again() -> None:
    life = placed(status=4)
    life.begin()
    assert life.attempt.pickup_at == START
    assert life.delivery.fingerprint == fingerprint(life.order)


@pytest.mark.parametrize("times", [(START + timedelta(hours=1), None), (None, START + timedelta(hours=1))])
def test_a_time_that_was_told_stands_whatever_the_kitchen_says(times: tuple[datetime | None, datetime | None]) -> None:
    life = placed(status=7, ready_at=times[0], deliver_at=times[1])
    say(life, 4)
    assert (life.delivery.order.ready_at, life.delivery.order.deliver_at) == times


def test_an_order_has_three_minutes_from_the_opening_of_its_gate() -> None:
    life = placed("ready", status=7)
    life.wait(60)
    say(life, 4)
    assert alarms(life.delivery)[0] == (life.now + timedelta(minutes=3), Alarm.NOT_DISPATCHED)


# --- preorders --------------------------------------------------------------------------------------------------------


@pytest.mark.quirk("O-19")
def test_a_preorder_is_dispatched_at_its_lead_time_and_not_when_its_status_moves() -> None:
    life = placed(status=13, deliver_at=START + timedelta(hours=3))
    life.wait(60)
    assert say(life, 0) == NOTHING
    assert life.reach(Step.BOOK) == timedelta(hours=2, minutes=29)


@pytest.mark.quirk("O-19")
def test_a_preorder_that_does_not_say_when_waits_for_the_platform() -> None:
    life = placed(status=13)
    assert (life.delivery.gate, life.delivery.detail) == ("placed", "waiting_for_shop")
    life.wait(60)
    assert say(life, 0) == ["2 updated ->queued [poll]"]
    assert life.state == ("queued", Step.BOOK, "borzo")


@pytest.mark.quirk("O-19", "O-20")
def test_a_preorder_behind_the_gate_accepted_waits_for_both() -> None:
    life = placed("accepted", status=13, deliver_at=START + timedelta(hours=3))
    assert say(life, 0) == NOTHING
    say(life, 7)
    assert life.reach(Step.BOOK) == timedelta(hours=2, minutes=30)


@pytest.mark.quirk("O-19", "O-13")
def test_a_cancelled_preorder_is_never_dispatched() -> None:
    life = placed(status=13, deliver_at=START + timedelta(hours=3))
    assert say(life, 16) == ["2 status_changed queued>cancelled by customer [poll]"]
    assert (life.delivery.step, life.delivery.attempts) == (None, ())


# --- the statuses, all of them ----------------------------------------------------------------------------------------


@pytest.mark.quirk("O-11", "O-12", "O-13", "O-14", "O-17", "O-19", "O-25")
@pytest.mark.parametrize("status", STATUSES)
def test_each_status_before_anybody_was_sent(status: int) -> None:
    stops = {
        **dict.fromkeys([2, 5], "cancelled by merchant"),
        16: "cancelled by customer",
        **dict.fromkeys([1, 11, 12, 15, 17], "cancelled (platform_closed) by merchant"),
        **dict.fromkeys([3, 8, 9, 18, 19, 23, 24, 25], "cancelled (own_driver) by merchant"),
    }
    asks = {6: "platform_canceled_by_driver", 10: "platform_pickup_failed"}
    life = placed()
    told = say(life, status)
    if status in stops:
        assert told == [f"2 status_changed queued>{stops[status]} [poll]"]
    elif status in asks:
        assert told == [f"2 attention_required ->queued '{asks[status]}' [poll]"]
    else:
        assert told == NOTHING
        assert life.state == ("queued", Step.BOOK, "borzo")
    assert say(life, status) == NOTHING


@pytest.mark.quirk("O-11", "O-12", "O-13", "O-14", "O-15", "O-17", "O-23", "O-25")
@pytest.mark.parametrize("status", STATUSES)
def test_each_status_while_our_courier_is_at_the_shop(status: int) -> None:
    said = {
        **dict.fromkeys([1, 11, 12, 15, 17], "conflict courier_assigned>pickup_arrived 'platform_closed'"),
        6: "attention_required courier_assigned>pickup_arrived 'platform_canceled_by_driver'",
        10: "attention_required courier_assigned>pickup_arrived 'platform_pickup_failed'",
        14: "updated courier_assigned>pickup_arrived 'order_not_ready'",
    }
    life = at_shop()
    told = say(life, status)
    assert told == ([f"5 {said[status]} at borzo#1 [poll]"] if status in said else NOTHING)
    assert life.state[1] is (Step.CANCEL if status in {2, 5, 16} else Step.TRACK)
    assert (life.delivery.status, say(life, status)) == ("pickup_arrived", NOTHING)


def test_the_statuses_tried_are_all_that_there_are() -> None:
    assert {*INBOUND} == {*PlatformStatus} == {*range(26)}


@pytest.mark.quirk("O-13")
@pytest.mark.parametrize(("status", "by"), [(2, "merchant"), (5, "merchant"), (16, "customer")])
def test_an_order_that_is_off_has_its_courier_cancelled(status: int, by: str) -> None:
    life = at_shop()
    say(life, status)
    life.cancel()
    life.poll("cancelled")
    assert (life.state[0], life.delivery.cancelled_by) == ("cancelled", by)


@pytest.mark.quirk("O-13")
def test_a_refused_cancel_is_not_asked_again_because_the_platform_still_says_so() -> None:
    life = placed()
    life.book()
    life.poll("picked_up")
    life.lines()
    assert say(life, 16) == ["4 cancel_refused created>picked_up 'the courier has the goods' at borzo#1 [poll]"]
    assert (say(life, 16), life.amend(an_order(status=16)), say(life, 2)) == (NOTHING, False, NOTHING)


@pytest.mark.quirk("O-12")
def test_a_closed_order_is_one_conflict_however_often_it_is_closed() -> None:
    life = at_shop()
    assert len(say(life, 11)) == 1
    assert (say(life, 1), say(life, 12)) == (NOTHING, NOTHING)


@pytest.mark.quirk("O-12", "O-23")
def test_our_own_end_read_back_is_no_conflict() -> None:
    life = at_shop()
    life.poll("picked_up", "returning")
    life.lines()
    assert (say(life, 12), life.delivery.status) == (NOTHING, "returning")


@pytest.mark.quirk("O-23")
def test_our_own_words_read_back_between_two_carriers_stop_nothing() -> None:
    life = DeliveryScenario("borzo", "deliverit")
    life.place()
    life.book()
    life.poll("cancelled")
    life.lines()
    assert [say(life, status) for status in (25, 8, 22)] == [NOTHING] * 3
    assert life.state == ("queued", Step.BOOK, "deliverit")


@pytest.mark.quirk("O-12")
def test_nobody_else_is_sent_for_an_order_that_was_closed_between_two_carriers() -> None:
    life = DeliveryScenario("borzo", "deliverit")
    life.place()
    life.book()
    life.poll("cancelled")
    life.lines()
    assert len(say(life, 1)) == 1
    assert (life.state[0], life.delivery.detail) == ("cancelled", "platform_closed")


@given(
    gate=st.sampled_from(sorted(OPENS)),
    said=st.lists(st.sampled_from([*STATUSES, "created", "courier_assigned", "picked_up", "cancelled", "delivered"])),
)
def test_whatever_is_said_in_whatever_order_no_invariant_breaks(gate: str, said: list[int | str]) -> None:
    life = placed(gate, status=0)
    for word in said:
        if isinstance(word, int):
            say(life, word)
            assert say(life, word) == NOTHING
        elif life.delivery.active is not None:
            life.poll(word)
        elif life.delivery.step is Step.BOOK:
            life.book()
        assert life.delivery.gate is None or not life.delivery.attempts


def test_what_has_ended_hears_nothing_more() -> None:
    life = at_shop()
    life.poll("picked_up", "delivered")
    life.lines()
    assert [say(life, status) for status in STATUSES] == [NOTHING] * len(STATUSES)


def test_a_message_may_bring_a_status_and_other_content_at_once() -> None:
    life = placed("accepted", status=0)
    assert life.amend(an_order(status=7, revision=2, notes="ring twice"))
    assert life.lines() == ["2 updated ->queued [message]", "3 updated ->queued [message]"]
    assert (life.delivery.order.notes, life.delivery.gate) == ("ring twice", None)


@pytest.mark.quirk("O-13")
def test_a_late_message_still_says_that_the_order_is_off() -> None:
    life = placed(revision=9)
    assert life.amend(an_order(status=16, revision=5))
    assert life.state[0] == "cancelled"


def test_a_wish_that_came_before_its_order_ends_it_behind_a_gate_too() -> None:
    life = DeliveryScenario(status=0)
    life.delivery = replace(life.delivery, gate="accepted")
    life.place(Cancellation(order_id="2011"))
    assert life.state[0] == "cancelled"
