"""Faults on demand: what an API does wrong, how often, and whether the request is executed nevertheless."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from worker.sandbox.api import Api, Json
from worker.sandbox.world import World

Kind = Literal[
    "no_reply", "drop_before", "error_after", "error_before", "html", "garbage", "drip", "redirect", "slow",
    "unauthorized", "rate_limited", "refused", "late",
]  # fmt: skip

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in.</body></html>"
GARBAGE = b'\x00\xff\xfe{"order": \x9d'
OTHER_HOST = "http://elsewhere.invalid/"


class Fault(BaseModel):
    """One fault. It applies to the next `times` requests, or to every request if `times` is null.

    If `match` is set, the fault applies only to requests that contain this reference or id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    api: Literal["*", "cervo", "borzo", "deliverit", "deliverit_info", "ordering"] = "*"
    operation: str = "*"
    times: int | None = Field(default=1, ge=1)
    chance: float = Field(default=1.0, gt=0, le=1)
    match: str | None = None
    delay: float | None = Field(default=None, ge=0)
    status: int | None = Field(default=None, ge=100, le=599)
    body: Any = None

    def applies_to(self, api: str, operation: str) -> bool:
        """Return whether the fault concerns this operation of this API."""
        return self.api in ("*", api) and self.operation in ("*", operation)

    def matches(self, text: str) -> bool:
        """Return whether the text contains `match` as a whole word."""
        return self.match is None or bool(re.search(rf"(?<!\w){re.escape(self.match)}(?!\w)", text))


class Faults:
    """The active faults with their remaining uses; the first fault that applies to a request is used."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._active: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        """Activate one more fault."""
        self._active.append((fault, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        self._active.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the active faults with their remaining uses."""
        return [{**fault.model_dump(), "left": left} for fault, left in self._active]

    async def consume(self, api: str, operation: str, request: Request) -> Fault | None:
        """Return the fault for this request, if any, and count its use."""
        candidates = [index for index, (fault, _) in enumerate(self._active) if fault.applies_to(api, operation)]
        if not candidates:
            return None
        text = unquote_plus(f"{request.url} {(await request.body()).decode(errors='replace')}")
        for index in candidates:
            fault, left = self._active[index]
            if fault.matches(text) and self._random.random() < fault.chance:
                self._active[index : index + 1] = [] if left == 1 else [(fault, left and left - 1)]
                return fault
        return None


@dataclass(frozen=True, slots=True)
class FaultyCall:
    """A request to which a fault applies; `execute` does what was requested and returns the correct reply."""

    fault: Fault
    api: Api
    world: World
    execute: Callable[[], Awaitable[Response]]

    async def pause(self, default: float) -> None:
        """Wait for the fault's delay, or for `default` seconds if the fault has no delay."""
        await self.world.config.sleep(default if self.fault.delay is None else self.fault.delay)

    def reply(self, status: int, body: Any) -> Response:
        """Return a reply with the fault's status and body. The arguments replace values that the fault does not set."""
        status = self.fault.status or status
        body = body if self.fault.body is None else self.fault.body
        return Response(body, status) if isinstance(body, str | bytes) else Json(body, status)

    def error(self, status: int, text: str) -> Response:
        """Return an error in the API's own format, or a plain reply if the API has no format for this kind of fault."""
        written = self.api.error_replies.get(self.fault.kind)
        return written(self.fault.body) if written else self.reply(status, text)


class Dropped(Response):
    """No reply: the connection to the client is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Abort the server's connection to this client; without a server, raise ConnectionAbortedError."""
        server = getattr(scope["app"].state, "server", None)
        if server is None:
            raise ConnectionAbortedError
        for connection in list(server.server_state.connections):
            if connection.client == scope["client"]:
                connection.transport.abort()
        await asyncio.sleep(0)  # lets the server notice the abort, so that it sends no 500 of its own


async def _no_reply(call: FaultyCall) -> Response:
    await call.execute()
    await call.pause(60)
    return Dropped()


async def _drop_before(_: FaultyCall) -> Response:
    return Dropped()


async def _error_after(call: FaultyCall) -> Response:
    await call.execute()
    return call.reply(500, "Internal Server Error")


async def _error_before(call: FaultyCall) -> Response:
    return call.reply(500, "Internal Server Error")


async def _html(call: FaultyCall) -> Response:
    return HTMLResponse(call.fault.body or LOGIN_PAGE, call.fault.status or 200)


async def _garbage(call: FaultyCall) -> Response:
    await call.execute()
    return call.reply(200, GARBAGE)


async def _drip(call: FaultyCall) -> Response:
    whole = await call.execute()
    body = bytes(whole.body)

    async def byte_by_byte() -> Any:
        for index in range(len(body)):
            await call.pause(0.5)
            yield body[index : index + 1]

    return StreamingResponse(byte_by_byte(), whole.status_code, dict(whole.headers))


async def _redirect(call: FaultyCall) -> Response:
    return RedirectResponse(call.fault.body or OTHER_HOST, call.fault.status or 302)


async def _slow(call: FaultyCall) -> Response:
    reply = await call.execute()
    await call.pause(10)
    return reply


async def _unauthorized(call: FaultyCall) -> Response:
    return call.error(401, "Unauthorized")


async def _rate_limited(call: FaultyCall) -> Response:
    return call.error(429, "Too Many Requests")


async def _refused(call: FaultyCall) -> Response:
    return call.error(400, "Refused")


async def _late(call: FaultyCall) -> Response:
    async def event(_: datetime) -> None:
        await call.execute()

    delay = 5.0 if call.fault.delay is None else call.fault.delay
    call.world.scheduler.schedule(call.world.now() + timedelta(seconds=delay), event)
    return Dropped()


BEHAVIOURS: Mapping[str, Callable[[FaultyCall], Awaitable[Response]]] = {
    "no_reply": _no_reply,
    "drop_before": _drop_before,
    "error_after": _error_after,
    "error_before": _error_before,
    "html": _html,
    "garbage": _garbage,
    "drip": _drip,
    "redirect": _redirect,
    "slow": _slow,
    "unauthorized": _unauthorized,
    "rate_limited": _rate_limited,
    "refused": _refused,
    "late": _late,
}
