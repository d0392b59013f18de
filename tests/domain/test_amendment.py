"""Changes of an order that a carrier already has: amended there, sent again after a read, or left to an operator."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from schemas.order import fingerprint
from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, a_store, observed
from worker.carriers.port import Booked, Price
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
ASKS = "attention_required queued>created 'order_changed_after_dispatch' at borzo#1"
REFUSED = Refused(Reason.UNKNOWN, "order_cannot_be_edited")


def changed(made: Make, *carriers: str, notes: str = "ring twice") -> DeliveryScenario:
    """Return a scenario in which a carrier has an order that has just changed."""
    scenario = made(*(carriers or ("borzo",)))
    scenario.change_order(notes=notes)
    return scenario


def is_amended(scenario: DeliveryScenario) -> bool:
    """Return whether the carrier has the order as it is now."""
    return scenario.attempt.sent_fingerprint == scenario.delivery.fingerprint


def test_a_changed_order_is_published_and_amended_at_once(created: Make) -> None:
    scenario = changed(created)
    assert scenario.new_events() == ["3 updated queued>created at borzo#1 [message]"]
    assert scenario.wait_for(Step.AMEND) == timedelta()
    scenario.amend()
    assert (is_amended(scenario), scenario.new_events(), scenario.state) == (True, [], ("created", Step.TRACK, "borzo"))


def test_the_answer_to_an_amendment_is_applied_as_an_observation(created: Make) -> None:
    scenario = changed(created)
    scenario.new_events()
    scenario.amend(observed("courier_assigned", price=Price(Decimal("31.00"), "BRL")))
    assert scenario.new_events() == ["4 status_changed created>courier_assigned at borzo#1 [response]"]
    assert scenario.delivery.price is not None
    assert scenario.delivery.price.amount == Decimal("31.00")


@pytest.mark.parametrize("under_way", [True, False])
def test_an_operator_learns_of_a_change_that_the_courier_never_got_although_no_pickup_was_reported(
    created: Make, *, under_way: bool
) -> None:
    scenario = changed(created)
    if under_way:
        scenario.begin_call(Step.AMEND)
    scenario.new_events()
    scenario.poll("delivered")
    assert scenario.new_events() == [
        "4 attention_required queued>created 'order_changed_after_dispatch' at borzo#1 [poll]",
        "5 status_changed created>delivered at borzo#1 [poll]",
    ]
    assert scenario.delivery.attention is None


def test_a_contradicting_read_does_not_let_a_second_amendment_begin_beside_the_first(created: Make) -> None:
    scenario = changed(created)
    scenario.begin_call(Step.AMEND)
    ends = scenario.attempt.wait_until
    scenario.wait(1)
    scenario.poll("awaiting_confirmation")
    assert (scenario.attempt.contradicting_status, scenario.attempt.wait_until) == ("awaiting_confirmation", ends)


def test_a_change_during_an_amendment_is_amended_after_it(created: Make) -> None:
    scenario = changed(created)
    scenario.begin_call(Step.AMEND)
    first = scenario.delivery.fingerprint
    scenario.change_order(notes="ring thrice")
    scenario.apply(
        lifecycle.apply_amend_outcome(scenario.delivery, scenario.attempt.id, None, scenario.terms, scenario.now)
    )
    assert (scenario.attempt.sent_fingerprint, is_amended(scenario)) == (first, False)
    assert scenario.wait_for(Step.AMEND) == timedelta()


def test_a_change_reverted_during_its_amendment_is_reverted_at_the_carrier_too(created: Make) -> None:
    scenario = changed(created)
    scenario.amend(Uncertain("timed out"))
    scenario.change_order(notes="")
    assert scenario.delivery.fingerprint == fingerprint(scenario.order)
    scenario.wait_for(Step.TRACK)
    scenario.poll("created")
    scenario.amend()
    assert is_amended(scenario)


@pytest.mark.parametrize("outcome", ["submitting", "submit_unknown", "offered"])
def test_a_change_waits_until_the_outcome_of_the_create_is_known(outcome: str) -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    if outcome == "offered":
        scenario.book_with_offer(60)
    else:
        scenario.begin_booking()
    if outcome == "submit_unknown":
        scenario.answer_create(Uncertain("timed out"))
    scenario.change_order(notes="ring twice")
    assert scenario.state[1] in {Step.RECONCILE, Step.CONFIRM}
    scenario.observe(observed("created", ref="R-1"), cause=Cause.CALLBACK)
    assert (scenario.state, scenario.delivery.attention) == (("created", Step.AMEND, "borzo"), None)


def test_a_change_before_a_create_that_is_not_sent_needs_no_amendment() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    scenario.change_order(notes="ring twice")
    scenario.answer_create(Unavailable("not sent"))
    scenario.book()
    assert (is_amended(scenario), scenario.state) == (True, ("created", Step.TRACK, "borzo"))


def test_an_order_that_waits_to_be_booked_by_hand_can_be_amended() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.change_capabilities("deliverit", amends=True)
    scenario.place()
    scenario.book(Booked(observed("awaiting_confirmation", ref="R-1", detail="manual_dispatch")))
    scenario.change_order(notes="ring twice")
    scenario.amend()
    assert is_amended(scenario)


@pytest.mark.parametrize("without_fingerprint", [True, False])
def test_a_change_that_cannot_be_amended_is_stored_and_asks_for_an_operator(
    created: Make, *, without_fingerprint: bool
) -> None:
    """An attempt without a fingerprint does not say which order its carrier has, so it is not amended."""
    scenario = created("borzo" if without_fingerprint else "cervo")
    if without_fingerprint:
        scenario.delivery = scenario.delivery.with_attempt(replace(scenario.attempt, sent_fingerprint=None))
    scenario.change_order(notes="ring twice")
    assert [line.split()[1] for line in scenario.new_events()] == ["attention_required"]
    assert (scenario.delivery.attention, scenario.delivery.order.notes) == (
        "order_changed_after_dispatch",
        "ring twice",
    )
    assert scenario.state[1] is Step.TRACK


def test_a_further_change_is_stored_while_an_operator_is_asked_for_about_the_first(created: Make) -> None:
    scenario = changed(created, "cervo")
    scenario.change_order(notes="ring thrice")
    assert scenario.delivery.order.notes == "ring thrice"


def test_a_change_of_the_store_is_never_amended(created: Make) -> None:
    scenario = created("borzo")
    scenario.change_order(store_id="18")
    assert (scenario.delivery.attention, scenario.state[1]) == ("order_changed_after_dispatch", Step.TRACK)


@pytest.mark.parametrize("how", ["not sent", "refused", "absent"])
def test_an_order_that_moves_to_another_store_during_its_create_is_never_fetched_at_the_first_one(how: str) -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    scenario.begin_booking()
    scenario.change_order(store_id="18")
    if how == "absent":
        scenario.answer_create(Uncertain("timed out"))
        scenario.resolve(None)
    else:
        scenario.answer_create(Unavailable("down") if how == "not sent" else REFUSED)
    assert (scenario.state[:2], scenario.delivery.attention) == (("queued", Step.ROUTE), None)
    other = a_store("cervo").model_copy(update={"store_id": "18"})
    scenario.wait_for(Step.ROUTE)
    scenario.apply(lifecycle.route(scenario.delivery, other, scenario.terms, scenario.now))
    assert (scenario.state, scenario.delivery.store) == (("queued", Step.BOOK, "cervo"), other)


def test_an_order_that_moves_to_another_store_is_routed_again_after_the_last_carrier_of_the_first_one(
    created: Make,
) -> None:
    scenario = created("borzo")
    scenario.change_order(store_id="18")
    scenario.poll("cancelled")
    assert (scenario.state, scenario.delivery.attention) == (("queued", Step.ROUTE, None), None)


@pytest.mark.parametrize("cancelled", [True, False])
def test_the_attention_for_a_change_ends_with_the_carriers_order(created: Make, *, cancelled: bool) -> None:
    scenario = changed(created, "cervo", "borzo")
    assert scenario.delivery.attention_reasons == ("order_changed_after_dispatch",)
    if cancelled:
        scenario.request_cancel()
        scenario.cancel()
    scenario.poll("cancelled")
    assert scenario.state[0] == ("cancelled" if cancelled else "queued")
    assert not scenario.delivery.attention_reasons


def test_a_reopened_attempt_without_the_change_asks_for_an_operator_again(created: Make) -> None:
    scenario = changed(created, "cervo")
    scenario.poll("cancelled")
    scenario.observe(observed("picked_up", carrier_time=scenario.now + timedelta(seconds=1)), attempt=1)
    assert (scenario.state[0], scenario.delivery.attention) == ("picked_up", "order_changed_after_dispatch")


def test_a_change_reverted_before_any_amendment_clears_the_attention_for_it(created: Make) -> None:
    scenario = changed(created, "cervo")
    scenario.change_order(notes=scenario.order.notes)
    assert (is_amended(scenario), scenario.delivery.attention, scenario.attempt.amend_refused) == (True, None, False)


@pytest.mark.parametrize("begun", [True, False])
def test_a_carrier_that_takes_no_amendments_for_an_hour_is_tracked_meanwhile(created: Make, *, begun: bool) -> None:
    scenario, error = changed(created), Throttled("too many", retry_after=3600)
    if begun:
        scenario.amend(error)
    else:
        scenario.apply(lifecycle.postpone(scenario.delivery, error, scenario.terms, scenario.now))
    assert scenario.wait_for(Step.TRACK) == schedule.ACCOUNT_RETRY
    scenario.poll("created")
    assert scenario.wait_for(Step.AMEND) == timedelta()
    scenario.amend()
    assert is_amended(scenario)


def test_a_change_once_the_courier_has_the_goods_asks_for_an_operator(created: Make) -> None:
    scenario = created("borzo")
    scenario.poll("picked_up")
    scenario.change_order(notes="ring twice")
    assert (scenario.delivery.attention, scenario.state[1]) == ("order_changed_after_dispatch", Step.TRACK)


@pytest.mark.parametrize("under_way", [True, False])
def test_a_courier_who_leaves_with_the_goods_before_the_amendment_asks_for_an_operator(
    created: Make, *, under_way: bool
) -> None:
    scenario = changed(created)
    if under_way:
        scenario.begin_call(Step.AMEND)
    scenario.new_events()
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert scenario.new_events() == [
        "4 status_changed created>picked_up at borzo#1 [callback]",
        "5 attention_required created>picked_up 'order_changed_after_dispatch' at borzo#1 [callback]",
    ]
    scenario.observe(observed("dropoff_enroute"), cause=Cause.CALLBACK)
    assert [line.split()[1] for line in scenario.new_events()] == ["status_changed"]


@pytest.mark.quirk("B-98")
def test_a_refused_amendment_asks_for_an_operator_and_leaves_the_carriers_order(created: Make) -> None:
    scenario = changed(created)
    scenario.new_events()
    scenario.amend(REFUSED)
    assert scenario.new_events() == [f"4 {ASKS} [response]"]
    assert (scenario.attempt.last_error, scenario.state) == ("order_cannot_be_edited", ("created", Step.TRACK, "borzo"))


def test_a_new_change_after_a_refused_amendment_is_amended_and_clears_the_attention(created: Make) -> None:
    scenario = changed(created)
    scenario.amend(REFUSED)
    scenario.change_order(notes="ring thrice")
    scenario.amend()
    assert (is_amended(scenario), scenario.delivery.attention) == (True, None)


def test_without_an_answer_the_order_is_read_before_the_amendment_is_sent_again(created: Make) -> None:
    scenario = changed(created)
    scenario.amend(Uncertain("timed out"))
    assert scenario.wait_for(Step.TRACK) == schedule.AMEND_RETRY
    scenario.poll("courier_assigned")
    assert scenario.wait_for(Step.AMEND) == timedelta()
    scenario.amend()
    assert is_amended(scenario)


@pytest.mark.parametrize("answered", [True, False])
def test_an_amendment_without_an_answer_is_sent_three_times_before_an_operator_is_asked_for(
    created: Make, *, answered: bool
) -> None:
    """It makes no difference whether the call had no answer or its process was lost."""
    scenario = changed(created)
    scenario.new_events()
    for _ in range(schedule.AMEND_REQUESTS):
        scenario.begin_call(Step.AMEND)
        if answered:
            scenario.apply(
                lifecycle.apply_amend_outcome(
                    scenario.delivery, scenario.attempt.id, Uncertain("?"), scenario.terms, scenario.now
                )
            )
        scenario.wait_for(Step.TRACK)
        scenario.poll("created")
    assert scenario.new_events() == [f"4 {ASKS} [poll]"]
    assert scenario.state == ("created", Step.TRACK, "borzo")


def test_an_amendment_that_was_not_sent_is_repeated_without_a_limit(created: Make) -> None:
    scenario = changed(created)
    for _ in range(10):
        scenario.amend(Unavailable("not sent"))
        assert scenario.wait_for(Step.TRACK) >= schedule.AMEND_RETRY
        scenario.poll("created")
    scenario.amend()
    assert (is_amended(scenario), scenario.delivery.attention) == (True, None)


def test_a_read_that_began_before_the_amendments_answer_was_due_does_not_count(created: Make) -> None:
    scenario = changed(created)
    scenario.begin_call(Step.AMEND)
    began = scenario.now
    scenario.apply(
        lifecycle.apply_observations(
            scenario.delivery,
            scenario.attempt.id,
            [observed("created")],
            scenario.terms,
            scenario.now,
            Cause.POLL,
            began,
        )
    )
    assert scenario.wait_for(Step.TRACK) == timedelta(seconds=120)


@pytest.mark.parametrize("error", [REFUSED, Uncertain("timed out"), Unavailable("not sent"), None])
def test_a_cancel_request_goes_before_any_amendment(created: Make, error: CarrierError | None) -> None:
    scenario = changed(created)
    scenario.begin_call(Step.AMEND)
    scenario.request_cancel()
    assert (scenario.state[1], scenario.wait_for(Step.CANCEL)) == (Step.CANCEL, timedelta())
    scenario.apply(
        lifecycle.apply_amend_outcome(scenario.delivery, scenario.attempt.id, error, scenario.terms, scenario.now)
    )
    assert (scenario.state[1], scenario.delivery.attention) == (Step.CANCEL, None)


def test_no_order_is_amended_after_a_refused_cancel(created: Make) -> None:
    scenario = created("borzo")
    scenario.request_cancel()
    scenario.cancel(Refused(Reason.UNKNOWN))
    scenario.change_order(notes="ring twice")
    assert (scenario.delivery.attention, scenario.state[1]) == ("order_changed_after_dispatch", Step.TRACK)


def test_a_read_can_be_scheduled_now_while_an_amendment_waits(created: Make) -> None:
    scenario = changed(created)
    scenario.apply(lifecycle.schedule_read_now(scenario.delivery, scenario.terms, scenario.now))
    assert scenario.next_step == (Step.TRACK, 1)
    scenario.poll("created")
    assert scenario.next_step == (Step.AMEND, 1)


def test_the_next_carrier_gets_the_changed_order(created: Make) -> None:
    scenario = changed(created, "borzo", "cervo")
    scenario.observe(observed("cancelled", cancelled_by="carrier"))
    scenario.book()
    assert (scenario.attempt.carrier, is_amended(scenario)) == ("cervo", True)


SOONER, LATER = "2026-11-21T17:20:00Z", "2026-11-21T18:00:00Z"


@pytest.mark.parametrize(
    ("before", "after", "minutes"),
    [
        ({}, {"notes": "ring twice"}, 15),
        ({"ready_at": LATER}, {"notes": "ring twice"}, 60),
        ({"ready_at": LATER}, {"ready_at": datetime.fromisoformat(SOONER)}, 20),
        ({"ready_at": SOONER}, {"ready_at": None}, 20),
        ({}, {"ready_at": datetime(2026, 11, 21, 16, 0, tzinfo=UTC)}, 15),
    ],
)
def test_an_amendment_moves_the_pickup_only_to_another_future_time(
    before: dict[str, str], after: dict[str, object], minutes: int
) -> None:
    scenario = DeliveryScenario("borzo", **before)
    scenario.place()
    scenario.book()
    start = scenario.now
    scenario.wait(60)
    scenario.change_order(**after)
    scenario.amend()
    assert scenario.attempt.pickup_at == start + timedelta(minutes=minutes)


# --- changes that wait for a cancel -----------------------------------------------------------------------------------


def waiting(created: Make) -> DeliveryScenario:
    """Return a scenario in which a change waits for a cancel."""
    scenario = created("borzo")
    scenario.change_order(notes="ring twice")
    scenario.request_cancel()
    scenario.new_events()
    return scenario


def test_a_change_that_waits_for_a_cancel_asks_for_an_operator_when_the_cancel_is_refused(created: Make) -> None:
    scenario = waiting(created)
    scenario.cancel(Refused(Reason.UNKNOWN))
    assert scenario.new_events() == [
        "4 cancel_refused queued>created unknown at borzo#1 [response]",
        "5 attention_required queued>created 'order_changed_after_dispatch' at borzo#1 [response]",
    ]
    assert scenario.attempt.amend_refused


@pytest.mark.parametrize("asked", [True, False])
def test_a_change_that_waits_for_a_cancel_asks_for_an_operator_when_the_courier_leaves_with_the_goods(
    created: Make, *, asked: bool
) -> None:
    scenario = waiting(created)
    if asked:
        scenario.cancel()
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert scenario.delivery.attention == "order_changed_after_dispatch"
    assert (scenario.attempt.amend_refused, scenario.attempt.cancel_refused) == (True, not asked)
    scenario.poll("delivered")
    assert scenario.delivery.status == "delivered"
