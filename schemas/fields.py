"""The types of the fields of incoming messages.

A field on which the delivery depends, such as the address or the amount, is strict. If its value is unreadable or
ambiguous, the message is refused, and the reason contains the field's name. Any other field is `LENIENT`. If its value
is unreadable, the field counts as absent, and the message is accepted. `note` records the field's name.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticOmit, PydanticUseDefault, core_schema

from schemas.money import canonical

CENTURY = range(2000, 2100)
LARGEST = 2**31 - 1

_MONEY = r"\d{1,10}(\.\d{1,6})?"
_PRICE = f"-?{_MONEY}"
_WHOLE = r"\d{1,10}(\.0{1,8})?"
_INSTANT = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)? ?([Zz]|[+-]\d\d(:?\d\d)?)(\[[^\]]{1,64}\])?"
"""The pattern of a time: RFC 3339 with an offset, or a form that Java or PHP writes.

Such a form lacks the seconds, has an offset such as `+0100` or `+01`, or ends in the name of a time zone in brackets.
"""
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})
_LINE = r"^[^\x00-\x1f\x7f]+$"


# --- absent fields ----------------------------------------------------------------------------------------------------


def note(info: ValidationInfo) -> None:
    """Record a field whose value was ignored or changed: add its name to the set that is the validation's context."""
    if isinstance(info.context, set):
        info.context.add(info.field_name)


@dataclass(frozen=True, slots=True)
class _Absent:
    """Marks a field that counts as absent if its value is null or an empty text.

    If `lenient` is true, the field also counts as absent if its value is unreadable.
    """

    lenient: bool
    absent: type[Exception] = PydanticUseDefault

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_wrap_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(schema)
        shapes = found["anyOf"] if found.keys() == {"anyOf"} else [found]
        text = "Counts as absent." + (" So does a value that cannot be read." if self.lenient else "")
        absent = {"enum": [None, ""], "description": text}
        return {"anyOf": [*(shape for shape in shapes if shape != {"type": "null"}), absent]}

    def _read(self, value: object, read: Callable[[object], object], info: ValidationInfo) -> object:
        if value is None or value == "":
            raise self.absent
        try:
            return read(value)
        except ValidationError:
            if not self.lenient:
                raise
            note(info)
            raise self.absent from None


OPTIONAL = _Absent(lenient=False)
"""Marks a field that gets its default if its value is null or an empty text."""
LENIENT = _Absent(lenient=True)
"""Marks a field that gets its default if its value is null, an empty text or unreadable.

`note` records a field whose value is unreadable.
"""
LEFT_OUT = _Absent(lenient=True, absent=PydanticOmit)
"""Marks the members of a list. A member that is null, an empty text or unreadable is left out of the list."""


# --- texts and numbers ------------------------------------------------------------------------------------------------


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number. A boolean is not a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> object:
    return str(value) if is_number(value) else value


def _digits(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(_WHOLE, value, re.ASCII):
        return int(value.partition(".")[0])
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_blank(text: str) -> str:
    if all(letter.isspace() or unicodedata.category(letter) in _INVISIBLE for letter in text):
        raise ValueError("is empty")
    return text


def _or_number(shape: dict[str, Any], number: str = "integer") -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string", **shape}, {"type": number}]})


Text = Annotated[str, BeforeValidator(_text), _or_number({}, "number")]
"""A text that only people read. A number is accepted and read as text."""
Name = Annotated[Text, AfterValidator(_not_blank)]
"""A text with at least one visible character. A number is accepted and read as text."""
Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=_LINE),
    BeforeValidator(_digits),
    _or_number({"minLength": 1, "maxLength": 64, "pattern": _LINE}),
]
Attribute = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=_LINE),
    BeforeValidator(_digits),
    _or_number({"minLength": 1, "maxLength": 255, "pattern": _LINE}),
]
Phone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    BeforeValidator(_digits),
    _or_number({"minLength": 1, "maxLength": 64}),
]
Integer = Annotated[
    int,
    Field(strict=True, ge=0, le=LARGEST),
    BeforeValidator(_whole),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST}, {"type": "string", "pattern": f"^{_WHOLE}$"}]}
    ),
]
"""A whole number, as a JSON number or as text. `3.0` is read as 3."""
Degrees = Annotated[float, Field(allow_inf_nan=False), _or_number({}, "number")]
"""A latitude or a longitude, as a JSON number or as text."""
Currency = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    BeforeValidator(lambda code: code.upper() if isinstance(code, str) else code),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z]{3}$"}),
]
"""The code of a currency (ISO 4217)."""


# --- money ------------------------------------------------------------------------------------------------------------


def _amount(pattern: str) -> Callable[[object], object]:
    spelling = re.compile(pattern, re.ASCII)

    def read(value: object) -> object:
        text = format(value, "f") if isinstance(value, Decimal) else value
        if isinstance(text, str) and spelling.fullmatch(text):
            return value
        raise ValueError('money must be a decimal string such as "125.00", not a number')

    return read


Money = Annotated[
    Decimal,
    Field(ge=0, allow_inf_nan=False),
    BeforeValidator(_amount(_MONEY)),
    AfterValidator(canonical),
    WithJsonSchema({"type": "string", "pattern": f"^{_MONEY}$", "examples": ["125.00"]}),
]
Price = Annotated[
    Decimal,
    Field(allow_inf_nan=False),
    BeforeValidator(_amount(_PRICE)),
    AfterValidator(canonical),
    WithJsonSchema({"type": "string", "pattern": f"^{_PRICE}$", "examples": ["62.50", "-20.00"]}),
]
"""The price of one unit in a line of an order. The price of a discount is negative."""


# --- times ------------------------------------------------------------------------------------------------------------


def _instant(value: object) -> object:
    # pydantic by itself would read a number, or a string of digits, as seconds since 1970.
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not re.fullmatch(_INSTANT, value, re.ASCII):
        raise ValueError("a time must be RFC 3339 text with an offset")
    try:
        clock = value[11:].partition("[")[0].replace(" ", "")
        return datetime.fromisoformat(f"{value[:10]}T{clock}".upper())
    except ValueError:
        raise ValueError("there is no such time") from None  # the original error contains the value


def _utc(value: datetime) -> datetime:
    if value.year not in CENTURY:
        raise ValueError("the year must be between 2000 and 2099")
    return value.astimezone(UTC)


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    AfterValidator(_utc),
    WithJsonSchema({"type": "string", "pattern": f"^{_INSTANT}$", "examples": ["2026-11-30T18:30:00Z"]}),
]
