"""The HTTP edge: callbacks, health and metrics.

A callback is stored before it is answered. Everything else happens after the answer, so a carrier never waits for
Redis.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from kombu.exceptions import OperationalError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker import log
from worker.bus.streams import OUTAGES
from worker.container import Container
from worker.database.connection import DatabaseError
from worker.runtime import broker
from worker.services.callback_gaps import HEARTBEAT_SECONDS
from worker.web.bodies import RequestBodies
from worker.web.callbacks import CallbackEndpoint, LenientAddresses
from worker.web.metrics import Metrics

logger = log.get(__name__)


def create_web_app(container: Container, bodies: RequestBodies | None = None) -> Starlette:
    """Build the ASGI app. Each endpoint gets only what it uses from the container."""
    database, codecs, clock = container.database, container.codecs, container.clock  # callbacks need no login
    metrics = Metrics(database, container.bus, container.breaker, tuple(codecs), clock)
    bodies = bodies or RequestBodies()
    callbacks = CallbackEndpoint(codecs, database, container.queue, clock, metrics.count_callback, bodies)
    checks: dict[str, Callable[[], object]] = {
        "database": database.ping,
        "bus": container.bus.ping,
        "broker": partial(broker.ping, container.app),
    }
    return Starlette(
        routes=[
            Route("/callbacks/{carrier}", callbacks.receive, methods=["POST"]),
            Route("/callbacks/{carrier}/{token}", callbacks.receive, methods=["GET", "POST"]),
            Route("/livez", _livez),
            Route("/readyz", partial(_readyz, checks)),
            Route("/metrics", partial(_metrics, metrics)),
        ],
        middleware=[Middleware(LenientAddresses)],
        exception_handlers={404: callbacks.refuse, 405: callbacks.refuse},
        lifespan=partial(_heartbeat, container.callback_gaps.heartbeat),
    )


async def _livez(_request: Request) -> Response:
    """Answer that the process runs."""
    return PlainTextResponse("ok")


async def _readyz(checks: Mapping[str, Callable[[], object]], _request: Request) -> Response:
    """Answer whether the database, the bus and the broker respond; name the parts that do not respond."""
    broken = [name for name, check in checks.items() if not await _responds(check)]
    return PlainTextResponse(f"not ready: {', '.join(broken)}", 503) if broken else PlainTextResponse("ok")


async def _responds(check: Callable[[], object]) -> bool:
    try:
        await run_in_threadpool(check)
    except (DatabaseError, OperationalError, *OUTAGES):
        return False
    return True


async def _metrics(metrics: Metrics, _request: Request) -> Response:
    """Answer in Prometheus's text format."""
    try:
        measured = await run_in_threadpool(metrics.measure)
    except DatabaseError:
        return PlainTextResponse("try again later", status_code=503)
    return Response(measured, media_type=CONTENT_TYPE_LATEST)


# --- the heartbeat ---


@asynccontextmanager
async def _heartbeat(heartbeat: Callable[[], int], _app: Starlette) -> AsyncIterator[None]:
    """Record once a minute that callbacks can be stored, as long as the app serves."""
    recording = asyncio.create_task(_record(heartbeat))
    yield
    recording.cancel()


async def _record(heartbeat: Callable[[], int]) -> None:
    while True:
        try:
            scheduled = await run_in_threadpool(heartbeat)
        except Exception as error:  # noqa: BLE001 - the next record must follow, whatever went wrong with this one
            logger.warning("callback.heartbeat_failed", error=type(error).__name__)
        else:
            if scheduled:
                logger.warning("callback.gap_found", deliveries=scheduled)
        await asyncio.sleep(HEARTBEAT_SECONDS)
