"""Redacted heads of requests and replies, for the record of calls. Pure.

A head shows which fields were sent or received. Of the values, it shows only what identifies nobody: small numbers,
statuses, codes and ids. A carrier's free text is shown only if a call failed, and only after its redaction.
"""

import re
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from schemas.order import Order
from worker.http.call import Call
from worker.http.redaction import HIDDEN, redact_all, single_line

LONGEST = 500
PARSED = 20_000
"""The size in bytes up to which a body is parsed. Of a larger body, only the size is shown."""
SMALL = 1_000_000
WORDS = frozenset(
    {"status", "state", "code", "errorcode", "statuscode", "error", "type", "currency", "id", "success", "successful"}
)
"""The last words of names whose values are words of the carrier's API, such as `error_code` and `orderId`."""
TEXTS = frozenset({"message", "messages", "error", "errors", "reason", "reasons", "warning", "warnings", "title"})
"""The last words of names whose values are free text."""
API_WORD = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
LAST_WORD = re.compile(r"[A-Z]?[a-z]+$|[A-Z]+$")
PART = re.compile(
    r'("(?:[^"\\]|\\.)*+"\s*:)'  # the name of a field, which is kept
    r'|"(?:[^"\\]|\\.)*+"?'  # any other text, even if its end is cut off
    r"|-?\d+\.\d{3,}|\d{6,}"  # a coordinate, or a long number such as a telephone's
)
FORM_VALUE = re.compile(r"=[^&]*")


def request_line(call: Call) -> str:
    """Return the method, the path and the names of the query's values."""
    line = f"{call.method} {call.path}"
    if call.query:
        line += "?" + "&".join(f"{name}={HIDDEN}" for name, _ in call.query)
    return line[:LONGEST]


def request_head(call: Call) -> str:
    """Return the method, the path, and the body without its texts and long numbers."""
    line = request_line(call)
    if not call.body:
        return line
    body = call.body[: 4 * LONGEST].decode("utf-8", "replace")
    is_json = body[0] in "{["
    shown = PART.sub(lambda part: part[1] or HIDDEN, body) if is_json else FORM_VALUE.sub(f"={HIDDEN}", body)
    return single_line(f"{line} {shown}", LONGEST)


def reply_head(body: bytes, order: Order | None) -> str:
    """Return the start of a reply's body, redacted. Free text is shown only with the `order` that it may be about."""
    if not body:
        return ""
    if len(body) > PARSED:
        return f"{len(body)} bytes"
    try:
        shown = to_json(_redacted(from_json(body), "", order)).decode()
    except ValueError:
        shown = redact_all(body[: 4 * LONGEST].decode("utf-8", "replace"), order) if order else f"{len(body)} bytes"
    return single_line(shown, LONGEST)


def _redacted(value: Any, name: str, order: Order | None) -> Any:
    """Return a JSON value with what identifies a person hidden; `name` is the last word of the value's name."""
    match value:
        case dict():
            return {key[:64]: _redacted(each, _last_word(key), order) for key, each in value.items()}
        case list():
            return [_redacted(each, name, order) for each in value]
        case bool() | None:
            return value
        case str():
            return _redacted_text(value, name, order)
        case _:
            return value if name == "id" or _is_small(value) else HIDDEN


def _is_small(number: float) -> bool:
    """Return whether a number is neither a telephone number nor a coordinate."""
    return abs(number) < SMALL and round(number, 2) == number


def _redacted_text(text: str, name: str, order: Order | None) -> str:
    if name in TEXTS and order is not None:
        return redact_all(text, order)
    return text if name in WORDS and API_WORD.fullmatch(text) else HIDDEN if text else ""


@lru_cache(maxsize=1024)
def _last_word(name: str) -> str:
    """Return the last word of a name; the whole name if that word is `code`, because a door has a code, too."""
    found = LAST_WORD.search(name)
    word = found[0].lower() if found else ""
    return name.replace("_", "").lower() if word == "code" else word
