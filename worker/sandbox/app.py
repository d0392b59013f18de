"""Assemble the sandbox: the simulated APIs, their faults and the control endpoints as one ASGI app on one origin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.sandbox.api import Api, Handler, Operation
from worker.sandbox.borzo.api import Borzo
from worker.sandbox.callbacks import CallbackSender
from worker.sandbox.cervo.api import Cervo
from worker.sandbox.config import SandboxConfig
from worker.sandbox.control import Control
from worker.sandbox.deliverit.driver_orders import DriverOrders
from worker.sandbox.deliverit.order_info import OrderInfo
from worker.sandbox.faults import BEHAVIOURS, Faults, FaultyCall
from worker.sandbox.ledger import Ledger
from worker.sandbox.ordering.api import Ordering
from worker.sandbox.scheduler import Scheduler
from worker.sandbox.world import World


class Sandbox:
    """One sandbox with all its state; `app` serves it."""

    def __init__(self, config: SandboxConfig | None = None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.config = config or SandboxConfig()
        self.scheduler = Scheduler(self.config.clock)
        self.callbacks = CallbackSender(self.scheduler, transport)
        self.faults = Faults(self.config.seed)
        self.world = World(self.config, self.callbacks, self.scheduler)
        self.app = Starlette(lifespan=self._lifespan)
        self.app.state.sandbox = self
        self.reset()

    def reset(self) -> None:
        """Remove every order, fault, ledger entry and pending event. Ids continue, so that none is used twice."""
        self.scheduler.clear()
        self.faults.clear()
        self.world.ledger = Ledger()
        self.ordering = Ordering(self.world)
        drivers = DriverOrders(self.world)
        self.order_info = OrderInfo(self.world, drivers)
        apis = (Cervo(self.world), Borzo(self.world), drivers, self.order_info, self.ordering)
        self.apis: dict[str, Api] = {api.name: api for api in apis}
        control = Control(self.world, self.faults, self.apis, self.order_info, self.ordering, self.reset)
        self.app.router.routes[:] = [*_routes(self, apis), *control.routes]

    async def handle(self, api: Api, operation: Operation, request: Request) -> Response:
        """Return the reply to a request. If a fault applies to the request, the fault decides what happens."""

        async def execute() -> Response:
            refused = api.authorize(request)
            return await operation.handler(request) if refused is None else refused

        fault = await self.faults.consume(api.name, operation.name, request)
        reply = await (
            execute() if fault is None else BEHAVIOURS[fault.kind](FaultyCall(fault, api, self.world, execute))
        )
        if self.config.latency:
            await self.config.sleep(self.config.latency)
        return reply

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        scheduler = asyncio.create_task(self.scheduler.run_forever())
        yield
        scheduler.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await scheduler
        await self.callbacks.close()


def create_app(config: SandboxConfig | None = None, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """Return the ASGI app of a new sandbox; `transport` sends its callbacks, by default over the network."""
    return Sandbox(config, transport).app


def server(host: str = "127.0.0.1", port: int = 8100, config: SandboxConfig | None = None) -> uvicorn.Server:
    """Return a server of a new sandbox, without starting the server. Port 0 means any free port."""
    app = create_app(config)
    settings = uvicorn.Config(
        app, host, port, loop="asyncio", log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=1
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
        return await sandbox.handle(api, operation, request)

    return endpoint
