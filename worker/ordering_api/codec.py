"""The Ordering API: read an order, write its status (Ordering, "Orders Model"). Replies are `{"error", "result"}`."""

import json
import re
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json

from schemas.json_reader import MalformedError
from schemas.order import LARGEST
from schemas.status import Reason
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Reply
from worker.ordering_api.account import Ordering

ACCOUNT = "ordering"
DELIVERY = 1
"""The `delivery_type` of an order that is brought."""
DEADLINE = 15.0
"""Seconds for a whole call: a write-back is a look and a write, and no task takes a minute."""
MAX_BODY = 1_000_000
"""The most bytes that one order may have."""
ANSWERED, WITHOUT_BODY, NOT_FOUND, TOO_MANY = 200, 204, 404, 429
DIGITS = re.compile(r"\d{1,10}", re.ASCII)
SHUT_OUT, REFUSALS, TROUBLE = frozenset({401, 403}), frozenset({400, 405, 409, 410, 415, 422}), range(500, 600)


def account(settings: Ordering) -> ApiAccount:
    """Describe the platform as an account of the gateway, by default at two requests a second (O-01)."""
    return ApiAccount(
        name=ACCOUNT,
        kind=ACCOUNT,
        base_url=settings.base_url,
        allow_http=settings.allow_http,
        read_timeout=DEADLINE,
        deadline=DEADLINE,
        rate=settings.rate,
    )


def fetch(settings: Ordering, order_id: str, operation: Operation = Operation.FIND) -> Call:
    """Describe GET /orders/:order_id. The id is one segment of the path, whatever stands in it."""
    return Call(operation, "GET", _path(settings, order_id), headers=headers(settings))


def write(settings: Ordering, order_id: str, status: int) -> Call:
    """Describe PUT /orders/:order_id with the status alone: never the driver, never the products (O-09)."""
    body = json.dumps({"status": status}).encode()
    typed = (*headers(settings), ("Content-Type", "application/json"))
    return Call(Operation.AMEND, "PUT", _path(settings, order_id), headers=typed, body=body)


def probe(settings: Ordering) -> Call:
    """Describe GET /orders for one order of all (`mode:dashboard`): what the key may see."""
    query = (("mode", "dashboard"), ("page", "1"), ("page_size", "1"))
    return Call(Operation.PROBE, "GET", f"{settings.path}/orders", query=query, headers=headers(settings))


def headers(settings: Ordering) -> tuple[tuple[str, str], ...]:
    """Write the key, and who we are (O-23)."""
    return (settings.api_key_header, settings.api_key.get_secret_value()), ("X-APP-X", settings.app_id)


def _path(settings: Ordering, order_id: str) -> str:
    return f"{settings.path}/orders/{quote(order_id, safe='')}"


def read_order(reply: Reply, order_id: str) -> dict[str, Any]:
    """Read the fetched order's JSON. Raises Unavailable, Refused (there is no such order) or MalformedError.

    One that says another id than was asked for is nobody's: its courier would go to somebody else.
    """
    order = read_result(reply)
    if not isinstance(order, dict):
        raise MalformedError("result: the platform's answer holds no order")
    if (said := order.get("id")) is not None and str(said) != order_id:
        raise MalformedError("id: the platform's answer is another order")
    return order


def read_status(reply: Reply, order_id: str) -> int:
    """Read what status an order has; 0 is one (O-11). Raises as `read_order` does."""
    status = read_order(reply, order_id).get("status")
    if isinstance(status, str) and DIGITS.fullmatch(status):
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status <= LARGEST:
        raise MalformedError("status: the platform's order has none")
    return status


def read_written(reply: Reply) -> None:
    """Read what became of a write. Raises Unavailable, Refused (it is not taken) or Uncertain (perhaps it was)."""
    if reply.status in REFUSALS:
        raise Refused(Reason.VALIDATION, f"the platform answered {reply.status}")
    if reply.status in SHUT_OUT:  # not the account: the look just before was let in, and gates are opened by looks
        raise Unavailable(f"the key may look at orders and not write them: the platform answered {reply.status}")
    if reply.status == WITHOUT_BODY:
        return
    try:
        read_result(reply)
    except Unavailable as error:
        if reply.status == ANSWERED or reply.status in TROUBLE:
            raise Uncertain(str(error)) from None
        raise


def read_probe(reply: Reply) -> str:
    """Say what the key may see: another user's sees no orders, and that is no error (O-10)."""
    seen = read_list(reply)
    return "" if seen else "no order is visible to this key: is it an administrator's or a business owner's?"


def read_list(reply: Reply) -> list[Any]:
    """Read the entries of a list of orders as they came. Raises Unavailable or Refused."""
    if reply.status == NOT_FOUND:
        raise Unavailable("the platform has no orders at this address: are BASE_URL and PATH right?")
    entries = read_result(reply)
    if not isinstance(entries, list):
        raise Unavailable("the platform's answer holds no list of orders")
    return entries


def read_result(reply: Reply) -> Any:
    """Read the `result` of an answer, or all of it where it has none. Raises Unavailable or Refused."""
    if reply.status != ANSWERED:
        raise _complaint(reply)
    try:
        body = from_json(reply.body, allow_inf_nan=False)
    except ValueError:
        raise Unavailable("the platform's answer is not JSON") from None
    if isinstance(body, dict) and body.get("error"):
        raise Refused(Reason.VALIDATION, "the platform says that it is an error")
    return body.get("result", body) if isinstance(body, dict) else body


def _complaint(reply: Reply) -> CarrierError:
    said = f"the platform answered {reply.status}"
    if reply.status == NOT_FOUND:
        return Refused(Reason.VALIDATION, "the platform has no such order")
    if reply.status == TOO_MANY:
        return Throttled(said, retry_after=reply.retry_after(None))
    return Unavailable(said, retry_after=reply.retry_after(None), account=reply.status in SHUT_OUT)
