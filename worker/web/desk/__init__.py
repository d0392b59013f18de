"""The operators' desk: pages that show what needs an operator, and forms with which it is settled.

Pages are rendered on the server. Every form shows first what it will do, and is recorded with the operator's name.
"""

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

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
from worker.database import diagnostics, measurements
from worker.database.connection import DatabaseError
from worker.database.measurements import Overview
from worker.web.bodies import RequestBodies
from worker.web.desk.access import (
    LOCAL_HOSTS,
    SESSION_SECONDS,
    Forms,
    OnlyThisMachine,
    RequireLogin,
    SecurityHeaders,
    Users,
)
from worker.web.desk.actions import Actions
from worker.web.desk.carriers import CarriersPage, activity_of
from worker.web.desk.delivery import DeliveryPage
from worker.web.desk.live import Live
from worker.web.desk.login import Login
from worker.web.desk.messages import MAX_LETTER, MessagePages
from worker.web.desk.pages import Cached, Pages, Snapshot, environment
from worker.web.desk.report import ReportPage
from worker.web.desk.system import SystemPage, TrafficMeter
from worker.web.desk.threads import Threads
from worker.web.desk.views import Views

SNAPSHOT_SECONDS, COUNTS_SECONDS = 1.0, 10.0
"""Seconds for which all pages show the same troubles, and the same counts of calls, groups and deliveries."""
OVERVIEW_OF = timedelta(days=1)
"""The deliveries of this time are counted."""
T = TypeVar("T")
STATIC = Path(__file__).parent / "static"


def build(
    container: Container, bodies: RequestBodies | None = None, ticks: Callable[[], float] = time.monotonic
) -> Starlette:
    """Build the ASGI app of the desk, for the root of an address that no public proxy forwards to."""
    settings, threads = container.settings.desk, Threads()
    users, post = Users(settings.users), Forms(bodies or RequestBodies(), threads).post
    pages = Pages(environment(), container.clock, Cached(partial(_snapshot, container), SNAPSHOT_SECONDS, ticks))

    def cached(measure: Callable[[], T]) -> Cached[T]:
        return Cached(measure, COUNTS_SECONDS, ticks)

    login, delivery, actions = Login(users, pages), DeliveryPage(container, pages), Actions(container, pages)
    views, messages = Views(container, pages, cached(partial(_overview, container))), MessagePages(container, pages)
    carriers = CarriersPage(container, pages, cached(partial(activity_of, container)))
    system = SystemPage(container, pages, cached(TrafficMeter(container).measure))
    live = Live(lambda: container.database.read(diagnostics.pulse), pages.snapshot.forget, threads)
    view = threads.view
    return Starlette(
        routes=[
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/login", view(login.show)),
            Route("/login", post(login.log_in), methods=["POST"]),
            Route("/logout", post(login.log_out), methods=["POST"]),
            Route("/", view(views.needs_you)),
            Route("/deliveries", view(views.deliveries)),
            Route("/deliveries/{id}", view(delivery.show)),
            Route("/deliveries/{id}/explain", view(delivery.explain)),
            Route("/deliveries/{id}/customer", post(delivery.show_customer), methods=["POST"]),
            Route("/deliveries/{id}/candidates", post(delivery.show_candidates), methods=["POST"]),
            Route("/carriers", view(carriers.show)),
            Route("/carriers/report", ReportPage(container, pages, ticks, threads).show),
            Route("/messages", view(messages.show)),
            Route("/messages/{id}", view(messages.letter)),
            Route("/messages/{id}", post(messages.text), methods=["POST"]),
            Route("/messages/{id}/corrected", post(messages.correct, MAX_LETTER), methods=["POST"]),
            Route("/system", view(system.show)),
            Route("/do/{action}", view(actions.preview)),
            Route("/do/{action}", post(actions.do), methods=["POST"]),
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


def _snapshot(container: Container) -> Snapshot:
    state = container.system_health.measure()
    return Snapshot(state, container.troubles.find(state))


def _overview(container: Container) -> Overview:
    return container.database.read(measurements.overview, container.clock() - OVERVIEW_OF)


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
