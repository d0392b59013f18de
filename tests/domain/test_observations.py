"""What polls and callbacks show: which events they publish, and what changes nothing."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.events import CourierInfo, EventType, PriceInfo, RawWord
from schemas.status import Cause, Evidence, Reason
from tests.domain.scenario import START, TERMS, DeliveryScenario, an_order, observed
from worker.carriers.port import Courier, Price
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Postponed, Unavailable, Unreadable

Make = Callable[..., DeliveryScenario]


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_whole_delivery_is_published_without_a_gap() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    for status in ("courier_assigned", "pickup_enroute", "pickup_arrived", "picked_up", "dropoff_enroute"):
        scenario.wait(60)
        scenario.poll(status)
    scenario.poll("dropoff_arrived", "delivered")
    assert scenario.new_events() == [
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
    assert scenario.state == ("delivered", None, "borzo")


def test_an_event_carries_everything_that_the_observation_said(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(
        observed(
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
    assert scenario.events[-1].data.model_dump() == {
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
    scenario = created("deliverit")
    scenario.poll("delivered")
    assert scenario.new_events() == ["3 status_changed created>delivered at deliverit#1 [poll]"]


def test_the_same_status_again_publishes_nothing(created: Make) -> None:
    scenario = created("borzo")
    for cause in (Cause.POLL, Cause.CALLBACK, Cause.RECONCILE):
        scenario.observe(observed("created"), cause=cause)
    assert scenario.new_events() == []


def test_a_new_courier_in_the_same_status_is_an_update(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", courier=Courier(name="Ana")))
    for _ in range(2):
        scenario.observe(observed("courier_assigned", courier=Courier(name="Bea")))
    scenario.observe(observed("courier_assigned"))
    assert scenario.new_events() == [
        "3 status_changed created>courier_assigned at borzo#1 [poll]",
        "4 updated created>courier_assigned at borzo#1 [poll]",
    ]
    assert scenario.delivery.courier == CourierInfo(name="Bea")


def placed(name: str | None, latitude: float, **more: Any) -> Courier:
    return Courier(name=name, latitude=latitude, longitude=-46.6, **more)


@pytest.mark.quirk("B-53", "B-76")
def test_the_couriers_position_is_published_once_a_minute_and_changes_no_status(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", courier=Courier(name="Ana")))
    for second in range(0, 180, 20):
        scenario.observe(observed("courier_assigned", courier=placed("Ana", -23.5 - second / 1000)))
        scenario.wait(20)
    updates = [each for each in scenario.events if each.type is EventType.UPDATED]
    assert [(each.at - START).total_seconds() for each in updates] == [0, 60, 120]
    assert [each.data.courier.latitude for each in updates if each.data.courier] == [-23.5, -23.56, -23.62]
    assert scenario.delivery.courier == CourierInfo(name="Ana", latitude=-23.62, longitude=-46.6)
    assert scenario.delivery.status == "courier_assigned"


@pytest.mark.quirk("B-76")
def test_the_position_where_the_courier_stops_is_published_after_the_minute(created: Make) -> None:
    scenario = created("borzo")
    for latitude in (-23.5, -23.6, -23.6, -23.6, -23.6):
        scenario.observe(observed("courier_assigned", courier=placed("Ana", latitude)))
        scenario.wait(30)
    published = [each.data.courier.latitude for each in scenario.events if each.data.courier]
    assert published == [-23.5, -23.6]


@pytest.mark.quirk("B-76")
def test_a_position_published_with_a_new_status_is_not_repeated_within_the_minute(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", courier=placed("Ana", -23.5)))
    scenario.wait(30)
    scenario.observe(observed("courier_assigned", courier=placed("Ana", -23.6)))
    scenario.observe(observed("pickup_enroute", courier=placed("Ana", -23.7)))
    assert [each.split()[1:3] for each in scenario.new_events()] == [
        ["status_changed", "created>courier_assigned"],
        ["status_changed", "courier_assigned>pickup_enroute"],
    ]
    assert scenario.events[-1].data.courier == CourierInfo(name="Ana", latitude=-23.7, longitude=-46.6)


@pytest.mark.quirk("B-53")
def test_the_same_courier_keeps_what_is_not_said_again_and_a_new_phone_is_published_at_once(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", courier=placed("Ana", -23.5)))
    scenario.new_events()
    scenario.observe(
        observed("courier_assigned", courier=Courier(name="Ana", phone="+5511999990000", phone_guessed=True))
    )
    assert scenario.new_events() == ["4 updated created>courier_assigned at borzo#1 [poll]"]
    scenario.wait(60)
    scenario.observe(observed("courier_assigned", courier=placed(None, -23.6)))
    assert scenario.delivery.courier == CourierInfo(
        name="Ana", phone="+5511999990000", phone_guessed=True, latitude=-23.6, longitude=-46.6
    )


@pytest.mark.parametrize("another", [Courier(name="Bea"), Courier(name="Ana", phone="+5511888880000")])
def test_another_courier_is_published_at_once_without_the_last_ones_position(created: Make, another: Courier) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", courier=placed("Ana", -23.5, phone="+5511999990000")))
    scenario.new_events()
    scenario.observe(observed("courier_assigned", courier=another))
    assert scenario.new_events() == ["4 updated created>courier_assigned at borzo#1 [poll]"]
    assert scenario.delivery.courier == CourierInfo(name=another.name, phone=another.phone)


def test_a_new_detail_in_the_same_status_is_an_update(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("returning", detail="planned"))
    for _ in range(2):
        scenario.observe(observed("returning", detail="picked_up"))
    assert scenario.new_events() == [
        "3 status_changed created>returning (planned) at borzo#1 [poll]",
        "4 updated created>returning (picked_up) at borzo#1 [poll]",
    ]


@pytest.mark.quirk("B-84")
def test_a_stale_observation_changes_nothing(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(
        observed("courier_assigned", carrier_time=later(60), courier=Courier(name="Ana")), cause=Cause.CALLBACK
    )
    scenario.new_events()
    before = scenario.delivery
    stale = [
        observed("picked_up", carrier_time=later(59), courier=Courier(name="Bea")),
        observed("cancelled", carrier_time=later(59)),
        observed(None, "mystery", carrier_time=later(59)),
    ]
    scenario.observe(*stale, cause=Cause.CALLBACK)
    assert scenario.new_events() == []
    assert (scenario.delivery.status, scenario.delivery.courier) == (before.status, before.courier)
    assert scenario.attempt.carrier_time == later(60)


@pytest.mark.quirk("C-32")
def test_an_unknown_word_changes_nothing_and_is_published_once(created: Make) -> None:
    scenario = created("cervo")
    for code in ("6", "6", "7", "6", "7"):
        scenario.observe(observed(None, code, courier=Courier(name="Ana")))
    assert scenario.new_events() == [
        "3 status_unrecognized queued>created at cervo#1 [poll]",
        "4 status_unrecognized queued>created at cervo#1 [poll]",
    ]
    assert [event.data.raw for event in scenario.events[-2:]] == [RawWord(entity="order", code=code) for code in "67"]
    assert (scenario.delivery.courier, scenario.state) == (None, ("created", Step.TRACK, "cervo"))


def test_an_observation_without_a_word_publishes_nothing(created: Make) -> None:
    scenario = created("deliverit")
    silent = observed(None)
    scenario.observe(type(silent)(status=None, raw=None))
    assert scenario.new_events() == []


@pytest.mark.parametrize("status", ["created", "courier_assigned", "pickup_arrived", "courier_withdrawn"])
def test_a_step_back_with_the_goods_is_published_once_and_changes_nothing(created: Make, status: str) -> None:
    scenario = created("borzo")
    scenario.observe(observed("picked_up", courier=Courier(name="Ana")))
    scenario.new_events()
    for seconds in (60, 120, 180):
        scenario.observe(observed(status, carrier_time=later(seconds), courier=Courier(name="Bea")))
    assert scenario.new_events() == ["4 regression_seen created>picked_up at borzo#1 [poll]"]
    assert (scenario.delivery.status, scenario.delivery.courier) == ("picked_up", CourierInfo(name="Ana"))


def test_unknown_words_and_steps_back_that_alternate_are_published_once_each(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up")
    scenario.new_events()
    for _ in range(3):
        scenario.observe(observed("created"), observed(None, "mystery"), observed("pickup_arrived"))
    assert [each.split()[1] for each in scenario.new_events()] == [
        "regression_seen",
        "status_unrecognized",
        "regression_seen",
    ]


STARRED = [
    ("courier_assigned", "created"),
    ("pickup_enroute", "created"),
    ("pickup_enroute", "courier_assigned"),
    ("pickup_arrived", "created"),
    ("pickup_arrived", "courier_assigned"),
    ("pickup_arrived", "pickup_enroute"),
]


@pytest.mark.parametrize(("before", "after"), STARRED)
def test_a_poll_may_show_a_reassignment_which_clears_the_courier(created: Make, before: str, after: str) -> None:
    scenario = created("borzo")
    scenario.observe(observed(before, courier=Courier(name="Ana")))
    scenario.new_events()
    scenario.poll(after)
    assert scenario.new_events() == [f"4 status_changed {before}>{after} (reassigned) at borzo#1 [poll]"]
    assert scenario.delivery.courier is None


def test_a_reassignment_publishes_the_new_courier(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("pickup_arrived", courier=Courier(name="Ana")))
    scenario.observe(observed("courier_assigned", courier=Courier(name="Bea")))
    assert scenario.delivery.courier == CourierInfo(name="Bea")


@pytest.mark.quirk("C-53")
@pytest.mark.parametrize(("before", "after"), STARRED)
def test_a_callback_without_a_time_never_reassigns(created: Make, before: str, after: str) -> None:
    scenario = created("cervo")
    scenario.observe(observed(before), cause=Cause.CALLBACK)
    scenario.new_events()
    scenario.observe(observed(after), cause=Cause.CALLBACK)
    assert scenario.new_events() == [f"4 regression_seen created>{before} at cervo#1 [callback]"]
    assert scenario.delivery.status == before


@pytest.mark.quirk("B-84")
@pytest.mark.parametrize(("seconds", "status"), [(59, "pickup_arrived"), (60, "created"), (61, "created")])
def test_a_callback_reassigns_unless_its_time_is_older(created: Make, seconds: float, status: str) -> None:
    scenario = created("borzo")
    scenario.observe(observed("pickup_arrived", carrier_time=later(60)), cause=Cause.CALLBACK)
    scenario.observe(observed("created", carrier_time=later(seconds)), cause=Cause.CALLBACK)
    assert scenario.delivery.status == status


@pytest.mark.quirk("B-73")
@pytest.mark.parametrize("status", ["created", "courier_assigned", "pickup_arrived", "picked_up", "delivery_failed"])
def test_an_on_hold_resumes_to_the_status_before(created: Make, status: str) -> None:
    scenario = created("borzo")
    scenario.poll(status, "on_hold")
    held = scenario.delivery.status
    scenario.new_events()
    scenario.poll(status)
    assert (held, scenario.delivery.status, scenario.attempt.resume_to) == ("on_hold", status, None)


def test_an_on_hold_keeps_the_rank_of_the_interrupted_status(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up", "on_hold")
    assert (scenario.attempt.rank, scenario.attempt.resume_to) == (50, "picked_up")


def test_an_on_hold_never_resumes_to_less_than_the_interrupted_status(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up", "on_hold", "courier_assigned")
    assert scenario.new_events()[-1] == "5 regression_seen picked_up>on_hold at borzo#1 [poll]"
    assert scenario.delivery.status == "on_hold"


def test_an_on_hold_may_end_with_another_courier(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", courier=Courier(name="Ana")))
    scenario.poll("on_hold", "created")
    assert scenario.new_events()[-1] == "5 status_changed on_hold>created (reassigned) at borzo#1 [poll]"
    assert scenario.delivery.courier is None


@pytest.mark.quirk("C-34")
def test_a_withdrawn_courier_may_be_followed_by_another(created: Make) -> None:
    scenario = created("cervo")
    scenario.poll("courier_assigned", "courier_withdrawn", "created", "courier_assigned", "picked_up")
    assert [each.split()[2] for each in scenario.new_events()] == [
        "created>courier_assigned",
        "courier_assigned>courier_withdrawn",
        "courier_withdrawn>created",
        "created>courier_assigned",
        "courier_assigned>picked_up",
    ]


@pytest.mark.quirk("B-69")
def test_a_failed_delivery_leads_to_another_try_or_a_return(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("dropoff_arrived", "delivery_failed", "reattempting", "delivery_failed", "returning", "returned")
    assert scenario.state == ("returned", None, "borzo")
    assert scenario.new_events()[-1] == "8 status_changed returning>returned at borzo#1 [poll]"


FINAL_AND_LATER = [
    (end, status)
    for end in ("delivered", "returned", "cancelled", "failed")
    for status in ("created", "picked_up", "delivered", "returned", "cancelled", "failed", "on_hold")
    if (end, status) not in {("cancelled", "picked_up"), ("cancelled", "delivered")}  # see test_reopening.py
]


@pytest.mark.fault("F-44")
@pytest.mark.parametrize(("end", "status"), FINAL_AND_LATER)
def test_a_final_status_is_not_left(created: Make, end: str, status: str) -> None:
    scenario = created("borzo")
    scenario.poll(end)
    scenario.new_events()
    before = scenario.delivery
    for cause in (Cause.POLL, Cause.CALLBACK):
        scenario.observe(observed(status, carrier_time=later(999), courier=Courier(name="Eve")), cause=cause)
    assert scenario.new_events() == []
    assert (scenario.state, scenario.delivery.courier) == ((end, None, "borzo"), before.courier)


@pytest.mark.quirk("B-67")
@pytest.mark.parametrize("end", ["delivered", "cancelled", "failed"])
def test_a_reactivated_order_is_reopened(created: Make, end: str) -> None:
    scenario = created("borzo")
    scenario.poll(end)
    scenario.new_events()
    scenario.observe(observed("created", "reactivated", reopens=True), cause=Cause.CALLBACK)
    assert [each.split(" ", 1)[1] for each in scenario.new_events()] == [
        f"reopened {end}>created at borzo#1 [callback]"
    ]
    assert scenario.state == ("created", Step.TRACK, "borzo")
    scenario.poll("courier_assigned", "delivered")
    assert scenario.delivery.status == "delivered"


@pytest.mark.quirk("B-67", "X-03")
def test_a_reactivated_order_takes_the_delivery_back_before_another_carrier_is_asked(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("cancelled")
    scenario.new_events()
    scenario.observe(observed("created", reopens=True), cause=Cause.CALLBACK)
    assert scenario.new_events() == ["5 status_changed queued>created at borzo#1 [callback]"]
    assert scenario.state == ("created", Step.TRACK, "borzo")
    assert lifecycle.begin_booking(scenario.delivery, 9, "token", scenario.terms, scenario.now) is None


@pytest.mark.quirk("B-67", "X-03")
def test_a_reactivated_order_beside_another_carriers_is_published_once_as_a_conflict(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("cancelled")
    scenario.book()
    scenario.new_events()
    for _ in range(3):
        scenario.observe(
            observed("created", reopens=True, courier=Courier(name="Eve")), cause=Cause.CALLBACK, attempt=1
        )
    assert scenario.new_events() == ["6 conflict queued>created 'two_couriers' at borzo#1 [callback]"]
    assert [each.surplus for each in scenario.delivery.attempts] == [True, False]
    assert (scenario.delivery.courier, scenario.state) == (None, ("created", Step.TRACK, "cervo"))


def test_an_ended_attempts_callback_does_not_describe_the_next_carriers_delivery(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("cancelled")
    scenario.book()
    scenario.observe(observed("courier_assigned", courier=Courier(name="Ana")))
    scenario.new_events()
    scenario.observe(observed("cancelled", courier=Courier(name="Eve"), tracking_url="https://x.org"), attempt=1)
    assert (scenario.delivery.courier, scenario.delivery.tracking_url) == (CourierInfo(name="Ana"), None)
    assert scenario.new_events() == []


def test_an_ended_attempts_callback_does_not_advance_the_next_create(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("cancelled")
    scenario.book(Unavailable("429", retry_after=300))
    before = scenario.delivery.next_run_at
    scenario.observe(observed("cancelled"), cause=Cause.CALLBACK, attempt=1)
    assert scenario.delivery.next_run_at == before


def test_an_observation_of_an_unknown_attempt_changes_nothing(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("delivered"), attempt=77)
    assert (scenario.new_events(), scenario.delivery.status) == ([], "created")


def test_the_codecs_state_is_merged(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("created", codec_state={"a": "1", "b": "1"}))
    scenario.observe(observed("created", codec_state={"b": "2"}, ref="R-2"))
    assert (scenario.attempt.codec_state, scenario.attempt.ref) == ({"a": "1", "b": "2"}, "R-2")


@pytest.mark.quirk("C-40")
@pytest.mark.parametrize("error", [Unreadable("HTML"), CarrierError("400")])
def test_reads_that_keep_failing_are_published_once_and_wait_longer(created: Make, error: CarrierError) -> None:
    scenario = created("cervo")
    for _ in range(9):
        scenario.wait_for(Step.TRACK)
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
        )
    assert scenario.new_events() == ["3 tracking_lost queued>created at cervo#1 [poll]"]
    assert (scenario.delivery.status, scenario.delivery.failures) == ("created", 9)
    scenario.poll("created")
    assert (scenario.delivery.failures, scenario.delivery.retry_at) == (0, None)


def test_a_read_waits_as_long_as_the_carrier_requests(created: Make) -> None:
    scenario = created("cervo")
    error = Unavailable("429", retry_after=900)
    scenario.apply(
        lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
    )
    assert scenario.wait_for(Step.TRACK) == timedelta(seconds=900)


@pytest.mark.quirk("D-54")
def test_absence_proves_nothing_once_the_order_was_created(created: Make) -> None:
    scenario = created("deliverit")
    for _ in range(50):
        scenario.wait_for(Step.TRACK)
        scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
        scenario.apply(lifecycle.record_not_found(scenario.delivery, scenario.attempt, scenario.terms, scenario.now))
    assert (scenario.new_events(), scenario.state) == ([], ("created", Step.TRACK, "deliverit"))


@pytest.mark.quirk("C-50")
def test_scheduling_a_read_now_makes_it_due_at_once(created: Make) -> None:
    scenario = created("cervo")
    error = Unavailable("429", retry_after=900)
    scenario.apply(
        lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
    )
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now))
    assert (scenario.new_events(), scenario.wait_for(Step.TRACK)) == ([], timedelta())


def test_no_read_is_scheduled_now_before_an_attempt() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    assert lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now) is None


def test_an_order_whose_account_left_the_settings_is_still_tracked(created: Make) -> None:
    scenario = created("borzo")
    scenario.terms = {"cervo": TERMS["cervo"]}
    scenario.poll("courier_assigned")
    assert scenario.state == ("courier_assigned", Step.TRACK, "borzo")
    assert scenario.wait_for(Step.TRACK) == timedelta(minutes=1)


def test_progress_at_the_carrier_settles_an_unknown_outcome() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.begin_booking()
    scenario.apply(lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now))
    scenario.miss_callback()
    assert scenario.delivery.attention == "outcome_unknown"
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert scenario.delivery.attention is None


def test_the_reason_of_an_end_is_published(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("failed", reason=Reason.INVALID, reason_text="broken"))
    assert [event.type for event in scenario.events[-3:]] == [
        EventType.ATTEMPT_ENDED,
        EventType.STATUS_CHANGED,
        EventType.DISPATCH_FAILED,
    ]
    assert {event.data.reason for event in scenario.events[-3:]} == {Reason.INVALID}


def test_an_order_that_is_reopened_on_hold_goes_on_from_there(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("cancelled")
    scenario.observe(observed("on_hold", reopens=True), cause=Cause.CALLBACK)
    scenario.poll("courier_assigned")
    assert scenario.state == ("courier_assigned", Step.TRACK, "borzo")


@pytest.mark.quirk("C-40")
def test_reads_that_our_own_rate_limit_postpones_are_no_lost_tracking(created: Make) -> None:
    scenario = created("borzo")
    for error in [Postponed("the rate limit of this account is used up")] * 9 + [Unavailable("502")]:
        assert scenario.new_events() == []
        scenario.wait_for(Step.TRACK)
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
        )
    assert scenario.new_events() == ["3 tracking_lost queued>created at borzo#1 [poll]"]


@pytest.mark.quirk("C-40")
@pytest.mark.parametrize("errors", [[Unavailable("502")] * 9, [*[Unreadable("HTML")] * 4, *[Unavailable("502")] * 5]])
def test_failed_reads_of_several_kinds_are_published_once(created: Make, errors: list[CarrierError]) -> None:
    scenario = created("cervo")
    for error in errors:
        scenario.wait_for(Step.TRACK)
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
        )
    assert scenario.new_events() == ["3 tracking_lost queued>created at cervo#1 [poll]"]


def test_progress_at_the_carrier_keeps_the_attention_for_a_contradicting_message(created: Make) -> None:
    scenario = created("borzo")
    other = an_order(notes="ring twice")
    scenario.apply(lifecycle.apply_order_message(scenario.delivery, other, "other", scenario.terms, scenario.now))
    scenario.poll("courier_assigned")
    assert scenario.delivery.attention == "order_changed_without_revision"


@pytest.mark.parametrize("amount", ["1e9999999999", "-1e3000000", "10000000"])
def test_an_implausible_price_is_not_published(created: Make, amount: str) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", price=Price(Decimal(amount), "BRL")))
    assert (scenario.delivery.status, scenario.delivery.price) == ("courier_assigned", None)
