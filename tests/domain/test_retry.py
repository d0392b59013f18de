"""An operator's retry: what waits is due at once, and what ended is queued again, unless a courier may still come."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import START, TERMS, DeliveryScenario, an_order, observed, refused
from worker.carriers.port import Booked, Offer
from worker.domain import lifecycle, schedule
from worker.domain.delivery import Step
from worker.errors import Refused, Unavailable, Uncertain

Make = Callable[..., DeliveryScenario]


def refused_by_all(*carriers: str) -> DeliveryScenario:
    """Return a scenario in which every carrier has refused."""
    scenario = DeliveryScenario(*(carriers or ("borzo",)))
    scenario.place()
    for _ in carriers or ("borzo",):
        scenario.book(refused(Reason.CARRIER_CLOSED, "closed"))
    scenario.new_events()
    return scenario


def blocker(scenario: DeliveryScenario) -> str | None:
    return lifecycle.retry_blocker(scenario.delivery, scenario.now)


def test_a_rejected_delivery_is_queued_again_and_every_carrier_may_be_asked_again() -> None:
    scenario = refused_by_all("borzo", "cervo")
    scenario.wait(600)
    assert scenario.retry()
    assert scenario.new_events() == [
        "7 reopened rejected>queued (retry) [operator]",
        "8 status_changed rejected>queued (retry) [operator]",
    ]
    assert (scenario.state, scenario.wait_for(Step.BOOK)) == (("queued", Step.BOOK, "borzo"), timedelta())
    scenario.book(refused(Reason.CARRIER_CLOSED))
    assert scenario.state == ("queued", Step.BOOK, "cervo")
    scenario.book(Booked(observed("created", ref="R-9")))
    assert [each.number for each in scenario.delivery.attempts] == [1, 2, 3, 4]
    assert (scenario.delivery.status, scenario.delivery.reason) == ("created", None)


def test_a_carrier_that_refuses_again_is_not_asked_a_third_time() -> None:
    scenario = refused_by_all()
    scenario.retry()
    scenario.book(refused(Reason.CARRIER_CLOSED))
    assert scenario.state == ("rejected", None, "borzo")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("failed", {}),
        ("cancelled", {"cancelled_by": "carrier"}),
        ("cancelled", {"cancelled_by": "courier"}),
        ("cancelled", {}),
    ],
)
def test_a_delivery_that_its_carrier_ended_before_the_pickup_can_be_retried(
    created: Make, end: str, said: dict[str, str]
) -> None:
    scenario = created("borzo")
    scenario.poll("courier_assigned")
    scenario.observe(observed(end, reason=Reason.NO_COURIER, **said))
    assert scenario.retry()
    delivery = scenario.delivery
    assert (delivery.status, delivery.reason, delivery.cancelled_by, delivery.raw) == ("queued", None, None, None)
    scenario.book(Booked(observed("created", ref="R-2")))
    assert scenario.state == ("created", Step.TRACK, "borzo")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("O-13")
@pytest.mark.parametrize("by_status", [False, True])
def test_a_delivery_that_was_cancelled_after_its_rejection_is_not_retried(*, by_status: bool) -> None:
    scenario = refused_by_all()
    if by_status:
        assert scenario.receive_order(an_order(status=16, revision=2))
    else:
        assert scenario.request_cancel(cancelled_by="customer")
    assert (scenario.retry(), scenario.new_events(), scenario.delivery.status) == (False, [], "rejected")
    assert blocker(scenario) == "a cancel was requested: place the order again under a new id"


def _fail_until_rejected(scenario: DeliveryScenario) -> timedelta:
    """Fail every create until the delivery is rejected; return how long that took."""
    since = scenario.now
    while not scenario.delivery.final:
        if scenario.delivery.alarm_at == scenario.due_at:
            scenario.fire_alarms()
        else:
            scenario.begin_booking()
            scenario.answer_create(Unavailable("down", retry_after=600))
    return scenario.now - since


def test_a_delivery_rejected_for_its_deadline_gets_as_much_time_again() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    first = _fail_until_rejected(scenario)
    assert (scenario.delivery.reason, first) == ("deadline_passed", timedelta(hours=3, minutes=15))
    scenario.wait(3600)
    scenario.retry()
    assert _fail_until_rejected(scenario) == schedule.GIVE_UP


def test_a_create_that_waits_after_a_failure_is_due_at_once() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book(Unavailable("down", retry_after=300))
    scenario.new_events()
    assert scenario.retry()
    assert (scenario.wait_for(Step.BOOK), scenario.new_events(), scenario.attempt.number) == (timedelta(), [], 1)


def test_a_delivery_without_a_configured_carrier_is_routed_at_once() -> None:
    scenario = DeliveryScenario("nobody")
    scenario.place()
    assert scenario.retry()
    assert (scenario.delivery.step, scenario.delivery.next_run_at) == (Step.ROUTE, scenario.now)


def test_an_older_attempt_that_goes_on_after_a_retry_is_followed_instead(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("failed"))
    scenario.retry()
    scenario.observe(observed("courier_assigned", reopens=True), attempt=scenario.delivery.attempts[0].id)
    assert scenario.state == ("courier_assigned", Step.TRACK, "borzo")
    assert not scenario.retry()


def test_an_unknown_outcome_after_a_retry_may_be_resubmitted_like_the_first_one() -> None:
    scenario = refused_by_all("borzo")
    scenario.retry()
    scenario.book(Uncertain("timed out"))
    for _ in range(3):
        scenario.miss_lookup()
    assert scenario.state == ("queued", Step.BOOK, "borzo")


# --- what cannot be retried -------------------------------------------------------------------------------------------


def _unknown_outcome(scenario: DeliveryScenario) -> None:
    scenario.book(Uncertain("timed out"))


def _offered(scenario: DeliveryScenario) -> None:
    scenario.begin_booking()
    at = scenario.attempt.pickup_at
    scenario.answer_create(Booked(observed("awaiting_confirmation", ref="R"), Offer(at, at + timedelta(hours=1))))


def _cancelled(scenario: DeliveryScenario) -> None:
    scenario.book()
    scenario.request_cancel()
    scenario.cancel()
    scenario.poll("cancelled")


def _with_items(scenario: DeliveryScenario) -> None:
    scenario.book()
    scenario.poll("picked_up", "failed")


def _delivered(scenario: DeliveryScenario) -> None:
    scenario.book()
    scenario.poll("delivered")


def _surplus(scenario: DeliveryScenario) -> None:
    scenario.book()
    first = scenario.attempt.id
    scenario.apply(
        lifecycle.record_duplicates(scenario.delivery, first, ["R-2"], scenario.terms, scenario.now, Cause.POLL)
    )
    scenario.observe(observed("failed"), attempt=first)


@pytest.mark.parametrize(
    ("reach", "advice"),
    [
        (DeliveryScenario.begin_booking, "borzo is being asked now: wait for the answer"),
        (_unknown_outcome, "borzo may have the order: run `order-sync resolve ID exists REF` or `absent`"),
        (_offered, "borzo offers another time: run `order-sync accept ID` or `deny ID`"),
        (DeliveryScenario.book, "borzo has the order: run `order-sync cancel ID` first"),
        (_surplus, "a surplus courier is still out: cancel that order first, `order-sync show ID` shows it"),
        (_cancelled, "a cancel was requested: place the order again under a new id"),
        (_with_items, "the delivery is failed, and a courier has had the goods: call the carrier"),
        (_delivered, "the delivery is delivered, and a courier has had the goods: call the carrier"),
    ],
)
def test_a_retry_that_could_bring_a_second_courier_is_refused_with_advice(
    reach: Callable[[DeliveryScenario], None], advice: str
) -> None:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    reach(scenario)
    before = scenario.delivery
    assert (scenario.retry(), scenario.delivery, blocker(scenario)) == (False, before, advice)


def test_a_delivery_planned_for_later_cannot_be_retried() -> None:
    scenario = DeliveryScenario("borzo", deliver_at="2026-11-21T20:00:00Z")
    scenario.place()
    assert (scenario.retry(), blocker(scenario)) == (
        False,
        "the delivery is planned: its carrier is asked at 2026-11-21T19:30:00Z",
    )


def test_a_delivery_that_the_merchant_cancelled_at_the_carrier_cannot_be_retried(created: Make) -> None:
    scenario = created("borzo")
    scenario.observe(observed("cancelled", cancelled_by="merchant"))
    assert blocker(scenario) == "a cancel was requested: place the order again under a new id"


def test_an_order_corrected_after_a_refusal_is_retried_as_corrected() -> None:
    scenario = refused_by_all("borzo")
    scenario.change_order(dropoff=scenario.delivery.order.dropoff.model_copy(update={"street": "Nørregade 22"}))
    assert (scenario.state, scenario.new_events()) == (("rejected", None, "borzo"), [])
    assert scenario.retry()
    assert (scenario.state, scenario.delivery.order.dropoff.street) == (("queued", Step.BOOK, "borzo"), "Nørregade 22")


def test_a_changed_order_is_retried_as_changed(created: Make) -> None:
    scenario = created("borzo")
    scenario.change_order(notes="ring twice")
    scenario.amend(Refused(Reason.UNKNOWN))
    scenario.observe(observed("failed"))
    scenario.retry()
    scenario.book()
    assert (scenario.delivery.order.notes, scenario.delivery.attention) == ("ring twice", None)
    assert scenario.delivery.order != an_order()


def test_a_retry_with_an_unknown_store_gets_its_own_dispatch_time_once_the_store_is_known() -> None:
    scenario = DeliveryScenario("borzo")
    scenario.apply(lifecycle.accept_order(scenario.delivery, None, None, scenario.terms, scenario.now))
    while not scenario.delivery.final:
        scenario.wait(3600)
        scenario.apply(lifecycle.route(scenario.delivery, None, scenario.terms, scenario.now))
        scenario.apply(lifecycle.fire_alarms(scenario.delivery, scenario.terms, scenario.now))
    scenario.wait(60)
    assert scenario.retry()
    scenario.apply(lifecycle.route(scenario.delivery, scenario.store, scenario.terms, scenario.now))
    scenario.apply(
        lifecycle.postpone(scenario.delivery, Unavailable("paused", account=True), scenario.terms, scenario.now)
    )
    assert scenario.delivery.next_run_at is not None
    assert scenario.delivery.next_run_at > scenario.now
    assert scenario.state == ("queued", Step.BOOK, "borzo")


def test_a_retried_order_for_later_keeps_its_lead_time() -> None:
    scenario = DeliveryScenario("borzo", deliver_at=START + timedelta(hours=5))
    scenario.terms["borzo"] = replace(scenario.terms["borzo"], refuses=lambda *_: refused(Reason.UNSERVICEABLE))
    scenario.place()
    scenario.terms["borzo"] = TERMS["borzo"]
    assert scenario.retry()
    assert scenario.wait_for(Step.BOOK) == timedelta(hours=5) - timedelta(minutes=scenario.store.lead_minutes)
