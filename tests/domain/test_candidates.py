"""How well the orders in a carrier's list fit a create with an unknown outcome, and why."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product

import pytest

from tests.domain.scenario import START, DeliveryScenario
from worker.carriers.abilities import ListedOrder
from worker.carriers.comparison import Comparison
from worker.carriers.port import Price
from worker.domain import candidates
from worker.domain.candidates import BY_CUSTOMER, Candidate, CarrierSearch, Fit, Owners
from worker.errors import Uncertain

MATCHES, DIFFERS, NOT_SHOWN = Comparison
LISTED = ListedOrder(
    ref="1250032",
    status="available",
    created_at=START + timedelta(seconds=3),
    pickup_at=None,
    price=Price(Decimal(18), "BRL"),
    attempt_ids=frozenset(),
    phone=MATCHES,
    address=MATCHES,
)


@pytest.fixture
def scenario() -> DeliveryScenario:
    """Return a delivery whose create has an unknown outcome."""
    unknown = DeliveryScenario("borzo")
    unknown.place()
    unknown.book(Uncertain("timed out"))
    return unknown


def rated(scenario: DeliveryScenario, *listed: ListedOrder, owners: Owners | None = None) -> list[Candidate]:
    near = candidates.listed_near(scenario.attempt, listed)
    return list(candidates.rate(scenario.attempt, near, owners or Owners()))


def rating(scenario: DeliveryScenario, listed: ListedOrder) -> tuple[Fit, tuple[str, ...]]:
    (candidate,) = rated(scenario, listed)
    return candidate.fit, candidate.why


def test_every_result_of_the_two_comparisons_has_a_fit() -> None:
    assert set(BY_CUSTOMER) == set(product(Comparison, repeat=2))


def test_an_order_with_our_reference_is_the_same_whatever_else_differs(scenario: DeliveryScenario) -> None:
    other = replace(LISTED, attempt_ids=frozenset({1, 2}), phone=DIFFERS, address=DIFFERS, created_at=START)
    assert rating(scenario, other) == (Fit.SAME, ("it carries our reference",))


def test_an_order_with_another_reference_is_unlikely_whatever_matches(scenario: DeliveryScenario) -> None:
    other = replace(LISTED, attempt_ids=frozenset({2}))
    assert rating(scenario, other) == (Fit.UNLIKELY, ("it carries the reference of another attempt",))


@pytest.mark.parametrize(
    ("listed", "fit", "why"),
    [
        (
            LISTED,
            Fit.LIKELY,
            ("phone number matches", "address matches", "created 3 s after our create"),
        ),
        (
            replace(LISTED, pickup_address=MATCHES, created_at=START - timedelta(seconds=90)),
            Fit.LIKELY,
            ("phone number matches", "address matches", "pickup address matches", "created 1 min before our create"),
        ),
        (
            replace(LISTED, created_at=START + timedelta(minutes=9)),
            Fit.POSSIBLE,
            ("phone number matches", "address matches", "created 9 min after our create"),
        ),
        (
            replace(LISTED, pickup_address=DIFFERS),
            Fit.POSSIBLE,
            ("phone number matches", "address matches", "pickup address differs", "created 3 s after our create"),
        ),
        (
            replace(LISTED, pickup_address=DIFFERS, created_at=START + timedelta(minutes=9)),
            Fit.UNLIKELY,
            ("phone number matches", "address matches", "pickup address differs", "created 9 min after our create"),
        ),
        (
            replace(LISTED, phone=NOT_SHOWN, address=NOT_SHOWN, created_at=None),
            Fit.POSSIBLE,
            ("phone number not shown", "address not shown", "time of creation not shown"),
        ),
        (
            replace(LISTED, phone=DIFFERS, address=DIFFERS),
            Fit.UNLIKELY,
            ("phone number differs", "address differs", "created 3 s after our create"),
        ),
    ],
)
def test_the_fit_of_an_order_without_a_reference_has_its_reasons(
    scenario: DeliveryScenario, listed: ListedOrder, fit: Fit, why: tuple[str, ...]
) -> None:
    assert rating(scenario, listed) == (fit, why)


@pytest.mark.parametrize(("minutes", "is_near"), [(-5.1, False), (-5, True), (15, True), (15.1, False)])
def test_only_orders_around_the_create_are_candidates_unless_they_carry_our_reference(
    scenario: DeliveryScenario, minutes: float, *, is_near: bool
) -> None:
    listed = replace(LISTED, created_at=START + timedelta(minutes=minutes))
    assert bool(rated(scenario, listed)) is is_near
    assert rated(scenario, replace(listed, attempt_ids=frozenset({1})))


def test_the_best_fit_comes_first_and_an_order_on_two_pages_once(scenario: DeliveryScenario) -> None:
    same = replace(LISTED, ref="4", attempt_ids=frozenset({1}))
    unlikely, later = (
        replace(LISTED, ref="1", address=DIFFERS, phone=DIFFERS),
        replace(LISTED, ref="2", created_at=START + timedelta(seconds=60)),
    )
    found = rated(scenario, unlikely, later, LISTED, same, LISTED)
    assert [each.order.ref for each in found] == ["4", "1250032", "2", "1"]


@pytest.mark.parametrize(
    ("listed", "blocker"),
    [
        (LISTED, None),
        (replace(LISTED, ref="77"), "it belongs to order 2012"),
        (replace(LISTED, attempt_ids=frozenset({9})), "it belongs to order 2013"),
        (replace(LISTED, attempt_ids=frozenset({8})), "it does not fit"),
        (replace(LISTED, ref=None), "the list does not show its id"),
        (replace(LISTED, phone=DIFFERS, address=DIFFERS), "it does not fit"),
    ],
)
def test_an_order_that_cannot_be_ours_cannot_be_chosen(
    scenario: DeliveryScenario, listed: ListedOrder, blocker: str | None
) -> None:
    (candidate,) = rated(scenario, listed, owners=Owners({"77": "2012"}, {9: "2013"}))
    assert candidate.blocker == blocker


def test_only_an_order_whose_id_is_not_known_is_searched_for(scenario: DeliveryScenario) -> None:
    assert candidates.unidentified_attempt(scenario.delivery) == scenario.attempt
    scenario.resolve("1250032")
    assert candidates.unidentified_attempt(scenario.delivery) is None


def test_what_to_search_for_has_no_more_of_the_customer_than_two_digits(scenario: DeliveryScenario) -> None:
    names = candidates.names_to_search(scenario.delivery, scenario.attempt, {"order_id": "2011"})
    assert names == {
        "order_id": "2011",
        "sent at": "2026-11-21 18:00:00 (Europe/Copenhagen)",
        "store": "Pizzeria Odense (17)",
        "amount": "125.00 DKK, prepaid",
        "phone": "•••44",
    }


@pytest.mark.parametrize(
    ("seconds", "search", "risks"),
    [
        (164, CarrierSearch("borzo"), ("It was sent only 2 min ago, so the carrier may still be creating it.",)),
        (165, CarrierSearch("borzo"), ()),
        (
            165,
            CarrierSearch("borzo", problem="No answer."),
            ("The carrier may have an order that is not listed here.",),
        ),
        (
            165,
            CarrierSearch("borzo", candidates=(Candidate(LISTED, Fit.LIKELY, (), None),)),
            ("Of the listed orders, 1 may be this one.",),
        ),
        (165, CarrierSearch("borzo", candidates=(Candidate(LISTED, Fit.UNLIKELY, (), "it does not fit"),)), ()),
    ],
)
def test_it_is_said_why_the_order_may_exist_all_the_same(
    scenario: DeliveryScenario, seconds: float, search: CarrierSearch, risks: tuple[str, ...]
) -> None:
    scenario.wait(seconds)
    terms = scenario.terms["borzo"]
    assert candidates.absence_risks(scenario.attempt, terms, scenario.now, search) == risks
