"""The meaning of Borzo's error codes for the caller.

Only the codes decide, never a text (B-45) or the HTTP status, which is always 400 (B-03). Error texts are built from
codes and parameter names, so that they contain no personal data.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from schemas.status import Reason
from worker.carriers.borzo.wire import decode_json
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply

MAX_TEXT = 300
RATE_PAUSE = 60.0
"""Seconds to send nothing after Borzo has answered that there were too many calls, unless Retry-After gives a time.

Borzo documents no Retry-After. The shorter of Borzo's two limits counts the calls of one minute (B-06).
"""
_HTTP_BAD_REQUEST = 400
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500
_HTTP_REJECTED = frozenset({401, 403})
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class ErrorClass(IntEnum):
    """The classes of error codes. If an answer has codes of several classes, the lowest number decides (B-05)."""

    ACCOUNT = 1
    RATE = 2
    TRANSIENT = 3
    AMBIGUOUS = 4
    DUPLICATE = 5
    BUSINESS = 6
    VALIDATION = 7


_BUG = (ErrorClass.BUSINESS, Reason.CONFIG)
_FUNDING = (ErrorClass.BUSINESS, Reason.ACCOUNT_FUNDING)
_UNSERVED = (ErrorClass.BUSINESS, Reason.UNSERVICEABLE)
_STATE = (ErrorClass.BUSINESS, Reason.UNKNOWN)
_ACCOUNT = (ErrorClass.ACCOUNT, Reason.ACCOUNT_AUTH)
_AMBIGUOUS = (ErrorClass.AMBIGUOUS, Reason.UNKNOWN)

REQUEST_CODES: dict[str, tuple[ErrorClass, Reason]] = {
    "invalid_api_version": _ACCOUNT,
    "required_api_upgrade": _ACCOUNT,
    "required_auth_token": _ACCOUNT,
    "invalid_auth_token": _ACCOUNT,
    "unapproved_contract": _ACCOUNT,
    "required_method_get": _BUG,
    "required_method_post": _BUG,
    "invalid_post_json": _BUG,
    "invalid_api_method": _BUG,
    "requests_limit_exceeded": (ErrorClass.RATE, Reason.UNKNOWN),
    "service_unavailable": (ErrorClass.TRANSIENT, Reason.UNKNOWN),
    "unexpected_error": _AMBIGUOUS,
    "card_payment_failed": _AMBIGUOUS,
    "insufficient_balance": _FUNDING,
    "insufficient_funds": _FUNDING,
    "insufficient_balance_for_buyout": _FUNDING,
    "buyout_amount_limit_exceeded": _FUNDING,
    "total_payment_amount_limit_exceeded": _FUNDING,
    "tax_retension_limit": _FUNDING,
    "buyout_not_allowed": (ErrorClass.BUSINESS, Reason.CONFIG),
    "route_not_found": _UNSERVED,
    "impossible_delivery_fee_calculation": _UNSERVED,
    "invalid_parameters": (ErrorClass.VALIDATION, Reason.VALIDATION),
    "order_cannot_be_edited": _STATE,
    "order_cannot_be_canceled": _STATE,
    "order_is_duplicate": (ErrorClass.DUPLICATE, Reason.DUPLICATE),
}
"""All request error codes (Borzo, "Request error codes"): the class of each, and the reason of a refusal."""

_ORDER_CODES = (
    "required", "unknown", "invalid_list", "invalid_object", "invalid_boolean", "invalid_date", "invalid_date_format",
    "invalid_float", "invalid_integer", "invalid_string", "invalid_order", "invalid_point", "invalid_order_status",
    "invalid_phone", "invalid_order_package", "invalid_delivery_id", "invalid_delivery_package",
    "invalid_delivery_status", "invalid_url", "invalid_enum_value", "invalid_delivery_interval", "min_length",
    "max_length", "min_date", "max_date", "min_size", "max_size", "min_value", "max_value", "cannot_be_past",
    "start_after_end", "earlier_than_previous_point", "not_editable", "not_nullable", "not_allowed",
    "sameday_pickup_interval_too_short", "invalid_value", "promo_code_already_used", "promo_code_not_available",
)  # fmt: skip
_SETTINGS_CODES = (
    "invalid_vehicle_type", "invalid_bank_card", "order_payment_only_one_point", "cod_agreement_required",
    "cod_is_not_allowed_with_buyout",
)  # fmt: skip
_PLACE_CODES = (
    "invalid_region", "different_regions", "address_not_found", "coordinates_out_of_bounds", "invalid_postal_code",
)  # fmt: skip
PARAMETER_CODES: dict[str, Reason] = {
    **dict.fromkeys(_ORDER_CODES, Reason.VALIDATION),
    **dict.fromkeys(_SETTINGS_CODES, Reason.CONFIG),
    **dict.fromkeys(_PLACE_CODES, Reason.UNSERVICEABLE),
}
"""All parameter error codes (Borzo, "Parameter error codes"), with the reason of the refusal."""

_OPTIONAL_FOR_PRICE = re.compile(r"/points/\d+/contact_person(/(name|phone))?")
"""Parameters that a request for a price may leave out (Borzo, "How to place an order")."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One documented error answer, classified."""

    error_class: ErrorClass
    reason: Reason
    text: str


def parse_problem(reply: Reply) -> Problem | None:
    """Read an error answer (Borzo, "Responses"); None for an answer without the documented shape."""
    document = decode_json(reply.body) if reply.status == _HTTP_BAD_REQUEST else None
    if document is None or document.get("is_successful") is not False:
        return None
    raw_codes = document.get("errors")
    codes = raw_codes if isinstance(raw_codes, list) else []
    if not codes or not all(isinstance(code, str) for code in codes):
        return None
    return _problem(codes, dict(_flatten(document.get("parameter_errors"))))


