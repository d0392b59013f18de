"""The HTTP edge: the public app serves carriers and platforms; the app of `desk` serves operators at another address.

A callback or an order is stored before it is answered. Everything else happens after the answer, so no sender waits for
Redis.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker import log
from worker.container import Container
from worker.database.connection import DatabaseError
from worker.services import callback_gaps, public_address
from worker.services.public_address import NO_DATABASE, UNSIGNED, PublicAddress
from worker.web.bodies import RequestBodies
from worker.web.callbacks import FOLDER, ROUTES, UNKNOWN, CallbackEndpoint, LenientAddresses
from worker.web.counters import Answers
from worker.web.events import EventsEndpoint
from worker.web.orders import FOLDERS, OrdersApi, refuse_request

logger = log.get(__name__)
CHECK = f"/{FOLDER}/{public_address.FOLDER}/{{number}}"
"""The route of `order-sync check`, below the folder that a proxy forwards to us."""


def count_answers(container: Container) -> Answers:
    """Return the counter of the public app's answers, which both apps of a process share."""
    return Answers(container.callback_accounts, UNKNOWN)


def create_web_app(
    container: Container, answers: Answers | None = None, bodies: RequestBodies | None = None
) -> Starlette:
    """Build the ASGI app of the public address. Each endpoint gets only what it uses from the container."""
    database, codecs, clock = container.database, container.codecs, container.clock  # callbacks need no login
    answers, bodies = answers or count_answers(container), bodies or RequestBodies()
    refused = container.refused_callbacks
    callbacks = CallbackEndpoint(
        codecs, database, container.queue, clock, answers.count_callback, refused.count, bodies
    )
    keys, project = container.settings.sources_by_key, container.settings.ordering.project
    events = EventsEndpoint(container.event_feed)
    orders = OrdersApi(keys, container.order_requests, project, events.read, answers.count_request)
    refuse = partial(_refuse, callbacks.refuse, FOLDERS if keys else frozenset())
    return Starlette(
        routes=[
            Route(CHECK, partial(_sign, container.public_address, answers.count_callback), methods=["POST"]),
            Route(ROUTES[0], callbacks.receive, methods=["POST"]),
            Route(ROUTES[1], callbacks.receive, methods=["GET", "POST"]),
            *orders.routes(),
        ],
        middleware=[Middleware(LenientAddresses)],
        exception_handlers={404: refuse, 405: refuse},
        lifespan=partial(_heartbeat, container.callback_gaps.heartbeat, refused.record),
    )


async def _sign(address: PublicAddress, count: Callable[[str, int], None], request: Request) -> Response:
    """Answer `order-sync check`, which proves that the public address reaches this process. Log and count strangers."""
    try:
        signature = await run_in_threadpool(address.answer, request.path_params["number"])
    except DatabaseError:
        return PlainTextResponse(NO_DATABASE, 503)
    if signature is None:
        logger.warning("callback.refused", address=f"/{FOLDER}/{public_address.FOLDER}", method="POST", answer=404)
        count(UNKNOWN, 404)
    return PlainTextResponse(signature or UNSIGNED, 200 if signature else 404)


async def _refuse(
    otherwise: Callable[[Request, Exception], Awaitable[Response]],
    folders: Collection[str],
    request: Request,
    error: Exception,
) -> Response:
    """Answer a request with an unknown address or a wrong method."""
    if not isinstance(error, HTTPException) or request.scope["path"].split("/")[1] not in folders:
        return await otherwise(request, error)
    return refuse_request(error.status_code, error.detail, headers=error.headers)


# --- the heartbeat ---


@asynccontextmanager
async def _heartbeat(
    heartbeat: Callable[[], int], record_refused: Callable[[], None], _app: Starlette
) -> AsyncIterator[None]:
    """Record once a minute that callbacks can be stored, and how many were refused, as long as the app serves."""
    recording = asyncio.create_task(_record(heartbeat, record_refused))
    yield
    recording.cancel()


async def _record(heartbeat: Callable[[], int], record_refused: Callable[[], None]) -> None:
    while True:
        try:
            scheduled = await run_in_threadpool(heartbeat)
            await run_in_threadpool(record_refused)
        except Exception as error:  # noqa: BLE001 - the next record must follow, whatever went wrong with this one
            logger.warning("callback.heartbeat_failed", error=type(error).__name__)
        else:
            if scheduled:
                logger.warning("callback.gap_found", deliveries=scheduled)
        await asyncio.sleep(callback_gaps.HEARTBEAT_SECONDS)
