"""A person wants it tried again: what waits is due at once, what ended is queued again, what lives is left alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import RULES, START, DeliveryScenario, an_order, news, refused
from worker.carriers.port import Booked, Offer
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import Refused, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]


def turned_away(*carriers: str) -> DeliveryScenario:
    """Live until every carrier has refused."""
    life = DeliveryScenario(*(carriers or ("borzo",)))
    life.place()
    for _ in carriers or ("borzo",):
        life.book(refused(Reason.CARRIER_CLOSED, "closed"))
    life.lines()
    return life


def kept(life: DeliveryScenario) -> str | None:
    return lifecycle.retry_blocker(life.delivery, life.now)


def test_a_rejected_delivery_is_queued_again_and_every_carrier_is_asked_anew() -> None:
    life = turned_away("borzo", "cervo")
    life.wait(600)
    assert life.retry()
    assert life.lines() == [
        "7 reopened rejected>queued (retry) [operator]",
        "8 status_changed rejected>queued (retry) [operator]",
    ]
    assert (life.state, life.reach(Step.BOOK)) == (("queued", Step.BOOK, "borzo"), timedelta())
    life.book(refused(Reason.CARRIER_CLOSED))
    assert life.state == ("queued", Step.BOOK, "cervo")
    life.book(Booked(news("created", ref="R-9")))
    assert [each.number for each in life.delivery.attempts] == [1, 2, 3, 4]
    assert (life.delivery.status, life.delivery.reason) == ("created", None)


def test_those_who_refuse_again_are_not_asked_a_third_time() -> None:
    life = turned_away()
    life.retry()
    life.book(refused(Reason.CARRIER_CLOSED))
    assert life.state == ("rejected", None, "borzo")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("failed", {}),
        ("cancelled", {"cancelled_by": "carrier"}),
        ("cancelled", {"cancelled_by": "courier"}),
        ("cancelled", {}),
    ],
)
def test_what_a_carrier_ended_before_the_pickup_can_be_tried_again(
    created: Make, end: str, said: dict[str, str]
) -> None:
    life = created("borzo")
    life.poll("courier_assigned")
    life.see(news(end, reason=Reason.NO_COURIER, **said))
    assert life.retry()
    delivery = life.delivery
    assert (delivery.status, delivery.reason, delivery.cancelled_by, delivery.raw) == ("queued", None, None, None)
    life.book(Booked(news("created", ref="R-2")))
    assert life.state == ("created", Step.TRACK, "borzo")


def _starved(life: DeliveryScenario) -> timedelta:
    """Find the carrier down until the delivery is given up; tell how long that took."""
    since = life.now
    while not life.delivery.final:
        if life.delivery.step is Step.ALARM:
            life.ring()
        else:
            life.begin()
            life.answer(Unavailable("down", retry_after=600))
    return life.now - since


def test_what_was_given_up_for_its_hour_gets_as_much_time_again() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    first = _starved(life)
    assert (life.delivery.reason, first) == ("deadline_passed", timedelta(hours=3, minutes=15))
    life.wait(3600)
    life.retry()
    assert _starved(life) == schedule.GIVE_UP


def test_what_waits_after_a_failure_is_due_at_once() -> None:
    life = DeliveryScenario("borzo")
    life.place()
    life.book(Unavailable("down", retry_after=300))
    life.lines()
    assert life.retry()
    assert (life.reach(Step.BOOK), life.lines(), life.attempt.number) == (timedelta(), [], 1)


def test_what_waits_for_a_carrier_to_be_set_is_looked_at_at_once() -> None:
    life = DeliveryScenario("nobody")
    life.place()
    assert life.retry()
    assert (life.delivery.step, life.delivery.next_run_at) == (Step.ROUTE, life.now)


def test_an_older_attempt_that_lives_after_all_is_followed_and_nobody_else_is_sent(created: Make) -> None:
    life = created("borzo")
    life.see(news("failed"))
    life.retry()
    life.see(news("courier_assigned", reopens=True), attempt=life.delivery.attempts[0].id)
    assert life.state == ("courier_assigned", Step.TRACK, "borzo")
    assert not life.retry()


def test_a_doubtful_create_after_a_retry_may_be_made_once_more_like_any_first_one() -> None:
    life = turned_away("borzo")
    life.retry()
    life.book(Uncertain("timed out"))
    for _ in range(3):
        life.look_up()
    assert life.state == ("queued", Step.BOOK, "borzo")


# --- what is left alone -----------------------------------------------------------------------------------------------


def _doubted(life: DeliveryScenario) -> None:
    life.book(Uncertain("timed out"))


def _offered(life: DeliveryScenario) -> None:
    life.begin()
    at = life.attempt.pickup_at
    life.answer(Booked(news("awaiting_confirmation", ref="R"), Offer(at, at + timedelta(hours=1))))


def _wished(life: DeliveryScenario) -> None:
    life.book()
    life.ask_cancel()
    life.cancel()
    life.poll("cancelled")


def _with_items(life: DeliveryScenario) -> None:
    life.book()
    life.poll("picked_up", "failed")


def _delivered(life: DeliveryScenario) -> None:
    life.book()
    life.poll("delivered")


def _surplus(life: DeliveryScenario) -> None:
    life.book()
    first = life.attempt.id
    life.take(lifecycle.record_duplicates(life.delivery, first, ["R-2"], life.rules, life.now, Cause.POLL))
    life.see(news("failed"), attempt=first)


@pytest.mark.parametrize(
    ("come_to", "instead"),
    [
        (DeliveryScenario.begin, "borzo is being asked right now: wait for its answer"),
        (_doubted, "nobody knows whether borzo has it: say `order-sync resolve ID exists REF` or `absent`"),
        (_offered, "borzo offers another time: say `order-sync accept ID` or `deny ID`"),
        (DeliveryScenario.book, "borzo has it: `order-sync cancel ID` comes first"),
        (_surplus, "a courier too many is still out: stop that one first, `order-sync show ID` names it"),
        (_wished, "its cancel was wished: place it again as a new order"),
        (_with_items, "it is failed, and a courier has had the goods: telephone the carrier"),
        (_delivered, "it is delivered, and a courier has had the goods: telephone the carrier"),
    ],
)
def test_nothing_is_tried_again_beside_what_lives_or_is_done_and_it_is_said_what_to_do_instead(
    come_to: Callable[[DeliveryScenario], None], instead: str
) -> None:
    life = DeliveryScenario("borzo")
    life.place()
    come_to(life)
    before = life.delivery
    assert (life.retry(), life.delivery, kept(life)) == (False, before, instead)


def test_what_is_planned_for_later_keeps_its_time() -> None:
    life = DeliveryScenario("borzo", deliver_at="2026-11-21T20:00:00Z")
    life.place()
    assert (life.retry(), kept(life)) == (False, "it is planned: its carrier is asked at 2026-11-21T19:30:00Z")


def test_what_the_merchant_cancelled_at_the_carrier_itself_is_not_tried_again(created: Make) -> None:
    life = created("borzo")
    life.see(news("cancelled", cancelled_by="merchant"))
    assert kept(life) == "its cancel was wished: place it again as a new order"


def test_what_was_mended_after_a_refusal_is_what_is_tried_again() -> None:
    life = turned_away("borzo")
    life.change(dropoff=life.delivery.order.dropoff.model_copy(update={"street": "Nørregade 22"}))
    assert (life.state, life.lines()) == (("rejected", None, "borzo"), [])
    assert life.retry()
    assert (life.state, life.delivery.order.dropoff.street) == (("queued", Step.BOOK, "borzo"), "Nørregade 22")


def test_a_changed_order_is_what_is_tried_again(created: Make) -> None:
    life = created("borzo")
    life.change(notes="ring twice")
    life.carry(Refused(Reason.UNKNOWN))
    life.see(news("failed"))
    life.retry()
    life.book()
    assert (life.delivery.order.notes, life.delivery.attention) == ("ring twice", None)
    assert life.delivery.order != an_order()


def test_what_is_tried_again_while_its_store_is_unknown_has_a_time_of_its_own_once_it_is_known() -> None:
    life = DeliveryScenario("borzo")
    life.take(lifecycle.accept_order(life.delivery, None, None, life.rules, life.now))
    while not life.delivery.final:
        life.wait(3600)
        life.take(lifecycle.route(life.delivery, None, life.rules, life.now))
        life.take(lifecycle.fire_alarms(life.delivery, life.rules, life.now))
    life.wait(60)
    assert life.retry()
    life.take(lifecycle.route(life.delivery, life.store, life.rules, life.now))
    life.take(lifecycle.postpone(life.delivery, Unavailable("paused", account=True), life.rules, life.now))
    assert life.delivery.next_run_at is not None
    assert life.delivery.next_run_at > life.now
    assert life.state == ("queued", Step.BOOK, "borzo")


def test_a_later_order_that_is_tried_again_keeps_its_lead_time() -> None:
    life = DeliveryScenario("borzo", deliver_at=START + timedelta(hours=5))
    life.rules["borzo"] = replace(life.rules["borzo"], refuses=lambda *_: refused(Reason.UNSERVICEABLE))
    life.place()
    life.rules["borzo"] = RULES["borzo"]
    assert life.retry()
    assert life.reach(Step.BOOK) == timedelta(hours=5) - timedelta(minutes=life.store.lead_minutes)
