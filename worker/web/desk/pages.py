"""Pages: templates, and what every page shows."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from schemas.phones import masked
from worker.clock import Clock
from worker.domain.trouble import Severity, Trouble
from worker.durations import age, duration, time_left
from worker.log import printable
from worker.services.system_health import SystemState
from worker.web.desk.access import csrf_token

SNAPSHOT_SECONDS = 1.0
"""Seconds for which the pages of all operators show the same troubles, so that many open pages cost as much as one."""
SEVERE = frozenset({Severity.GOODS_ON_THE_ROAD, Severity.UNKNOWN_OUTCOME, Severity.LATE})
NOTICE = "notice"
"""The key of the session with the text to show on the next page."""


def countdown(moment: datetime | None, now: datetime) -> str:
    """Return the time until a deadline, such as `in 6:12` or `2:05 ago`; empty for None."""
    if moment is None:
        return ""
    seconds = int((moment - now).total_seconds())
    if abs(seconds) >= 6000:  # noqa: PLR2004 - from here on, 100 minutes, seconds do not matter
        return time_left(moment, now)
    text = f"{abs(seconds) // 60}:{abs(seconds) % 60:02}"
    return f"in {text}" if seconds >= 0 else f"{text} ago"


def words(name: str) -> str:
    """Return a published name, such as `outcome_unknown`, as words."""
    return name.replace("_", " ")


def storable(text: str) -> str:
    """Return a text without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "")


def environment() -> Environment:
    """Return the templates. Every value is escaped, and control characters of foreign texts are shown as escapes."""
    made = Environment(
        loader=PackageLoader("worker.web.desk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    made.filters.update(
        age=age, time_left=time_left, countdown=countdown, masked=masked, words=words, duration=duration
    )
    made.globals["SEVERE"] = SEVERE
    return made


def _harmless(value: Any) -> Any:
    is_markup = hasattr(value, "__html__")
    return printable(value, "\n\t") if isinstance(value, str) and not is_markup else value


@dataclass
class Snapshot:
    """The state of the system and its troubles, measured at most once in `SNAPSHOT_SECONDS`."""

    measure: Callable[[], SystemState]
    find: Callable[[SystemState], list[Trouble]]
    ticks: Callable[[], float]
    _found: tuple[SystemState, list[Trouble]] | None = None
    _found_at: float = 0.0
    _finding: threading.Lock = field(default_factory=threading.Lock)

    def state(self) -> SystemState:
        """Return the state of the system."""
        return self._current()[0]

    def troubles(self) -> list[Trouble]:
        """Return the troubles, the worst first."""
        return self._current()[1]

    def forget(self) -> None:
        """Measure again at the next request, because an operator has acted."""
        with self._finding:
            self._found = None

    def _current(self) -> tuple[SystemState, list[Trouble]]:
        with self._finding:
            if self._found is None or self.ticks() - self._found_at >= SNAPSHOT_SECONDS:
                state = self.measure()
                self._found, self._found_at = (state, self.find(state)), self.ticks()
            return self._found


@dataclass(frozen=True)
class Pages:
    """Render the templates with what every page shows."""

    templates: Environment
    clock: Clock
    snapshot: Snapshot

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page for the operator who is logged in."""
        text = self.templates.get_template(template).render(
            now=self.clock(),
            user=request.scope["user"],
            csrf=csrf_token(request),
            path=request.url.path,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            notice=request.session.pop(NOTICE) if NOTICE in request.session else None,
            needing=len(self.snapshot.troubles()),
            **values,
        )
        return HTMLResponse(text, status)

    def render_plain(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page that needs neither a login nor the database."""
        text = self.templates.get_template(template).render(csrf=csrf_token(request), **values)
        return HTMLResponse(text, status)
