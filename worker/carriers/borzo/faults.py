"""Borzo's error codes -> what the caller must do. Only codes decide: no text (B-45), and not HTTP 400 (B-03).

Error texts are built of codes and parameter names, so that they cannot carry anybody's data.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from schemas.status import Reason
from worker.carriers.borzo.wire import decode
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.http.call import Reply

MAX_TEXT = 300
RATE_PAUSE = 60.0
"""Borzo has no Retry-After; the shorter of its two windows is a minute (B-06)."""
_HTTP_BAD_REQUEST = 400
_HTTP_TOO_MANY = 429
_HTTP_SERVER_ERROR = 500
_SHUT_OUT = frozenset({401, 403})
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Fault(IntEnum):
    """The classes of error codes, in the order in which they outrank each other (B-05)."""

    ACCOUNT = 1
    RATE = 2
    TRANSIENT = 3
    AMBIGUOUS = 4
    DUPLICATE = 5
    BUSINESS = 6
    VALIDATION = 7


_BUG = (Fault.BUSINESS, Reason.CONFIG)
_FUNDING = (Fault.BUSINESS, Reason.ACCOUNT_FUNDING)
_UNSERVED = (Fault.BUSINESS, Reason.UNSERVICEABLE)
_STATE = (Fault.BUSINESS, Reason.UNKNOWN)
_ACCOUNT = (Fault.ACCOUNT, Reason.ACCOUNT_AUTH)
_AMBIGUOUS = (Fault.AMBIGUOUS, Reason.UNKNOWN)

REQUEST_CODES: dict[str, tuple[Fault, Reason]] = {
    "invalid_api_version": _ACCOUNT,
    "required_api_upgrade": _ACCOUNT,
    "required_auth_token": _ACCOUNT,
    "invalid_auth_token": _ACCOUNT,
    "unapproved_contract": _ACCOUNT,
    "required_method_get": _BUG,
    "required_method_post": _BUG,
    "invalid_post_json": _BUG,
    "invalid_api_method": _BUG,
    "requests_limit_exceeded": (Fault.RATE, Reason.UNKNOWN),
    "service_unavailable": (Fault.TRANSIENT, Reason.UNKNOWN),
    "unexpected_error": _AMBIGUOUS,
    "card_payment_failed": _AMBIGUOUS,
    "insufficient_balance": _FUNDING,
    "insufficient_funds": _FUNDING,
    "insufficient_balance_for_buyout": _FUNDING,
    "buyout_amount_limit_exceeded": _FUNDING,
    "total_payment_amount_limit_exceeded": _FUNDING,
    "tax_retension_limit": _FUNDING,
    "buyout_not_allowed": (Fault.BUSINESS, Reason.CONFIG),
    "route_not_found": _UNSERVED,
    "impossible_delivery_fee_calculation": _UNSERVED,
    "invalid_parameters": (Fault.VALIDATION, Reason.VALIDATION),
    "order_cannot_be_edited": _STATE,
    "order_cannot_be_canceled": _STATE,
    "order_is_duplicate": (Fault.DUPLICATE, Reason.DUPLICATE),
}
"""All request error codes (Borzo, "Request error codes"), with the reason for a refusal where there is one."""

_ORDERS_FAULT = (
    "required", "unknown", "invalid_list", "invalid_object", "invalid_boolean", "invalid_date", "invalid_date_format",
    "invalid_float", "invalid_integer", "invalid_string", "invalid_order", "invalid_point", "invalid_order_status",
    "invalid_phone", "invalid_order_package", "invalid_delivery_id", "invalid_delivery_package",
    "invalid_delivery_status", "invalid_url", "invalid_enum_value", "invalid_delivery_interval", "min_length",
    "max_length", "min_date", "max_date", "min_size", "max_size", "min_value", "max_value", "cannot_be_past",
    "start_after_end", "earlier_than_previous_point", "not_editable", "not_nullable", "not_allowed",
    "sameday_pickup_interval_too_short", "invalid_value", "promo_code_already_used", "promo_code_not_available",
)  # fmt: skip
_SETTINGS_FAULT = (
    "invalid_vehicle_type", "invalid_bank_card", "order_payment_only_one_point", "cod_agreement_required",
    "cod_is_not_allowed_with_buyout",
)  # fmt: skip
_NOT_THERE = (
    "invalid_region", "different_regions", "address_not_found", "coordinates_out_of_bounds", "invalid_postal_code",
)  # fmt: skip
PARAMETER_CODES: dict[str, Reason] = {
    **dict.fromkeys(_ORDERS_FAULT, Reason.VALIDATION),
    **dict.fromkeys(_SETTINGS_FAULT, Reason.CONFIG),
    **dict.fromkeys(_NOT_THERE, Reason.UNSERVICEABLE),
}
"""All parameter error codes (Borzo, "Parameter error codes"), with the reason that they refine a refusal to."""

_LEFT_OUT = re.compile(r"/points/\d+/contact_person(/(name|phone))?")
"""What a price may be asked for without (Borzo, "How to place an order")."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One documented error answer, classified."""

    fault: Fault
    reason: Reason
    text: str


