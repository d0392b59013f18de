"""Borzo's errors: the format of the reply, and an error for each documented code."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from worker.sandbox.api import ErrorReplies, Json

REQUEST_CODES = frozenset({
    "unexpected_error", "invalid_api_version", "required_api_upgrade", "requests_limit_exceeded", "required_auth_token",
    "invalid_auth_token", "required_method_get", "required_method_post", "invalid_post_json", "unapproved_contract",
    "service_unavailable", "invalid_api_method", "buyout_not_allowed", "insufficient_balance_for_buyout",
    "order_cannot_be_edited", "order_cannot_be_canceled", "insufficient_balance", "buyout_amount_limit_exceeded",
    "route_not_found", "total_payment_amount_limit_exceeded", "order_is_duplicate", "insufficient_funds",
    "card_payment_failed", "impossible_delivery_fee_calculation", "tax_retension_limit",
})  # fmt: skip
"""The codes for a whole request (borzo.txt, "Request error codes"); every other code belongs to a parameter."""
ADDRESS, MONEY, TIME = ("drop", "address"), ("drop", "taking_amount"), ("drop", "required_start_datetime")
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "invalid_vehicle_type": ("vehicle_type_id",),
    "invalid_bank_card": ("bank_card_id",),
    "invalid_value": ("promo_code",),
    "promo_code_already_used": ("promo_code",),
    "promo_code_not_available": ("promo_code",),
    "cod_agreement_required": MONEY,
    "cod_is_not_allowed_with_buyout": MONEY,
    "order_payment_only_one_point": ("drop", "is_order_payment_here"),
    "invalid_phone": ("drop", "contact_person", "phone"),
    "cannot_be_past": TIME,
    "start_after_end": TIME,
    "earlier_than_previous_point": TIME,
    "sameday_pickup_interval_too_short": TIME,
    "min_date": TIME,
    "max_date": TIME,
}
"""The path of the parameter to which each code belongs (borzo.txt, "Parameter error codes").

Any other code belongs to the customer's address.
"""
SCRIPTED = {"closed": "route_not_found", "refused": "invalid_phone"}
_REQUESTED = re.compile(r"sandbox:(?:borzo=)?refused=([a-z_]+)")


class RequestError(Exception):
    """An error answer: an error code and, for `invalid_parameters`, a tree of parameter errors."""

    def __init__(self, code: str, parameters: Any = None) -> None:
        super().__init__(code)
        self.code, self.parameters = code, parameters

    def reply(self) -> Response:
        """Return the reply, which is HTTP 400 for every code (borzo.txt, "Responses"; B-03)."""
        return Json({"is_successful": False, "errors": [self.code], "parameter_errors": self.parameters}, 400)


def free_texts(sent: Mapping[str, Any]) -> list[Any]:
    """Return the texts in which an order may request a script or an error.

    The addresses are included, because our requests for a price contain no notes.
    """
    points = sent.get("points") or []
    return [sent.get("matter"), *(point.get(name) for point in points for name in ("note", "address"))]


def requested_error(sent: Mapping[str, Any], script: str = "") -> RequestError | None:
    """Return the error that an order requests with `sandbox:refused=CODE` or by its script, else None."""
    requested = _REQUESTED.search(" ".join(str(text) for text in free_texts(sent) if text))
    code = requested[1] if requested else SCRIPTED.get(script)
    return error_for(code) if code else None


def error_for(code: str) -> RequestError:
    """Return the error for a documented code. The code of a parameter gets a tree of parameter errors."""
    if code in REQUEST_CODES:
        return RequestError(code)
    tree: Any = [code]
    for name in reversed(PARAMETERS.get(code, ADDRESS)):
        tree = {"points": [None, tree]} if name == "drop" else {name: tree}
    return RequestError("invalid_parameters", tree)


ERROR_REPLIES: ErrorReplies = {
    "unauthorized": lambda _: RequestError("invalid_auth_token").reply(),
    "rate_limited": lambda _: RequestError("requests_limit_exceeded").reply(),
    "refused": lambda code: error_for(str(code or "order_cannot_be_edited")).reply(),
}
"""Borzo's reply to each kind of fault for which Borzo has a format of its own."""
