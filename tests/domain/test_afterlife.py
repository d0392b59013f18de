"""After the end: carriers revive what was over, and that is seen only by who looks again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from schemas.status import CancelledBy, Cause
from tests.domain.scenario import RULES, START, DeliveryScenario, news, refused
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
CALLED = replace(
    RULES["borzo"],
    capabilities=Borzo(BorzoAccount(name="b", kind="borzo", token="t", callback_secret="s"), {}).capabilities,
)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def ended(carrier: str, status: str = "cancelled", *others: str, called: bool = False) -> DeliveryScenario:
    """Give a life whose first attempt has ended, and what was told so far counts as read.

    `called`: its carrier's account relies on callbacks.
    """
    life = DeliveryScenario(carrier, *others)
    if called:
        life.rules[carrier] = CALLED
    life.place()
    life.book()
    life.see(news(status, cancelled_by=CancelledBy.UNKNOWN if status == "cancelled" else None))
    life.lines()
    return life


def tail(life: DeliveryScenario, saw: str | None = None) -> timedelta:
    """Read the first attempt again when that is due; tell how long after its end that was."""
    (first, *_) = life.delivery.attempts
    assert first.ended_at is not None
    assert life.turn == (Step.TRACK, 1)
    life.reach_turn()
    if saw is None:
        life.take(lifecycle.record_missing(life.delivery, first.id, life.rules, life.now))
    else:
        life.see(news(saw), attempt=first.id)
    return life.now - first.ended_at


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
def test_what_has_ended_is_read_again_and_then_left_alone(
    carrier: str, times: list[timedelta], end: str, saw: str | None, *, called: bool
) -> None:
    life = ended(carrier, end, called=called)
    assert [tail(life, saw and end) for _ in times] == times
    assert (life.turn, life.delivery.next_run_at, life.lines()) == ((None, None), None, [])


def test_what_no_carrier_takes_back_is_not_read_again() -> None:
    assert ended("cervo", "returned").turn == (None, None)
    life = DeliveryScenario("cervo")
    life.place()
    life.book(refused())
    assert life.turn == (None, None)


def test_a_read_after_the_end_that_fails_is_made_again_until_it_is_no_use_any_more() -> None:
    life = ended("cervo", "delivered")
    reads = 0
    while life.turn == (Step.TRACK, 1):
        life.reach_turn()
        life.take(
            lifecycle.record_read_failure(life.delivery, 1, Unavailable("down", retry_after=1800), life.rules, life.now)
        )
        reads += 1
    assert (reads, life.delivery.failures, life.lines()) == (12, 0, [])


def test_a_read_of_what_has_ended_keeps_the_next_courier_from_nothing() -> None:
    life = ended("cervo", "cancelled", "deliverit")
    life.book()
    life.take(
        lifecycle.record_read_failure(life.delivery, 1, Unavailable("down", retry_after=1800), life.rules, life.now)
    )
    assert (life.turn, life.delivery.retry_at) == ((Step.TRACK, 2), None)


@pytest.mark.parametrize("status", ["picked_up", "dropoff_arrived"])
@pytest.mark.parametrize("cause", [Cause.POLL, Cause.CALLBACK])
def test_a_cancelled_courier_who_is_seen_with_the_goods_is_followed_again_at_once(status: str, cause: Cause) -> None:
    life = ended("borzo")
    life.see(news(status, stamp=later(999)), cause=cause)
    assert life.lines() == [
        f"6 reopened cancelled>{status} at borzo#1 [{cause}]",
        f"7 conflict cancelled>{status} 'cancelled_but_alive' at borzo#1 [{cause}]",
    ]
    assert life.state == (status, Step.TRACK, "borzo")
    life.poll("delivered")
    assert life.delivery.status == "delivered"


def test_a_cancelled_courier_who_has_delivered_has_delivered() -> None:
    life = ended("cervo")
    tail(life, "delivered")
    assert life.lines() == [
        "6 status_changed cancelled>delivered at cervo#1 [poll]",
        "7 conflict cancelled>delivered 'cancelled_but_alive' at cervo#1 [poll]",
    ]
    assert tail(life) == 10 * MINUTE


def test_a_callback_without_a_time_raises_nobody_from_the_dead() -> None:
    life = ended("cervo")
    life.see(news("picked_up"), cause=Cause.CALLBACK)
    assert (life.lines(), life.delivery.status) == ([], "cancelled")


def test_a_cancelled_courier_who_is_seen_with_the_goods_beside_another_is_one_too_many() -> None:
    life = ended("cervo", "cancelled", "borzo")
    life.book()
    life.lines()
    life.see(news("picked_up"), attempt=1)
    assert life.lines() == [
        "6 conflict queued>created 'two_couriers' at cervo#1 [poll]",
        "7 attention_required queued>created 'surplus_courier' at cervo#1 [poll]",
    ]
    assert life.state == ("created", Step.TRACK, "borzo")
    life.see(news("delivered"), attempt=1)
    assert life.lines() == ["8 attempt_ended queued>created at cervo#1 [poll]"]
    life.poll("courier_assigned", "delivered")
    assert (life.delivery.status, life.delivery.attention) == ("delivered", "surplus_courier")


@pytest.mark.parametrize("end", ["delivered", "cancelled", "failed"])
def test_an_end_is_undone_by_two_reads_a_minute_apart(end: str) -> None:
    life = ended("cervo", end)
    tail(life, "courier_assigned")
    assert life.lines() == []
    assert tail(life, "courier_assigned") == 11 * MINUTE
    number = 4 if end == "delivered" else 6
    assert life.lines() == [f"{number} reopened {end}>courier_assigned at cervo#1 [poll]"]
    assert life.state == ("courier_assigned", Step.TRACK, "cervo")


@pytest.mark.parametrize("end", ["delivered", "failed"])
def test_two_reads_prove_that_it_goes_on_also_where_it_went_on_between_them(end: str) -> None:
    life = ended("cervo", end)
    tail(life, "courier_assigned")
    assert tail(life, "picked_up") == 11 * MINUTE
    assert life.state == ("picked_up", Step.TRACK, "cervo")


def test_an_end_is_not_undone_by_one_read_or_two_that_come_together() -> None:
    life = ended("cervo", "delivered")
    tail(life, "created")
    for _ in range(5):
        life.poll("created")
    assert life.delivery.status == "delivered"


def test_an_end_that_the_next_read_confirms_stands() -> None:
    life = ended("cervo", "delivered")
    tail(life, "created")
    tail(life, "delivered")
    tail(life, "created")
    assert (life.delivery.status, life.lines()) == ("delivered", [])
    assert tail(life, "delivered") == 2 * HOUR + MINUTE
    assert life.turn == (None, None)


@pytest.mark.parametrize("saw", [None, "a word that nobody knows"])
def test_a_second_read_that_tells_nothing_is_made_again_later_and_not_for_ever(saw: str | None) -> None:
    life = ended("cervo")
    tail(life, "courier_assigned")
    (first,) = life.delivery.attempts
    reads: list[timedelta] = []
    while life.turn == (Step.TRACK, 1) and len(reads) < 100:
        life.reach_turn()
        reads.append(life.now - first.changed_at)
        if saw is None:
            life.take(lifecycle.record_missing(life.delivery, 1, life.rules, life.now))
        else:
            life.see(news(None, saw), attempt=1)
    assert reads == [11 * MINUTE + step * 5 * MINUTE for step in range(70)]
    assert (life.delivery.status, life.delivery.next_run_at) == ("cancelled", None)


def test_callbacks_alone_undo_no_end() -> None:
    life = ended("borzo", "delivered")
    for second in (0, 61, 122):
        life.wait(second)
        life.see(news("created", stamp=later(1000 + second)), cause=Cause.CALLBACK)
    assert (life.delivery.status, life.lines()) == ("delivered", [])


def test_what_carried_on_from_an_older_attempt_does_not_undo_what_another_courier_delivered() -> None:
    life = ended("cervo", "cancelled", "borzo")
    life.book()
    life.poll("delivered")
    life.lines()
    tail(life, "picked_up")
    assert life.delivery.status == "delivered"
    assert life.lines() == [
        "7 conflict created>delivered 'two_couriers' at cervo#1 [poll]",
        "8 attention_required created>delivered 'surplus_courier' at cervo#1 [poll]",
    ]


def test_a_hint_about_what_has_ended_hurries_its_next_read() -> None:
    life = ended("cervo", "cancelled", "deliverit")
    life.book()
    life.take(lifecycle.schedule_read_now(life.delivery, life.rules, life.now, 1))
    assert (life.turn, life.delivery.next_run_at) == ((Step.TRACK, 1), life.now)


def test_of_several_news_only_the_last_tells_whether_what_ended_lives() -> None:
    life = ended("cervo", "cancelled")
    life.see(news("picked_up"), news("cancelled"))
    assert (life.delivery.status, life.lines()) == ("cancelled", [])


def written_off(*carriers: str) -> DeliveryScenario:
    life = DeliveryScenario(*carriers)
    life.place()
    life.book(Uncertain("no answer"))
    for _ in range(3):
        life.look_up()
    life.book()
    life.lines()
    return life


def test_a_create_that_was_written_off_is_looked_for_again() -> None:
    life = written_off("deliverit")
    since = life.delivery.attempts[0].ended_at
    assert since is not None
    looked: list[timedelta] = []
    life.poll("delivered")
    for _ in range(6):
        life.reach_turn()
        looked.append(life.now - since)
        if life.turn == (Step.RECONCILE, 1):
            life.take(lifecycle.record_not_found(life.delivery, 1, 3, life.rules, life.now))
        else:
            life.take(lifecycle.record_missing(life.delivery, 2, life.rules, life.now))
    assert life.turn == (None, None)
    assert looked == [2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 10 * MINUTE, 2 * HOUR, 2 * HOUR]


@pytest.mark.fault("F-28")
@pytest.mark.quirk("X-03")
def test_a_create_that_was_written_off_and_is_found_is_cancelled() -> None:
    life = written_off("deliverit")
    while life.turn != (Step.RECONCILE, 1):
        life.reach_turn()
        life.poll("courier_assigned")
    life.lines()
    life.reach_turn()
    life.see(news("created", ref="R-0"), cause=Cause.RECONCILE, attempt=1)
    assert life.lines() == ["6 conflict created>courier_assigned 'orphan_found' at deliverit#1 [reconcile]"]
    assert life.turn == (Step.CANCEL, 1)


@pytest.mark.fault("F-09")
def test_a_create_that_answers_after_it_was_written_off_is_cancelled() -> None:
    life = written_off("borzo")
    life.answer(Booked(news("created", ref="R-0")), attempt=1)
    assert life.turn == (Step.CANCEL, 1)
    assert life.state == ("created", Step.TRACK, "borzo")


def test_a_read_that_somebody_wished_for_does_not_stand_for_the_planned_one() -> None:
    life = ended("borzo", "delivered", called=True)
    life.wait(60)
    life.take(lifecycle.schedule_read_now(life.delivery, life.rules, life.now, 1))
    life.see(news("delivered"), attempt=1)
    assert tail(life, "delivered") == 2 * HOUR
    assert life.turn == (None, None)