def parse_refusal(reply: Reply) -> Problem | None:
    """Read an error answer that is a final refusal; None for any other answer."""
    problem = parse_problem(reply)
    return problem if problem and problem.error_class >= ErrorClass.DUPLICATE else None


def parse_warnings(document: Mapping[str, object]) -> Problem | None:
    """Return the problem for which Borzo would refuse a create, although it has calculated a price (B-21).

    None when there is no problem. The request for a price leaves the contacts out, so warnings that they are missing
    are ignored.
    """
    raw_codes = document.get("warnings")
    codes = [code for code in raw_codes if isinstance(code, str)] if isinstance(raw_codes, list) else []
    by_pointer = dict(_flatten(document.get("parameter_warnings")))
    expected = {
        pointer
        for pointer, found in by_pointer.items()
        if _OPTIONAL_FOR_PRICE.fullmatch(pointer) and set(found) == {"required"}
    }
    unexpected = {pointer: found for pointer, found in by_pointer.items() if pointer not in expected}
    if expected and not unexpected:
        codes = [code for code in codes if code != "invalid_parameters"]
    return _problem(codes, unexpected) if codes else None


def write_error(reply: Reply, now: datetime | None = None, *, repeated: bool = False) -> CarrierError:
    """Return the error of an unsuccessful create, change or cancel (B-03, B-13).

    An answer that leaves open whether the call took effect is Uncertain. `repeated` means that an earlier create of the
    same delivery may have succeeded. If so, the answer "duplicate" proves nothing and is Uncertain too (B-31).
    """
    shared = _rejected_unprocessed(reply, now)
    if shared:
        return shared
    problem = parse_problem(reply)
    if problem is None:
        return Uncertain(f"Borzo answered HTTP {reply.status} in an undocumented form")
    if problem.error_class in (ErrorClass.TRANSIENT, ErrorClass.AMBIGUOUS) or (
        problem.error_class is ErrorClass.DUPLICATE and repeated
    ):
        return Uncertain(problem.text)
    return Refused(problem.reason, problem.text)


def read_error(reply: Reply, now: datetime | None = None) -> CarrierError:
    """Return the error of an unsuccessful read. An unknown error code counts as a temporary failure."""
    shared = _rejected_unprocessed(reply, now)
    if shared:
        return shared
    problem = parse_problem(reply)
    if reply.status >= _HTTP_SERVER_ERROR:
        return Unavailable(f"Borzo answered HTTP {reply.status}", retry_after=reply.retry_after(now))
    if problem is None:
        return Unreadable(f"Borzo answered HTTP {reply.status} in an undocumented form")
    temporary = problem.error_class in (ErrorClass.TRANSIENT, ErrorClass.AMBIGUOUS)
    return Unavailable(problem.text) if temporary else Unreadable(problem.text)


def _rejected_unprocessed(reply: Reply, now: datetime | None) -> Unavailable | None:
    """Return the error of a call that was rejected before it had any effect; None for any other reply."""
    if reply.status in _HTTP_REJECTED:
        return Unavailable(f"Borzo answered HTTP {reply.status}", account=True)
    pause = reply.retry_after(now)
    if reply.status == _HTTP_TOO_MANY:
        return Throttled("Borzo answered HTTP 429", retry_after=RATE_PAUSE if pause is None else pause)
    problem = parse_problem(reply)
    if problem and problem.error_class is ErrorClass.ACCOUNT:
        return Unavailable(problem.text, account=True)
    if problem and problem.error_class is ErrorClass.RATE:
        return Throttled(problem.text, retry_after=RATE_PAUSE if pause is None else pause)
    return None


def _problem(codes: Sequence[str], by_pointer: Mapping[str, list[str]]) -> Problem:
    error_class, reason = min((REQUEST_CODES.get(code, _AMBIGUOUS) for code in codes), key=lambda entry: entry[0])
    if error_class is ErrorClass.VALIDATION:
        reason = _parameter_reason({code for found in by_pointer.values() for code in found})
    details = [f"{pointer} {','.join(found)}" for pointer, found in by_pointer.items()]
    return Problem(error_class, reason, "; ".join([",".join(map(_code, codes)), *details])[:MAX_TEXT])


def _parameter_reason(codes: set[str]) -> Reason:
    """Return the most important reason of the parameter error codes.

    An address that Borzo does not serve comes first, because another carrier may serve the address. A wrong setting
    comes second, because it affects every order.
    """
    reasons = {PARAMETER_CODES.get(code, Reason.VALIDATION) for code in codes}
    return next((reason for reason in (Reason.UNSERVICEABLE, Reason.CONFIG) if reason in reasons), Reason.VALIDATION)


def _flatten(tree: object, pointer: str = "", depth: int = 8) -> Iterator[tuple[str, list[str]]]:
    """Yield each JSON pointer with its error codes. The tree has the request's shape; null means a valid parameter."""
    if isinstance(tree, dict) and depth:
        for name, branch in tree.items():
            yield from _flatten(branch, f"{pointer}/{_code(name)}", depth - 1)
    if not isinstance(tree, list) or not depth:
        return
    codes = [_code(code) for code in tree if isinstance(code, str)]
    if codes:
        yield pointer, codes
    for index, branch in enumerate(tree):
        yield from _flatten(branch, f"{pointer}/{index}", depth - 1)


def _code(text: str) -> str:
    return text if _CODE.fullmatch(text) else "?"
