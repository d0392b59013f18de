"""Surplus couriers: published once, cancelled like any other, and left to an operator when that fails."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, observed, refused
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Attempt, Step
from worker.domain.lifecycle.reopening import duplicate_id
from worker.errors import CarrierError, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]


def find_duplicates(scenario: DeliveryScenario, *refs: str) -> None:
    """Record further orders with the first attempt's reference."""
    scenario.apply(
        lifecycle.record_duplicates(scenario.delivery, 1, refs, scenario.terms, scenario.now, Cause.RECONCILE)
    )


def surplus(scenario: DeliveryScenario) -> Attempt:
    (found,) = (each for each in scenario.delivery.attempts if each.surplus)
    return found


@pytest.fixture
def doubled(created: Make) -> DeliveryScenario:
    """A scenario whose carrier has find_duplicates orders for one attempt."""
    scenario = created("borzo", "cervo")
    find_duplicates(scenario, "R-2")
    return scenario


def cancel(scenario: DeliveryScenario, outcome: CarrierError | None = None) -> None:
    """Send the surplus courier's cancel when it is due."""
    extra = surplus(scenario)
    assert scenario.next_step == (Step.CANCEL, extra.number)
    scenario.wait_for_next_step()
    scenario.apply(lifecycle.begin_call(scenario.delivery, Step.CANCEL, scenario.terms, scenario.now))
    scenario.apply(lifecycle.apply_cancel_outcome(scenario.delivery, extra.id, outcome, scenario.terms, scenario.now))


def read(scenario: DeliveryScenario, saw: str | None) -> float:
    """Read the surplus courier when it is due, and the other one before; return the seconds that passed."""
    since, extra = scenario.now, surplus(scenario)
    while scenario.next_step != (Step.TRACK, extra.number):
        scenario.wait_for_next_step()
        scenario.observe(observed(scenario.delivery.status), attempt=1)
    scenario.wait_for_next_step()
    if saw is None:
        scenario.apply(lifecycle.record_missing(scenario.delivery, extra.id, scenario.terms, scenario.now))
    else:
        scenario.observe(observed(saw), attempt=extra.id)
    return (scenario.now - since).total_seconds()


@pytest.mark.quirk("D-60", "B-60")
def test_a_second_order_with_our_reference_is_published_and_cancelled(doubled: DeliveryScenario) -> None:
    assert doubled.new_events() == ["3 conflict queued>created 'duplicate' at borzo#2 [reconcile]"]
    cancel(doubled)
    read(doubled, "cancelled")
    assert doubled.new_events() == ["4 attempt_ended queued>created at borzo#2 [poll]"]
    assert (doubled.state, doubled.delivery.attention) == (("created", Step.TRACK, "borzo"), None)


def test_a_second_order_is_recorded_once(doubled: DeliveryScenario) -> None:
    find_duplicates(doubled, "R-2", "R-1")
    find_duplicates(doubled, "R-2")
    assert [(each.ref, each.surplus) for each in doubled.delivery.attempts] == [("R-1", False), ("R-2", True)]
    assert len(doubled.new_events()) == 1


def test_the_id_of_a_duplicate_follows_from_the_carriers_id_and_fits_into_a_reference() -> None:
    known = [duplicate_id("borzo", str(each)) for each in range(1000)]
    assert len(set(known)) == 1000
    assert all(0 <= each < 2**53 for each in known)
    assert duplicate_id("cervo", "1") != known[1]


def test_a_surplus_courier_never_describes_the_delivery(doubled: DeliveryScenario) -> None:
    doubled.observe(observed("pickup_arrived", tracking_url="https://x.org"), attempt=surplus(doubled).id)
    assert (doubled.state, doubled.delivery.tracking_url) == (("created", Step.TRACK, "borzo"), None)
    assert surplus(doubled).state == "pickup_arrived"


