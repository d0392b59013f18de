"""Nothing waits for ever: what should have happened is told on time, and what nobody comes for is given up."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from schemas.status import Cause
from tests.domain.scenario import START, DeliveryScenario, news
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DOWN = Unavailable("down", retry_after=3600)


def told(life: DeliveryScenario) -> list[tuple[float, str]]:
    """Give each person asked for and each end, with the minutes since the start."""
    return [
        ((event.at - START) / MINUTE, event.data.reason_text or event.type.value)
        for event in life.events
        if event.type in {"delivery.attention_required", "delivery.dispatch_failed", "delivery.stalled"}
    ]


def live_on(life: DeliveryScenario, until: timedelta, hold: Callable[[DeliveryScenario], object]) -> None:
    """Do what is due: alarms as they are, all else as `hold` says."""
    while life.delivery.next_run_at is not None and life.delivery.next_run_at < START + until:
        if life.delivery.step is Step.ALARM:
            life.ring()
        else:
            hold(life)


def polled(status: str) -> Callable[[DeliveryScenario], None]:
    """Read the same status whenever a read is due."""

    def poll(life: DeliveryScenario) -> None:
        life.reach(Step.TRACK)
        life.poll(status)

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
def test_an_order_that_nobody_takes_asks_for_a_person_before_its_pickup(order: dict[str, Any], minutes: float) -> None:
    life = DeliveryScenario("borzo", **order)
    life.place()
    live_on(life, 2 * HOUR, lambda it: it.book(DOWN))
    assert told(life) == [(minutes, "not_dispatched_in_time")]
    life.book()
    assert life.delivery.attention is None


def test_an_alarm_changes_nothing_of_what_waits_for_the_carrier() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(DOWN)
    assert life.turn == (Step.ALARM, None)
    life.ring()
    assert (life.turn, life.delivery.next_run_at) == ((Step.BOOK, None), life.delivery.retry_at)


@pytest.mark.quirk("D-31")
def test_an_offer_that_cannot_be_accepted_in_time_asks_for_a_person() -> None:
    life = DeliveryScenario("deliverit")
    life.place()
    life.offered(2)
    life.confirm(DOWN)
    life.ring()
    assert told(life) == [(10, "not_dispatched_in_time")]


def test_a_doubt_asks_for_a_person_before_the_pickup_even_while_it_is_looked_up() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(Uncertain("no answer"))
    missed = Unavailable("down", retry_after=1800)

    def look(it: DeliveryScenario) -> None:
        it.reach(Step.RECONCILE)
        it.take(lifecycle.record_read_failure(it.delivery, it.attempt.id, missed, it.rules, it.now))

    live_on(life, HOUR, look)
    assert told(life) == [(10, "outcome_unknown")]
    assert lifecycle.resolve_attention(life.delivery, life.rules, life.now) is None  # a doubt is settled, not attended
    life.see(news("created", ref="R-1"), cause=Cause.RECONCILE)
    assert life.delivery.attention is None


def test_a_doubt_that_ends_in_proof_of_absence_needs_nobody_any_more() -> None:
    life = DeliveryScenario("borzo", ready_at="2026-11-21T17:05:00Z")
    life.place()
    life.book(Uncertain("no answer"))
    life.reach(Step.RECONCILE)
    missed = Unavailable("down", retry_after=300)
    life.take(lifecycle.record_read_failure(life.delivery, life.attempt.id, missed, life.rules, life.now))
    life.ring()
    assert told(life) == [(3, "outcome_unknown")]
    for _ in range(3):
        life.look_up()
    assert life.state == ("queued", Step.BOOK, "borzo")
    assert life.delivery.attention is None


def test_an_order_that_nobody_was_sent_for_is_given_up_three_hours_after_its_pickup() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(DOWN)
    live_on(life, 30 * HOUR, lambda it: it.book(DOWN))
    assert told(life) == [(10, "not_dispatched_in_time"), (195, "delivery.dispatch_failed")]
    assert (life.state, life.delivery.reason) == (("rejected", None, "borzo"), "deadline_passed")
    assert [(each.state, each.reason, each.live) for each in life.delivery.attempts] == [
        ("rejected", "deadline_passed", False)
    ]
    assert life.turn == (None, None)


def test_an_order_of_an_unknown_store_is_given_up_too() -> None:
    life = DeliveryScenario("borzo")
    life.take(lifecycle.accept_order(life.delivery, None, None, life.rules, life.now))
    live_on(life, 30 * HOUR, route_nowhere)
    assert told(life) == [(0, "unknown_store"), (180, "delivery.dispatch_failed")]
    assert life.delivery.status == "rejected"


def test_an_order_that_loses_its_courier_long_after_its_pickup_is_given_up_when_nobody_else_can_be_sent() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.book(Uncertain("no answer"))
    live_on(life, 25 * HOUR, lambda it: it.unfindable())
    life.resolve(None)
    life.book(DOWN)
    resolved = round((life.now - START) / MINUTE)
    live_on(life, 50 * HOUR, lambda it: it.book(DOWN))
    assert [(round(minutes), word) for minutes, word in told(life)[2:]] == [(resolved, "delivery.dispatch_failed")]
    assert (life.delivery.status, life.delivery.reason) == ("rejected", "deadline_passed")


def route_nowhere(life: DeliveryScenario) -> None:
    life.reach(Step.ROUTE)
    life.take(lifecycle.route(life.delivery, None, life.rules, life.now))


def test_a_doubt_is_never_given_up_by_itself() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.book(Uncertain("no answer"))
    live_on(life, 30 * HOUR, lambda it: it.unfindable())
    assert told(life) == [(3.75, "outcome_unknown"), (24 * 60, "still_open_after_a_day")]
    assert life.delivery.status == "submit_unknown"


@pytest.mark.quirk("C-36")
def test_goods_that_do_not_move_are_told_once(created: Make) -> None:
    life = created("borzo")
    life.wait(600)
    life.poll("picked_up")
    live_on(life, 12 * HOUR, polled("picked_up"))
    assert told(life) == [(190, "delivery.stalled")]
    life.poll("dropoff_enroute")
    since = (life.now - START) / MINUTE
    live_on(life, 20 * HOUR, polled("dropoff_enroute"))
    assert told(life)[1:] == [(since + 180, "delivery.stalled")]


@pytest.mark.quirk("C-61")
def test_what_is_still_open_after_a_day_asks_for_a_person_and_stays_what_it_is(created: Make) -> None:
    life = created("borzo")
    live_on(life, 60 * HOUR, polled("created"))
    assert told(life) == [(24 * 60, "still_open_after_a_day")]
    assert life.delivery.status == "created"


def test_an_alarm_that_is_not_due_is_not_given() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    assert lifecycle.fire_alarms(life.delivery, life.rules, life.now + 5 * HOUR) is None


def test_a_step_back_that_two_reads_show_asks_for_a_person_and_changes_nothing(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up")
    life.lines()
    for seconds in (0, 59, 1, 60, 60):
        life.wait(seconds)
        life.poll("courier_assigned")
    assert life.lines() == [
        "4 regression_seen created>picked_up at borzo#1 [poll]",
        "5 attention_required created>picked_up 'went_backwards' at borzo#1 [poll]",
    ]
    assert life.state == ("picked_up", Step.TRACK, "borzo")


def test_a_step_back_that_the_next_read_takes_back_asks_for_nobody(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up")
    for _ in range(3):
        life.wait(61)
        life.poll("courier_assigned")
        life.wait(61)
        life.poll("picked_up")
    assert life.delivery.attention is None
