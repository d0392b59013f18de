"""Validation of Borzo's parameters: rules for values, and trees of parameter error codes.

A rule returns None for a valid value. For an invalid value, it returns a list of error codes, or a tree of such lists
in the shape of the value (borzo.txt, "Parameter data types" and "Parameter error codes").
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Any

Rule = Callable[[Any], Any]

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
_PHONE = re.compile(r"\d{8,15}")


def text(limit: int) -> Rule:
    """Accept a string of at most `limit` characters."""

    def rule(value: Any) -> Any:
        if not isinstance(value, str):
            return ["invalid_string"]
        return ["max_length"] if len(value) > limit else None

    return rule


def integer(highest: int | None = None) -> Rule:
    """Accept an integer from 0 to `highest`, or any integer from 0 on if `highest` is None."""

    def rule(value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            return ["invalid_integer"]
        if value < 0:
            return ["min_value"]
        return ["max_value"] if highest is not None and value > highest else None

    return rule


def choice(options: Iterable[Any], code: str) -> Rule:
    """Accept one of `options`; any other value gets the error `code`."""
    allowed = list(options)
    return lambda value: None if value in allowed else [code]


def flag(value: Any) -> Any:
    """Accept a boolean."""
    return None if isinstance(value, bool) else ["invalid_boolean"]


def number(value: Any) -> Any:
    """Accept a number or a numeric string that is not negative (B-08)."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return ["invalid_float"]
    if not amount.is_finite():
        return ["invalid_float"]
    return ["min_value"] if amount < 0 else None


def coordinate(bound: int) -> Rule:
    """Accept a coordinate between minus and plus `bound` degrees."""

    def rule(value: Any) -> Any:
        try:
            degrees = float(value)
        except (TypeError, ValueError):
            return ["invalid_float"]
        return ["coordinates_out_of_bounds"] if abs(degrees) > bound else None

    return rule


def phone(value: Any) -> Any:
    """Accept digits that include the country code but no plus (B-09)."""
    return None if isinstance(value, str) and _PHONE.fullmatch(value) else ["invalid_phone"]


def timestamp(value: Any) -> Any:
    """Accept `YYYY-MM-DDTHH:MM:SS+HH:MM` and no other format (B-07)."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return ["invalid_date_format"]
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return ["invalid_date"]
    return None


@dataclass(frozen=True, slots=True)
class Shape:
    """A rule for an object with known parameters; any other parameter gets the code `unknown` (B-11)."""

    rules: Mapping[str, Rule]
    required: frozenset[str] = frozenset()
    nullable: frozenset[str] = frozenset()

    def __call__(self, value: Any) -> Any:
        """Return the error tree of an object; None when the object is valid."""
        if not isinstance(value, dict):
            return ["invalid_object"]
        missing = {name: self._check_missing(name) for name in sorted(self.required - value.keys())}
        given = {name: self._check(name, part) for name, part in value.items()}
        return {name: errors for name, errors in {**missing, **given}.items() if errors} or None

    def _check_missing(self, name: str) -> Any:
        rule = self.rules[name]
        return rule({}) if isinstance(rule, Shape) else ["required"]

    def _check(self, name: str, value: Any) -> Any:
        if name not in self.rules:
            return ["unknown"]
        if value is None:
            return None if name in self.nullable else ["not_nullable"]
        return self.rules[name](value)


def list_of(rule: Rule, fewest: int = 0, most: int = 10**6) -> Rule:
    """Accept a list of `fewest` to `most` items that each satisfy `rule`."""

    def check(value: Any) -> Any:
        if not isinstance(value, list):
            return ["invalid_list"]
        if not fewest <= len(value) <= most:
            return ["min_size" if len(value) < fewest else "max_size"]
        errors = [rule(item) for item in value]
        return errors if any(errors) else None

    return check


def without_errors(value: Any, errors: Any) -> Any:
    """Return the value without the parts that have errors. Even an invalid order has a price (B-21)."""
    if isinstance(value, dict) and isinstance(errors, dict):
        return {
            name: without_errors(part, errors.get(name))
            for name, part in value.items()
            if not _is_codes(errors.get(name))
        }
    if isinstance(value, list) and isinstance(errors, list):
        pairs = zip(value, errors, strict=True)
        return [{} if _is_codes(error) else without_errors(item, error) for item, error in pairs]
    return value


def merge_errors(first: Any, second: Any) -> Any:
    """Merge two error trees of the same value.

    If both trees have codes for the same part, the codes of both are kept. If `first` has codes for a part and `second`
    has a tree, only the codes of `first` are kept.
    """
    if not (first and second):
        return first or second
    if isinstance(first, dict):
        return {name: merge_errors(first.get(name), second.get(name)) for name in {**first, **second}}
    if _is_codes(first):
        return [*first, *second] if _is_codes(second) else first
    return [merge_errors(*pair) for pair in zip_longest(first, second)]


def _is_codes(errors: Any) -> bool:
    return isinstance(errors, list) and all(isinstance(code, str) for code in errors)
