"""What polls and callbacks say: what is told of it, and what changes nothing."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.events import CourierInfo, EventType, PriceInfo, RawWord
from schemas.status import Cause, Evidence, Reason
from tests.domain.scenario import RULES, START, DeliveryScenario, news
from worker.carriers.port import Courier, Price
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Unavailable, Unreadable

Make = Callable[..., DeliveryScenario]


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_whole_life_is_told_without_a_gap() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book()
    for status in ("courier_assigned", "pickup_enroute", "pickup_arrived", "picked_up", "dropoff_enroute"):
        life.wait(60)
        life.poll(status)
    life.poll("dropoff_arrived", "delivered")
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>created at borzo#1 [response]",
        "3 status_changed created>courier_assigned at borzo#1 [poll]",
        "4 status_changed courier_assigned>pickup_enroute at borzo#1 [poll]",
        "5 status_changed pickup_enroute>pickup_arrived at borzo#1 [poll]",
        "6 status_changed pickup_arrived>picked_up at borzo#1 [poll]",
        "7 status_changed picked_up>dropoff_enroute at borzo#1 [poll]",
        "8 status_changed dropoff_enroute>dropoff_arrived at borzo#1 [poll]",
        "9 status_changed dropoff_arrived>delivered at borzo#1 [poll]",
    ]
    assert life.state == ("delivered", None, "borzo")


def test_an_event_carries_all_that_the_news_said(created: Make) -> None:
    life = created("borzo")
    life.see(
        news(
            "courier_assigned",
            "active",
            evidence=Evidence.ORDER_LEVEL,
            detail="in_process",
            reason_text="on the way",
            occurred_at=later(-30),
            occurred_at_assumed_zone="America/Sao_Paulo",
            courier=Courier(name="Ana", phone="+5511999990000"),
            tracking_url="https://example.org/t/1",
            pickup_eta=later(300),
            price=Price(Decimal("9.90"), "BRL"),
        )
    )
    assert life.events[-1].data.model_dump() == {
        "delivery_id": "d-2011",
        "order_id": "2011",
        "order_source": "platform",
        "store_id": "17",
        "sequence": 3,
        "status": "courier_assigned",
        "previous_status": "created",
        "detail": "in_process",
        "final": False,
        "reason": None,
        "reason_text": "on the way",
        "cancelled_by": None,
        "carrier": "borzo",
        "carrier_ref": "R-1",
        "attempt": 1,
        "evidence": "order_level",
        "cause": "poll",
        "raw": {"entity": "order", "code": "active", "text": None},
        "occurred_at": "2026-11-21T16:59:30Z",
        "occurred_at_assumed_zone": "America/Sao_Paulo",
        "observed_at": "2026-11-21T17:00:00Z",
        "platform_status": 8,
        "tracking_url": "https://example.org/t/1",
        "courier": CourierInfo(name="Ana", phone="+5511999990000").model_dump(),
        "pickup_eta": "2026-11-21T17:05:00Z",
        "dropoff_eta": None,
        "price": PriceInfo(amount=Decimal("9.90"), currency="BRL").model_dump(),
        "proof": None,
    }


@pytest.mark.quirk("C-35")
def test_milestones_that_were_missed_are_not_invented(created: Make) -> None:
    life = created("deliverit")
    life.poll("delivered")
    assert life.lines() == ["3 status_changed created>delivered at deliverit#1 [poll]"]


def test_the_same_status_again_is_no_news(created: Make) -> None:
    life = created("borzo")
    for cause in (Cause.POLL, Cause.CALLBACK, Cause.RECONCILE):
        life.see(news("created"), cause=cause)
    assert life.lines() == []


def test_a_new_courier_in_the_same_status_is_an_update(created: Make) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", courier=Courier(name="Ana")))
    for _ in range(2):
        life.see(news("courier_assigned", courier=Courier(name="Bea")))
    life.see(news("courier_assigned"))
    assert life.lines() == [
        "3 status_changed created>courier_assigned at borzo#1 [poll]",
        "4 updated created>courier_assigned at borzo#1 [poll]",
    ]
    assert life.delivery.courier == CourierInfo(name="Bea")


def placed(name: str | None, latitude: float, **more: Any) -> Courier:
    return Courier(name=name, latitude=latitude, longitude=-46.6, **more)


@pytest.mark.quirk("B-53", "B-76")
def test_where_the_courier_is_is_told_once_a_minute_and_changes_no_status(created: Make) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", courier=Courier(name="Ana")))
    for second in range(0, 180, 20):
        life.see(news("courier_assigned", courier=placed("Ana", -23.5 - second / 1000)))
        life.wait(20)
    updates = [each for each in life.events if each.type is EventType.UPDATED]
    assert [(each.at - START).total_seconds() for each in updates] == [0, 60, 120]
    assert [each.data.courier.latitude for each in updates if each.data.courier] == [-23.5, -23.56, -23.62]
    assert life.delivery.courier == CourierInfo(name="Ana", latitude=-23.62, longitude=-46.6)
    assert life.delivery.status == "courier_assigned"


@pytest.mark.quirk("B-76")
def test_the_place_where_the_courier_comes_to_stand_is_told_when_the_minute_is_over(created: Make) -> None:
    life = created("borzo")
    for latitude in (-23.5, -23.6, -23.6, -23.6, -23.6):
        life.see(news("courier_assigned", courier=placed("Ana", latitude)))
        life.wait(30)
    told = [each.data.courier.latitude for each in life.events if each.data.courier]
    assert told == [-23.5, -23.6]


@pytest.mark.quirk("B-76")
def test_a_place_that_is_told_with_a_new_status_is_not_told_again_within_the_minute(created: Make) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", courier=placed("Ana", -23.5)))
    life.wait(30)
    life.see(news("courier_assigned", courier=placed("Ana", -23.6)))
    life.see(news("pickup_enroute", courier=placed("Ana", -23.7)))
    assert [each.split()[1:3] for each in life.lines()] == [
        ["status_changed", "created>courier_assigned"],
        ["status_changed", "courier_assigned>pickup_enroute"],
    ]
    assert life.events[-1].data.courier == CourierInfo(name="Ana", latitude=-23.7, longitude=-46.6)


@pytest.mark.quirk("B-53")
def test_what_is_not_said_of_the_same_courier_stays_known_and_a_telephone_is_told_at_once(created: Make) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", courier=placed("Ana", -23.5)))
    life.lines()
    life.see(news("courier_assigned", courier=Courier(name="Ana", phone="+5511999990000", phone_guessed=True)))
    assert life.lines() == ["4 updated created>courier_assigned at borzo#1 [poll]"]
    life.wait(60)
    life.see(news("courier_assigned", courier=placed(None, -23.6)))
    assert life.delivery.courier == CourierInfo(
        name="Ana", phone="+5511999990000", phone_guessed=True, latitude=-23.6, longitude=-46.6
    )


@pytest.mark.parametrize("another", [Courier(name="Bea"), Courier(name="Ana", phone="+5511888880000")])
def test_another_courier_is_told_at_once_and_is_not_where_the_former_one_was(created: Make, another: Courier) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", courier=placed("Ana", -23.5, phone="+5511999990000")))
    life.lines()
    life.see(news("courier_assigned", courier=another))
    assert life.lines() == ["4 updated created>courier_assigned at borzo#1 [poll]"]
    assert life.delivery.courier == CourierInfo(name=another.name, phone=another.phone)


def test_a_new_detail_in_the_same_status_is_an_update(created: Make) -> None:
    life = created("borzo")
    life.see(news("returning", detail="planned"))
    for _ in range(2):
        life.see(news("returning", detail="picked_up"))
    assert life.lines() == [
        "3 status_changed created>returning (planned) at borzo#1 [poll]",
        "4 updated created>returning (picked_up) at borzo#1 [poll]",
    ]


@pytest.mark.quirk("B-84")
def test_stale_news_changes_nothing(created: Make) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", stamp=later(60), courier=Courier(name="Ana")), cause=Cause.CALLBACK)
    life.lines()
    before = life.delivery
    stale = [
        news("picked_up", stamp=later(59), courier=Courier(name="Bea")),
        news("cancelled", stamp=later(59)),
        news(None, "mystery", stamp=later(59)),
    ]
    life.see(*stale, cause=Cause.CALLBACK)
    assert life.lines() == []
    assert (life.delivery.status, life.delivery.courier) == (before.status, before.courier)
    assert life.attempt.carrier_time == later(60)


@pytest.mark.quirk("C-32")
def test_an_unknown_word_changes_nothing_and_is_told_once(created: Make) -> None:
    life = created("cervo")
    for code in ("6", "6", "7", "6", "7"):
        life.see(news(None, code, courier=Courier(name="Ana")))
    assert life.lines() == [
        "3 status_unrecognized queued>created at cervo#1 [poll]",
        "4 status_unrecognized queued>created at cervo#1 [poll]",
    ]
    assert [event.data.raw for event in life.events[-2:]] == [RawWord(entity="order", code=code) for code in "67"]
    assert (life.delivery.courier, life.state) == (None, ("created", Step.TRACK, "cervo"))


def test_no_word_at_all_is_no_news(created: Make) -> None:
    life = created("deliverit")
    silent = news(None)
    life.see(type(silent)(status=None, raw=None))
    assert life.lines() == []


@pytest.mark.parametrize("status", ["created", "courier_assigned", "pickup_arrived", "courier_withdrawn"])
def test_a_step_back_with_the_goods_is_told_once_and_changes_nothing(created: Make, status: str) -> None:
    life = created("borzo")
    life.see(news("picked_up", courier=Courier(name="Ana")))
    life.lines()
    for seconds in (60, 120, 180):
        life.see(news(status, stamp=later(seconds), courier=Courier(name="Bea")))
    assert life.lines() == ["4 regression_seen created>picked_up at borzo#1 [poll]"]
    assert (life.delivery.status, life.delivery.courier) == ("picked_up", CourierInfo(name="Ana"))


def test_unknown_words_and_regressions_do_not_make_each_other_news_again(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up")
    life.lines()
    for _ in range(3):
        life.see(news("created"), news(None, "mystery"), news("pickup_arrived"))
    assert [each.split()[1] for each in life.lines()] == ["regression_seen", "status_unrecognized", "regression_seen"]


STARRED = [
    ("courier_assigned", "created"),
    ("pickup_enroute", "created"),
    ("pickup_enroute", "courier_assigned"),
    ("pickup_arrived", "created"),
    ("pickup_arrived", "courier_assigned"),
    ("pickup_arrived", "pickup_enroute"),
]


@pytest.mark.parametrize(("before", "after"), STARRED)
def test_a_poll_may_tell_of_a_reassignment_which_drops_the_courier(created: Make, before: str, after: str) -> None:
    life = created("borzo")
    life.see(news(before, courier=Courier(name="Ana")))
    life.lines()
    life.poll(after)
    assert life.lines() == [f"4 status_changed {before}>{after} (reassigned) at borzo#1 [poll]"]
    assert life.delivery.courier is None


def test_a_reassignment_names_the_new_courier(created: Make) -> None:
    life = created("borzo")
    life.see(news("pickup_arrived", courier=Courier(name="Ana")))
    life.see(news("courier_assigned", courier=Courier(name="Bea")))
    assert life.delivery.courier == CourierInfo(name="Bea")


@pytest.mark.quirk("C-53")
@pytest.mark.parametrize(("before", "after"), STARRED)
def test_a_callback_without_a_time_never_reassigns(created: Make, before: str, after: str) -> None:
    life = created("cervo")
    life.see(news(before), cause=Cause.CALLBACK)
    life.lines()
    life.see(news(after), cause=Cause.CALLBACK)
    assert life.lines() == [f"4 regression_seen created>{before} at cervo#1 [callback]"]
    assert life.delivery.status == before


@pytest.mark.quirk("B-84")
@pytest.mark.parametrize(("seconds", "status"), [(59, "pickup_arrived"), (60, "pickup_arrived"), (61, "created")])
def test_a_callback_reassigns_only_with_newer_news(created: Make, seconds: float, status: str) -> None:
    life = created("borzo")
    life.see(news("pickup_arrived", stamp=later(60)), cause=Cause.CALLBACK)
    life.see(news("created", stamp=later(seconds)), cause=Cause.CALLBACK)
    assert life.delivery.status == status


@pytest.mark.quirk("B-73")
@pytest.mark.parametrize("status", ["created", "courier_assigned", "pickup_arrived", "picked_up", "delivery_failed"])
def test_a_hold_resumes_to_where_it_was(created: Make, status: str) -> None:
    life = created("borzo")
    life.poll(status, "on_hold")
    held = life.delivery.status
    life.lines()
    life.poll(status)
    assert (held, life.delivery.status, life.attempt.resume_to) == ("on_hold", status, None)


def test_a_hold_keeps_the_rank_of_what_it_interrupted(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up", "on_hold")
    assert (life.attempt.rank, life.attempt.resume_to) == (50, "picked_up")


def test_a_hold_never_resumes_to_less_than_it_interrupted(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up", "on_hold", "courier_assigned")
    assert life.lines()[-1] == "5 regression_seen picked_up>on_hold at borzo#1 [poll]"
    assert life.delivery.status == "on_hold"


def test_a_hold_may_end_with_another_courier(created: Make) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", courier=Courier(name="Ana")))
    life.poll("on_hold", "created")
    assert life.lines()[-1] == "5 status_changed on_hold>created (reassigned) at borzo#1 [poll]"
    assert life.delivery.courier is None


@pytest.mark.quirk("C-34")
def test_a_withdrawn_courier_may_be_followed_by_another(created: Make) -> None:
    life = created("cervo")
    life.poll("courier_assigned", "courier_withdrawn", "created", "courier_assigned", "picked_up")
    assert [each.split()[2] for each in life.lines()] == [
        "created>courier_assigned",
        "courier_assigned>courier_withdrawn",
        "courier_withdrawn>created",
        "created>courier_assigned",
        "courier_assigned>picked_up",
    ]


@pytest.mark.quirk("B-69")
def test_failing_at_the_door_leads_to_a_new_attempt_or_a_return(created: Make) -> None:
    life = created("borzo")
    life.poll("dropoff_arrived", "delivery_failed", "reattempting", "delivery_failed", "returning", "returned")
    assert life.state == ("returned", None, "borzo")
    assert life.lines()[-1] == "8 status_changed returning>returned at borzo#1 [poll]"


STICKY = [
    (end, status)
    for end in ("delivered", "returned", "cancelled", "failed")
    for status in ("created", "picked_up", "delivered", "returned", "cancelled", "failed", "on_hold")
    if (end, status) not in {("cancelled", "picked_up"), ("cancelled", "delivered")}  # see test_afterlife.py
]


@pytest.mark.fault("F-44")
@pytest.mark.parametrize(("end", "status"), STICKY)
def test_an_end_is_sticky(created: Make, end: str, status: str) -> None:
    life = created("borzo")
    life.poll(end)
    life.lines()
    before = life.delivery
    for cause in (Cause.POLL, Cause.CALLBACK):
        life.see(news(status, stamp=later(999), courier=Courier(name="Eve")), cause=cause)
    assert life.lines() == []
    assert (life.state, life.delivery.courier) == ((end, None, "borzo"), before.courier)


@pytest.mark.quirk("B-67")
@pytest.mark.parametrize("end", ["delivered", "cancelled", "failed"])
def test_a_reactivated_order_is_reopened(created: Make, end: str) -> None:
    life = created("borzo")
    life.poll(end)
    life.lines()
    life.see(news("created", "reactivated", reopens=True), cause=Cause.CALLBACK)
    assert [each.split(" ", 1)[1] for each in life.lines()] == [f"reopened {end}>created at borzo#1 [callback]"]
    assert life.state == ("created", Step.TRACK, "borzo")
    life.poll("courier_assigned", "delivered")
    assert life.delivery.status == "delivered"


@pytest.mark.quirk("B-67", "X-03")
def test_a_reactivated_order_takes_the_delivery_back_before_another_carrier_is_asked(created: Make) -> None:
    life = created("borzo", "cervo")
    life.poll("cancelled")
    life.lines()
    life.see(news("created", reopens=True), cause=Cause.CALLBACK)
    assert life.lines() == ["5 status_changed queued>created at borzo#1 [callback]"]
    assert life.state == ("created", Step.TRACK, "borzo")
    assert lifecycle.begin_booking(life.delivery, 9, "token", life.rules, life.now) is None


@pytest.mark.quirk("B-67", "X-03")
def test_a_reactivated_order_beside_another_carriers_is_a_conflict_and_told_once(created: Make) -> None:
    life = created("borzo", "cervo")
    life.poll("cancelled")
    life.book()
    life.lines()
    for _ in range(3):
        life.see(news("created", reopens=True, courier=Courier(name="Eve")), cause=Cause.CALLBACK, attempt=1)
    assert life.lines() == ["6 conflict queued>created 'two_couriers' at borzo#1 [callback]"]
    assert [each.surplus for each in life.delivery.attempts] == [True, False]
    assert (life.delivery.courier, life.state) == (None, ("created", Step.TRACK, "cervo"))


def test_an_ended_attempts_callback_does_not_describe_the_next_carriers_delivery(created: Make) -> None:
    life = created("borzo", "cervo")
    life.poll("cancelled")
    life.book()
    life.see(news("courier_assigned", courier=Courier(name="Ana")))
    life.lines()
    life.see(news("cancelled", courier=Courier(name="Eve"), tracking_url="https://x.org"), attempt=1)
    assert (life.delivery.courier, life.delivery.tracking_url) == (CourierInfo(name="Ana"), None)
    assert life.lines() == []


def test_an_ended_attempts_callback_does_not_hurry_the_next_create(created: Make) -> None:
    life = created("borzo", "cervo")
    life.poll("cancelled")
    life.book(Unavailable("429", retry_after=300))
    before = life.delivery.next_run_at
    life.see(news("cancelled"), cause=Cause.CALLBACK, attempt=1)
    assert life.delivery.next_run_at == before


def test_news_of_an_unknown_attempt_changes_nothing(created: Make) -> None:
    life = created("borzo")
    life.see(news("delivered"), attempt=77)
    assert (life.lines(), life.delivery.status) == ([], "created")


def test_what_the_codec_wants_remembered_is_merged(created: Make) -> None:
    life = created("borzo")
    life.see(news("created", refs={"a": "1", "b": "1"}))
    life.see(news("created", refs={"b": "2"}, ref="R-2"))
    assert (life.attempt.codec_state, life.attempt.ref) == ({"a": "1", "b": "2"}, "R-2")


@pytest.mark.quirk("C-40")
@pytest.mark.parametrize("error", [Unreadable("HTML"), CarrierError("400")])
def test_reads_that_keep_failing_are_told_once_and_wait_longer(created: Make, error: CarrierError) -> None:
    life = created("cervo")
    for _ in range(9):
        life.reach(Step.TRACK)
        life.take(lifecycle.record_read_failure(life.delivery, life.attempt.id, error, life.rules, life.now))
    assert life.lines() == ["3 tracking_lost queued>created at cervo#1 [poll]"]
    assert (life.delivery.status, life.delivery.failures) == ("created", 9)
    life.poll("created")
    assert (life.delivery.failures, life.delivery.retry_at) == (0, None)


def test_a_read_waits_as_long_as_the_carrier_asked(created: Make) -> None:
    life = created("cervo")
    error = Unavailable("429", retry_after=900)
    life.take(lifecycle.record_read_failure(life.delivery, life.attempt.id, error, life.rules, life.now))
    assert life.reach(Step.TRACK) == timedelta(seconds=900)


@pytest.mark.quirk("D-54")
def test_absence_proves_nothing_once_it_was_created(created: Make) -> None:
    life = created("deliverit")
    for _ in range(50):
        life.reach(Step.TRACK)
        life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
        life.take(
            lifecycle.record_not_found(life.delivery, life.attempt.id, life.attempt.lookups, life.rules, life.now)
        )
    assert (life.lines(), life.state) == ([], ("created", Step.TRACK, "deliverit"))


@pytest.mark.quirk("C-50")
def test_a_hint_makes_the_next_read_due_at_once(created: Make) -> None:
    life = created("cervo")
    error = Unavailable("429", retry_after=900)
    life.take(lifecycle.record_read_failure(life.delivery, life.attempt.id, error, life.rules, life.now))
    life.take(lifecycle.schedule_read_now(life.delivery, life.rules, life.now))
    assert (life.lines(), life.reach(Step.TRACK)) == ([], timedelta())


def test_a_hint_is_nothing_where_there_is_no_read_to_hurry() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    assert lifecycle.schedule_read_now(life.delivery, life.rules, life.now) is None


def test_an_order_whose_account_left_the_settings_is_kept(created: Make) -> None:
    life = created("borzo")
    life.rules = {"cervo": RULES["cervo"]}
    life.poll("courier_assigned")
    assert life.state == ("courier_assigned", Step.TRACK, "borzo")
    assert life.reach(Step.TRACK) == timedelta(minutes=1)


def test_progress_answers_an_open_question() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.begin()
    life.take(lifecycle.mark_outcome_unknown(life.delivery, life.rules, life.now))
    life.unfindable()
    assert life.delivery.attention == "outcome_unknown"
    life.see(news("picked_up"), cause=Cause.CALLBACK)
    assert life.delivery.attention is None


def test_an_ends_reason_is_told(created: Make) -> None:
    life = created("borzo")
    life.see(news("failed", reason=Reason.INVALID, reason_text="broken"))
    assert [event.type for event in life.events[-3:]] == [
        EventType.ATTEMPT_ENDED,
        EventType.STATUS_CHANGED,
        EventType.DISPATCH_FAILED,
    ]
    assert {event.data.reason for event in life.events[-3:]} == {Reason.INVALID}


def test_an_order_that_is_reopened_on_hold_goes_on_from_there(created: Make) -> None:
    life = created("borzo")
    life.poll("cancelled")
    life.see(news("on_hold", reopens=True), cause=Cause.CALLBACK)
    life.poll("courier_assigned")
    assert life.state == ("courier_assigned", Step.TRACK, "borzo")
