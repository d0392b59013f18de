"""The endpoint that carriers call. It authenticates and stores; a task reads the stored callback later."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from worker import log
from worker.carriers.port import Callback, CallbackKey, Carrier
from worker.database import callbacks
from worker.database.connection import DatabaseError
from worker.database.database import Database
from worker.enqueue import TaskQueue
from worker.errors import Forged

logger = log.get(__name__)
MAX_BODY = {"signed": 1_000_000, "token": 64_000}
BODY_SECONDS = 10.0
"""Seconds within which a whole body must arrive, so that a slow sender cannot keep a connection open for ever."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLOSE = {"Connection": "close"}
"""Closes a connection whose request body was not read to its end."""


@dataclass(frozen=True)
class CallbackEndpoint:
    """Receive callbacks of every account."""

    codecs: Mapping[str, Carrier]
    database: Database
    queue: TaskQueue
    clock: Callable[[], datetime]
    count: Callable[[str, int], None]
    """Counts an answer: the account and the HTTP status."""
    body_seconds: float

    async def receive(self, request: Request) -> Response:
        """Store one callback. Answer 200 once it is stored, or 401, 404, 405, 408, 413 or 503."""
        if request.method == "HEAD":  # Starlette adds HEAD to GET; a HEAD is a link preview and no callback
            return PlainTextResponse("", status_code=405)
        account = request.path_params["carrier"]
        codec = self.codecs.get(account)
        if codec is None or codec.capabilities.callbacks == "none":
            return PlainTextResponse("no such callback address", status_code=404)
        response = await self._answer(request, account, codec)
        self.count(account, response.status_code)
        return response

    async def _answer(self, request: Request, account: str, codec: Carrier) -> Response:
        try:
            async with asyncio.timeout(self.body_seconds):
                body = await _read(request, MAX_BODY[codec.capabilities.callbacks])
        except ClientDisconnect:
            return _unavailable()
        except TimeoutError:
            return PlainTextResponse("too slow", status_code=408, headers=CLOSE)
        if body is None:
            return PlainTextResponse("too large", status_code=413, headers=CLOSE)
        try:
            stored = await run_in_threadpool(self._store, account, codec, _callback(request, body))
        except Forged as error:
            logger.warning("callback.forged", carrier=account, error=str(error))
            return PlainTextResponse("not authentic", status_code=401)
        except DatabaseError as error:
            logger.error("callback.not_stored", carrier=account, error=type(error).__name__)
            return _unavailable()
        task = BackgroundTask(self.queue.send, [("callbacks.apply", [stored])]) if stored else None
        return PlainTextResponse("ok", background=task)

    def _store(self, account: str, codec: Carrier, callback: Callback) -> str | None:
        """Authenticate and store a callback; return its id, or None for a repeated callback. Raises Forged."""
        codec.authenticate(callback)
        needs_token = codec.capabilities.callbacks == "token"
        if needs_token != (callback.token is not None):
            raise Forged("wrong form of address")
        if needs_token and not self._is_known(account, callback.token or ""):
            raise Forged("unknown token")
        return self.database.write(callbacks.save, account, callback, self.clock())

    def _is_known(self, account: str, token: str) -> bool:
        # Only a well-formed token is looked up, because PostgreSQL rejects a NUL with an error like that of an outage.
        well_formed = TOKEN.fullmatch(token)
        key = CallbackKey(token=token)
        return bool(well_formed) and self.database.read(callbacks.find_attempt, account, key) is not None


def _callback(request: Request, body: bytes) -> Callback:
    return Callback(
        method=request.method,
        body=body,
        headers={key.lower(): value for key, value in request.headers.items()},
        query=request.scope["query_string"].decode("latin-1"),  # keeps the bytes: a query may not be UTF-8
        token=request.path_params.get("token"),
    )


async def _read(request: Request, limit: int) -> bytes | None:
    """Return the body; None as soon as it exceeds the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _unavailable() -> Response:
    return PlainTextResponse("try again later", status_code=503)
