"""A relay between the carriers and the web processes: callbacks can arrive twice, late and out of order.

As a proxy does, it takes any web process that it can reach.
"""

import asyncio
import random
from collections.abc import Sequence

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

COPIES = 3
DELAY = 4.0
"""The longest delay of a copy, in seconds. Each copy has its own, so copies arrive in any order."""
RETRY_AFTER = 1.0
TRIES = 30
TIMEOUT, CONNECT_TIMEOUT = 5.0, 1.0
HEADERS = ("content-type", "x-dv-signature")


class CallbackRelay:
    """Forwards callbacks. While `disorderly`, it accepts each one and forwards one to three copies at random times."""

    def __init__(self, webs: Sequence[str], seed: int) -> None:
        self._webs = webs
        self._random = random.Random(seed)
        self._delayed: set[asyncio.Task[None]] = set()
        self.disorderly = False
        self.received, self.copied = 0, 0

    async def serve(self, port: int) -> None:
        """Serve until the loop ends."""
        self._client = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT))
        app = Starlette(routes=[Route("/{path:path}", self._receive, methods=["GET", "POST"])])
        settings = uvicorn.Config(app, "127.0.0.1", port, log_level="critical", access_log=False, lifespan="off")
        await uvicorn.Server(settings).serve()

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        self.received += 1
        if not self.disorderly:
            return Response(status_code=await self._forward(request, body))
        for _ in range(self._random.randint(1, COPIES)):
            task = asyncio.create_task(self._forward_late(request, body))
            self._delayed.add(task)
            task.add_done_callback(self._delayed.discard)
        return Response(status_code=200)

    async def _forward_late(self, request: Request, body: bytes) -> None:
        self.copied += 1
        await asyncio.sleep(self._random.uniform(0, DELAY))
        for _ in range(TRIES):
            if await self._forward(request, body) < 500:
                return
            await asyncio.sleep(RETRY_AFTER)

    async def _forward(self, request: Request, body: bytes) -> int:
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        for web in self._random.sample(self._webs, len(self._webs)):
            try:
                reply = await self._client.request(request.method, f"{web}{target}", content=body, headers=headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            except httpx.TransportError:
                return 502
            return reply.status_code
        return 502
