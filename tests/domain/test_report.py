"""The carriers' report counts what real sequences of events say, and nothing that they do not say."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import START, DeliveryScenario, observed, refused
from worker.carriers.port import Booked, Price
from worker.domain.delivery import Delivery, Event
from worker.domain.report import (
    MILESTONES,
    AttemptEvent,
    By,
    Figures,
    Group,
    Milestone,
    Report,
    Spread,
    quantile,
    spread,
)
from worker.domain.report_builder import ReportBuilder
from worker.errors import Uncertain

COPENHAGEN = {"17": ZoneInfo("Europe/Copenhagen")}
PICKUP_AT = START + timedelta(minutes=30)
"""When the courier of a scenario should be at the store."""


def read(delivery: Delivery, event: Event) -> AttemptEvent:
    """Return what the report reads of an event of a delivery."""
    data = event.data
    picks_up = MILESTONES.get(data.status) is Milestone.PICKUP
    return AttemptEvent(
        type=event.type,
        delivery_id=delivery.id,
        sequence=data.sequence,
        store_id=data.store_id,
        status=data.status,
        previous_status=data.previous_status,
        carrier=data.carrier,
        attempt=data.attempt,
        cause=Cause(data.cause),
        observed_at=data.observed_at,
        occurred_at=data.occurred_at,
        reason=Reason(data.reason) if data.reason else None,
        cancelled_by=data.cancelled_by,
        raw=f"{data.raw.entity}:{data.raw.code}" if data.raw else None,
        price=(data.price.currency, data.price.amount) if data.price else None,
        pickup_at=PICKUP_AT if picks_up else None,
    )


def report(*scenarios: DeliveryScenario) -> Report:
    builder = ReportBuilder(COPENHAGEN)
    for scenario in scenarios:
        for event in scenario.events:
            builder.add(read(scenario.delivery, event))
    return builder.build()


def figures(*scenarios: DeliveryScenario, carrier: str = "borzo") -> Figures:
    return report(*scenarios).groups[Group(By.CARRIER, "", carrier)]


def placed(*carriers: str) -> DeliveryScenario:
    scenario = DeliveryScenario(*carriers)
    scenario.place()
    return scenario


def deliver(scenario: DeliveryScenario, *, cause: Cause = Cause.POLL) -> None:
    """Let the courier be assigned after 5 minutes, have the goods after 40 and be at the door after 55."""
    for minutes, status in ((5, "courier_assigned"), (35, "picked_up"), (15, "delivered")):
        scenario.wait(60 * minutes)
        scenario.observe(observed(status), cause=cause)


def test_an_order_that_was_delivered_has_its_minutes_and_its_lateness() -> None:
    scenario = placed()
    scenario.book(Booked(observed("created", ref="R-1", price=Price(Decimal("89.50"), "DKK"))))
    began = scenario.now
    deliver(scenario)
    late = round((began + timedelta(minutes=40) - PICKUP_AT) / timedelta(minutes=1))
    assert figures(scenario) == Figures(
        offered=1,
        accepted=1,
        ended=Counter(delivered=1),
        minutes={
            Milestone.COURIER: Counter([5]),
            Milestone.PICKUP: Counter([40]),
            Milestone.DOOR: Counter([55]),
        },
        late=Counter([late]),
        times=3,
        estimated=3,
        by_read=3,
        prices=Counter([("DKK", Decimal("89.50"))]),
    )


def test_the_carriers_own_time_counts_before_the_time_of_our_read() -> None:
    scenario = placed()
    scenario.book()
    began = scenario.now
    scenario.wait(600)
    scenario.observe(observed("courier_assigned", occurred_at=began + timedelta(minutes=4)))
    scenario.observe(observed("picked_up", occurred_at=scenario.now + timedelta(hours=2)))
    scenario.observe(observed("delivered"))
    found = figures(scenario)
    assert found.minutes == {
        Milestone.COURIER: Counter([4]),
        Milestone.PICKUP: Counter([10]),  # a carrier's time in the future is wrong
        Milestone.DOOR: Counter([10]),
    }
    assert (found.times, found.estimated, found.estimated_share) == (3, 1, 1 / 3)


def test_an_order_that_has_not_ended_counts_in_no_minutes() -> None:
    scenario = placed()
    scenario.book()
    scenario.poll("courier_assigned")
    assert figures(scenario) == Figures(offered=1, accepted=1, by_read=1)


def test_a_refusal_is_counted_by_its_reason_and_the_next_carrier_is_offered_the_order() -> None:
    scenario = placed("borzo", "cervo")
    scenario.book(refused(Reason.NO_COURIER))
    scenario.book()
    deliver(scenario)
    assert figures(scenario) == Figures(offered=1, ended=Counter(refused=1), refused=Counter(no_courier=1))
    cervo = figures(scenario, carrier="cervo")
    assert (cervo.offered, cervo.accepted, cervo.ended, cervo.minutes[Milestone.DOOR]) == (
        1,
        1,
        Counter(delivered=1),
        Counter([55]),
    )


def test_every_carrier_that_refuses_in_a_row_is_counted() -> None:
    scenario = placed("borzo", "cervo", "deliverit")
    for _ in range(3):
        scenario.book(refused())
    found = report(scenario).by(By.CARRIER)
    assert [(group.carrier, each.offered, each.refused) for group, each in found] == [
        (name, 1, Counter(validation=1)) for name in ("borzo", "cervo", "deliverit")
    ]


def test_an_unknown_outcome_is_counted_once_and_the_order_as_accepted_when_it_is_found() -> None:
    scenario = placed()
    scenario.book(Uncertain("no answer"))
    scenario.resolve("R-1")
    deliver(scenario)
    found = figures(scenario)
    assert (found.offered, found.unknown, found.accepted, found.unknown_per_thousand) == (1, 1, 1, 1000)
    assert found.ended == Counter(delivered=1)


def test_an_order_that_the_carrier_never_had_was_not_accepted() -> None:
    scenario = placed()
    scenario.book(Uncertain("no answer"))
    scenario.resolve(None)
    found = figures(scenario)
    assert (found.offered, found.unknown, found.accepted) == (1, 1, 0)
    assert (found.ended, found.refused) == (Counter(refused=1), Counter(never_created=1))


def test_a_cancelled_order_is_counted_by_who_cancelled_it() -> None:
    by_courier, by_shop = placed("borzo", "cervo"), placed()
    by_courier.book()
    by_courier.observe(observed("cancelled", cancelled_by="courier"))
    by_shop.book()
    by_shop.request_cancel(cancelled_by="merchant")
    by_shop.cancel()
    by_shop.poll("cancelled")
    assert figures(by_courier).cancelled == Counter(courier=1)
    assert figures(by_shop).cancelled == Counter(merchant=1)
    assert figures(by_courier, by_shop).ended == Counter(cancelled=2)


def test_the_end_of_a_second_order_of_a_refused_attempt_is_no_offer() -> None:
    scenario = placed("borzo", "cervo")
    scenario.book(refused())
    scenario.begin_booking()
    scenario.observe(observed("created", ref="R-1"), attempt=1)
    scenario.observe(observed("cancelled", ref="R-1"), attempt=1)
    assert [line.split(" ")[1] for line in scenario.new_events()][-2:] == ["conflict", "attempt_ended"]
    assert figures(scenario).offered == 1


def test_statuses_are_counted_by_how_they_came_and_late_callbacks_by_the_carriers_time() -> None:
    scenario = placed()
    scenario.book()
    scenario.wait(600)
    times = {
        "courier_assigned": scenario.now - timedelta(seconds=119),
        "picked_up": scenario.now - timedelta(minutes=2),
    }
    for status, at in times.items():
        scenario.observe(observed(status, occurred_at=at), cause=Cause.CALLBACK)
    scenario.observe(observed("delivered", occurred_at=scenario.now - timedelta(hours=1)))
    found = figures(scenario)
    assert (found.by_callback, found.by_read, found.late_callbacks) == (2, 1, 1)


def test_unmapped_statuses_are_counted() -> None:
    scenario = placed()
    scenario.book()
    scenario.observe(observed(None, "teleported"))
    assert figures(scenario).unmapped == Counter({"order:teleported": 1})


def test_prices_of_different_currencies_are_never_added() -> None:
    found = Figures(prices=Counter({("DKK", Decimal(80)): 2, ("DKK", Decimal(99)): 1, ("EUR", Decimal("9.5")): 1}))
    assert found.median_prices == {"DKK": (Decimal(80), 3), "EUR": (Decimal("9.5"), 1)}


def test_an_order_counts_at_its_store_and_in_the_hour_of_the_stores_day() -> None:
    scenario = placed()
    scenario.book()
    found = report(scenario)
    assert [group for group, _ in found.by(By.STORE)] == [Group(By.STORE, "17", "borzo")]
    assert [group for group, _ in found.by(By.HOUR)] == [Group(By.HOUR, "18", "borzo")]  # 17 o'clock in UTC


def test_an_attempt_that_began_before_the_first_event_is_left_out() -> None:
    scenario = placed()
    scenario.book()
    scenario.poll("courier_assigned")
    earlier = len(scenario.events)
    deliver(scenario)
    builder = ReportBuilder()
    for event in scenario.events[earlier:]:
        builder.add(read(scenario.delivery, event))
    assert builder.build() == Report({})


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([3], Spread(1, 3, 3)), ([4, 1, 2, 3], Spread(4, 2, 4)), (range(1, 101), Spread(100, 50, 90))],
)
def test_the_median_and_the_90th_percentile_are_values_that_occurred(
    values: list[int], expected: Spread | None
) -> None:
    assert spread(Counter(values)) == expected


def test_an_empty_group_has_no_shares() -> None:
    found = Figures()
    assert (found.accepted_share, found.unknown_per_thousand, found.estimated_share) == (None, None, None)
    with pytest.raises(ValueError, match="no values"):
        quantile(Counter[int](), 50)


def test_a_store_without_a_known_zone_counts_in_utc() -> None:
    assert datetime(2026, 11, 21, 17, tzinfo=UTC) == START
    scenario = placed()
    scenario.book()
    builder = ReportBuilder()
    for event in scenario.events:
        builder.add(read(scenario.delivery, event))
    assert builder.build().groups[Group(By.HOUR, "17", "borzo")].offered == 1
