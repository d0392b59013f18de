"""Telephone numbers as people write them: with or without an extension and the calling code of a country."""

import re

import phonenumbers

_EXTENSION = re.compile(
    r"\s*(?:[,;]+\s*(?:ext=)?|\#|(?<![^\W\d_])(?:ext(?:n|ension)?|x|int|anexo|ramal|lokal|доб|تحويلة)[.:]?)\s*"
    r"(?P<extension>\d{1,7})\s*\#?\s*",
    re.IGNORECASE,
)


def split_extension(text: str) -> tuple[str, str]:
    """Return a telephone number and its extension. The extension is empty if the text has none.

    An extension follows a word such as `ext` or `ramal`, the sign `#`, a comma or a semicolon.
    """
    for found in _EXTENSION.finditer(text):
        if found.end() == len(text) and found.start():
            return text[: found.start()].strip(), found["extension"]
    return text, ""


def number_of(text: str) -> str:
    """Return a telephone number without its extension."""
    return split_extension(text)[0]


def extension_of(text: str) -> str:
    """Return the extension of a telephone number as text for a courier, such as `ext. 512`; empty if there is none."""
    extension = split_extension(text)[1]
    return f"ext. {extension}" if extension else ""


def masked(text: str | None) -> str:
    """Return a telephone number with all digits but the last two hidden; empty without a number."""
    return f"•••{text[-2:]}" if text else ""


def with_country(number: str, code: str) -> str:
    """Return a number with the calling code of its country.

    The number stays unchanged if it begins with `+` or `00`, or if `code` is empty.
    """
    digits = code.lstrip("+")
    if not number or not digits or number.startswith(("+", "00")):
        return number
    national, complete = f"+{digits} {number}", f"+{number}"
    # Some apps put the code before the number, but an area code may begin with the same digits.
    return complete if number.startswith(digits) and not _exists(national) and _exists(complete) else national


def _exists(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False
