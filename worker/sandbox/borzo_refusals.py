"""Borzo's refusals on demand: each documented code, by its name in an order's free text or in a fault."""

import re
from collections.abc import Mapping
from typing import Any

from worker.sandbox.borzo_protocol import Refusal

REQUEST_CODES = frozenset({
    "unexpected_error", "invalid_api_version", "required_api_upgrade", "requests_limit_exceeded", "required_auth_token",
    "invalid_auth_token", "required_method_get", "required_method_post", "invalid_post_json", "unapproved_contract",
    "service_unavailable", "invalid_api_method", "buyout_not_allowed", "insufficient_balance_for_buyout",
    "order_cannot_be_edited", "order_cannot_be_canceled", "insufficient_balance", "buyout_amount_limit_exceeded",
    "route_not_found", "total_payment_amount_limit_exceeded", "order_is_duplicate", "insufficient_funds",
    "card_payment_failed", "impossible_delivery_fee_calculation", "tax_retension_limit",
})  # fmt: skip
"""What a whole request is refused with (borzo.txt, "Request error codes"); every other code is a parameter's."""
ADDRESS, MONEY, TIME = ("drop", "address"), ("drop", "taking_amount"), ("drop", "required_start_datetime")
PLACES: Mapping[str, tuple[str, ...]] = {
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
"""Which parameter has an error (borzo.txt, "Parameter error codes"), where it is not the customer's address."""
SCRIPTED = {"closed": "route_not_found", "refused": "invalid_phone"}
_ASKED = re.compile(r"sandbox:(?:borzo=)?refused=([a-z_]+)")


def texts_of(sent: Mapping[str, Any]) -> list[Any]:
    """List the free texts of an order, in which a script may stand; a price is asked for without notes."""
    points = sent.get("points") or []
    return [sent.get("matter"), *(point.get(name) for point in points for name in ("note", "address"))]


def refusal_for(sent: Mapping[str, Any], script: str = "") -> Refusal | None:
    """Return the refusal that an order asks for with `sandbox:refused=CODE`, or by its script."""
    asked = _ASKED.search(" ".join(str(text) for text in texts_of(sent) if text))
    code = asked[1] if asked else SCRIPTED.get(script)
    return refusal_of(code) if code else None


def refusal_of(code: str) -> Refusal:
    """Return the refusal with this code, a parameter's in its place in the tree."""
    if code in REQUEST_CODES:
        return Refusal(code)
    tree: Any = [code]
    for name in reversed(PLACES.get(code, ADDRESS)):
        tree = {"points": [None, tree]} if name == "drop" else {name: tree}
    return Refusal("invalid_parameters", tree)
