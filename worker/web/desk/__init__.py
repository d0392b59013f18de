"""The operators' desk: pages that show what needs an operator, and forms with which it is settled.

Pages are rendered on the server. Every form shows first what it will do, and is recorded with the operator's name.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from worker.container import Container
from worker.database import diagnostics
from worker.database.connection import DatabaseError
from worker.web.bodies import RequestBodies
from worker.web.desk.access import (
    LOCAL_HOSTS,
    SESSION_SECONDS,
    OnlyThisMachine,
    RequireLogin,
    SecurityHeaders,
    Users,
    post,
)
from worker.web.desk.actions import Actions
from worker.web.desk.delivery import DeliveryPage
from worker.web.desk.live import Live
from worker.web.desk.login import Login
from worker.web.desk.pages import Pages, Snapshot, environment
from worker.web.desk.report import ReportPage
from worker.web.desk.views import Views

STATIC = Path(__file__).parent / "static"


def build(
    container: Container, bodies: RequestBodies | None = None, ticks: Callable[[], float] = time.monotonic
) -> Starlette:
    """Build the ASGI app of the desk, for the root of an address that no public proxy forwards to."""
    settings, bodies = container.settings.desk, bodies or RequestBodies()
    users = Users(settings.users)
    snapshot = Snapshot(container.system_health.measure, container.troubles.find, ticks)
    pages = Pages(environment(), container.clock, snapshot)
    login, views, actions = Login(users, pages), Views(container, pages), Actions(container, pages)
    delivery = DeliveryPage(container, pages)
    live = Live(lambda: container.database.read(diagnostics.pulse), snapshot.forget)
    return Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/login", login.show),
            Route("/login", post(bodies, login.log_in), methods=["POST"]),
            Route("/logout", post(bodies, login.log_out), methods=["POST"]),
            Route("/", views.needs_you),
            Route("/deliveries", views.deliveries),
            Route("/deliveries/{id}", delivery.show),
            Route("/deliveries/{id}/explain", delivery.explain),
            Route("/deliveries/{id}/customer", post(bodies, delivery.show_customer), methods=["POST"]),
            Route("/deliveries/{id}/candidates", post(bodies, delivery.show_candidates), methods=["POST"]),
            Route("/carriers", views.carriers),
            Route("/carriers/report", ReportPage(container, pages, ticks).show),
            Route("/messages", views.messages),
            Route("/messages/{id}", views.message),
            Route("/messages/{id}", post(bodies, views.message_text), methods=["POST"]),
            Route("/system", views.system),
            Route("/do/{action}", actions.preview),
            Route("/do/{action}", post(bodies, actions.do), methods=["POST"]),
            Route("/live", live.stream),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            *([] if settings.users else _only_this_machine()),
            Middleware(
                SessionMiddleware,
                secret_key=settings.secret.get_secret_value() or secrets.token_urlsafe(32),
                session_cookie="order_sync_desk",
                max_age=SESSION_SECONDS,
                https_only=settings.https,
            ),
            Middleware(RequireLogin, users=users),
        ],
        exception_handlers={HTTPException: _Failures(pages).show, DatabaseError: _Failures(pages).show_database},
    )


def _only_this_machine() -> list[Middleware]:
    """Return what keeps others out while there are no passwords: other machines' proxies, and other sites' pages."""
    return [Middleware(OnlyThisMachine), Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_HOSTS)]


class _Failures:
    """The pages of requests that could not be answered."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def show(self, request: Request, error: Exception) -> Response:
        """Answer with the error's text."""
        assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's type is wider
        text = "There is no such page." if error.detail == "Not Found" else error.detail
        return self._pages.render_plain(request, "failed.html", error.status_code, text=text)

    async def show_database(self, request: Request, _error: Exception) -> Response:
        """Answer that the database does not respond."""
        text = "The database does not answer. Try again in a moment, and look first what was done."
        return self._pages.render_plain(request, "failed.html", 503, text=text)
