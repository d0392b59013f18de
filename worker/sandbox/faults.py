"""Faults on demand: what an API does wrong, how often, and whether the thing asked for happens all the same."""

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

from worker.sandbox.borzo_protocol import refusal
from worker.sandbox.borzo_refusals import refusal_of
from worker.sandbox.world import Json, World

Kind = Literal[
    "no_reply", "drop_before", "error_after", "error_before", "html", "garbage", "drip", "redirect", "slow",
    "unauthorized", "rate_limited", "refused", "late",
]  # fmt: skip

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in.</body></html>"
GARBAGE = b'\x00\xff\xfe{"order": \x9d'
ELSEWHERE = "http://elsewhere.invalid/"


class Fault(BaseModel):
    """One fault: `times` null means always; `match` is a reference or id found in the request."""

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

    def concerns(self, api: str, operation: str) -> bool:
        """Return whether it is about this operation of this API."""
        return self.api in ("*", api) and self.operation in ("*", operation)

    def matches(self, text: str) -> bool:
        """Return whether the reference stands in the request as a word of its own."""
        return self.match is None or bool(re.search(rf"(?<!\w){re.escape(self.match)}(?!\w)", text))


class Faults:
    """The faults that are set; the first that fits is taken, and `times` counts down."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._set: list[tuple[Fault, int | None]] = []

    def add(self, fault: Fault) -> None:
        """Set one more fault."""
        self._set.append((fault, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        self._set.clear()

    def view(self) -> list[dict[str, Any]]:
        """Return the faults and how often each may still happen."""
        return [{**fault.model_dump(), "left": left} for fault, left in self._set]

    async def take(self, api: str, operation: str, request: Request) -> Fault | None:
        """Return the fault that this request meets, if any."""
        near = [index for index, (fault, _) in enumerate(self._set) if fault.concerns(api, operation)]
        if not near:
            return None
        text = unquote_plus(f"{request.url} {(await request.body()).decode(errors='replace')}")
        for index in near:
            fault, left = self._set[index]
            if fault.matches(text) and self._random.random() < fault.chance:
                self._set[index : index + 1] = [] if left == 1 else [(fault, left and left - 1)]
                return fault
        return None


@dataclass(frozen=True, slots=True)
class Scene:
    """A request that meets a fault: who is asked, and `act`, which does what was asked and gives the true reply."""

    fault: Fault
    api: str
    world: World
    act: Callable[[], Awaitable[Response]]

    async def pause(self, default: float) -> None:
        """Wait for the fault's delay."""
        await self.world.config.sleep(default if self.fault.delay is None else self.fault.delay)

    def reply(self, status: int, body: Any) -> Response:
        """Write the fault's own status and body where it has any."""
        status = self.fault.status or status
        body = body if self.fault.body is None else self.fault.body
        return Response(body, status) if isinstance(body, str | bytes) else Json(body, status)


class Dropped(Response):
    """No reply at all: the connection is closed under the client."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Abort the server's connection to this client; without a server, fail as a broken connection does."""
        server = getattr(scope["app"].state, "server", None)
        if server is None:
            raise ConnectionAbortedError
        for connection in list(server.server_state.connections):
            if connection.client == scope["client"]:
                connection.transport.abort()
        await asyncio.sleep(0)  # lets the server notice, so that it sends no 500 of its own


async def _no_reply(scene: Scene) -> Response:
    await scene.act()
    await scene.pause(60)
    return Dropped()


async def _drop_before(_: Scene) -> Response:
    return Dropped()


async def _error_after(scene: Scene) -> Response:
    await scene.act()
    return scene.reply(500, "Internal Server Error")


async def _error_before(scene: Scene) -> Response:
    return scene.reply(500, "Internal Server Error")


async def _html(scene: Scene) -> Response:
    return HTMLResponse(scene.fault.body or LOGIN_PAGE, scene.fault.status or 200)


async def _garbage(scene: Scene) -> Response:
    await scene.act()
    return scene.reply(200, GARBAGE)


async def _drip(scene: Scene) -> Response:
    whole = await scene.act()
    body = bytes(whole.body)

    async def bytes_slowly() -> Any:
        for index in range(len(body)):
            await scene.pause(0.5)
            yield body[index : index + 1]

    return StreamingResponse(bytes_slowly(), whole.status_code, dict(whole.headers))


async def _redirect(scene: Scene) -> Response:
    return RedirectResponse(scene.fault.body or ELSEWHERE, scene.fault.status or 302)


async def _slow(scene: Scene) -> Response:
    reply = await scene.act()
    await scene.pause(10)
    return reply


async def _unauthorized(scene: Scene) -> Response:
    return refusal("invalid_auth_token") if scene.api == "borzo" else scene.reply(401, "Unauthorized")


async def _rate_limited(scene: Scene) -> Response:
    return refusal("requests_limit_exceeded") if scene.api == "borzo" else scene.reply(429, "Too Many Requests")


async def _refused(scene: Scene) -> Response:
    if scene.api != "borzo":
        return scene.reply(400, "Refused")
    said = refusal_of(str(scene.fault.body or "order_cannot_be_edited"))
    return refusal(said.code, said.parameters)


async def _late(scene: Scene) -> Response:
    async def job(_: datetime) -> None:
        await scene.act()

    delay = 5.0 if scene.fault.delay is None else scene.fault.delay
    scene.world.agenda.at(scene.world.now() + timedelta(seconds=delay), job)
    return Dropped()


PLAY: Mapping[str, Callable[[Scene], Awaitable[Response]]] = {
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
