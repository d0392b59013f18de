"""What was decided is compared with what today's code decides, and only a certain difference is one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.events import EventType
from schemas.status import Cause, DeliveryStatus, Reason
from tests.domain.scenario import START, DeliveryScenario
from worker.domain.delivery import Step
from worker.domain.explanation import Input, Possible, choose_again, decide_status_again, plan_again
from worker.errors import Refused

S = DeliveryStatus
Created = Callable[..., DeliveryScenario]
NO_CASH = "cannot take the order: no cash"


def choices(scenario: DeliveryScenario, *, fell_back: bool = False) -> list[tuple[str, str, str | None, bool]]:
    found = choose_again(scenario.delivery, scenario.terms, scenario.now, fell_back=fell_back)
    return [(each.subject, each.then, each.today, each.differs) for each in found]


def refuse(scenario: DeliveryScenario, carrier: str) -> None:
    refusal = Refused(Reason.UNSERVICEABLE, "no cash")
    scenario.terms[carrier] = replace(scenario.terms[carrier], refuses=lambda *_: refusal)


# --- the choice of the carrier ---


def test_the_carriers_are_listed_in_the_order_in_which_they_would_be_asked(created: Created) -> None:
    scenario = created("deliverit", "borzo", "cervo")
    assert choices(scenario) == [
        ("deliverit", "asked (attempt 1)", "choice 1", False),
        ("borzo", "not asked", "choice 2", False),
        ("cervo", "not asked", "choice 3", False),
    ]


def test_a_carrier_that_was_asked_and_would_be_excluded_today_differs(created: Created) -> None:
    scenario = created("deliverit", "borzo")
    refuse(scenario, "deliverit")
    assert choices(scenario) == [
        ("deliverit", "asked (attempt 1)", NO_CASH, True),
        ("borzo", "not asked", "choice 1", False),
    ]


def test_a_carrier_that_was_excluded_and_would_be_asked_first_today_differs() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    terms = scenario.terms["deliverit"]
    refuse(scenario, "deliverit")
    scenario.place()
    scenario.book()
    same = [("deliverit", "not asked", NO_CASH, False), ("borzo", "asked (attempt 1)", "choice 1", False)]
    assert choices(scenario) == same
    scenario.terms["deliverit"] = terms
    assert choices(scenario) == [
        ("deliverit", "not asked", "choice 1", True),
        ("borzo", "asked (attempt 1)", "choice 2", False),
    ]
    assert choices(scenario, fell_back=True)[0] == ("deliverit", "not asked", "choice 1", False)


def test_a_carrier_that_can_take_the_order_only_for_a_while_may_have_been_chosen_then() -> None:
    scenario = DeliveryScenario("borzo")
    closed = Refused(Reason.CARRIER_CLOSED, "closed")
    scenario.place()
    scenario.wait(3600)
    scenario.book()
    begin, end = START + timedelta(minutes=20), START + timedelta(minutes=40)
    terms = scenario.terms["borzo"]
    scenario.terms["borzo"] = replace(terms, refuses=lambda _order, _store, at: None if begin < at < end else closed)
    assert choices(scenario) == [("borzo", "asked (attempt 1)", "choice 1", False)]


def test_an_account_that_is_no_longer_configured_is_not_chosen(created: Created) -> None:
    scenario = created("borzo", "cervo")
    del scenario.terms["borzo"]
    assert choices(scenario)[0] == ("borzo", "asked (attempt 1)", "no account has this name", True)


def test_an_order_that_has_changed_since_it_was_sent_is_not_compared(created: Created) -> None:
    scenario = created("borzo", "cervo")
    scenario.change_order(notes="ring twice")
    refuse(scenario, "borzo")
    (first, _) = choose_again(scenario.delivery, scenario.terms, scenario.now, fell_back=False)
    assert (first.today, first.differs, first.note) == (NO_CASH, False, "the order has changed since it was sent")


def test_a_delivery_without_a_known_store_has_no_choices() -> None:
    scenario = DeliveryScenario("borzo")
    (found,) = choose_again(scenario.delivery, scenario.terms, scenario.now, fell_back=False)
    assert (found.today, found.note) == (None, "the store is not known")


# --- statuses ---


@pytest.mark.parametrize(
    ("kind", "data", "possible", "decided"),
    [
        (EventType.STATUS_CHANGED, "picked_up", {S.PICKED_UP}, ("picked_up", "picked_up", False)),
        (
            EventType.STATUS_CHANGED,
            "picked_up",
            {S.COURIER_ASSIGNED, S.DROPOFF_ENROUTE},
            ("picked_up", "courier_assigned or dropoff_enroute", True),
        ),
        (EventType.STATUS_CHANGED, "picked_up", {None}, ("picked_up", "unmapped", True)),
        (EventType.STATUS_CHANGED, "created", {None}, ("created", "unmapped", False)),
        (EventType.STATUS_CHANGED, "cancelled", {S.FAILED}, ("cancelled", "failed", False)),
        (EventType.STATUS_CHANGED, "cancelled", {S.PICKED_UP}, ("cancelled", "picked_up", True)),
        (EventType.REOPENED, "picked_up", {S.DELIVERED}, ("picked_up", "delivered", True)),
        (EventType.UPDATED, "picked_up", {S.DELIVERED}, ("picked_up", "delivered", True)),
        (EventType.STATUS_UNRECOGNIZED, "created", {None}, ("unmapped", "unmapped", False)),
        (EventType.STATUS_UNRECOGNIZED, "created", {S.DELIVERED, None}, ("unmapped", "delivered or unmapped", False)),
        (EventType.STATUS_UNRECOGNIZED, "created", {S.DELIVERED}, ("unmapped", "delivered", True)),
        (EventType.ATTEMPT_ENDED, "created", {S.CANCELLED}, ("an end of the attempt", "cancelled", False)),
        (EventType.ATTEMPT_ENDED, "created", {S.PICKED_UP}, ("an end of the attempt", "picked_up", True)),
        (EventType.CONFLICT, "created", {S.PICKED_UP}, None),
    ],
)
def test_a_published_status_is_compared_with_every_status_that_is_possible_today(
    kind: EventType, data: str, possible: set[Any], decided: tuple[str, str, bool] | None
) -> None:
    event = {"status": data, "cause": Cause.POLL.value}
    assert decide_status_again(kind, event, frozenset(possible)) == decided


def test_an_update_by_the_answer_to_a_call_shows_no_decision_about_its_status() -> None:
    possible: Possible = frozenset({S.DELIVERED})
    event = {"status": "picked_up", "cause": Cause.RESPONSE.value}
    assert decide_status_again(EventType.UPDATED, event, possible) is None


# --- the next step and the next alarm ---


def planned(scenario: DeliveryScenario) -> dict[Input, bool]:
    return {each.input: each.differs for each in plan_again(scenario.delivery, scenario.terms, scenario.now)}


def read_seldom(scenario: DeliveryScenario) -> None:
    """Lengthen all intervals between reads."""
    scenario.terms["cervo"] = replace(scenario.terms["cervo"], poll_interval=900)


@pytest.mark.parametrize("carrier", ["cervo", "borzo", "deliverit"])
def test_a_stored_plan_does_not_differ_whenever_it_was_made(created: Created, carrier: str) -> None:
    scenario = created(carrier)
    for _ in range(4):
        scenario.wait_for_next_step()
        scenario.poll("courier_assigned")
        for seconds in (0, 7, 3600):
            later = scenario.now + timedelta(seconds=seconds)
            found = plan_again(scenario.delivery, scenario.terms, later)
            assert not any(each.differs for each in found)


def test_a_read_that_would_be_due_at_no_such_time_differs(created: Created) -> None:
    scenario = created("cervo")
    read_seldom(scenario)
    assert planned(scenario) == {Input.STEP: True, Input.ALARM: False}


def test_the_time_of_a_due_step_is_not_compared(created: Created) -> None:
    scenario = created("cervo")
    read_seldom(scenario)
    scenario.wait_for_next_step()
    assert planned(scenario) == {Input.STEP: False, Input.ALARM: False}


def test_another_step_differs(created: Created) -> None:
    scenario = created("cervo")
    scenario.delivery = replace(scenario.delivery, step=Step.CONFIRM)
    (step, _) = plan_again(scenario.delivery, scenario.terms, scenario.now)
    assert step.differs
    assert (step.then.split()[0], (step.today or "").split()[0]) == ("confirm", "track")


def test_another_alarm_differs(created: Created) -> None:
    scenario = created("cervo")
    scenario.delivery = replace(scenario.delivery, alarm_at=START)
    (_, alarm) = plan_again(scenario.delivery, scenario.terms, scenario.now)
    assert (alarm.then, alarm.differs) == ("2026-11-21T17:00:00Z", True)


def test_a_delivery_that_has_ended_and_has_nothing_left_to_do_does_not_differ(created: Created) -> None:
    scenario = created("borzo")
    scenario.poll("delivered")
    scenario.wait(86_400)
    assert scenario.delivery.final
    assert planned(scenario) == {Input.STEP: False, Input.ALARM: False}
