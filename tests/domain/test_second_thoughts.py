"""What a person asks for again, and what keeps asking for a person."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from schemas.status import Cause, DeliveryStatus, Reason
from tests.domain.scenario import START, DeliveryScenario, an_order, news
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import Booked, Price
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import CarrierError, Refused, Unavailable, Uncertain, Unreadable

Make = Callable[[str], DeliveryScenario]


@pytest.mark.quirk("C-40")
@pytest.mark.parametrize("errors", [[Unavailable("502")] * 9, [*[Unreadable("HTML")] * 4, *[Unavailable("502")] * 5]])
def test_a_carrier_that_stays_silent_for_whatever_reason_is_told_once(
    created: Make, errors: list[CarrierError]
) -> None:
    life = created("cervo")
    for error in errors:
        life.reach(Step.TRACK)
        life.take(lifecycle.record_read_failure(life.delivery, life.attempt.id, error, life.rules, life.now))
    assert life.lines() == ["3 tracking_lost queued>created at cervo#1 [poll]"]


@pytest.mark.quirk("D-40")
def test_a_refused_cancel_may_be_asked_again_for_money(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.call(Step.CANCEL)
    refused = Refused(Reason.UNKNOWN, "too late to cancel for free")
    life.take(lifecycle.apply_cancel_outcome(life.delivery, life.attempt.id, refused, life.rules, life.now))
    assert life.state == ("created", Step.TRACK, "borzo")
    assert life.ask_cancel(allow_paid=True)
    assert life.state == ("created", Step.CANCEL, "borzo")
    assert life.delivery.cancel_request is not None
    assert life.delivery.cancel_request.allow_paid is True


def test_a_cancel_that_is_under_way_is_not_asked_again(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.call(Step.CANCEL)
    assert not life.ask_cancel(allow_paid=True)


def test_progress_at_the_carrier_does_not_answer_what_the_platform_contradicted(created: Make) -> None:
    life = created("borzo")
    other = an_order(notes="ring twice")
    life.take(lifecycle.apply_order_message(life.delivery, other, "other", life.rules, life.now))
    life.poll("courier_assigned")
    assert life.delivery.attention == "order_changed_without_revision"


@pytest.mark.quirk("C-24")
def test_an_order_that_only_a_callback_proved_asks_for_its_reference_and_takes_it() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.begin()
    life.wait(200)
    life.take(lifecycle.mark_outcome_unknown(life.delivery, life.rules, life.now))
    life.see(news("created"), cause=Cause.CALLBACK)
    life.reach(Step.TRACK)
    life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    assert [line.split()[1] for line in life.lines()] == [
        "status_changed",
        "status_changed",
        "status_changed",
        "attention_required",
    ]
    life.take(lifecycle.resolve_unknown_outcome(life.delivery, "99999", life.rules, life.now))
    assert (life.attempt.ref, life.delivery.attention, life.delivery.status) == ("99999", None, "created")
    assert lifecycle.resolve_unknown_outcome(life.delivery, None, life.rules, life.now) is None


@pytest.mark.quirk("C-24")
def test_nobody_looks_for_the_reference_of_an_order_that_is_gone() -> None:
    life = DeliveryScenario("cervo", "borzo")
    life.place()
    life.book(Booked(news("created")))
    life.reach(Step.TRACK)
    life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    assert life.delivery.asks == ["reference_missing"]
    life.see(news("cancelled"), cause=Cause.CALLBACK)
    assert (life.state, life.delivery.attention) == (("queued", Step.BOOK, "borzo"), None)


@pytest.mark.quirk("C-24")
def test_nobody_looks_for_the_reference_of_an_order_that_ended_with_the_goods_on_the_road() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.book(Booked(news("created")))
    life.reach(Step.TRACK)
    life.take(lifecycle.record_missing(life.delivery, life.attempt.id, life.rules, life.now))
    life.see(news("picked_up"), cause=Cause.CALLBACK)
    assert life.delivery.asks == ["reference_missing"]
    life.see(news("cancelled"), cause=Cause.CALLBACK)
    assert (life.delivery.status, life.delivery.asks) == ("cancelled", ["goods_with_courier"])


@pytest.mark.quirk("B-87")
@pytest.mark.parametrize(("quiet", "seconds"), [(300, 300), (599, 300), (601, 60), (3599, 60)])
def test_a_courier_of_whom_no_callback_tells_is_looked_for(quiet: float, seconds: float) -> None:
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


@pytest.mark.fault("F-07")
@pytest.mark.quirk("D-60", "B-60")
def test_two_look_ups_that_overlap_count_once() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(Uncertain("no answer"))
    life.reach(Step.RECONCILE)
    for _ in range(3):
        life.take(lifecycle.record_not_found(life.delivery, life.attempt.id, 0, life.rules, life.now))
    assert (life.attempt.lookups, life.delivery.status) == (1, "submit_unknown")


@pytest.mark.quirk("D-60", "B-60")
def test_look_ups_that_are_late_still_keep_their_distance() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(Uncertain("no answer"))
    life.wait(24 * 3600)
    assert [life.look_up() for _ in range(3)] == [timedelta(), schedule.LOOKUPS_APART, schedule.LOOKUPS_APART]


@pytest.mark.parametrize("amount", ["1e9999999999", "-1e3000000", "10000000"])
def test_an_amount_that_nobody_can_owe_is_not_told(created: Make, amount: str) -> None:
    life = created("borzo")
    life.see(news("courier_assigned", price=Price(Decimal(amount), "BRL")))
    assert (life.delivery.status, life.delivery.price) == ("courier_assigned", None)


def test_a_carrier_that_invents_ever_new_words_is_told_of_only_so_often(created: Make) -> None:
    life = created("cervo")
    for number in range(100):
        life.see(news(None, code=str(number)))
    assert len(life.lines()) == 20
