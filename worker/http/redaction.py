"""What a carrier wrote, made fit to be stored, and to be told to everybody who reads the events.

JSON can write what nothing can store, and people write names and telephone numbers anywhere (X-11, X-15).
"""

import re
import unicodedata
from collections.abc import Iterable

from schemas.order import Order

LONGEST = 300
UNPRINTABLE = frozenset({"Cc", "Cs"})
"""Control characters, and the half characters that JSON can write."""
HIDDEN = "***"
SHORTEST = 3
"""A shorter word is in too many others to be hidden."""
SAME_DIGITS = 7
"""So many last digits tell a telephone number, whatever stands before them."""
NUMBER = re.compile(r"\+?\d[\d ()./-]{5,}\d")
ELSEWHERE = re.compile(r"\S+@\S+|\bhttps?://\S+", re.IGNORECASE)


def single_line(text: str, limit: int = LONGEST) -> str:
    """Put a text on one line of limited length, without control characters and half characters."""
    spaced = (" " if unicodedata.category(letter) in UNPRINTABLE else letter for letter in text[: 4 * limit])
    return " ".join("".join(spaced).split())[:limit].strip()


def redact_customer(text: str, order: Order) -> str:
    """Take the customer's name, address, notes and telephone number out of what a machine wrote."""
    to = order.dropoff
    values = (order.customer.name, to.street, to.street.partition(",")[0], to.notes, order.notes)
    phone = _digits(order.customer.phone)[-SAME_DIGITS:]
    hidden = _without(text, map(re.escape, _worth_hiding(values)))
    return NUMBER.sub(lambda found: HIDDEN if phone and phone in _digits(found[0]) else found[0], hidden)


def redact_contacts(text: str) -> str:
    """Take everybody's telephone numbers, mail addresses and links out of a text."""
    return NUMBER.sub(HIDDEN, ELSEWHERE.sub(HIDDEN, text))


def redact_names(text: str, order: Order) -> str:
    """Take each part of the customer's name out of a text, for the first is often said alone."""
    names = _worth_hiding(order.customer.name.split())
    return _without(text, (rf"(?<!\w){re.escape(name)}(?!\w)" for name in names))


def redact_all(text: str, order: Order) -> str:
    """Take all of that out of what a person wrote."""
    return redact_names(redact_contacts(redact_customer(text, order)), order)


def _worth_hiding(words: Iterable[str]) -> list[str]:
    kept = {single_line(word, 4 * LONGEST) for word in words}
    return sorted((word for word in kept if len(word) >= SHORTEST), key=lambda word: (-len(word), word))


def _without(text: str, patterns: Iterable[str]) -> str:
    for pattern in patterns:
        text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
    return text


def _digits(phone: str) -> str:
    return "".join(letter for letter in phone if letter.isdecimal())
