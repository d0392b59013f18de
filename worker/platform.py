"""The Ordering API: fetch one order by its id (Ordering, "Orders Model")."""

from typing import Any
from urllib.parse import quote

from pydantic import SecretStr
from pydantic_core import from_json

from schemas.orders import MalformedError
from schemas.status import Reason
from worker.carriers.account import Account
from worker.carriers.port import Call, Operation, Reply
from worker.errors import Refused, Unavailable
from worker.settings import Ordering

ACCOUNT = "ordering"
NOT_FOUND = 404


def account(settings: Ordering) -> Account:
    """Describe the platform as an account of the gateway, at a conservative two requests a second (O-01)."""
    return Account(
        name=ACCOUNT,
        kind=ACCOUNT,
        base_url=settings.base_url,
        allow_http=settings.allow_http,
        poll_interval=1,
        rate="2/second",
    )


def fetch(settings: Ordering, order_id: str) -> Call:
    """Describe GET /orders/:order_id. The id is one segment of the path, whatever stands in it."""
    headers = ((settings.api_key_header, _reveal(settings.api_key)), ("X-APP-X", settings.app_id))
    return Call(Operation.FIND, "GET", f"/orders/{quote(order_id, safe='')}", headers=headers)


def _reveal(secret: SecretStr) -> str:
    return secret.get_secret_value()


def read_order(reply: Reply) -> dict[str, Any]:
    """Read the fetched order's JSON. Raises Unavailable, Refused (there is no such order) or MalformedError."""
    if reply.status == NOT_FOUND:
        raise Refused(Reason.VALIDATION, "the platform has no such order")
    if reply.status != 200:  # noqa: PLR2004 - the one documented success
        raise Unavailable(f"the platform answered {reply.status}")
    try:
        body = from_json(reply.body, allow_inf_nan=False)
    except ValueError:
        raise Unavailable("the platform's answer is not JSON") from None
    order = body.get("result", body) if isinstance(body, dict) else None
    if not isinstance(order, dict):
        raise MalformedError("result: the platform's answer holds no order")
    return order
