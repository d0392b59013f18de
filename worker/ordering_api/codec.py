"""The calls of the Ordering API, and its replies of the form `{"error", "result"}` (Ordering, "Orders Model").

Pure: it builds calls and reads replies; the gateway sends them.
"""

import json
import re
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json

from schemas.fields import LARGEST
from schemas.json_reader import MalformedError
from schemas.status import Reason
from worker.errors import CarrierError, Refused, Throttled, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Reply
from worker.ordering_api.account import Ordering

ACCOUNT = "ordering"
DELIVERY = 1
"""The `delivery_type` of an order that a courier delivers."""
DEADLINE = 15.0
"""Seconds for a whole call. A write-back makes two calls, and its task must end within a minute."""
MAX_BODY = 1_000_000
"""The maximum size of one order in bytes."""
OK, NO_CONTENT, NOT_FOUND, TOO_MANY_REQUESTS = 200, 204, 404, 429
DIGITS = re.compile(r"\d{1,10}", re.ASCII)
UNAUTHORIZED, REFUSALS = frozenset({401, 403}), frozenset({400, 405, 409, 410, 415, 422})
SERVER_ERRORS = range(500, 600)


def account(settings: Ordering) -> ApiAccount:
    """Return the platform's account for the gateway; its default rate is two requests a second (O-01)."""
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
    """Return the call GET /orders/:order_id. Special characters of the id, such as slashes, are escaped."""
    return Call(operation, "GET", _path(settings, order_id), headers=headers(settings))


def write(settings: Ordering, order_id: str, status: int) -> Call:
    """Return the call PUT /orders/:order_id with the status alone, never with a driver or products (O-09)."""
    body = json.dumps({"status": status}).encode()
    with_type = (*headers(settings), ("Content-Type", "application/json"))
    return Call(Operation.AMEND, "PUT", _path(settings, order_id), headers=with_type, body=body)


def probe(settings: Ordering) -> Call:
    """Return the call GET /orders for a page of one order (`mode=dashboard`), to see whether the key may see orders."""
    query = (("mode", "dashboard"), ("page", "1"), ("page_size", "1"))
    return Call(Operation.PROBE, "GET", f"{settings.path}/orders", query=query, headers=headers(settings))


def headers(settings: Ordering) -> tuple[tuple[str, str], ...]:
    """Return the headers with the key and with our name. The name shows which writes are ours (O-23)."""
    return (settings.api_key_header, settings.api_key.get_secret_value()), ("X-APP-X", settings.app_id)


def _path(settings: Ordering, order_id: str) -> str:
    return f"{settings.path}/orders/{quote(order_id, safe='')}"


def read_order(reply: Reply, order_id: str) -> dict[str, Any]:
    """Return the JSON of a fetched order. Raises Unavailable, Refused or MalformedError.

    Refused means that there is no such order, or that the platform reported an error. An order with another id than the
    requested one is malformed: a courier would go to the wrong customer.
    """
    order = read_result(reply)
    if not isinstance(order, dict):
        raise MalformedError("result: the platform's answer contains no order")
    if (found := order.get("id")) is not None and str(found) != order_id:
        raise MalformedError("id: the platform's answer is another order")
    return order


def read_status(reply: Reply, order_id: str) -> int:
    """Return the status of an order; 0 is a valid status (O-11). Raises the same errors as `read_order`."""
    status = read_order(reply, order_id).get("status")
    if isinstance(status, str) and DIGITS.fullmatch(status):
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool) or not 0 <= status <= LARGEST:
        raise MalformedError("status: the platform's order has no valid status")
    return status


def read_written(reply: Reply) -> None:
    """Check that a write succeeded. Raises Unavailable, Refused (it failed) or Uncertain (it may have succeeded)."""
    if reply.status in REFUSALS:
        raise Refused(Reason.VALIDATION, f"the platform answered {reply.status}")
    if (
        reply.status in UNAUTHORIZED
    ):  # the account is not paused: the read before this write worked, and reads are needed to open gates
        raise Unavailable(f"the key may read orders but not write them: the platform answered {reply.status}")
    if reply.status == NO_CONTENT:
        return
    try:
        read_result(reply)
    except Unavailable as error:
        if reply.status == OK or reply.status in SERVER_ERRORS:
            raise Uncertain(str(error)) from None
        raise


def read_probe(reply: Reply) -> str:
    """Return a warning if the list of orders is empty, and otherwise an empty text.

    A key without access gets an empty list instead of an error (O-10).
    """
    return (
        "" if read_list(reply) else "no order is visible to this key: is it an administrator's or a business owner's?"
    )


def read_list(reply: Reply) -> list[Any]:
    """Return the entries of a list of orders, unparsed. Raises Unavailable or Refused."""
    if reply.status == NOT_FOUND:
        raise Unavailable("the platform has no orders at this address: are BASE_URL and PATH right?")
    entries = read_result(reply)
    if not isinstance(entries, list):
        raise Unavailable("the platform's answer contains no list of orders")
    return entries


def read_result(reply: Reply) -> Any:
    """Return the `result` of an answer, or the whole answer if it has no `result`. Raises Unavailable or Refused."""
    if reply.status != OK:
        raise _error(reply)
    try:
        body = from_json(reply.body, allow_inf_nan=False)
    except ValueError:
        raise Unavailable("the platform's answer is not JSON") from None
    if isinstance(body, dict) and body.get("error"):
        raise Refused(Reason.VALIDATION, "the platform reported an error")
    return body.get("result", body) if isinstance(body, dict) else body


def _error(reply: Reply) -> CarrierError:
    message = f"the platform answered {reply.status}"
    if reply.status == NOT_FOUND:
        return Refused(Reason.VALIDATION, "the platform has no such order")
    if reply.status == TOO_MANY_REQUESTS:
        return Throttled(message, retry_after=reply.retry_after(None))
    return Unavailable(message, retry_after=reply.retry_after(None), account=reply.status in UNAUTHORIZED)
