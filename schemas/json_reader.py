"""Read JSON from outside, with limits of size and depth.

The reason for a refusal names the field and contains no value.
"""

import json
import math
import re
from typing import Any

from pydantic import ValidationError

MAX_MESSAGE_BYTES = 5_000_000
MAX_DEPTH = 64
MAX_FAULTS = 5

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}|\d{1,9}", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class MalformedError(Exception):
    """A message that cannot be read. Each of its faults is `field: reason`, and contains no personal data."""

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        """Return all faults in one line."""
        return "; ".join(self.faults)


def read_object(raw: bytes | dict[str, Any]) -> dict[str, Any]:
    """Read one JSON object (RFC 8259) in which every text can be stored and every number is finite.

    Raises MalformedError for any other input. A dict is serialised first, so that both kinds of input follow the same
    rules. pydantic's `from_json` is not used: it keeps the last of two equal keys, reads 1e400 as infinity, and accepts
    NUL characters.
    """
    found = parse_object(raw)
    _inspect(found, ())
    return found


def parse_object(raw: bytes | dict[str, Any]) -> dict[str, Any]:
    """Parse one JSON object, whatever its values are. Raises MalformedError for any other input."""
    found = _parse(_as_text(raw))
    if not isinstance(found, dict):
        raise MalformedError("message: not a JSON object")
    return found


def explain(error: ValidationError) -> MalformedError:
    """Return the error with the fields at fault and the reasons, in pydantic's words and without the values."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    reasons = [_fault(fault["loc"], fault["msg"]) for fault in faults[:MAX_FAULTS]]
    more = len(faults) - len(reasons)
    return MalformedError(*reasons, *([f"and {more} more"] if more else []))


# `from None` throughout: the original errors contain the message itself, which must not be logged.


def _as_text(raw: bytes | dict[str, Any]) -> str:
    try:
        encoded = raw if isinstance(raw, bytes) else json.dumps(raw, ensure_ascii=False).encode()
        if len(encoded) > MAX_MESSAGE_BYTES:
            raise MalformedError(f"message: more than {MAX_MESSAGE_BYTES} bytes")
        return encoded.decode("utf-8-sig")
    except UnicodeError:
        raise MalformedError("message: not UTF-8") from None
    except RecursionError:
        raise MalformedError("message: nested too deeply") from None
    except (TypeError, ValueError):
        raise MalformedError("message: contains a value that JSON cannot represent") from None


def _parse(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise MalformedError("message: nested too deeply") from None
    except ValueError:
        raise MalformedError("message: not JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedError("message: an object repeats a key")
    return found


def _inspect(value: object, path: tuple[str | int, ...]) -> None:
    """Check a value that `json` has read. Only texts, floats, objects and arrays can be at fault."""
    if len(path) > MAX_DEPTH:
        raise MalformedError("message: nested too deeply")
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise MalformedError(_fault(path, "contains a NUL character or an unpaired surrogate"))
    elif isinstance(value, dict):
        for key, member in value.items():
            if _UNSTORABLE.search(key):
                _inspect(key, (*path, key))
            _inspect(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _inspect(member, (*path, index))
    elif isinstance(value, float) and not math.isfinite(value):
        raise MalformedError(_fault(path, "not a finite number"))


def _fault(path: tuple[str | int, ...], why: str) -> str:
    why = why.removeprefix("Value error, ")
    return f"{'.'.join(map(_shown, path))}: {why}" if path else why


def _shown(step: str | int) -> str:
    # A key is shown only if it looks like the name of a field, because a key may contain anything.
    return str(step) if _FIELD.fullmatch(str(step)) else "?"
