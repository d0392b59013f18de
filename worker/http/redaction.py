"""Redaction of carriers' texts before they are stored and published. Pure.

JSON can contain characters that a database cannot store, and people write names and telephone numbers in any text
(X-11, X-15).
"""

import re
import unicodedata
from collections.abc import Iterable

from schemas.order import Order
from schemas.phones import number_of

LONGEST = 300
UNPRINTABLE = frozenset({"Cc", "Cs"})
"""Unicode categories of characters to remove: control characters, and lone surrogates, which JSON can contain."""
HIDDEN = "***"
SHORTEST = 3
"""Customer data with fewer letters than this is not redacted, because it occurs inside too many other words."""
SAME_DIGITS = 7
"""How many of a telephone number's last digits identify it, whatever prefix is written before them."""
NUMBER = re.compile(r"\+?\d[\d ()./-]{5,}\d")
ELSEWHERE = re.compile(r"\S+@\S+|\bhttps?://\S+", re.IGNORECASE)


def single_line(text: str, limit: int = LONGEST) -> str:
    """Return the text as one line of limited length, without control characters and lone surrogates."""
    cut = text[: 4 * limit]
    if not cut.isprintable():
        cut = "".join(" " if unicodedata.category(letter) in UNPRINTABLE else letter for letter in cut)
    return " ".join(cut.split())[:limit].strip()


def redact_customer(text: str, order: Order) -> str:
    """Redact the customer's name, address, notes and telephone number in a text that a machine wrote.

    The city and the postal code stay: they identify nobody, and explain a refusal such as "outside our area".
    """
    to = order.dropoff
    values = (order.customer.name, to.street, to.street.partition(",")[0], to.unit, to.notes, order.notes)
    phone = _digits(number_of(order.customer.phone))[-SAME_DIGITS:]
    hidden = _without(text, map(re.escape, _worth_hiding(values)))
    return NUMBER.sub(lambda found: HIDDEN if phone and phone in _digits(found[0]) else found[0], hidden)


def redact_contacts(text: str) -> str:
    """Redact every telephone number, mail address and link in a text."""
    return NUMBER.sub(HIDDEN, ELSEWHERE.sub(HIDDEN, text))


def redact_names(text: str, order: Order) -> str:
    """Redact each part of the customer's name in a text, because the first name is often used alone."""
    names = _worth_hiding(order.customer.name.split())
    return _without(text, (rf"(?<!\w){re.escape(name)}(?!\w)" for name in names))


def redact_all(text: str, order: Order) -> str:
    """Redact every contact and the customer's data in a text that a human wrote."""
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
