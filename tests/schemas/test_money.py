from decimal import Decimal

import pytest

from schemas.events import PriceInfo
from schemas.money import DECIMALS, canonical, written


@pytest.mark.fault("F-80")
@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("125", "DKK", "125.00"),
        ("61.505", "KWD", "61.505"),
        ("61.5", "KWD", "61.500"),
        ("1500.00", "JPY", "1500"),
        ("12.3456", "DKK", "12.3456"),
        ("1E+3", "BRL", "1000.00"),
    ],
)
def test_a_published_price_is_exact_and_has_the_decimals_of_its_currency(amount: str, currency: str, text: str) -> None:
    price = PriceInfo(amount=Decimal(amount), currency=currency)
    assert price.model_dump(mode="json") == {"amount": text, "currency": currency, "vat": "unknown"}
    assert PriceInfo.model_validate_json(price.model_dump_json()) == price


def test_the_currencies_of_iso_4217_without_two_decimals_are_known() -> None:
    counts = [sum(each == decimals for each in DECIMALS.values()) for decimals in (0, 3, 4)]
    assert counts == [17, 7, 2]


@pytest.mark.parametrize(
    ("amount", "text"), [("125", "125.00"), ("0", "0.00"), ("1.500", "1.50"), ("1.2340", "1.234"), ("-20", "-20.00")]
)
def test_equal_amounts_have_one_text(amount: str, text: str) -> None:
    assert str(canonical(Decimal(amount))) == text


def test_a_negative_amount_keeps_its_sign() -> None:
    assert written(Decimal(-20), "DKK") == "-20.00"
