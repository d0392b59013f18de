"""A courier too many: told once, cancelled through the same verb, and left to a person when that fails."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, news, refused
from worker.carriers.port import Booked
from worker.domain import lifecycle
from worker.domain.delivery import Attempt, Step
from worker.errors import CarrierError, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]


def two(life: DeliveryScenario, *refs: str) -> None:
    """Let a look-up of the followed attempt find further orders with its tag."""
    life.take(lifecycle.record_duplicates(life.delivery, 1, refs, life.rules, life.now, Cause.RECONCILE))


def surplus(life: DeliveryScenario) -> Attempt:
    (found,) = (each for each in life.delivery.attempts if each.surplus)
    return found


@pytest.fixture
def doubled(created: Make) -> DeliveryScenario:
    """A life whose carrier was found to have made two orders of one."""
    life = created("borzo", "cervo")
    two(life, "R-2")
    return life


def cancel(life: DeliveryScenario, outcome: CarrierError | None = None) -> None:
    """Ask for the courier too many to be cancelled, when that is due."""
    extra = surplus(life)
    assert life.turn == (Step.CANCEL, extra.number)
    life.reach_turn()
    life.take(lifecycle.begin_call(life.delivery, Step.CANCEL, life.rules, life.now))
    life.take(lifecycle.apply_cancel_outcome(life.delivery, extra.id, outcome, life.rules, life.now))


def read(life: DeliveryScenario, saw: str | None) -> float:
    """Read the courier too many when that is due, and the other one on the way; tell the seconds that passed."""
    since, extra = life.now, surplus(life)
    while life.turn != (Step.TRACK, extra.number):
        life.reach_turn()
        life.see(news(life.delivery.status), attempt=1)
    life.reach_turn()
    if saw is None:
        life.take(lifecycle.record_missing(life.delivery, extra.id, life.rules, life.now))
    else:
        life.see(news(saw), attempt=extra.id)
    return (life.now - since).total_seconds()


@pytest.mark.quirk("D-60", "B-60")
def test_a_second_order_with_our_tag_is_told_and_cancelled(doubled: DeliveryScenario) -> None:
    assert doubled.lines() == ["3 conflict queued>created 'duplicate' at borzo#2 [reconcile]"]
    cancel(doubled)
    read(doubled, "cancelled")
    assert doubled.lines() == ["4 attempt_ended queued>created at borzo#2 [poll]"]
    assert (doubled.state, doubled.delivery.attention) == (("created", Step.TRACK, "borzo"), None)


def test_a_second_order_is_taken_in_once(doubled: DeliveryScenario) -> None:
    two(doubled, "R-2", "R-1")
    two(doubled, "R-2")
    assert [(each.ref, each.surplus) for each in doubled.delivery.attempts] == [("R-1", False), ("R-2", True)]
    assert len(doubled.lines()) == 1


def test_the_id_of_what_we_never_made_follows_from_the_carriers_own_and_fits_into_a_tag() -> None:
    known = [lifecycle.surplus.duplicate_id("borzo", str(each)) for each in range(1000)]
    assert len(set(known)) == 1000
    assert all(0 <= each < 2**53 for each in known)
    assert lifecycle.surplus.duplicate_id("cervo", "1") != known[1]


def test_the_courier_too_many_never_describes_the_delivery(doubled: DeliveryScenario) -> None:
    doubled.see(news("pickup_arrived", tracking_url="https://x.org"), attempt=surplus(doubled).id)
    assert (doubled.state, doubled.delivery.tracking_url) == (("created", Step.TRACK, "borzo"), None)
    assert surplus(doubled).state == "pickup_arrived"


def test_a_cancel_that_is_refused_is_left_to_a_person_and_watched(doubled: DeliveryScenario) -> None:
    doubled.lines()
    cancel(doubled, refused(Reason.UNKNOWN, "too late"))
    assert doubled.lines() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [response]"]
    assert read(doubled, "created") >= 600
    read(doubled, "cancelled")
    assert (surplus(doubled).live, doubled.delivery.attention) == (False, None)


def test_a_cancel_that_no_read_confirms_is_left_to_a_person(doubled: DeliveryScenario) -> None:
    doubled.lines()
    cancel(doubled)
    asked = doubled.now
    waits = [read(doubled, "courier_assigned") for _ in range(5)]
    assert [round(wait) for wait in waits] == [5, 30, 120, 600, 600]
    assert doubled.lines() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [poll]"]
    assert surplus(doubled).cancel_requested_at == asked


def test_a_cancel_that_was_not_sent_is_tried_again_soon_and_the_other_courier_is_followed(
    doubled: DeliveryScenario,
) -> None:
    for _ in range(3):
        cancel(doubled, Unavailable("down"))
        assert (doubled.state, doubled.delivery.retry_at) == (("created", Step.TRACK, "borzo"), None)
    assert surplus(doubled).wait_until == doubled.now + timedelta(seconds=30)


def test_a_courier_too_many_whose_carrier_cannot_be_reached_is_left_to_a_person_within_minutes(
    doubled: DeliveryScenario,
) -> None:
    doubled.lines()
    since = doubled.now
    while doubled.delivery.attention is None:
        cancel(doubled, Unavailable("down"))
        doubled.see(news("created"), attempt=1)
    assert doubled.lines() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [response]"]
    assert doubled.now - since == timedelta(minutes=5)
    cancel(doubled)
    read(doubled, "cancelled")
    assert doubled.delivery.attention is None


@pytest.mark.parametrize("late", ["answer", "look-up"])
def test_late_news_of_the_courier_too_many_does_not_put_it_in_the_place_of_the_one_that_is_followed(
    doubled: DeliveryScenario, late: str
) -> None:
    seen = news("courier_assigned", ref="R-2")
    if late == "answer":
        doubled.answer(Booked(seen), attempt=1)
    else:
        doubled.see(seen, cause=Cause.RECONCILE, attempt=1)
    two(doubled, "R-1")
    assert [(each.ref, each.surplus, each.state) for each in doubled.delivery.attempts] == [
        ("R-1", False, "created"),
        ("R-2", True, "courier_assigned"),
    ]


def test_a_cancel_in_doubt_is_asked_again_only_after_a_read(doubled: DeliveryScenario) -> None:
    cancel(doubled, Uncertain("no answer"))
    read(doubled, None)
    assert doubled.turn[0] is Step.TRACK
    read(doubled, "created")
    cancel(doubled)
    assert (surplus(doubled).cancel_requests, surplus(doubled).cancel_accepted) == (2, True)


def test_a_courier_too_many_who_has_the_goods_is_not_cancelled(doubled: DeliveryScenario) -> None:
    doubled.lines()
    doubled.see(news("picked_up"), attempt=surplus(doubled).id)
    assert doubled.lines() == ["4 attention_required queued>created 'surplus_courier' at borzo#2 [poll]"]
    assert doubled.turn != (Step.CANCEL, 2)


def test_a_delivery_that_is_over_goes_on_until_its_courier_too_many_is_gone(doubled: DeliveryScenario) -> None:
    doubled.see(news("delivered"), attempt=1)
    assert doubled.state == ("delivered", None, "borzo")
    cancel(doubled)
    doubled.reach_turn()
    doubled.see(news("cancelled"), attempt=surplus(doubled).id)
    assert doubled.turn == (Step.TRACK, 1)


def test_a_courier_too_many_of_whom_nothing_is_heard_for_a_day_is_left_to_the_person() -> None:
    life = DeliveryScenario("cervo")
    life.place()
    life.book()
    life.poll("delivered")
    two(life, "R-2")
    cancel(life, refused(Reason.UNKNOWN, "no"))
    reads = 0
    while life.delivery.next_run_at is not None:
        life.reach_turn()
        on_turn = life.delivery.step_attempt
        assert on_turn is not None
        life.take(lifecycle.record_missing(life.delivery, on_turn.id, life.rules, life.now))
        reads += 1
    assert (reads, life.delivery.attention) == (144 + 2, "surplus_courier")


def test_a_carrier_where_one_is_too_many_is_not_asked_again(created: Make) -> None:
    life = created("borzo", "cervo")
    life.poll("cancelled")
    life.book()
    life.see(news("created", reopens=True), attempt=1)
    life.see(news("cancelled"), attempt=2)
    assert (life.delivery.status, life.delivery.final) == ("cancelled", True)


def test_a_courier_too_many_whose_account_left_the_settings_keeps_nothing_open(doubled: DeliveryScenario) -> None:
    doubled.rules = {"cervo": doubled.rules["cervo"]}
    doubled.take(lifecycle.postpone(doubled.delivery, Unavailable("no account"), doubled.rules, doubled.now))
    assert doubled.delivery.attention == "surplus_courier"
    doubled.see(news("courier_assigned"), attempt=1)
    assert doubled.turn == (Step.TRACK, 1)
