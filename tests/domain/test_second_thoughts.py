"""What a person asks for again, and what keeps asking for a person."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from schemas.status import Cause, DeliveryStatus, Reason
from tests.domain.scenario import START, DeliveryScenario, an_order, observed
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import Booked, Price
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable

Make = Callable[[str], DeliveryScenario]


@pytest.mark.trap("C-40")
@pytest.mark.parametrize("errors", [[Unavailable("502")] * 9, [*[Unreadable("HTML")] * 4, *[Unavailable("502")] * 5]])
def test_failed_reads_of_several_kinds_are_published_once(created: Make, errors: list[CarrierError]) -> None:
    scenario = created("cervo")
    for error in errors:
        scenario.wait_for(Step.TRACK)
        scenario.apply(
            lifecycle.record_read_failure(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
        )
    assert scenario.new_events() == ["3 tracking_lost queued>created at cervo#1 [poll]"]


@pytest.mark.trap("D-40")
def test_a_refused_cancel_may_be_requested_again_at_a_charge(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    refused = Refused(Reason.UNKNOWN, "too late to cancel for free")
    scenario.apply(
        lifecycle.apply_cancel_outcome(scenario.delivery, scenario.attempt.id, refused, scenario.terms, scenario.now)
    )
    assert scenario.state == ("created", Step.TRACK, "borzo")
    assert scenario.request_cancel(allow_paid=True)
    assert scenario.state == ("created", Step.CANCEL, "borzo")
    assert scenario.delivery.cancel_request is not None
    assert scenario.delivery.cancel_request.allow_paid is True


def test_a_cancel_that_is_under_way_is_not_requested_again(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.begin_call(Step.CANCEL)
    assert not scenario.request_cancel(allow_paid=True)


def test_progress_at_the_carrier_keeps_the_attention_for_a_contradicting_message(created: Make) -> None:
    scenario = created("borzo")
    other = an_order(notes="ring twice")
    scenario.apply(lifecycle.apply_order_message(scenario.delivery, other, "other", scenario.terms, scenario.now))
    scenario.poll("courier_assigned")
    assert scenario.delivery.attention == "order_changed_without_revision"


@pytest.mark.trap("C-24")
def test_an_order_that_only_a_callback_proved_asks_for_its_reference_and_accepts_it() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.begin_booking()
    scenario.wait(200)
    scenario.apply(lifecycle.mark_outcome_unknown(scenario.delivery, scenario.terms, scenario.now))
    scenario.observe(observed("created"), cause=Cause.CALLBACK)
    scenario.wait_for(Step.TRACK)
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    assert [line.split()[1] for line in scenario.new_events()] == [
        "status_changed",
        "status_changed",
        "status_changed",
        "attention_required",
    ]
    scenario.apply(lifecycle.resolve_unknown_outcome(scenario.delivery, "99999", scenario.terms, scenario.now))
    assert (scenario.attempt.ref, scenario.delivery.attention, scenario.delivery.status) == ("99999", None, "created")
    assert lifecycle.resolve_unknown_outcome(scenario.delivery, None, scenario.terms, scenario.now) is None


@pytest.mark.trap("C-24")
def test_the_attention_for_a_missing_reference_ends_with_the_order() -> None:
    scenario = DeliveryScenario("cervo", "borzo")
    scenario.place()
    scenario.book(Booked(observed("created")))
    scenario.wait_for(Step.TRACK)
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    assert scenario.delivery.attention_reasons == ("reference_missing",)
    scenario.observe(observed("cancelled"), cause=Cause.CALLBACK)
    assert (scenario.state, scenario.delivery.attention) == (("queued", Step.BOOK, "borzo"), None)


@pytest.mark.trap("C-24")
def test_the_attention_for_a_missing_reference_ends_with_an_order_whose_goods_are_with_the_courier() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book(Booked(observed("created")))
    scenario.wait_for(Step.TRACK)
    scenario.apply(lifecycle.record_missing(scenario.delivery, scenario.attempt.id, scenario.terms, scenario.now))
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert scenario.delivery.attention_reasons == ("reference_missing",)
    scenario.observe(observed("cancelled"), cause=Cause.CALLBACK)
    assert (scenario.delivery.status, scenario.delivery.attention) == ("cancelled", "goods_with_courier")


@pytest.mark.trap("B-87")
@pytest.mark.parametrize(("quiet", "seconds"), [(300, 300), (599, 300), (601, 60), (3599, 60)])
def test_a_courier_without_callbacks_for_ten_minutes_is_read_more_often(quiet: float, seconds: float) -> None:
    codec = Borzo(BorzoAccount(name="borzo", kind="borzo", token="t", callback_secret="s"), {})
    looked = schedule.next_read(
        codec.capabilities.cadence,
        1.0,
        DeliveryStatus.COURIER_ASSIGNED,
        now=START,
        since=START - timedelta(hours=2),
        changed_at=START - timedelta(seconds=quiet),
        pickup=START,
        account="borzo",
        key="d-2011",
    )
    assert abs((looked - START).total_seconds() - seconds) <= codec.capabilities.cadence.shortest / 2


@pytest.mark.trap("D-60", "B-60")
def test_overlapping_look_ups_count_once() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.wait_for(Step.RECONCILE)
    for _ in range(3):
        scenario.apply(
            lifecycle.record_not_found(scenario.delivery, scenario.attempt.id, 0, scenario.terms, scenario.now)
        )
    assert (scenario.attempt.lookups, scenario.delivery.status) == (1, "submit_unknown")


@pytest.mark.trap("D-60", "B-60")
def test_late_look_ups_keep_their_distance() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Uncertain("no answer"))
    scenario.wait(24 * 3600)
    assert [scenario.miss_lookup() for _ in range(3)] == [timedelta(), schedule.LOOKUPS_APART, schedule.LOOKUPS_APART]


@pytest.mark.parametrize("amount", ["1e9999999999", "-1e3000000", "10000000"])
def test_an_implausible_price_is_not_published(created: Make, amount: str) -> None:
    scenario = created("borzo")
    scenario.observe(observed("courier_assigned", price=Price(Decimal(amount), "BRL")))
    assert (scenario.delivery.status, scenario.delivery.price) == ("courier_assigned", None)


def test_a_limited_number_of_unknown_words_is_published(created: Make) -> None:
    scenario = created("cervo")
    for number in range(100):
        scenario.observe(observed(None, code=str(number)))
    assert len(scenario.new_events()) == 20
