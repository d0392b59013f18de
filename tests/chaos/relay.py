"""Between the carriers and our edge: callbacks that come twice, late and in another order."""

import asyncio
import random

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

COPIES = 3
LATE = 4.0
"""Seconds by which a callback is late at most, each copy by itself: so they come in any order."""
AGAIN = 1.0
TRIES = 30


class Relay:
    """Passes callbacks on; while `wild`, it takes each one, and brings up to three copies of it at random times."""

    def __init__(self, edge: int, seed: int) -> None:
        self._edge = f"http://127.0.0.1:{edge}"
        self._random = random.Random(seed)
        self._late: set[asyncio.Task[None]] = set()
        self.wild = False
        self.passed, self.copied = 0, 0

    async def serve(self, port: int) -> None:
        """Serve until the loop ends."""
        self._client = httpx.AsyncClient(base_url=self._edge, trust_env=False, timeout=5)
        app = Starlette(routes=[Route("/{path:path}", self._take, methods=["GET", "POST"])])
        settings = uvicorn.Config(app, "127.0.0.1", port, log_level="critical", access_log=False, lifespan="off")
        server = uvicorn.Server(settings)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined, method-assign, unused-ignore]
        await server._serve() if hasattr(server, "_serve") else await server.serve()

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.passed += 1
        if not self.wild:
            return Response(status_code=await self._bring(request, body))
        for _ in range(self._random.randint(1, COPIES)):
            task = asyncio.create_task(self._bring_late(request, body))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return Response(status_code=200)

    async def _bring_late(self, request: Request, body: bytes) -> None:
        self.copied += 1
        await asyncio.sleep(self._random.uniform(0, LATE))
        for _ in range(TRIES):
            if await self._bring(request, body) < 500:
                return
            await asyncio.sleep(AGAIN)

    async def _bring(self, request: Request, body: bytes) -> int:
        names = ("content-type", "x-dv-signature")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        try:
            reply = await self._client.request(request.method, target, content=body, headers=headers)
        except httpx.TransportError:
            return 502
        return reply.status_code