@pytest.mark.fault("F-55")
@pytest.mark.parametrize("saw", ["created", None])
def test_a_surplus_courier_whose_cancel_is_refused_is_read_at_once_and_asks_for_an_operator_unless_it_has_ended(
    doubled: DeliveryScenario, saw: str | None
) -> None:
    doubled.new_events()
    cancel(doubled, refused(Reason.UNKNOWN, "too late"))
    assert (doubled.new_events(), read(doubled, saw)) == ([], 0)
    assert doubled.new_events() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [poll]"]
    assert read(doubled, "created") >= 600
    read(doubled, "cancelled")
    assert (surplus(doubled).live, doubled.delivery.attention) == (False, None)


def test_no_operator_is_asked_about_a_surplus_courier_who_is_gone_when_the_cancel_is_refused(
    doubled: DeliveryScenario,
) -> None:
    cancel(doubled, refused(Reason.UNKNOWN, "too late"))
    doubled.new_events()
    read(doubled, "cancelled")
    assert doubled.new_events() == ["4 attempt_ended queued>created at borzo#2 [poll]"]


@pytest.mark.parametrize("happens", ["the read fails", "nobody runs the read"])
def test_an_operator_is_asked_when_no_read_shows_what_a_refused_cancel_left_of_a_surplus_courier(
    doubled: DeliveryScenario, happens: str
) -> None:
    cancel(doubled, refused(Reason.UNKNOWN, "too late"))
    if happens == "the read fails":
        extra, failure = surplus(doubled), Unavailable("down")
        doubled.apply(lifecycle.record_read_failure(doubled.delivery, extra.id, failure, doubled.terms, doubled.now))
    else:
        doubled.wait(30)
        doubled.apply(lifecycle.give_way(doubled.delivery, doubled.terms, doubled.now))
    assert doubled.delivery.attention == "surplus_courier"


def test_a_surplus_courier_whose_cancel_is_unconfirmed_asks_for_an_operator(doubled: DeliveryScenario) -> None:
    doubled.new_events()
    cancel(doubled)
    asked = doubled.now
    waits = [read(doubled, "courier_assigned") for _ in range(5)]
    assert [round(wait) for wait in waits] == [5, 30, 120, 600, 600]
    assert doubled.new_events() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [poll]"]
    assert surplus(doubled).cancel_requested_at == asked


@pytest.mark.fault("F-98")
def test_a_surplus_courier_whose_cancel_is_first_sent_after_a_day_is_read_all_the_same(
    doubled: DeliveryScenario,
) -> None:
    doubled.wait(25 * 3600)
    cancel(doubled)
    assert read(doubled, "courier_assigned") == 5


def test_a_surplus_courier_whose_cancel_was_not_sent_backs_off_on_its_own(
    doubled: DeliveryScenario,
) -> None:
    for _ in range(3):
        cancel(doubled, Unavailable("down"))
        assert (doubled.state, doubled.delivery.retry_at) == (("created", Step.TRACK, "borzo"), None)
    assert surplus(doubled).wait_until == doubled.now + timedelta(seconds=30)


def test_a_surplus_courier_of_an_unavailable_carrier_asks_for_an_operator_after_five_minutes(
    doubled: DeliveryScenario,
) -> None:
    doubled.new_events()
    since = doubled.now
    while doubled.delivery.attention is None:
        cancel(doubled, Unavailable("down"))
        doubled.observe(observed("created"), attempt=1)
    assert doubled.new_events() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [response]"]
    assert doubled.now - since == timedelta(minutes=5)
    cancel(doubled)
    read(doubled, "cancelled")
    assert doubled.delivery.attention is None


@pytest.mark.parametrize("late", ["answer", "look-up"])
def test_late_news_with_a_surplus_couriers_id_does_not_replace_the_active_attempt(
    doubled: DeliveryScenario, late: str
) -> None:
    seen = observed("courier_assigned", ref="R-2")
    if late == "answer":
        doubled.answer_create(Booked(seen), attempt=1)
    else:
        doubled.observe(seen, cause=Cause.RECONCILE, attempt=1)
    find_duplicates(doubled, "R-1")
    assert [(each.ref, each.surplus, each.state) for each in doubled.delivery.attempts] == [
        ("R-1", False, "created"),
        ("R-2", True, "courier_assigned"),
    ]


