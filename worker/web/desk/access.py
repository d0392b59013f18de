"""Who may use the desk: the login, the session, the token of each form, and the headers of every answer."""

import hashlib
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from pydantic import SecretStr
from starlette.datastructures import ImmutableMultiDict, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker import log
from worker.web.bodies import RequestBodies
from worker.web.desk.threads import Threads

logger = log.get(__name__)
Form = ImmutableMultiDict[str, str]
PostView = Callable[[Request, Form], Response]
OPEN_PATHS = ("/login", "/static/")
"""The paths that need no login."""
SESSION_SECONDS = 12 * 3600
MOST_FAILURES, FAILURE_SECONDS = 10, 300.0
"""After so many wrong passwords for a user within this time, no password is checked until the time is over."""
MAX_FORM, MAX_FIELDS, MAX_NAME = 64_000, 500, 32
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
"""The names under which the desk answers while it has no users."""
_HASHER = PasswordHasher()
_CHECKING = threading.BoundedSemaphore(2)
"""Each check of a password takes 64 MB for a moment, so few may run at a time."""


def hash_password(password: str) -> str:
    """Return the argon2 hash of a password."""
    return _HASHER.hash(password)


@cache
def _nobody() -> str:
    """Return a hash to check for an unknown user, so that the answer takes as long as for a known one."""
    return _HASHER.hash(_new_token())


@dataclass(frozen=True)
class Users:
    """The operators who may log in. Without any, every name is accepted, because the desk is on loopback."""

    hashes: Mapping[str, SecretStr]
    clock: Callable[[], float] = time.monotonic
    failures: dict[str, deque[float]] = field(default_factory=dict)

    def check(self, name: str, password: str) -> bool:
        """Return whether a user may log in with a password. Raises HTTPException while too many others log in."""
        if not self.hashes:
            return bool(name) and len(name) <= MAX_NAME and name.isprintable()
        known = self.hashes.get(name)
        recent = self.failures.setdefault(name, deque(maxlen=MOST_FAILURES)) if known else deque[float]()
        if len(recent) == MOST_FAILURES and self.clock() - recent[0] < FAILURE_SECONDS:
            return False
        if _verify(known.get_secret_value() if known else _nobody(), password) and known:
            recent.clear()
            return True
        recent.append(self.clock())
        return False

    def log_in(self, session: dict[str, Any], name: str) -> None:
        """Begin a new session of a user."""
        session.clear()
        session.update(user=name, proof=self._proof(name), csrf=_new_token())

    def of(self, session: Mapping[str, Any]) -> str | None:
        """Return the user of a session; None without one, or after the user's password was changed."""
        name = session.get("user")
        return name if isinstance(name, str) and session.get("proof") == self._proof(name) else None

    def _proof(self, name: str) -> str | None:
        known = self.hashes.get(name)
        if known is None:
            return None if self.hashes else "loopback"
        return hashlib.sha256(known.get_secret_value().encode()).hexdigest()[:16]


def _verify(hashed: str, password: str) -> bool:
    if not _CHECKING.acquire(blocking=False):
        raise HTTPException(429, "Others log in at this moment. Try again.")
    try:
        return _HASHER.verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False
    finally:
        _CHECKING.release()


def _new_token() -> str:
    return secrets.token_urlsafe(24)


# --- forms ------------------------------------------------------------------------------------------------------------


def csrf_token(request: Request) -> str:
    """Return the token that every form of this session contains."""
    if "csrf" not in request.session:  # a session that does not change sets no cookie, which could undo a logout
        request.session["csrf"] = _new_token()
    return str(request.session["csrf"])


@dataclass(frozen=True)
class Forms:
    """Receive forms, and refuse a form without the token of its session."""

    bodies: RequestBodies
    threads: Threads

    def post(self, view: PostView, limit: int = MAX_FORM) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a form of at most `limit` bytes."""

        async def endpoint(request: Request) -> Response:
            async with self.bodies.receive(request, limit) as body:
                form = _read(body)
                expected, given = str(request.session.get("csrf", "")), str(form.get("csrf", ""))
                if not expected or not secrets.compare_digest(expected.encode(), given.encode()):
                    raise HTTPException(403, "The form is too old, or comes from another page. Open the page again.")
                return await self.threads.run(view, request, form)

        return endpoint


def _read(body: bytes) -> Form:
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
    return Form([(name, value.replace("\0", "")) for name, value in fields])  # PostgreSQL refuses NUL


def new_form_token() -> str:
    """Return the token with which a form is sent at most once."""
    return _new_token()


def sent_form_token(form: Form) -> str:
    """Return the token with which a form is sent at most once. Raises HTTPException if the form has none."""
    token = str(form.get("once", ""))
    if not re.fullmatch(r"[\w-]{16,64}", token, re.ASCII):
        raise HTTPException(400, "The form cannot be read.")
    return token


def local_path(path: str | None) -> str:
    """Return a path of the desk to go to; `/` for any other address."""
    usable = path and path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if path and usable else "/"


# --- middleware -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SecurityHeaders:
    """Add `HEADERS` to every answer, and keep pages out of caches."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


@dataclass(frozen=True)
class RequireLogin:
    """Send everybody who has not logged in to the login page."""

    app: ASGIApp
    users: Users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(OPEN_PATHS):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        user = self.users.of(request.session)
        if user is not None:
            scope["user"] = user
            await self.app(scope, receive, send)
            return
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        response: Response = RedirectResponse(f"/login?next={quote(where, safe='')}", 303)
        if request.method not in {"GET", "HEAD"}:
            response = PlainTextResponse("Log in first.", 401)
        await response(scope, receive, send)


@dataclass(frozen=True)
class OnlyThisMachine:
    """Refuse requests that a proxy forwards, while the desk has no users."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and {b"forwarded", b"x-forwarded-for"} & {key for key, _ in scope["headers"]}:
            response = PlainTextResponse("The desk has no users: set ORDER_SYNC_DESK__USERS__<NAME> first.", 403)
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)
