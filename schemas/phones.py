"""Telephone numbers with an extension, as people write them."""

import re

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
