"""The shape that the simulated APIs share: operations, orders, and JSON in and out."""

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from worker.sandbox.callbacks import StatusNotifier
from worker.sandbox.scenarios import Scenario

Handler = Callable[[Request], Awaitable[Response]]
ErrorReplies = Mapping[str, Callable[[Any], Response]]
"""Functions by kind of fault. Each builds an error reply in the API's own format from the body of the fault."""
PLAIN_ERRORS: ErrorReplies = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an API; faults refer to it by `name`."""

    name: str
    method: str
    path: str
    handler: Handler


@dataclass(slots=True, kw_only=True)
class Order:
    """The part of an order that is the same for every API."""

    id: str
    reference: str
    script: str
    created: datetime
    scenario: Scenario
    notifier: StatusNotifier | None = field(default=None, repr=False)


class Api(Protocol):
    """One of the simulated APIs."""

    @property
    def name(self) -> str:
        """Return the name that the ledger and the faults use for the API."""

    @property
    def orders(self) -> Mapping[str, Order]:
        """Return the orders by id."""

    @property
    def inactive_statuses(self) -> frozenset[str]:
        """Return the statuses in which no courier is booked for an order."""

    @property
    def error_replies(self) -> ErrorReplies:
        """Return the functions that build error replies in the API's own format, by kind of fault."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Return the operations in the order in which their paths are matched."""

    def authorize(self, request: Request) -> Response | None:
        """Return an error reply if a request is not authorised; None if it is authorised."""


dumps = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


class Json(Response):
    """A JSON reply with an explicit charset, as Borzo and DeliverIt send it."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200) -> None:
        super().__init__(dumps(content), status_code, {"Content-Type": "application/json; charset=utf-8"})


async def read_fields(request: Request) -> dict[str, Any]:
    """Return the fields of a JSON or form body; no fields if a JSON body is invalid or is no object."""
    body = await request.body()
    if "json" not in request.headers.get("content-type", ""):
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    try:
        fields = json.loads(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
