"""What Borzo accepts in a request: one rule per parameter, and a tree of parameter error codes for what it does not.

A rule returns None when the value is fine, else a list of codes or a tree in the shape of the value
(borzo.txt, "Parameter data types" and "Parameter error codes").
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Rule = Callable[[Any], Any]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
_PHONE = re.compile(r"\d{8,15}")


def text(limit: int) -> Rule:
    """Accept a string of at most `limit` characters."""

    def rule(value: Any) -> Any:
        if not isinstance(value, str):
            return ["invalid_string"]
        return ["max_length"] if len(value) > limit else None

    return rule


def whole(highest: int | None = None) -> Rule:
    """Accept an integer from 0 to `highest`."""

    def rule(value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return ["invalid_integer"]
        if value < 0:
            return ["min_value"]
        return ["max_value"] if highest is not None and value > highest else None

    return rule


def choice(options: Iterable[Any], code: str) -> Rule:
    """Accept one of `options`, else answer `code`."""
    allowed = list(options)
    return lambda value: None if value in allowed else [code]


def flag(value: Any) -> Any:
    """Accept a boolean."""
    return None if isinstance(value, bool) else ["invalid_boolean"]


def number(value: Any) -> Any:
    """Accept a number that is not negative, written as one or as a string (B-08)."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return ["invalid_float"]
    if not amount.is_finite():
        return ["invalid_float"]
    return ["min_value"] if amount < 0 else None


def coordinate(bound: int) -> Rule:
    """Accept a coordinate within plus and minus `bound` degrees."""

    def rule(value: Any) -> Any:
        try:
            degrees = float(value)
        except (TypeError, ValueError):
            return ["invalid_float"]
        return ["coordinates_out_of_bounds"] if abs(degrees) > bound else None

    return rule


def phone(value: Any) -> Any:
    """Accept digits with the country code and without a plus (B-09)."""
    return None if isinstance(value, str) and _PHONE.fullmatch(value) else ["invalid_phone"]


def moment(value: Any) -> Any:
    """Accept `YYYY-MM-DDTHH:MM:SS+HH:MM` and no other variant (B-07)."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return ["invalid_date_format"]
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return ["invalid_date"]
    return None


@dataclass(frozen=True, slots=True)
class Shape:
    """An object with known parameters; any other is `unknown` (B-11)."""

    rules: Mapping[str, Rule]
    required: frozenset[str] = frozenset()
    nullable: frozenset[str] = frozenset()

    def __call__(self, value: Any) -> Any:
        """Return the tree of faults, or None."""
        if not isinstance(value, dict):
            return ["invalid_object"]
        absent = {name: self._absent(name) for name in sorted(self.required - value.keys())}
        given = {name: self._given(name, part) for name, part in value.items()}
        return {name: faults for name, faults in {**absent, **given}.items() if faults} or None

    def _absent(self, name: str) -> Any:
        rule = self.rules[name]
        return rule({}) if isinstance(rule, Shape) else ["required"]

    def _given(self, name: str, value: Any) -> Any:
        if name not in self.rules:
            return ["unknown"]
        if value is None:
            return None if name in self.nullable else ["not_nullable"]
        return self.rules[name](value)


def listing(rule: Rule, fewest: int = 0, most: int = 10**6) -> Rule:
    """Accept a list of which every item satisfies `rule`."""

    def check(value: Any) -> Any:
        if not isinstance(value, list):
            return ["invalid_list"]
        if not fewest <= len(value) <= most:
            return ["min_size" if len(value) < fewest else "max_size"]
        faults = [rule(item) for item in value]
        return faults if any(faults) else None

    return check
