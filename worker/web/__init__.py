"""The HTTP edge: callbacks, health and metrics.

A callback is stored before it is answered, and everything else happens afterwards: the carrier's patience and Redis's
health have nothing to do with each other.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from celery import current_app
from kombu.exceptions import OperationalError
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker import enqueue, log
from worker.carriers.port import Callback, CallbackKey, Carrier
from worker.container import Container
from worker.errors import Forged
from worker.runtime import broker
from worker.services.callback_gaps import NOTE_SECONDS, listen
from worker.web.metrics import Metrics

logger = log.get(__name__)
LIMITS = {"signed": 1_000_000, "token": 64_000}
BODY_SECONDS = 10.0
"""For a whole body: who sends a byte now and then would otherwise be listened to for ever."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNAVAILABLE = PlainTextResponse("try again later", status_code=503)
CLOSE = {"Connection": "close"}
"""With an answer to a body that was not read to its end."""


def create_app(made: Container, *, body_seconds: float = BODY_SECONDS) -> Starlette:
    """Make the edge for a house."""
    edge = _Edge(made, body_seconds)
    return Starlette(
        routes=[
            Route("/callbacks/{carrier}", edge.callback, methods=["POST"]),
            Route("/callbacks/{carrier}/{token}", edge.callback, methods=["GET", "POST"]),
            Route("/livez", edge.livez),
            Route("/readyz", edge.readyz),
            Route("/metrics", edge.metrics),
        ],
        lifespan=edge.listening,
    )


class _Edge:
    def __init__(self, made: Container, body_seconds: float) -> None:
        self._house, self._body_seconds = made, body_seconds
        self._codecs = made.codecs  # for callbacks no login is needed
        self._metrics = Metrics(made)

    @asynccontextmanager
    async def listening(self, _app: Starlette) -> AsyncIterator[None]:
        """Note again and again, for as long as we serve, that callbacks can be stored."""
        noting = asyncio.create_task(self._note())
        yield
        noting.cancel()

    async def _note(self) -> None:
        while True:
            try:
                hurried = await run_in_threadpool(listen, self._house)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next note must come
                logger.warning("callback.not_listening", error=type(error).__name__)
            else:
                if hurried:
                    logger.warning("callback.gap", deliveries=hurried)
            await asyncio.sleep(NOTE_SECONDS)

    async def callback(self, request: Request) -> Response:
        """Store one callback: 200 once it is stored, 401 forged, 404, 408, 413, or 503 when it cannot be stored."""
        if request.method == "HEAD":  # comes along with GET; a preview of the address is no callback
            return PlainTextResponse("", status_code=405)
        name = request.path_params["carrier"]
        codec = self._codecs.get(name)
        if codec is None or codec.capabilities.callbacks == "none":
            return PlainTextResponse("no such callback address", status_code=404)
        response = await self._receive(request, name, codec)
        self._metrics.answered(name, response.status_code)
        return response

    async def _receive(self, request: Request, name: str, codec: Carrier) -> Response:
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _body(request, LIMITS[codec.capabilities.callbacks])
        except ClientDisconnect:
            return UNAVAILABLE
        except TimeoutError:
            return PlainTextResponse("too slow", status_code=408, headers=CLOSE)
        if body is None:
            return PlainTextResponse("too large", status_code=413, headers=CLOSE)
        callback = Callback(
            method=request.method,
            body=body,
            headers={key.lower(): value for key, value in request.headers.items()},
            query=request.scope["query_string"].decode("latin-1"),  # as it came, which need not be UTF-8
            token=request.path_params.get("token"),
        )
        try:
            stored = await run_in_threadpool(self._keep, name, codec, callback)
        except Forged as error:
            logger.warning("callback.forged", carrier=name, error=str(error))
            return PlainTextResponse("not authentic", status_code=401)
        except SQLAlchemyError as error:
            logger.error("callback.not_stored", carrier=name, error=type(error).__name__)
            return UNAVAILABLE
        task = BackgroundTask(enqueue.send, [("callbacks.apply", [stored])]) if stored else None
        return PlainTextResponse("ok", background=task)

    def _keep(self, name: str, codec: Carrier, callback: Callback) -> str | None:
        codec.authenticate(callback)
        needs_token = codec.capabilities.callbacks == "token"
        if needs_token != (callback.token is not None):
            raise Forged("wrong form of address")
        if needs_token and not self._knows(name, callback.token or ""):
            raise Forged("unknown token")
        return self._house.database.keep_callback(name, callback, self._house.clock())

    def _knows(self, name: str, token: str) -> bool:
        # What cannot be one of ours is not looked up: PostgreSQL refuses a NUL, which is no fault of the database.
        shaped = TOKEN.fullmatch(token)
        return bool(shaped) and self._house.database.find_attempt(name, CallbackKey(token=token)) is not None

    async def livez(self, _request: Request) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("ok")

    async def readyz(self, _request: Request) -> Response:
        """Say whether the database, the bus and the broker answer, and name what does not."""
        checks: dict[str, Callable[[], object]] = {
            "database": self._house.database.ping,
            "bus": self._house.bus.ping,
            "broker": lambda: broker.ping(current_app),
        }
        broken = [name for name, check in checks.items() if not await _answers(check)]
        return PlainTextResponse(f"not ready: {', '.join(broken)}", 503) if broken else PlainTextResponse("ok")

    async def metrics(self, _request: Request) -> Response:
        """Answer in Prometheus's text format."""
        try:
            measured = await run_in_threadpool(self._metrics.measure)
        except SQLAlchemyError:
            return UNAVAILABLE
        return Response(measured, media_type=CONTENT_TYPE_LATEST)


async def _body(request: Request, limit: int) -> bytes | None:
    """Read the body as it comes; None as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


async def _answers(check: Callable[[], object]) -> bool:
    try:
        await run_in_threadpool(check)
    except (SQLAlchemyError, RedisError, OperationalError, OSError):
        return False
    return True
