"""Telephone numbers as people write them: with an extension, and with or without the code of their country."""

import re

import phonenumbers

_EXTENSION = re.compile(
    r"\s*(?:[,;]+\s*(?:ext=)?|\#|(?<![^\W\d_])(?:ext(?:n|ension)?|x|int|anexo|ramal|lokal|доб|تحويلة)[.:]?)\s*"
    r"(?P<extension>\d{1,7})\s*\#?\s*",
    re.IGNORECASE,
)


def split_extension(text: str) -> tuple[str, str]:
    """Return a telephone number and its extension, which is empty when there is none.

    It may follow a word in a language of our carriers' countries, or the commas with which a telephone waits.
    """
    for found in _EXTENSION.finditer(text):
        if found.end() == len(text) and found.start():
            return text[: found.start()].strip(), found["extension"]
    return text, ""


def number_of(text: str) -> str:
    """Return a telephone number without its extension."""
    return split_extension(text)[0]


def extension_of(text: str) -> str:
    """Return the extension of a telephone number as a courier reads it, such as `ext. 512`; empty without one."""
    extension = split_extension(text)[1]
    return f"ext. {extension}" if extension else ""


def with_country(number: str, code: str) -> str:
    """Return a number with the calling code of its country, which is empty when it is unknown."""
    digits = code.lstrip("+")
    if not number or not digits or number.startswith(("+", "00")):
        return number
    national, complete = f"+{digits} {number}", f"+{number}"
    # Apps put the code before the number as well; an area code may have the same digits.
    return complete if number.startswith(digits) and not _exists(national) and _exists(complete) else national


def _exists(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False
