"""The redaction of carriers' texts."""

import pytest

from tests.carriers.sample import booking
from worker.http.redaction import redact_all, redact_customer, single_line

ORDER = booking(name="Jane Doe", notes="ring twice", street="Nørregade 7, 2. tv").order


@pytest.mark.quirk("X-11")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\n b\x00\x1b[2Jc", "a b [2Jc"),
        ("\ud800", ""),
        ("Zoë 🍕", "Zoë 🍕"),
        (" " * 9_999 + "x", ""),
        ("é" * 999, "é" * 300),
    ],
)
def test_a_single_line_can_be_stored(text: str, expected: str) -> None:
    assert single_line(text) == expected


@pytest.mark.quirk("D-42", "X-15")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Telephone 20 30 40 50 is not valid", "Telephone *** is not valid"),
        ("+4520304050 55.39 10.38", "***"),
        (
            "The driver is on the way. Contact DeliverIt +45 93 866 766",
            "The driver is on the way. Contact DeliverIt +45 93 866 766",
        ),
        ("NØRREGADE 7 is unknown to Jane", "*** is unknown to Jane"),
        ("JANE DOE: Ring Twice", "***: ***"),
        ("Telephone cannot be empty", "Telephone cannot be empty"),
    ],
)
def test_the_customer_is_removed_from_a_machines_text_and_nothing_else_is(text: str, expected: str) -> None:
    assert redact_customer(text, ORDER) == expected


@pytest.mark.quirk("X-15")
def test_a_unit_is_removed_but_not_a_town_that_a_refusal_names() -> None:
    order = booking(street="Nørregade 7", unit="c/o Hansen, code 4711", postal_code="5000", city="Odense C").order
    text = "Nørregade 7, C/O Hansen, code 4711: 5000 Odense C is too far away"
    assert redact_customer(text, order) == "***, ***: 5000 Odense C is too far away"


@pytest.mark.quirk("C-41", "X-15")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jane was not at home, try 66 11 22 33 or a@b.dk", "*** was not at home, try *** or ***"),
        ("jane, doe; Janet and doer", "***, ***; Janet and doer"),
        ("see https://x.example/jane", "see ***"),
    ],
)
def test_names_and_contacts_are_removed_from_a_persons_text(text: str, expected: str) -> None:
    assert redact_all(text, ORDER) == expected
