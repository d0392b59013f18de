"""Compare what a carrier shows of an order with our own order.

Codecs compare, and return only the results. So nothing about the customers of other orders leaves a codec.
"""

import re
import unicodedata
from enum import StrEnum

from schemas.phones import number_of

PHONE_DIGITS = 8
"""How many of the last digits of two phone numbers are compared. Country and area codes are written in many ways."""
_WORD = re.compile(r"[^\W_]+")


class Comparison(StrEnum):
    """The result of a comparison."""

    MATCHES = "matches"
    DIFFERS = "differs"
    NOT_SHOWN = "not shown"
    """The carrier does not show enough to compare."""


def compare_phone(ours: str, shown: str | None) -> Comparison:
    """Compare our customer's phone number with the one that a carrier shows."""
    known, seen = _last_digits(number_of(ours)), _last_digits(shown or "")
    if len(seen) < PHONE_DIGITS:
        return Comparison.NOT_SHOWN
    return Comparison.MATCHES if seen == known else Comparison.DIFFERS


def compare_address(street: str, shown: str | None) -> Comparison:
    """Compare a street and its number with an address that a carrier shows, which may have further parts.

    Spelling, accents and punctuation do not matter, but the words of the street must be in the address in one piece.
    """
    known, seen = _words(street), _words(shown or "")
    if not known.strip() or not seen.strip():
        return Comparison.NOT_SHOWN
    return Comparison.MATCHES if known in seen else Comparison.DIFFERS


def _last_digits(text: str) -> str:
    return "".join(char for char in text if char in "0123456789")[-PHONE_DIGITS:]


def _words(text: str) -> str:
    """Return the words of a text in lower case without accents, with a space before and after each."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return f" {' '.join(_WORD.findall(plain.casefold()))} "
