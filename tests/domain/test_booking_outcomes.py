"""Order messages and the outcomes of a create, with every event."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.messages import Cancellation
from schemas.order import fingerprint
from schemas.status import Cause, Reason
from tests.domain.scenario import START, DeliveryScenario, a_store, an_order, observed, refused
from worker.carriers.port import Booked, Price
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Unavailable, Uncertain, Unreadable


def test_a_new_delivery_is_queued_for_its_first_carrier_at_once() -> None:
    scenario = DeliveryScenario("cervo", "borzo")
    scenario.place()
    assert scenario.new_events() == ["1 status_changed ->queued [message]"]
    assert scenario.state == ("queued", Step.BOOK, "cervo")
    assert scenario.delivery.next_run_at == START


def test_the_orders_own_carriers_come_before_the_stores() -> None:
    scenario = DeliveryScenario("cervo", "borzo", carriers=("nobody", "deliverit"))
    scenario.place()
    assert scenario.state == ("queued", Step.BOOK, "deliverit")


def test_an_order_for_later_waits_for_its_lead_time() -> None:
    scenario = DeliveryScenario("cervo", deliver_at="2026-11-21T20:00:00+01:00")
    scenario.place()
    assert scenario.wait_for(Step.BOOK) == timedelta(minutes=90)


def test_an_order_of_an_unknown_store_asks_for_an_operator_once_and_is_routed_when_the_store_is_known() -> None:
    scenario = DeliveryScenario("cervo")
    blank, shop = scenario.delivery, scenario.store
    scenario.apply(lifecycle.accept_order(blank, None, None, scenario.terms, scenario.now))
    for _ in range(3):
        assert scenario.wait_for(Step.ROUTE) == timedelta(minutes=1)
        scenario.apply(lifecycle.route(scenario.delivery, None, scenario.terms, scenario.now))
    scenario.wait_for(Step.ROUTE)
    scenario.apply(lifecycle.route(scenario.delivery, shop, scenario.terms, scenario.now))
    assert scenario.state == ("queued", Step.BOOK, "cervo")
    assert scenario.delivery.attention is None
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 attention_required ->queued 'unknown_store' [message]",
    ]


def test_an_order_without_a_configured_carrier_waits_and_asks_for_an_operator() -> None:
    scenario = DeliveryScenario("nobody")
    scenario.place()
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 attention_required ->queued 'no_configured_carrier' [message]",
    ]
    assert scenario.state == ("queued", Step.ROUTE, None)


@pytest.mark.quirk("X-06")
def test_the_intent_to_create_is_recorded_before_the_call_and_leased_until_the_call_must_be_over() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.new_events()
    scenario.begin_booking()
    assert (scenario.attempt.state, scenario.attempt.number, scenario.attempt.carrier) == ("submitting", 1, "borzo")
    assert scenario.state == ("queued", Step.RECONCILE, "borzo")
    assert scenario.delivery.next_run_at == scenario.now + timedelta(seconds=45 + 30)
    assert scenario.new_events() == []


def test_a_step_is_due_only_at_its_carrier_and_its_time() -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    early = scenario.now - timedelta(seconds=1)
    asked = [(Step.BOOK, "borzo", scenario.now), (Step.BOOK, "borzo", early), (Step.BOOK, "cervo", scenario.now)]
    asked += [(Step.TRACK, "borzo", scenario.now)]
    assert [lifecycle.is_due(scenario.delivery, *each) for each in asked] == [True, False, False, False]


def test_a_change_names_the_attempt_that_it_begins() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    booking = lifecycle.begin_booking(scenario.delivery, 5, "token", scenario.terms, scenario.now)
    assert booking is not None
    assert booking.attempt_id == 5
    scenario.apply(booking)
    scenario.answer_create(Unavailable("not sent"))
    again = lifecycle.begin_booking(scenario.delivery, 6, "token", scenario.terms, scenario.now)
    assert again is not None
    assert again.attempt_id == 5
    scenario.apply(again)
    scenario.answer_create(Booked(observed("created", ref="R-1")))
    scenario.request_cancel()
    cancel = lifecycle.begin_call(scenario.delivery, Step.CANCEL, scenario.terms, scenario.now)
    assert cancel is not None
    assert cancel.attempt_id == 5
    assert lifecycle.fire_alarms(scenario.delivery, scenario.terms, scenario.now) is None


@pytest.mark.quirk("X-06")
def test_a_create_does_not_begin_twice() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    assert lifecycle.begin_booking(scenario.delivery, 9, "token", scenario.terms, scenario.now) is None


def test_a_created_order_is_published_and_tracked() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>created at borzo#1 [response]",
    ]
    assert scenario.state == ("created", Step.TRACK, "borzo")
    assert scenario.attempt.ref == "R-1"


@pytest.mark.quirk("D-20")
def test_a_create_with_an_offered_time_is_published_as_awaiting_confirmation() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.book_with_offer(10)
    assert scenario.new_events()[1:] == ["2 status_changed queued>awaiting_confirmation at deliverit#1 [response]"]
    assert scenario.state == ("awaiting_confirmation", Step.CONFIRM, "deliverit")
    assert scenario.delivery.next_run_at == scenario.now


def test_a_refused_create_falls_back_to_the_next_carrier_at_once() -> None:
    scenario = DeliveryScenario("deliverit", "borzo")
    scenario.place()
    scenario.book(refused(Reason.CARRIER_CLOSED, "We are closed"))
    assert scenario.state == ("queued", Step.BOOK, "borzo")
    assert scenario.delivery.next_run_at == scenario.now
    scenario.book()
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 attempt_ended ->queued carrier_closed 'We are closed' at deliverit#1 [response]",
        "3 updated ->queued (fallback) [response]",
        "4 status_changed queued>created at borzo#2 [response]",
    ]


def test_a_refused_create_without_another_carrier_is_rejected() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(refused(Reason.UNSERVICEABLE))
    assert scenario.new_events() == [
        "1 status_changed ->queued [message]",
        "2 attempt_ended ->queued unserviceable at borzo#1 [response]",
        "3 status_changed queued>rejected unserviceable at borzo#1 [response]",
        "4 dispatch_failed queued>rejected unserviceable at borzo#1 [response]",
    ]
    assert scenario.state == ("rejected", None, "borzo")


def test_a_create_that_was_not_sent_is_retried_later_as_the_same_attempt() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.new_events()
    scenario.book(Unavailable("refused connection"))
    assert scenario.new_events() == []
    assert scenario.state == ("queued", Step.BOOK, "borzo")
    assert timedelta(seconds=1) <= scenario.wait_for(Step.BOOK) <= timedelta(seconds=4)
    scenario.book()
    assert [(each.id, each.number, each.state) for each in scenario.delivery.attempts] == [(1, 1, "created")]
    assert scenario.delivery.failures == 0


def test_the_carriers_retry_after_is_honoured() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Unavailable("429", retry_after=240))
    assert scenario.wait_for(Step.BOOK) == timedelta(seconds=240)


@pytest.mark.quirk("C-02")
def test_a_create_of_an_account_that_is_refused_waits_five_minutes_and_uses_no_new_attempt() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    for _ in range(3):
        scenario.book(Unavailable("401", account=True))
        assert scenario.state == ("queued", Step.BOOK, "borzo")
        assert scenario.wait_for(Step.BOOK) >= timedelta(minutes=5)
    assert len(scenario.delivery.attempts) == 1


def test_a_failed_login_postpones_the_create() -> None:
    scenario = DeliveryScenario("deliverit")
    scenario.place()
    scenario.apply(
        lifecycle.postpone(scenario.delivery, Unavailable("401", account=True), scenario.terms, scenario.now)
    )
    assert scenario.state == ("queued", Step.BOOK, "deliverit")
    assert scenario.wait_for(Step.BOOK) >= timedelta(minutes=5)


@pytest.mark.quirk("X-03")
@pytest.mark.parametrize("error", [Uncertain("read timed out"), Unreadable("not JSON"), CarrierError("what")])
def test_a_create_that_may_have_happened_blocks_every_other_carrier(error: CarrierError) -> None:
    scenario = DeliveryScenario("borzo", "cervo", "deliverit")
    scenario.place()
    scenario.book(error)
    assert scenario.new_events()[1:] == ["2 status_changed queued>submit_unknown at borzo#1 [response]"]
    assert scenario.state == ("submit_unknown", Step.RECONCILE, "borzo")
    assert lifecycle.begin_booking(scenario.delivery, 9, "token", scenario.terms, scenario.now) is None


def test_an_outcome_of_an_unknown_attempt_changes_nothing() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    before = scenario.delivery
    scenario.answer_create(refused(), attempt=77)
    assert (scenario.delivery, len(scenario.events)) == (before, 1)


OVERTAKEN: list[tuple[str, str]] = [
    ("created", "created"),
    ("courier_assigned", "courier_assigned"),
    ("picked_up", "picked_up"),
    ("on_hold", "created"),
    ("delivered", "delivered"),
]


@pytest.mark.quirk("B-86")
@pytest.mark.parametrize(("called_back", "kept"), OVERTAKEN)
def test_a_callback_that_overtakes_the_creates_answer_keeps_its_status(called_back: str, kept: str) -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    scenario.observe(observed(called_back, carrier_time=scenario.now), cause=Cause.CALLBACK)
    published = scenario.new_events()
    scenario.answer_create(Booked(observed("created", ref="R-1", codec_state={"point": "7"})))
    assert published[1:] == [f"2 status_changed queued>{called_back} at borzo#1 [callback]"]
    assert scenario.delivery.status == kept
    assert (scenario.attempt.ref, scenario.attempt.codec_state) == ("R-1", {"point": "7"})
    assert [each for each in scenario.new_events() if "status_changed" not in each] == []


def test_the_price_of_an_overtaken_answer_is_published() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    scenario.observe(observed("courier_assigned", carrier_time=scenario.now), cause=Cause.CALLBACK)
    scenario.new_events()
    scenario.answer_create(Booked(observed("created", ref="R-1", price=Price(an_order().payment.amount, "BRL"))))
    assert scenario.new_events() == ["3 updated queued>courier_assigned at borzo#1 [response]"]


@pytest.mark.fault("F-44")
@pytest.mark.quirk("B-86")
@pytest.mark.parametrize("error", [Unavailable("no"), Uncertain("timeout"), refused()])
def test_a_callback_that_overtakes_a_failed_answer_keeps_its_status(error: CarrierError) -> None:
    scenario = DeliveryScenario("borzo", "cervo")
    scenario.place()
    scenario.begin_booking()
    scenario.observe(observed("courier_assigned"), cause=Cause.CALLBACK)
    scenario.new_events()
    scenario.answer_create(error)
    assert scenario.new_events() == []
    assert scenario.state == ("courier_assigned", Step.TRACK, "borzo")


def test_a_repeated_order_changes_nothing() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    assert not scenario.receive_order(scenario.order)
    assert not scenario.receive_order(an_order(revision=2))


def test_an_older_revision_changes_nothing() -> None:
    scenario = DeliveryScenario("borzo", revision=3)
    scenario.place()
    assert not scenario.receive_order(an_order(revision=2, notes="no onions"))


def test_other_content_without_a_higher_revision_asks_for_an_operator_once() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.new_events()
    assert [scenario.receive_order(an_order(notes="no onions")) for _ in range(2)] == [True, False]
    assert scenario.new_events() == ["2 attention_required ->queued 'order_changed_without_revision' [message]"]
    assert scenario.delivery.order == scenario.order


def test_an_update_is_applied_while_no_carrier_has_the_order() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.new_events()
    changed = an_order(revision=2, notes="no onions", carriers=("cervo",))
    assert scenario.receive_order(changed)
    assert scenario.new_events() == ["2 updated ->queued [message]"]
    assert scenario.delivery.order == changed
    assert scenario.state == ("queued", Step.BOOK, "cervo")


def test_an_update_after_dispatch_asks_for_an_operator(created: Callable[..., DeliveryScenario]) -> None:
    scenario = created("cervo")
    changed = an_order(revision=2, notes="no onions")
    assert scenario.receive_order(changed)
    assert scenario.new_events() == [
        "3 attention_required queued>created 'order_changed_after_dispatch' at cervo#1 [message]"
    ]
    assert scenario.delivery.order == changed


def test_an_update_during_a_create_that_is_not_sent_is_sent_next() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.begin_booking()
    changed = an_order(revision=2, notes="no onions")
    assert scenario.receive_order(changed)
    scenario.answer_create(Unavailable("refused"))
    scenario.begin_booking()
    assert scenario.delivery.order == changed


def test_an_update_that_moves_the_order_to_another_store_waits_for_that_store() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    assert scenario.receive_order(an_order(revision=2, store_id="18"))
    assert scenario.state == ("queued", Step.ROUTE, None)
    other = a_store("cervo").model_copy(update={"store_id": "18"})
    scenario.apply(lifecycle.route(scenario.delivery, other, scenario.terms, scenario.now))
    assert scenario.delivery.store == other
    assert scenario.delivery.step is Step.BOOK
    assert scenario.delivery.carrier == "cervo"


def test_an_update_after_the_end_is_stored_without_an_event() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place(Cancellation(order_id="2011"))
    before, _ = scenario.delivery, scenario.new_events()
    order = an_order(revision=2, notes="no onions")
    assert scenario.receive_order(order)
    assert (scenario.delivery, scenario.new_events()) == (
        replace(before, order=order, fingerprint=fingerprint(order)),
        [],
    )
