"""The sandbox put together: four APIs, their faults and the operator's door as one ASGI app on one origin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.sandbox.agenda import Agenda
from worker.sandbox.borzo import Borzo
from worker.sandbox.callbacks import Post
from worker.sandbox.cervo import Cervo
from worker.sandbox.config import SandboxConfig
from worker.sandbox.control import Control
from worker.sandbox.deliverit import DeliverIt
from worker.sandbox.deliverit_info import DeliverItInfo
from worker.sandbox.faults import PLAY, Faults, Scene
from worker.sandbox.ledger import Ledger
from worker.sandbox.ordering import Ordering
from worker.sandbox.world import Api, Handler, Operation, World


class Sandbox:
    """One sandbox and everything it remembers; `app` serves it."""

    def __init__(self, config: SandboxConfig | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.config = config or SandboxConfig()
        self.agenda = Agenda(self.config.clock)
        self.post = Post(self.agenda, transport)
        self.faults = Faults(self.config.seed)
        self.world = World(self.config, self.post, self.agenda)
        self.app = Starlette(lifespan=self._lifespan)
        self.app.state.sandbox = self
        self.reset()

    def reset(self) -> None:
        """Forget every order, fault and callback; numbers go on, so that no id comes twice."""
        self.agenda.clear()
        self.faults.clear()
        self.world.ledger = Ledger()
        self.ordering = Ordering(self.world)
        drivers = DeliverIt(self.world)
        self.details = DeliverItInfo(self.world, drivers)
        apis = (Cervo(self.world), Borzo(self.world), drivers, self.details, self.ordering)
        self.apis: dict[str, Api] = {api.name: api for api in apis}
        self.app.router.routes[:] = [*_routes(self, apis), *Control(self).routes]

    async def perform(self, api: Api, operation: Operation, request: Request) -> Response:
        """Do what a request asks, through the faults that concern it."""

        async def act() -> Response:
            denied = api.denied(request)
            return await operation.handler(request) if denied is None else denied

        fault = await self.faults.take(api.name, operation.name, request)
        reply = await (act() if fault is None else PLAY[fault.kind](Scene(fault, api.name, self.world, act)))
        if self.config.latency:
            await self.config.sleep(self.config.latency)
        return reply

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        agenda = asyncio.create_task(self.agenda.run())
        yield
        agenda.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await agenda
        await self.post.close()


def create_app(config: SandboxConfig | None = None, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """Return the ASGI app of a new sandbox; `transport` carries its callbacks, by default the network."""
    return Sandbox(config, transport).app


def server(host: str = "127.0.0.1", port: int = 8100, config: SandboxConfig | None = None) -> uvicorn.Server:
    """Return a server of a new sandbox that is not yet started; port 0 takes a free one."""
    app = create_app(config)
    settings = uvicorn.Config(
        app, host, port, log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=1
    )
    ready = uvicorn.Server(settings)
    app.state.server = ready
    return ready


def serve(host: str = "127.0.0.1", port: int = 8100, config: SandboxConfig | None = None) -> None:
    """Serve a new sandbox until interrupted."""
    server(host, port, config).run()


def _routes(sandbox: Sandbox, apis: Sequence[Api]) -> list[Route]:
    return [
        Route(operation.path, _endpoint(sandbox, api, operation), methods=[operation.method])
        for api in apis
        for operation in api.operations
    ]


def _endpoint(sandbox: Sandbox, api: Api, operation: Operation) -> Handler:
    async def endpoint(request: Request) -> Response:
        return await sandbox.perform(api, operation, request)

    return endpoint
