"""The HTTP door: platforms without a connection to the bus send orders, and read deliveries and events here.

A message is stored before it is answered, in threads that only these requests use. A platform's slow requests delay no
callback.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.documents import documents
from schemas.events import delivery_id
from schemas.json_reader import MAX_MESSAGE_BYTES, MalformedError
from schemas.messages import Message
from schemas.openapi import CANCEL, DELIVERY, EVENTS, ORDERS
from schemas.ordering import ProjectDefaults
from schemas.requests import (
    EVENT_TYPE,
    Accepted,
    OtherSourceError,
    problem,
    read_cancel_request,
    read_event_request,
    read_order_request,
)
from schemas.trace import Trace
from worker import log
from worker.database.connection import DatabaseError
from worker.services.event_feed import CursorExpired
from worker.services.order_requests import OrderRequests, OtherContentError
from worker.web.bodies import CLOSE, RequestBodies

logger = log.get(__name__)
FOLDERS = frozenset({"orders", "deliveries", "events", "openapi.json", "schemas"})
"""The first part of each address of the door."""
THREADS = 8
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
REFUSALS: dict[type[Exception], int] = {
    OtherSourceError: 403,
    OtherContentError: 409,
    CursorExpired: 410,
    MalformedError: 422,
    ClientDisconnect: 503,  # nobody reads it, but it is counted
    DatabaseError: 503,
}
RETRY = {"Retry-After": "1"}
T = TypeVar("T")
Respond = Callable[[Request, str], Awaitable[Response]]
"""Answers a request of a source."""


@dataclass(frozen=True)
class OrdersApi:
    """The endpoints of the door."""

    keys: Mapping[str, str]
    """The source of each key."""
    requests: OrderRequests
    project: ProjectDefaults
    read_events: Respond
    count: Callable[[str, int], None]
    """Counts an answer. The arguments are the path and the HTTP status."""
    bodies: RequestBodies = field(default_factory=RequestBodies)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "order-requests"))

    def routes(self) -> list[Route]:
        """Return the routes; none if no platform has a key."""
        if not self.keys:
            return []
        published = {name: json.dumps(each).encode() for name, each in documents().items()}
        return [
            self._route("POST", ORDERS, self._place),
            self._route("POST", CANCEL, self._cancel),
            self._route("GET", DELIVERY, self._show),
            self._route("GET", EVENTS, self.read_events),
            Route("/openapi.json", partial(_send_document, published["openapi.json"])),
            *(Route(f"/schemas/{name}", partial(_send_document, each)) for name, each in published.items()),
        ]

    def _route(self, method: str, path: str, respond: Respond) -> Route:
        address = path.replace("{order_id}", "{order_id:path}")  # an order's id may contain a slash
        return Route(address, partial(self._answer, path, respond), methods=[method])

    async def _answer(self, path: str, respond: Respond, request: Request) -> Response:
        try:
            response = await respond(request, self._authenticate(request))
        except HTTPException as error:
            response = refuse_request(error.status_code, error.detail, headers=error.headers)
        except tuple(REFUSALS) as error:
            response = _refuse(error)
        self.count(path, response.status_code)
        return response

    def _authenticate(self, request: Request) -> str:
        """Return the source of the request's key. Raises HTTPException before the body is read."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digest = _digest(given.strip())
        matches = [source for key, source in self.keys.items() if hmac.compare_digest(_digest(key), digest)]
        if scheme.lower() != "bearer" or not matches:
            raise HTTPException(401, "no valid key", {"WWW-Authenticate": "Bearer", **CLOSE})
        return matches[0]

    async def _place(self, request: Request, source: str) -> Response:
        key = request.headers.get("idempotency-key")
        readers: dict[str, Callable[[bytes], Message]] = {
            JSON_TYPE: partial(read_order_request, source=source, key=key),
            EVENT_TYPE: partial(read_event_request, source=source, project=self.project),
        }
        return await self._receive(request, readers)

    async def _cancel(self, request: Request, source: str) -> Response:
        key, order_id = request.headers.get("idempotency-key"), request.path_params["order_id"]
        read = partial(read_cancel_request, source=source, order_id=order_id, key=key)
        return await self._receive(request, {JSON_TYPE: read}, or_nothing=True)

    async def _show(self, request: Request, source: str) -> Response:
        state = await self._run(self.requests.state, source, request.path_params["order_id"])
        if state is None:
            raise HTTPException(404, "no delivery of this order")
        return JSONResponse(state, headers={"Cache-Control": "no-store"})

    async def _receive(
        self, request: Request, readers: Mapping[str, Callable[[bytes], Message]], *, or_nothing: bool = False
    ) -> Response:
        """Read a body with the reader of its media type, and store its message.

        With `or_nothing`, an empty body of any type is read as JSON.
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        async with self.bodies.receive(request, MAX_MESSAGE_BYTES) as body:
            read = readers[JSON_TYPE] if or_nothing and not body else readers.get(media_type)
            if read is None:
                raise HTTPException(415, f"send {' or '.join(readers)}")
            request.state.authentic = True  # from now on the server does not close this connection to make room
            return await self._run(self._store, read, body, _trace(request))

    def _store(self, read: Callable[[bytes], Message], body: bytes, trace: Trace | None) -> Response:
        message = read(body)
        message = replace(message, trace=message.trace or trace)
        changes = self.requests.store(message)
        order_id = message.data.order_id
        answer = Accepted(order_id=order_id, delivery_id=delivery_id(message.source, order_id))
        return JSONResponse(
            answer.model_dump(),
            202,
            {"Location": f"/deliveries/{quote(order_id, safe='')}"},
            background=BackgroundTask(self.requests.follow_up, changes),
        )

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(work, *arguments))


def refuse_request(status: int, *faults: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a refused request, and log it."""
    logger.warning("order.request_refused", answer=status, faults=faults)
    return JSONResponse(problem(status, *faults).model_dump(), status, headers, PROBLEM_TYPE)


def _refuse(error: Exception) -> Response:
    status = next(status for kind, status in REFUSALS.items() if isinstance(error, kind))
    if isinstance(error, MalformedError):
        return refuse_request(status, *error.faults)
    if isinstance(error, (DatabaseError, ClientDisconnect)):
        logger.error("order.request_failed", error=type(error).__name__)
        return refuse_request(status, "try again later", headers=RETRY)
    return refuse_request(status, str(error))


def _trace(request: Request) -> Trace | None:
    """Return the trace of a request's headers, in which a platform traces its own work."""
    return Trace.read(request.headers.get("traceparent"), request.headers.get("tracestate"))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def _send_document(document: bytes, _request: Request) -> Response:
    """Answer with a published document, which needs no key."""
    return Response(document, media_type=JSON_TYPE)
