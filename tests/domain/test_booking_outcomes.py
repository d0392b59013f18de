"""Messages in and what became of a create, with every event that was told."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.messages import Cancellation
from schemas.order import fingerprint
from schemas.status import Cause, Reason
from tests.domain.scenario import START, DeliveryScenario, a_store, an_order, news, refused
from worker.carriers.port import Booked, Price
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import CarrierError, Unavailable, Uncertain, Unreadable


def test_a_new_delivery_is_queued_for_its_first_carrier_at_once() -> None:
    life = DeliveryScenario("cervo", "borzo")
    life.place()
    assert life.lines() == ["1 status_changed ->queued [message]"]
    assert life.state == ("queued", Step.BOOK, "cervo")
    assert life.delivery.next_run_at == START


def test_the_orders_own_carriers_come_before_the_stores() -> None:
    life = DeliveryScenario("cervo", "borzo", carriers=("nobody", "deliverit"))
    life.place()
    assert life.state == ("queued", Step.BOOK, "deliverit")


def test_an_order_for_later_waits_for_its_lead_time() -> None:
    life = DeliveryScenario("cervo", deliver_at="2026-11-21T20:00:00+01:00")
    life.place()
    assert life.reach(Step.BOOK) == timedelta(minutes=90)


def test_an_order_of_an_unknown_store_asks_for_a_person_once_and_goes_on_when_the_store_is_known() -> None:
    life = DeliveryScenario("cervo")
    blank, shop = life.delivery, life.store
    life.take(lifecycle.accept_order(blank, None, None, life.rules, life.now))
    for _ in range(3):
        assert life.reach(Step.ROUTE) == timedelta(minutes=1)
        life.take(lifecycle.route(life.delivery, None, life.rules, life.now))
    life.reach(Step.ROUTE)
    life.take(lifecycle.route(life.delivery, shop, life.rules, life.now))
    assert life.state == ("queued", Step.BOOK, "cervo")
    assert life.delivery.attention is None
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 attention_required ->queued 'unknown_store' [message]",
    ]


def test_an_order_without_a_configured_carrier_waits_and_asks_for_a_person() -> None:
    life = DeliveryScenario("nobody")
    life.place()
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 attention_required ->queued 'no_configured_carrier' [message]",
    ]
    assert life.state == ("queued", Step.ROUTE, None)


@pytest.mark.quirk("X-06")
def test_the_intent_is_written_before_the_call_and_leased_until_the_call_must_be_over() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.lines()
    life.begin()
    assert (life.attempt.state, life.attempt.number, life.attempt.carrier) == ("submitting", 1, "borzo")
    assert life.state == ("queued", Step.RECONCILE, "borzo")
    assert life.delivery.next_run_at == life.now + timedelta(seconds=45 + 30)
    assert life.lines() == []


def test_a_step_is_due_at_its_carrier_and_its_time_only() -> None:
    life = DeliveryScenario("borzo", "cervo")
    life.place()
    early = life.now - timedelta(seconds=1)
    asked = [(Step.BOOK, "borzo", life.now), (Step.BOOK, "borzo", early), (Step.BOOK, "cervo", life.now)]
    asked += [(Step.TRACK, "borzo", life.now)]
    assert [lifecycle.is_due(life.delivery, *each) for each in asked] == [True, False, False, False]


@pytest.mark.quirk("X-06")
def test_nothing_is_begun_twice() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.begin()
    assert lifecycle.begin_booking(life.delivery, 9, "token", life.rules, life.now) is None


def test_a_create_that_is_acknowledged_is_told_and_followed() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book()
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 status_changed queued>created at borzo#1 [response]",
    ]
    assert life.state == ("created", Step.TRACK, "borzo")
    assert life.attempt.ref == "R-1"


@pytest.mark.quirk("D-20")
def test_a_create_that_is_offered_another_time_is_told_so() -> None:
    life = DeliveryScenario("deliverit")
    life.place()
    life.offered(10)
    assert life.lines()[1:] == ["2 status_changed queued>awaiting_confirmation at deliverit#1 [response]"]
    assert life.state == ("awaiting_confirmation", Step.CONFIRM, "deliverit")
    assert life.delivery.next_run_at == life.now


def test_a_refused_create_falls_back_to_the_next_carrier_at_once() -> None:
    life = DeliveryScenario("deliverit", "borzo")
    life.place()
    life.book(refused(Reason.CARRIER_CLOSED, "We are closed"))
    assert life.state == ("queued", Step.BOOK, "borzo")
    assert life.delivery.next_run_at == life.now
    life.book()
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 attempt_ended ->queued carrier_closed 'We are closed' at deliverit#1 [response]",
        "3 updated ->queued (fallback) [response]",
        "4 status_changed queued>created at borzo#2 [response]",
    ]


def test_a_refused_create_without_another_carrier_is_rejected() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(refused(Reason.UNSERVICEABLE))
    assert life.lines() == [
        "1 status_changed ->queued [message]",
        "2 attempt_ended ->queued unserviceable at borzo#1 [response]",
        "3 status_changed queued>rejected unserviceable at borzo#1 [response]",
        "4 dispatch_failed queued>rejected unserviceable at borzo#1 [response]",
    ]
    assert life.state == ("rejected", None, "borzo")


def test_a_create_that_was_not_sent_is_tried_again_later_as_the_same_attempt() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.lines()
    life.book(Unavailable("refused connection"))
    assert life.lines() == []
    assert life.state == ("queued", Step.BOOK, "borzo")
    assert timedelta(seconds=1) <= life.reach(Step.BOOK) <= timedelta(seconds=4)
    life.book()
    assert [(each.id, each.number, each.state) for each in life.delivery.attempts] == [(1, 1, "created")]
    assert life.delivery.failures == 0


def test_the_carriers_retry_after_is_honoured() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(Unavailable("429", retry_after=240))
    assert life.reach(Step.BOOK) == timedelta(seconds=240)


@pytest.mark.quirk("C-02")
def test_an_account_that_is_shut_out_waits_at_least_five_minutes_and_burns_no_attempt() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    for _ in range(3):
        life.book(Unavailable("401", account=True))
        assert life.state == ("queued", Step.BOOK, "borzo")
        assert life.reach(Step.BOOK) >= timedelta(minutes=5)
    assert len(life.delivery.attempts) == 1


def test_a_login_that_fails_puts_the_create_off() -> None:
    life = DeliveryScenario("deliverit")
    life.place()
    life.take(lifecycle.postpone(life.delivery, Unavailable("401", account=True), life.rules, life.now))
    assert life.state == ("queued", Step.BOOK, "deliverit")
    assert life.reach(Step.BOOK) >= timedelta(minutes=5)


@pytest.mark.quirk("X-03")
@pytest.mark.parametrize("error", [Uncertain("read timed out"), Unreadable("not JSON"), CarrierError("what")])
def test_a_create_that_may_have_happened_blocks_every_other_carrier(error: CarrierError) -> None:
    life = DeliveryScenario("borzo", "cervo", "deliverit")
    life.place()
    life.book(error)
    assert life.lines()[1:] == ["2 status_changed queued>submit_unknown at borzo#1 [response]"]
    assert life.state == ("submit_unknown", Step.RECONCILE, "borzo")
    assert lifecycle.begin_booking(life.delivery, 9, "token", life.rules, life.now) is None


def test_an_outcome_of_an_attempt_nobody_knows_changes_nothing() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.begin()
    before = life.delivery
    life.answer(refused(), attempt=77)
    assert (life.delivery, len(life.events)) == (before, 1)


OVERTAKEN: list[tuple[str, str]] = [
    ("created", "created"),
    ("courier_assigned", "courier_assigned"),
    ("picked_up", "picked_up"),
    ("on_hold", "created"),
    ("delivered", "delivered"),
]


@pytest.mark.quirk("B-86")
@pytest.mark.parametrize(("called_back", "stands"), OVERTAKEN)
def test_a_callback_that_overtakes_the_creates_answer_stands(called_back: str, stands: str) -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.begin()
    life.see(news(called_back, stamp=life.now), cause=Cause.CALLBACK)
    told = life.lines()
    life.answer(Booked(news("created", ref="R-1", refs={"point": "7"})))
    assert told[1:] == [f"2 status_changed queued>{called_back} at borzo#1 [callback]"]
    assert life.delivery.status == stands
    assert (life.attempt.ref, life.attempt.codec_state) == ("R-1", {"point": "7"})
    assert [each for each in life.lines() if "status_changed" not in each] == []


def test_an_overtaken_answer_still_tells_the_price() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.begin()
    life.see(news("courier_assigned", stamp=life.now), cause=Cause.CALLBACK)
    life.lines()
    life.answer(Booked(news("created", ref="R-1", price=Price(an_order().payment.amount, "BRL"))))
    assert life.lines() == ["3 updated queued>courier_assigned at borzo#1 [response]"]


@pytest.mark.fault("F-44")
@pytest.mark.quirk("B-86")
@pytest.mark.parametrize("error", [Unavailable("no"), Uncertain("timeout"), refused()])
def test_a_callback_that_overtakes_a_failed_answer_stands(error: CarrierError) -> None:
    life = DeliveryScenario("borzo", "cervo")
    life.place()
    life.begin()
    life.see(news("courier_assigned"), cause=Cause.CALLBACK)
    life.lines()
    life.answer(error)
    assert life.lines() == []
    assert life.state == ("courier_assigned", Step.TRACK, "borzo")


def test_a_repeated_order_changes_nothing() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    assert not life.amend(life.order)
    assert not life.amend(an_order(revision=2))


def test_an_older_revision_changes_nothing() -> None:
    life = DeliveryScenario("borzo", revision=3)
    life.place()
    assert not life.amend(an_order(revision=2, notes="no onions"))


def test_other_content_without_a_higher_revision_asks_for_a_person_once() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.lines()
    assert [life.amend(an_order(notes="no onions")) for _ in range(2)] == [True, False]
    assert life.lines() == ["2 attention_required ->queued 'order_changed_without_revision' [message]"]
    assert life.delivery.order == life.order


def test_an_update_is_applied_while_nothing_stands_at_a_carrier() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.lines()
    changed = an_order(revision=2, notes="no onions", carriers=("cervo",))
    assert life.amend(changed)
    assert life.lines() == ["2 updated ->queued [message]"]
    assert life.delivery.order == changed
    assert life.state == ("queued", Step.BOOK, "cervo")


def test_an_update_after_dispatch_asks_for_a_person(created: Callable[..., DeliveryScenario]) -> None:
    life = created("cervo")
    changed = an_order(revision=2, notes="no onions")
    assert life.amend(changed)
    assert life.lines() == ["3 attention_required queued>created 'order_changed_after_dispatch' at cervo#1 [message]"]
    assert life.delivery.order == changed


def test_an_update_during_a_create_that_is_not_sent_is_what_is_sent_next() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.begin()
    changed = an_order(revision=2, notes="no onions")
    assert life.amend(changed)
    life.answer(Unavailable("refused"))
    life.begin()
    assert life.delivery.order == changed


def test_an_update_that_moves_the_order_to_another_store_waits_for_that_store() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    assert life.amend(an_order(revision=2, store_id="18"))
    assert life.state == ("queued", Step.ROUTE, None)
    other = a_store("cervo").model_copy(update={"store_id": "18"})
    life.take(lifecycle.route(life.delivery, other, life.rules, life.now))
    assert life.delivery.store == other
    assert life.delivery.step is Step.BOOK
    assert life.delivery.carrier == "cervo"


def test_an_update_after_the_end_is_kept_and_tells_nothing() -> None:
    life = DeliveryScenario("borzo")
    life.place(Cancellation(order_id="2011"))
    before, _ = life.delivery, life.lines()
    order = an_order(revision=2, notes="no onions")
    assert life.amend(order)
    assert (life.delivery, life.lines()) == (replace(before, order=order, fingerprint=fingerprint(order)), [])
