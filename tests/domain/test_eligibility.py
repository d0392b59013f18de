"""Whether a carrier can take an order: its codec's check, its postal codes and its hours."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.order import Customer, Dropoff, Order, Payment
from tests.domain import scenario
from tests.domain.scenario import a_store
from worker.carriers import KINDS
from worker.carriers.account import CarrierAccount
from worker.carriers.port import Carrier
from worker.domain.eligibility import refusal

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
"""18:00 in Odense."""
CREDENTIALS = {
    "cervo": {"token": "t", "currency": "DKK"},
    "borzo": {"token": "t"},
    "deliverit": {"username": "shop", "password": "p"},
}
STORE = a_store("deliverit")
DROPOFF = Dropoff(street="Nørregade 2", postal_code="5000", city="Odense C", latitude=55.4, longitude=10.38)
NOWHERE = {"latitude": None, "longitude": None}
OWED = Payment(prepaid=False, amount=Decimal("125.00"), currency="DKK", method="cash")


def an_order(**changes: Any) -> Order:
    return scenario.an_order(**{"dropoff": DROPOFF, **changes})


def codec(kind: str, **settings: Any) -> Carrier:
    fields = {"name": kind, "kind": kind, **CREDENTIALS[kind], **settings}
    return KINDS[kind](KINDS[kind].account_type.model_validate(fields), {})


def why(kind: str, order: Order, at: datetime = NOW, **settings: Any) -> str | None:
    refused = refusal(codec(kind, **settings), order, STORE, at)
    return f"{refused.reason}: {refused}" if refused else None


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_an_order_that_a_carrier_can_take_is_not_refused_even_before_the_first_login(kind: str) -> None:
    assert why(kind, an_order()) is None


@pytest.mark.quirk("B-39", "C-12", "C-15", "C-16", "C-19", "D-13", "D-16", "D-17", "D-19")
@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("deliverit", {"payment": OWED}, "unserviceable: payment.prepaid: this carrier cannot collect money"),
        (
            "deliverit",
            {"dropoff": DROPOFF.model_copy(update={"postal_code": "04220-020"})},
            "validation: dropoff.postal_code",
        ),
        ("deliverit", {"customer": Customer(name="A", phone="+5511999990000")}, "validation: customer.phone"),
        (
            "deliverit",
            {"dropoff": DROPOFF.model_copy(update=NOWHERE)},
            "validation: dropoff.latitude and dropoff.longitude",
        ),
        (
            "cervo",
            {"dropoff": DROPOFF.model_copy(update=NOWHERE)},
            "validation: dropoff.latitude and dropoff.longitude are missing",
        ),
        ("borzo", {"payment": OWED}, "validation: payment.currency: Borzo collects BRL only"),
        (
            "borzo",
            {"dropoff": DROPOFF.model_copy(update={"street": "x" * 351})},
            "validation: dropoff.street: 1 to 350 characters",
        ),
    ],
)
def test_an_order_that_a_carrier_cannot_take_is_refused_without_a_call(kind: str, changes: Any, reason: str) -> None:
    assert why(kind, an_order(**changes)) == reason


@pytest.mark.quirk("D-71")
def test_a_carrier_that_shows_only_paid_orders_refuses_an_unpaid_one_before_the_first_login() -> None:
    assert why("deliverit", an_order(), mode="transfer") is None
    assert str(why("deliverit", an_order(payment=OWED), mode="transfer")).startswith("unserviceable: payment.prepaid")


@pytest.mark.quirk("C-16")
def test_an_account_of_another_currency_refuses_the_order() -> None:
    assert why("cervo", an_order(), currency="SAR") == "config: payment.currency is DKK, the account's is SAR"


@pytest.mark.quirk("D-18")
@pytest.mark.parametrize(
    ("setting", "code", "reached"),
    [
        ("", "5000", True),
        ("50,52", "5000", True),
        (" 52 , 50 ", "5230", True),
        ("50,52", "8000", False),
        ("50,52", "", True),
        ("042", "04220-020", True),
        ("04220-0", "04220020", True),
        ("sw1a", "SW1A 1AA", True),
    ],
)
def test_an_account_takes_only_orders_within_its_postal_codes(setting: str, code: str, *, reached: bool) -> None:
    order = an_order(dropoff=DROPOFF.model_copy(update={"postal_code": code}))
    refused = "unserviceable: dropoff.postal_code is outside the account's POSTAL_CODES"
    assert why("borzo", order, postal_codes=setting) == (None if reached else refused)


@pytest.mark.parametrize(
    ("hours", "wanted", "open_"),
    [
        ("", None, True),
        ("11:00-22:00", None, True),
        ("11:00-18:15", None, False),
        ("18:16-22:00", None, False),
        ("11:00-22:00", "2026-11-22T10:59:00+01:00", False),
        ("11:00-22:00", "2026-11-22T11:00:00+01:00", True),
        ("11:00-22:00", "2026-11-22T22:00:00+01:00", False),
        ("18:00-02:00", "2026-11-22T01:59:00+01:00", True),
        ("18:00-02:00", "2026-11-22T02:00:00+01:00", False),
    ],
)
def test_hours_apply_to_the_pickup_in_the_stores_time_zone(hours: str, wanted: str | None, *, open_: bool) -> None:
    refused = "carrier_closed: the pickup is outside the account's HOURS"
    assert why("cervo", an_order(ready_at=wanted), hours=hours) == (None if open_ else refused)


def test_an_order_for_later_is_checked_for_the_time_at_which_it_is_sent() -> None:
    later = NOW + timedelta(hours=16)
    assert (why("cervo", an_order(), hours="09:00-12:00"), why("cervo", an_order(), later, hours="09:00-12:00")) == (
        "carrier_closed: the pickup is outside the account's HOURS",
        None,
    )


@pytest.mark.parametrize("hours", ["11-22", "11:00", "24:00-25:00", "11:00-22:60", "11:00 - 22:00"])
def test_unreadable_hours_are_refused_at_the_start(hours: str) -> None:
    with pytest.raises(ValueError, match="hours"):
        codec("borzo", hours=hours)


@dataclass
class Broken:
    """A codec with a bug."""

    account: CarrierAccount

    def check_order(self, *_: object) -> None:
        raise ZeroDivisionError


def test_a_codec_with_a_bug_refuses_nothing() -> None:
    broken: Any = Broken(codec("borzo", hours="00:00-23:59").account)
    assert broken.account.is_open(time(12))
    assert refusal(broken, an_order(), STORE, NOW) is None
