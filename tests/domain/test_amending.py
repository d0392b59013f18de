"""Changes of an order that a carrier has already: carried there, asked for again after a read, or left to a person."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from schemas.order import fingerprint
from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, a_store, news
from worker.carriers.port import Booked, Price
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]
ASKS = "attention_required queued>created 'order_changed_after_dispatch' at borzo#1"
REFUSED = Refused(Reason.UNKNOWN, "order_cannot_be_edited")


def changed(made: Make, *carriers: str, notes: str = "ring twice") -> DeliveryScenario:
    """Live until a carrier has an order that the platform has just changed."""
    life = made(*(carriers or ("borzo",)))
    life.change(notes=notes)
    return life


def knows(life: DeliveryScenario) -> bool:
    """Tell whether the carrier knows the order as it is now."""
    return life.attempt.sent_fingerprint == life.delivery.fingerprint


def test_a_change_is_told_and_carried_to_the_carrier_at_once(created: Make) -> None:
    life = changed(created)
    assert life.lines() == ["3 updated queued>created at borzo#1 [message]"]
    assert life.reach(Step.AMEND) == timedelta()
    life.carry()
    assert (knows(life), life.lines(), life.state) == (True, [], ("created", Step.TRACK, "borzo"))


def test_what_the_answer_to_a_change_shows_is_news(created: Make) -> None:
    life = changed(created)
    life.lines()
    life.carry(news("courier_assigned", price=Price(Decimal("31.00"), "BRL")))
    assert life.lines() == ["4 status_changed created>courier_assigned at borzo#1 [response]"]
    assert life.delivery.price is not None
    assert life.delivery.price.amount == Decimal("31.00")


def test_a_change_that_came_during_another_is_carried_after_it(created: Make) -> None:
    life = changed(created)
    life.call(Step.AMEND)
    first = life.delivery.fingerprint
    life.change(notes="ring thrice")
    life.take(lifecycle.apply_amend_outcome(life.delivery, life.attempt.id, None, life.rules, life.now))
    assert (life.attempt.sent_fingerprint, knows(life)) == (first, False)
    assert life.reach(Step.AMEND) == timedelta()


def test_a_change_that_is_taken_back_while_its_answer_is_out_is_taken_back_there_too(created: Make) -> None:
    life = changed(created)
    life.carry(Uncertain("timed out"))
    life.change(notes="")
    assert life.delivery.fingerprint == fingerprint(life.order)
    life.reach(Step.TRACK)
    life.poll("created")
    life.carry()
    assert knows(life)


@pytest.mark.parametrize("told", ["submitting", "submit_unknown", "offered"])
def test_a_change_waits_until_it_is_certain_what_stands_at_the_carrier(told: str) -> None:
    life = DeliveryScenario("borzo")
    life.place()
    if told == "offered":
        life.offered(60)
    else:
        life.begin()
    if told == "submit_unknown":
        life.answer(Uncertain("timed out"))
    life.change(notes="ring twice")
    assert life.state[1] in {Step.RECONCILE, Step.CONFIRM}
    life.see(news("created", ref="R-1"), cause=Cause.CALLBACK)
    assert (life.state, life.delivery.attention) == (("created", Step.AMEND, "borzo"), None)


def test_a_change_of_what_was_never_sent_needs_no_call() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.begin()
    life.change(notes="ring twice")
    life.answer(Unavailable("not sent"))
    life.book()
    assert (knows(life), life.state) == (True, ("created", Step.TRACK, "borzo"))


def test_what_waits_to_be_booked_at_the_carrier_can_be_changed_there() -> None:
    life = DeliveryScenario("deliverit")
    life.with_terms("deliverit", amends=True)
    life.place()
    life.book(Booked(news("awaiting_confirmation", ref="R-1", detail="manual_dispatch")))
    life.change(notes="ring twice")
    life.carry()
    assert knows(life)


@pytest.mark.parametrize("made_earlier", [True, False])
def test_a_change_that_cannot_be_carried_asks_for_a_person_and_is_kept(created: Make, *, made_earlier: bool) -> None:
    """An attempt of an older version does not say which order its carrier knows: it is left alone."""
    life = created("borzo" if made_earlier else "cervo")
    if made_earlier:
        life.delivery = life.delivery.with_attempt(replace(life.attempt, sent_fingerprint=None))
    life.change(notes="ring twice")
    assert [line.split()[1] for line in life.lines()] == ["attention_required"]
    assert (life.delivery.attention, life.delivery.order.notes) == ("order_changed_after_dispatch", "ring twice")
    assert life.state[1] is Step.TRACK


def test_a_further_change_is_kept_while_a_person_is_asked_about_the_first(created: Make) -> None:
    life = changed(created, "cervo")
    life.change(notes="ring thrice")
    assert life.delivery.order.notes == "ring thrice"


def test_a_change_of_the_shop_is_never_carried(created: Make) -> None:
    life = created("borzo")
    life.change(store_id="18")
    assert (life.delivery.attention, life.state[1]) == ("order_changed_after_dispatch", Step.TRACK)


@pytest.mark.parametrize("how", ["not sent", "refused", "absent"])
def test_an_order_that_moved_to_another_shop_during_its_create_is_never_fetched_at_the_first_one(how: str) -> None:
    life = DeliveryScenario("borzo", "cervo")
    life.place()
    life.begin()
    life.change(store_id="18")
    if how == "absent":
        life.answer(Uncertain("timed out"))
        life.resolve(None)
    else:
        life.answer(Unavailable("down") if how == "not sent" else REFUSED)
    assert (life.state[:2], life.delivery.attention) == (("queued", Step.ROUTE), None)
    other = a_store("cervo").model_copy(update={"store_id": "18"})
    life.reach(Step.ROUTE)
    life.take(lifecycle.route(life.delivery, other, life.rules, life.now))
    assert (life.state, life.delivery.store) == (("queued", Step.BOOK, "cervo"), other)


def test_an_order_that_moved_while_the_last_carrier_of_its_first_shop_had_it_is_not_given_up(created: Make) -> None:
    life = created("borzo")
    life.change(store_id="18")
    life.poll("cancelled")
    assert (life.state, life.delivery.attention) == (("queued", Step.ROUTE, None), None)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_change_that_a_carrier_was_not_told_asks_nobody_once_its_order_is_gone(
    created: Make, *, cancelled: bool
) -> None:
    life = changed(created, "cervo", "borzo")
    assert life.delivery.asks == ["order_changed_after_dispatch"]
    if cancelled:
        life.ask_cancel()
        life.cancel()
    life.poll("cancelled")
    assert life.state[0] == ("cancelled" if cancelled else "queued")
    assert not life.delivery.asks


def test_who_lives_again_and_was_not_told_of_a_change_asks_for_a_person_again(created: Make) -> None:
    life = changed(created, "cervo")
    life.poll("cancelled")
    life.see(news("picked_up", stamp=life.now + timedelta(seconds=1)), attempt=1)
    assert (life.state[0], life.delivery.attention) == ("picked_up", "order_changed_after_dispatch")


def test_a_change_that_is_taken_back_before_the_carrier_was_told_asks_nobody_any_more(created: Make) -> None:
    life = changed(created, "cervo")
    life.change(notes=life.order.notes)
    assert (knows(life), life.delivery.attention, life.attempt.amend_refused) == (True, None, False)


@pytest.mark.parametrize("begun", [True, False])
def test_a_carrier_that_takes_no_changes_for_an_hour_keeps_nobody_from_being_followed(
    created: Make, *, begun: bool
) -> None:
    life, error = changed(created), Throttled("too many", retry_after=3600)
    if begun:
        life.carry(error)
    else:
        life.take(lifecycle.postpone(life.delivery, error, life.rules, life.now))
    assert life.reach(Step.TRACK) == schedule.ACCOUNT_RETRY
    life.poll("created")
    assert life.reach(Step.AMEND) == timedelta()
    life.carry()
    assert knows(life)


def test_a_change_that_comes_when_the_courier_has_the_goods_asks_for_a_person(created: Make) -> None:
    life = created("borzo")
    life.poll("picked_up")
    life.change(notes="ring twice")
    assert (life.delivery.attention, life.state[1]) == ("order_changed_after_dispatch", Step.TRACK)


@pytest.mark.parametrize("under_way", [True, False])
def test_a_courier_who_leaves_with_the_goods_before_the_change_asks_for_a_person(
    created: Make, *, under_way: bool
) -> None:
    life = changed(created)
    if under_way:
        life.call(Step.AMEND)
    life.lines()
    life.see(news("picked_up"), cause=Cause.CALLBACK)
    assert life.lines() == [
        "4 status_changed created>picked_up at borzo#1 [callback]",
        "5 attention_required created>picked_up 'order_changed_after_dispatch' at borzo#1 [callback]",
    ]
    life.see(news("dropoff_enroute"), cause=Cause.CALLBACK)
    assert [line.split()[1] for line in life.lines()] == ["status_changed"]


@pytest.mark.quirk("B-98")
def test_a_refused_change_asks_for_a_person_and_leaves_what_stands(created: Make) -> None:
    life = changed(created)
    life.lines()
    life.carry(REFUSED)
    assert life.lines() == [f"4 {ASKS} [response]"]
    assert (life.attempt.last_error, life.state) == ("order_cannot_be_edited", ("created", Step.TRACK, "borzo"))


def test_a_new_change_is_tried_after_one_was_refused_and_then_asks_nobody_any_more(created: Make) -> None:
    life = changed(created)
    life.carry(REFUSED)
    life.change(notes="ring thrice")
    life.carry()
    assert (knows(life), life.delivery.attention) == (True, None)


def test_without_an_answer_the_order_is_read_before_the_change_is_asked_for_again(created: Make) -> None:
    life = changed(created)
    life.carry(Uncertain("timed out"))
    assert life.reach(Step.TRACK) == schedule.AMEND_RETRY
    life.poll("courier_assigned")
    assert life.reach(Step.AMEND) == timedelta()
    life.carry()
    assert knows(life)


@pytest.mark.parametrize("answered", [True, False])
def test_a_change_without_an_answer_is_asked_for_three_times_and_then_a_person_is(
    created: Make, *, answered: bool
) -> None:
    """It makes no difference whether the call was in vain or its process died."""
    life = changed(created)
    life.lines()
    for _ in range(schedule.AMEND_REQUESTS):
        life.call(Step.AMEND)
        if answered:
            life.take(
                lifecycle.apply_amend_outcome(life.delivery, life.attempt.id, Uncertain("?"), life.rules, life.now)
            )
        life.reach(Step.TRACK)
        life.poll("created")
    assert life.lines() == [f"4 {ASKS} [poll]"]
    assert life.state == ("created", Step.TRACK, "borzo")


def test_a_change_that_never_left_is_asked_for_as_long_as_it_takes(created: Make) -> None:
    life = changed(created)
    for _ in range(10):
        life.carry(Unavailable("not sent"))
        assert life.reach(Step.TRACK) >= schedule.AMEND_RETRY
        life.poll("created")
    life.carry()
    assert (knows(life), life.delivery.attention) == (True, None)


def test_a_read_that_began_before_the_answer_could_have_come_is_not_the_one_waited_for(created: Make) -> None:
    life = changed(created)
    life.call(Step.AMEND)
    began = life.now
    life.take(
        lifecycle.apply_observations(
            life.delivery, life.attempt.id, [news("created")], life.rules, life.now, Cause.POLL, began
        )
    )
    assert life.reach(Step.TRACK) == timedelta(seconds=120)


@pytest.mark.parametrize("error", [REFUSED, Uncertain("timed out"), Unavailable("not sent"), None])
def test_a_wish_to_cancel_goes_before_any_change(created: Make, error: CarrierError | None) -> None:
    life = changed(created)
    life.call(Step.AMEND)
    life.ask_cancel()
    assert (life.state[1], life.reach(Step.CANCEL)) == (Step.CANCEL, timedelta())
    life.take(lifecycle.apply_amend_outcome(life.delivery, life.attempt.id, error, life.rules, life.now))
    assert (life.state[1], life.delivery.attention) == (Step.CANCEL, None)


def test_nothing_is_changed_where_a_cancel_was_refused(created: Make) -> None:
    life = created("borzo")
    life.ask_cancel()
    life.cancel(Refused(Reason.UNKNOWN))
    life.change(notes="ring twice")
    assert (life.delivery.attention, life.state[1]) == ("order_changed_after_dispatch", Step.TRACK)


def test_a_hint_is_read_even_while_a_change_waits(created: Make) -> None:
    life = changed(created)
    life.take(lifecycle.schedule_read_now(life.delivery, life.rules, life.now))
    assert life.turn == (Step.TRACK, 1)
    life.poll("created")
    assert life.turn == (Step.AMEND, 1)


def test_a_change_is_what_the_next_carrier_is_told_from_the_start(created: Make) -> None:
    life = changed(created, "borzo", "cervo")
    life.see(news("cancelled", cancelled_by="carrier"))
    life.book()
    assert (life.attempt.carrier, knows(life)) == ("cervo", True)


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
def test_a_change_moves_the_pickup_only_where_it_names_another_time_to_come(
    before: dict[str, str], after: dict[str, object], minutes: int
) -> None:
    life = DeliveryScenario("borzo", **before)
    life.place()
    life.book()
    start = life.now
    life.wait(60)
    life.change(**after)
    life.carry()
    assert life.attempt.pickup_at == start + timedelta(minutes=minutes)
