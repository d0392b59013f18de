"""The HTTP edge: the public app receives callbacks, and the app of `desk` serves operators at an address of its own.

A callback is stored before it is answered. Everything else happens after the answer, so a carrier never waits for
Redis.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.routing import Route

from worker import log
from worker.container import Container
from worker.services.callback_gaps import HEARTBEAT_SECONDS
from worker.web.bodies import RequestBodies
from worker.web.callbacks import ROUTES, UNKNOWN, CallbackEndpoint, LenientAddresses
from worker.web.counters import CallbackAnswers

logger = log.get(__name__)


def count_answers(container: Container) -> CallbackAnswers:
    """Return the counter of the answers to callbacks, which both apps of a process share."""
    return CallbackAnswers(container.callback_accounts, UNKNOWN)


def create_web_app(
    container: Container, answers: CallbackAnswers | None = None, bodies: RequestBodies | None = None
) -> Starlette:
    """Build the ASGI app of the public address. Each endpoint gets only what it uses from the container."""
    database, codecs, clock = container.database, container.codecs, container.clock  # callbacks need no login
    answers, bodies = answers or count_answers(container), bodies or RequestBodies()
    callbacks = CallbackEndpoint(codecs, database, container.queue, clock, answers.count, bodies)
    return Starlette(
        routes=[
            Route(ROUTES[0], callbacks.receive, methods=["POST"]),
            Route(ROUTES[1], callbacks.receive, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(LenientAddresses)],
        exception_handlers={404: callbacks.refuse, 405: callbacks.refuse},
        lifespan=partial(_heartbeat, container.callback_gaps.heartbeat),
    )


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