def problem_of(reply: Reply) -> Problem | None:
    """Read an error answer (Borzo, "Responses"); None when it is not of the documented shape."""
    document = decode(reply.body) if reply.status == _HTTP_BAD_REQUEST else None
    if document is None or document.get("is_successful") is not False:
        return None
    raw_codes = document.get("errors")
    codes = raw_codes if isinstance(raw_codes, list) else []
    if not codes or not all(isinstance(code, str) for code in codes):
        return None
    return _problem(codes, dict(_flatten(document.get("parameter_errors"))))


def refusal_in(reply: Reply) -> Problem | None:
    """Read an error answer that says no for good; None for one that may pass, or is none."""
    problem = problem_of(reply)
    return problem if problem and problem.fault >= Fault.DUPLICATE else None


def objection(document: Mapping[str, object]) -> Problem | None:
    """Name what a calculated order would be refused for; a price is told all the same (B-21).

    That it was asked for without the people at the points is no objection.
    """
    raw_codes = document.get("warnings")
    codes = [code for code in raw_codes if isinstance(code, str)] if isinstance(raw_codes, list) else []
    faults = dict(_flatten(document.get("parameter_warnings")))
    left_out = [at for at, found in faults.items() if _LEFT_OUT.fullmatch(at) and set(found) == {"required"}]
    grave = {at: found for at, found in faults.items() if at not in left_out}
    if left_out and not grave:
        codes = [code for code in codes if code != "invalid_parameters"]
    return _problem(codes, grave) if codes else None


def after_writing(reply: Reply, now: datetime | None = None, *, repeated: bool = False) -> CarrierError:
    """Name what an unsuccessful create or cancel means; whatever is undocumented is Uncertain (B-03, B-13).

    `repeated` says that an earlier create of the same delivery may exist, so that a duplicate proves nothing (B-31).
    """
    shared = _before_processing(reply, now)
    if shared:
        return shared
    problem = problem_of(reply)
    if problem is None:
        return Uncertain(f"Borzo answered HTTP {reply.status} in an undocumented form")
    if problem.fault in (Fault.TRANSIENT, Fault.AMBIGUOUS) or (problem.fault is Fault.DUPLICATE and repeated):
        return Uncertain(problem.text)
    return Refused(problem.reason, problem.text)


def after_reading(reply: Reply, now: datetime | None = None) -> CarrierError:
    """Name what an unsuccessful read means; a code we do not know may pass."""
    shared = _before_processing(reply, now)
    if shared:
        return shared
    problem = problem_of(reply)
    if reply.status >= _HTTP_SERVER_ERROR:
        return Unavailable(f"Borzo answered HTTP {reply.status}", retry_after=reply.retry_after(now))
    if problem is None:
        return Unreadable(f"Borzo answered HTTP {reply.status} in an undocumented form")
    passing = problem.fault in (Fault.TRANSIENT, Fault.AMBIGUOUS)
    return Unavailable(problem.text) if passing else Unreadable(problem.text)


def _before_processing(reply: Reply, now: datetime | None) -> Unavailable | None:
    """Recognise the answers that mean the same for every call: it was turned away before it did anything."""
    if reply.status in _SHUT_OUT:
        return Unavailable(f"Borzo answered HTTP {reply.status}", account=True)
    pause = reply.retry_after(now)
    if reply.status == _HTTP_TOO_MANY:
        return Throttled("Borzo answered HTTP 429", retry_after=RATE_PAUSE if pause is None else pause)
    problem = problem_of(reply)
    if problem and problem.fault is Fault.ACCOUNT:
        return Unavailable(problem.text, account=True)
    if problem and problem.fault is Fault.RATE:
        return Throttled(problem.text, retry_after=RATE_PAUSE if pause is None else pause)
    return None


def _problem(codes: Sequence[str], faults: Mapping[str, list[str]]) -> Problem:
    fault, reason = min((REQUEST_CODES.get(code, _AMBIGUOUS) for code in codes), key=lambda entry: entry[0])
    if fault is Fault.VALIDATION:
        reason = _parameter_reason({code for found in faults.values() for code in found})
    details = [f"{pointer} {','.join(found)}" for pointer, found in faults.items()]
    return Problem(fault, reason, "; ".join([",".join(map(_word, codes)), *details])[:MAX_TEXT])


def _parameter_reason(codes: set[str]) -> Reason:
    """Name the gravest: elsewhere another carrier may come, and settings spoil every order."""
    reasons = {PARAMETER_CODES.get(code, Reason.VALIDATION) for code in codes}
    return next((grave for grave in (Reason.UNSERVICEABLE, Reason.CONFIG) if grave in reasons), Reason.VALIDATION)


def _flatten(tree: object, pointer: str = "", depth: int = 8) -> Iterator[tuple[str, list[str]]]:
    """Walk `parameter_errors`, which mirrors the request: null is a good position, a list of codes a bad one."""
    if isinstance(tree, dict) and depth:
        for name, branch in tree.items():
            yield from _flatten(branch, f"{pointer}/{_word(name)}", depth - 1)
    if not isinstance(tree, list) or not depth:
        return
    codes = [_word(code) for code in tree if isinstance(code, str)]
    if codes:
        yield pointer, codes
    for index, branch in enumerate(tree):
        yield from _flatten(branch, f"{pointer}/{index}", depth - 1)


def _word(text: str) -> str:
    return text if _CODE.fullmatch(text) else "?"
