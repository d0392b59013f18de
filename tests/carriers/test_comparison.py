"""What a carrier shows of an order is compared with ours, however it is written."""

import pytest

from worker.carriers.comparison import Comparison, compare_address, compare_phone

MATCHES, DIFFERS, NOT_SHOWN = Comparison


@pytest.mark.parametrize(
    ("ours", "shown", "result"),
    [
        ("+45 20 30 40 50", "+4520304050", MATCHES),
        ("+55 11 90000-0001", "5511900000001", MATCHES),
        ("11 90000-0001 ramal 12", "5511900000001", MATCHES),
        ("+4520304050", "+4520304051", DIFFERS),
        ("+4520304050", "+45******50", NOT_SHOWN),
        ("+4520304050", "", NOT_SHOWN),
        ("+4520304050", None, NOT_SHOWN),
        ("nobody knows", "+4520304050", DIFFERS),
    ],
)
def test_phone_numbers_are_compared_by_their_last_digits(ours: str, shown: str | None, result: Comparison) -> None:
    assert compare_phone(ours, shown) is result


@pytest.mark.parametrize(
    ("street", "shown", "result"),
    [
        ("Av. Paulista, 1439", "av paulista 1439 - Bela Vista, São Paulo - SP", MATCHES),
        ("Nørregade 7", "NØRREGADE  7, 2. tv", MATCHES),
        ("Rua São João 12", "Rua Sao Joao, 12", MATCHES),
        ("Hovedgaden 1", "Hovedgaden 11, 1. tv", DIFFERS),
        ("Hovedgaden 1", "Nørregade 1", DIFFERS),
        ("Hovedgaden 1", " - ", NOT_SHOWN),
        ("Hovedgaden 1", None, NOT_SHOWN),
        ("-", "Hovedgaden 1", NOT_SHOWN),
        ("شارع الملك 7", "7، شارع الملك 7", MATCHES),
    ],
)
def test_addresses_are_compared_by_the_words_of_the_street(street: str, shown: str | None, result: Comparison) -> None:
    assert compare_address(street, shown) is result
