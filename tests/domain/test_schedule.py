"""Times and intervals: the codecs' own cadences, grids, jitter and backoff."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from schemas.order import Order
from schemas.status import DeliveryStatus
from tests.domain.scenario import CAPABILITIES, START, TERMS, a_store, an_order
from worker.carriers.borzo import Borzo, BorzoAccount
from worker.carriers.port import Cadence
from worker.domain import schedule
from worker.domain.carrier_terms import CarrierTerms

MINUTE = timedelta(minutes=1)


def look(
    terms: CarrierTerms,
    status: str = "created",
    *,
    now: datetime = START,
    age: float = 60,
    quiet: float = 60,
    ahead: float = 0,
    key: str = "d",
) -> datetime:
    """Return the next read; ages in seconds before `now`, the pickup in seconds after it."""
    return schedule.next_read(
        terms.capabilities.cadence,
        terms.scale,
        DeliveryStatus(status),
        now=now,
        since=now - timedelta(seconds=age),
        changed_at=now - timedelta(seconds=quiet),
        pickup=now + timedelta(seconds=ahead),
        account="account",
        key=key,
    )


def interval(terms: CarrierTerms, status: str, *, age: float = 60, quiet: float = 60, ahead: float = 0) -> float:
    """Return the seconds between reads: the mean over many deliveries, or the distance of two grid points."""
    if terms.capabilities.cadence.aligned:
        slot = look(terms, status, age=age, quiet=quiet, ahead=ahead)
        return (look(terms, status, now=slot, age=age, quiet=quiet, ahead=ahead) - slot).total_seconds()
    waits = [
        (look(terms, status, age=age, quiet=quiet, ahead=ahead, key=str(key)) - START).total_seconds()
        for key in range(2000)
    ]
    return round(sum(waits) / len(waits))


CADENCES = {
    # carrier: fresh, assigned but young, assigned and older than ten minutes, pickup more than an hour away
    "cervo": (20, 20, 45, 120),
    "borzo": (60, 60, 60, 300),
    "deliverit": (30, 30, 30, 60),
}


@pytest.mark.quirk("C-61", "D-65", "B-87")
@pytest.mark.parametrize("carrier", CADENCES)
def test_each_carrier_is_read_at_its_documented_cadence(carrier: str) -> None:
    terms = TERMS[carrier]
    assert CADENCES[carrier] == (
        interval(terms, "created", age=3600),
        interval(terms, "courier_assigned", age=599),
        interval(terms, "courier_assigned", age=601),
        interval(terms, "created", ahead=3601),
    )


@pytest.mark.parametrize("carrier", CADENCES)
def test_the_poll_interval_scales_every_cadence(carrier: str) -> None:
    plain = TERMS[carrier]
    quick = CarrierTerms(plain.capabilities, poll_interval=plain.poll_interval / 10)
    ways: list[dict[str, float]] = [{}, {"age": 3600}, {"ahead": 7200}, {"quiet": 2 * 3600}, {"quiet": 24 * 3600}]
    for way in ways:
        assert interval(quick, "picked_up", **way) == pytest.approx(interval(plain, "picked_up", **way) / 10, abs=0.5)


@pytest.mark.quirk("C-61")
def test_an_unchanged_delivery_is_read_ever_more_rarely_down_to_the_ceiling() -> None:
    hours = [interval(TERMS["cervo"], "picked_up", age=9 * 3600, quiet=hour * 3600) for hour in (0.9, 1, 2, 4, 8, 48)]
    assert hours == [45, 68, 101, 228, 300, 300]


def test_a_ceiling_below_the_cadence_never_makes_reads_more_frequent() -> None:
    cadence = Cadence(fresh=20, moving=45, ahead=120, ceiling=30)
    slow = CarrierTerms(replace(CAPABILITIES["cervo"], cadence=cadence), poll_interval=20)
    assert interval(slow, "picked_up", age=9 * 3600, quiet=8 * 3600) == 45


@pytest.mark.fault("F-62")
@pytest.mark.quirk("D-65")
@pytest.mark.parametrize("carrier", ["borzo", "deliverit"])
def test_the_reads_of_one_account_coincide(carrier: str) -> None:
    terms = TERMS[carrier]
    grid = timedelta(seconds=terms.poll_interval)
    reads = [look(terms, now=START + timedelta(seconds=second), key=str(second)) for second in range(600)]
    assert {(one - reads[0]) % grid for one in reads} == {timedelta()}
    assert all(one < other + grid for one, other in pairwise(reads))


@pytest.mark.parametrize("carrier", ["borzo", "deliverit"])
@pytest.mark.parametrize("late", [0, 0.3, 5])
def test_reads_that_start_late_keep_the_distance_of_the_interval(carrier: str, late: float) -> None:
    terms = TERMS[carrier]
    reads = [look(terms)]
    for _ in range(20):
        reads.append(look(terms, now=reads[-1] + timedelta(seconds=late)))
    assert {after - before for before, after in pairwise(reads)} == {timedelta(seconds=terms.poll_interval)}


@pytest.mark.parametrize("carrier", CADENCES)
def test_the_next_read_is_always_in_the_future(carrier: str) -> None:
    moments = [START + timedelta(seconds=7.3 * step) for step in range(100)]
    assert all(look(TERMS[carrier], now=moment, key=str(moment)) > moment for moment in moments)


@pytest.mark.quirk("X-13")
def test_two_accounts_have_different_grids() -> None:
    terms = TERMS["deliverit"]
    phases = {
        schedule.next_read(
            terms.capabilities.cadence,
            1,
            DeliveryStatus.CREATED,
            now=START,
            since=START,
            changed_at=START,
            pickup=START,
            account=account,
            key="d",
        )
        for account in ("deliverit-odense", "deliverit-aarhus")
    }
    assert len(phases) == 2


@pytest.mark.quirk("X-13")
def test_jitter_is_a_fifth_each_way_and_covers_its_range() -> None:
    waits = [(look(TERMS["cervo"], key=str(key)) - START).total_seconds() for key in range(2000)]
    assert all(16 <= wait <= 24 for wait in waits)
    assert min(waits) < 16.2
    assert max(waits) > 23.8


def test_jitter_is_the_same_every_time_for_one_delivery() -> None:
    assert {look(TERMS["cervo"], key="d") for _ in range(10)} == {look(TERMS["cervo"], key="d")}


def test_a_fraction_is_the_same_on_every_machine() -> None:
    assert schedule.fraction("delivery", 3) == 0.6249704373500247
    assert all(0 <= schedule.fraction(key) < 1 for key in range(1000))


@pytest.mark.quirk("X-12")
@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 4), (2, 8), (3, 16), (4, 32), (7, 256), (8, 300), (20, 300), (10_000, 300)]
)
def test_backoff_has_full_jitter_below_a_doubling_ceiling(failures: int, ceiling: float) -> None:
    waits = [schedule.backoff(failures, str(key)).total_seconds() for key in range(500)]
    assert all(1 <= wait <= ceiling for wait in waits)
    assert min(waits) < max(1.0, ceiling * 0.02) + 0.001
    assert max(waits) > ceiling * 0.98


def test_backoff_is_never_shorter_than_the_carrier_requests() -> None:
    assert schedule.backoff(1, "d", retry_after=120.0) == timedelta(seconds=120)


@pytest.mark.parametrize("asked", [None, 0.0, -5.0])
def test_backoff_ignores_a_useless_retry_after(asked: float | None) -> None:
    assert schedule.backoff(9, "d", retry_after=asked) == schedule.backoff(9, "d")


def test_the_pickup_is_when_the_food_is_ready() -> None:
    order = an_order(ready_at="2026-11-21T18:10:00+01:00", deliver_at="2026-11-21T20:00:00+01:00")
    assert schedule.pickup_time(order, a_store("cervo"), START) == datetime(2026, 11, 21, 17, 10, tzinfo=UTC)


@pytest.mark.quirk("D-15")
def test_the_pickup_of_a_later_delivery_leaves_time_for_the_journey() -> None:
    order = an_order(deliver_at="2026-11-21T20:00:00+01:00")
    assert schedule.pickup_time(order, a_store("cervo", travel_minutes=20), START) == START + 100 * MINUTE


def test_the_pickup_as_soon_as_possible_leaves_time_for_the_kitchen() -> None:
    assert schedule.pickup_time(an_order(), a_store("cervo", prep_minutes=12), START) == START + 12 * MINUTE


@pytest.mark.parametrize(
    "order",
    [
        an_order(ready_at="2026-11-21T16:00:00Z"),
        an_order(deliver_at="2026-11-21T17:05:00Z"),
        an_order(deliver_at="2026-11-21T16:00:00Z"),
    ],
)
def test_the_pickup_is_never_in_the_past(order: Order) -> None:
    assert schedule.pickup_time(order, a_store("cervo"), START) == START


def test_an_order_for_now_is_dispatched_now() -> None:
    assert schedule.dispatch_time(an_order(), a_store("cervo"), START) == START


def test_an_order_for_later_is_dispatched_the_lead_time_before() -> None:
    order = an_order(deliver_at="2026-11-21T20:00:00+01:00")
    assert schedule.dispatch_time(order, a_store("cervo", lead_minutes=45), START) == START + 75 * MINUTE


def test_an_order_whose_lead_time_has_begun_is_dispatched_now() -> None:
    order = an_order(deliver_at="2026-11-21T17:20:00Z")
    assert schedule.dispatch_time(order, a_store("cervo", lead_minutes=30), START) == START


@pytest.mark.quirk("B-87")
@pytest.mark.parametrize(("quiet", "seconds"), [(300, 300), (599, 300), (601, 60), (3599, 60)])
def test_a_courier_without_callbacks_for_ten_minutes_is_read_more_often(quiet: float, seconds: float) -> None:
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