def test_a_surplus_couriers_cancel_with_an_unknown_outcome_is_repeated_only_after_a_read(
    doubled: DeliveryScenario,
) -> None:
    cancel(doubled, Uncertain("no answer"))
    read(doubled, None)
    assert doubled.next_step[0] is Step.TRACK
    read(doubled, "created")
    cancel(doubled)
    assert (surplus(doubled).cancel_requests, surplus(doubled).cancel_accepted) == (2, True)


def test_a_surplus_courier_with_the_goods_is_not_cancelled(doubled: DeliveryScenario) -> None:
    doubled.new_events()
    doubled.observe(observed("picked_up"), attempt=surplus(doubled).id)
    assert doubled.new_events() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [poll]"]
    assert doubled.next_step != (Step.CANCEL, 2)


def test_a_final_delivery_has_steps_until_its_surplus_courier_is_gone(doubled: DeliveryScenario) -> None:
    doubled.observe(observed("delivered"), attempt=1)
    assert doubled.state == ("delivered", None, "borzo")
    cancel(doubled)
    doubled.wait_for_next_step()
    doubled.observe(observed("cancelled"), attempt=surplus(doubled).id)
    assert doubled.next_step == (Step.TRACK, 1)


def test_a_surplus_courier_without_news_is_read_for_a_day() -> None:
    scenario = DeliveryScenario("cervo")
    scenario.place()
    scenario.book()
    scenario.poll("delivered")
    find_duplicates(scenario, "R-2")
    cancel(scenario, refused(Reason.UNKNOWN, "no"))
    reads = 0
    while scenario.delivery.next_run_at is not None:
        scenario.wait_for_next_step()
        on_turn = scenario.delivery.step_attempt
        assert on_turn is not None
        scenario.apply(lifecycle.record_missing(scenario.delivery, on_turn.id, scenario.terms, scenario.now))
        reads += 1
    assert (reads, scenario.delivery.attention) == (1 + 144 + 2, "surplus_courier")


def test_a_carrier_with_a_surplus_courier_is_not_asked_again(created: Make) -> None:
    scenario = created("borzo", "cervo")
    scenario.poll("cancelled")
    scenario.book()
    scenario.observe(observed("created", reopens=True), attempt=1)
    scenario.observe(observed("cancelled"), attempt=2)
    assert (scenario.delivery.status, scenario.delivery.final) == ("cancelled", True)


@pytest.mark.fault("F-74")
def test_a_surplus_courier_whose_account_left_the_settings_needs_an_operator_whatever_is_planned_next() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    scenario.book(refused())
    scenario.book(Booked(observed("created", ref="9001")))
    scenario.observe(observed("created", ref="R-1"), cause=Cause.CALLBACK, attempt=1)
    scenario.terms = {"cervo": scenario.terms["cervo"]}
    scenario.poll("created")
    assert scenario.next_step == (Step.CANCEL, 1)
    scenario.apply(lifecycle.postpone(scenario.delivery, Unavailable("no account"), scenario.terms, scenario.now))
    assert scenario.delivery.attention == "surplus_courier"


def test_a_surplus_courier_whose_account_left_the_settings_has_no_more_steps(doubled: DeliveryScenario) -> None:
    doubled.terms = {"cervo": doubled.terms["cervo"]}
    doubled.apply(lifecycle.postpone(doubled.delivery, Unavailable("no account"), doubled.terms, doubled.now))
    assert doubled.delivery.attention == "surplus_courier"
    doubled.observe(observed("courier_assigned"), attempt=1)
    assert doubled.next_step == (Step.TRACK, 1)


@pytest.mark.fault("F-55")
@pytest.mark.quirk("C-47")
def test_a_surplus_courier_who_withdraws_after_a_refused_cancel_causes_another_request(
    doubled: DeliveryScenario,
) -> None:
    cancel(doubled, refused())
    for status in ("courier_assigned", "courier_withdrawn"):
        doubled.observe(observed(status), attempt=surplus(doubled).id)
    assert (surplus(doubled).live, doubled.next_step) == (True, (Step.CANCEL, 2))
