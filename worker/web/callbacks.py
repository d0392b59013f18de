"""The endpoint that carriers call. It authenticates and stores a callback; a task applies the callback later."""

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http import HTTPStatus

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from worker import log, tracing
from worker.carriers.port import Callback, CallbackKey, Carrier
from worker.database import callbacks
from worker.database.callbacks import FoundAttempt
from worker.database.connection import DatabaseError
from worker.database.database import Database
from worker.enqueue import TaskQueue
from worker.errors import CarrierError, Forged, Unreadable
from worker.services.outcomes import run_codec
from worker.services.public_address import ELSEWHERE
from worker.web.bodies import RequestBodies

logger = log.get(__name__)
MAX_BODY = {"signed": 1_000_000, "token": 64_000}
FOLDER = "callbacks"
"""The first part of every callback address."""
ROUTES = ("/callbacks/{carrier}", "/callbacks/{carrier}/{token}")
UNKNOWN = "unknown"
"""The account name under which requests with an unknown callback address or a wrong method are counted."""
MAX_LOGGED = 100
WRITERS = 8
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class LenientAddresses:
    """Accept callback addresses with extra slashes, or with capital letters in the folder or the account."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its corrected path."""
        folder, *rest = [part for part in scope.get("path", "").split("/") if part] or [""]
        if folder.lower() == FOLDER:
            account, token = rest[:1], rest[1:]
            scope = {**scope, "path": "/".join(["", FOLDER, *map(str.lower, account), *token])}
        await self._app(scope, receive, send)


@dataclass(frozen=True)
class CallbackEndpoint:
    """Receive callbacks of every account."""

    codecs: Mapping[str, Carrier]
    database: Database
    queue: TaskQueue
    clock: Callable[[], datetime]
    count: Callable[[str, int], None]
    """Counts an answer. The arguments are the account and the HTTP status."""
    count_refused: Callable[[str], None]
    """Counts a callback of an account that is not authentic."""
    bodies: RequestBodies
    writers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(WRITERS, "callbacks"))
    """Threads that store authentic callbacks and do nothing else, so that no stranger can occupy them."""

    async def receive(self, request: Request) -> Response:
        """Store one callback. Answer 200 once it is stored, or 401, 404, 405, 408, 413 or 503."""
        if request.method == "HEAD":  # Starlette adds HEAD to GET; a HEAD is a link preview and no callback
            raise HTTPException(405)
        account = request.path_params["carrier"]
        codec = self.codecs.get(account)
        if codec is None or codec.capabilities.callbacks == "none":
            raise HTTPException(404)
        route = ROUTES["token" in request.path_params]
        attributes = {"http.request.method": request.method, "http.route": route, "order_sync.account": account}
        with tracing.span(f"{request.method} {route}", tracing.Kind.SERVER, attributes) as span:
            response = await self._receive(request, account, codec)
            if span is not None:
                span.set_attribute("http.response.status_code", response.status_code)
        self.count(account, response.status_code)
        return response

    async def _receive(self, request: Request, account: str, codec: Carrier) -> Response:
        try:
            async with self.bodies.receive(request, MAX_BODY[codec.capabilities.callbacks]) as body:
                return await self._answer(request, account, codec, body)
        except HTTPException as error:
            logger.warning("callback.not_received", account=account, error=error.detail)
            return PlainTextResponse(error.detail, error.status_code, error.headers)
        except ClientDisconnect:
            return PlainTextResponse("", 503)  # nobody reads it, but it is counted

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer a request with an unknown address or a wrong method. Log and count requests under /callbacks."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        if request.scope["path"].startswith(f"/{FOLDER}"):
            # The part of the address after the account is left out, because it may be a token.
            address = "/".join(request.scope["path"].split("/")[:3])[:MAX_LOGGED]
            logger.warning("callback.refused", address=address, method=request.method[:MAX_LOGGED], answer=status)
            self.count(UNKNOWN, status)
        # With the part of a proxy before /callbacks, it is still a callback's: `order-sync check` knows the answer.
        not_found = ELSEWHERE if f"/{FOLDER}" in request.scope["path"] else "not found"
        return PlainTextResponse(not_found if status == HTTPStatus.NOT_FOUND else "", status_code=status)

    async def _answer(self, request: Request, account: str, codec: Carrier, body: bytes) -> Response:
        try:
            stored = await self._store(request, account, codec, _callback(request, body))
        except Forged as error:
            logger.warning("callback.forged", account=account, error=str(error))
            self.count_refused(account)
            return PlainTextResponse("not authentic", status_code=401)
        except DatabaseError as error:
            logger.error("callback.not_stored", account=account, error=type(error).__name__)
            return PlainTextResponse("try again later", status_code=503)
        task = BackgroundTask(self.queue.send, [("callbacks.apply", [callback_id]) for callback_id in stored], stored)
        return PlainTextResponse("ok", background=task if stored else None)

    async def _store(self, request: Request, account: str, codec: Carrier, callback: Callback) -> dict[str, str]:
        """Authenticate and store a callback; return its id, with the id of its order, if it can be applied now.

        Raises Forged if the callback is not authentic.

        Return nothing for a repeated callback, which is stored already, and for a callback about an unknown order,
        which is left to the sweep.
        """
        codec.authenticate(callback)
        needs_token = codec.capabilities.callbacks == "token"
        if needs_token != (callback.token is not None):
            raise Forged("wrong form of address")
        key = CallbackKey(token=callback.token) if needs_token else _key(codec, callback)
        attempt = await run_in_threadpool(self._find_attempt, account, key) if needs_token else None
        if needs_token and attempt is None:
            raise Forged("unknown token")
        request.state.authentic = True  # from now on the server does not close this connection to make room
        save = partial(self._save, account, callback, key, attempt)
        return await asyncio.get_running_loop().run_in_executor(self.writers, save)

    def _save(self, account: str, callback: Callback, key: CallbackKey, attempt: FoundAttempt | None) -> dict[str, str]:
        attempt = attempt or self._find_attempt(account, key)
        attempt_id = attempt.attempt_id if attempt else None
        stored = self.database.write(callbacks.save, account, callback, self.clock(), key, attempt_id)
        return {stored: attempt.order_id} if stored and attempt else {}

    def _find_attempt(self, account: str, key: CallbackKey) -> FoundAttempt | None:
        # Only a well-formed token is looked up, because PostgreSQL rejects a NUL with an error like that of an outage.
        if key.token is not None and not TOKEN.fullmatch(key.token):
            return None
        return self.database.read(callbacks.find_attempt, account, key)


def _key(codec: Carrier, callback: Callback) -> CallbackKey:
    """Return what identifies the attempt of an authentic callback.

    If the callback is unreadable, return an empty key. The task reports the unreadable callback later.
    """
    key = run_codec(codec.account.name, lambda: codec.callback_key(callback), lambda _: Unreadable("no key"))
    return CallbackKey() if isinstance(key, CarrierError) else key


def _callback(request: Request, body: bytes) -> Callback:
    return Callback(
        method=request.method,
        body=body,
        headers={key.lower(): value for key, value in request.headers.items()},
        query=request.scope["query_string"].decode("latin-1"),  # keeps the bytes: a query may not be UTF-8
        token=request.path_params.get("token"),
    )
