"""Pages: templates, and what every page shows."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from schemas.phones import masked
from worker.clock import Clock
from worker.domain.delivery import Step
from worker.domain.trouble import Freshness, Severity, Trouble
from worker.log import printable
from worker.services.system_health import SystemState
from worker.web.desk.access import csrf_token
from worker.wording import age, duration, time_left

READS = frozenset({Step.TRACK, Step.RECONCILE})
SEVERE = frozenset({Severity.GOODS_ON_THE_ROAD, Severity.UNKNOWN_OUTCOME, Severity.LATE})
T = TypeVar("T")
NOTICE = "notice"
"""The key of the session with the text to show on the next page."""


def countdown(moment: datetime | None, now: datetime) -> str:
    """Return the time until a deadline, such as `in 6:12` or `2:05 ago`; empty for None."""
    if moment is None:
        return ""
    seconds = seconds_until(moment, now)
    if abs(seconds) >= 6000:  # noqa: PLR2004 - from here on, 100 minutes, seconds do not matter
        return time_left(moment, now)
    text = f"{abs(seconds) // 60}:{abs(seconds) % 60:02}"
    return f"in {text}" if seconds >= 0 else f"{text} ago"


def seconds_until(moment: datetime, now: datetime) -> int:
    """Return the whole seconds until a deadline; negative after it."""
    return int((moment - now).total_seconds())


def freshness_text(its: Freshness, now: datetime) -> str:
    """Return how old a status is, how well it is proven, and when its carrier is asked next, in words."""
    report = f"as of {age(its.last_report_at, now)} ago, {words(its.evidence.value)}" if its.last_report_at else ""
    return ", ".join(filter(None, (report, _next_step(its, now))))


def _next_step(its: Freshness, now: datetime) -> str:
    if its.next_step is None or its.next_at is None:
        return "nothing is left to do"
    what = "read" if its.next_step in READS else f"step ({its.next_step.value})"
    return f"next {what} {time_left(its.next_at, now) if its.next_at > now else 'now'}"


def local(moment: datetime, zone: str) -> str:
    """Return the time of day in a time zone."""
    return f"{moment.astimezone(ZoneInfo(zone)):%H:%M:%S}"


def words(name: str) -> str:
    """Return a published name, such as `outcome_unknown`, as words."""
    return name.replace("_", " ")


def storable(text: str) -> str:
    """Return a text without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "")


def environment() -> Environment:
    """Return the templates. Every value is escaped, and control characters of foreign texts are shown as escapes."""
    templates = Environment(
        loader=PackageLoader("worker.web.desk"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    templates.filters.update(
        age=age,
        countdown=countdown,
        freshness=freshness_text,
        local=local,
        masked=masked,
        words=words,
        duration=duration,
        seconds=seconds_until,
    )
    templates.globals["SEVERE"] = SEVERE
    return templates


def _harmless(value: Any) -> Any:
    is_markup = hasattr(value, "__html__")
    return printable(value, "\n\t") if isinstance(value, str) and not is_markup else value


@dataclass
class Cached(Generic[T]):
    """A value that is measured at most once in some seconds, so that many open pages cost as much as one."""

    measure: Callable[[], T]
    seconds: float
    ticks: Callable[[], float]
    _value: T | None = None
    _until: float = -math.inf
    _measuring: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> T:
        """Return the value."""
        with self._measuring:
            if self._value is None or self.ticks() >= self._until:
                self._value = self.measure()
                self._until = self.ticks() + self.seconds
            return self._value

    def forget(self) -> None:
        """Measure again at the next request, because an operator has acted."""
        with self._measuring:
            self._value = None


@dataclass(frozen=True)
class Snapshot:
    """The state of the system and its troubles, the worst first."""

    state: SystemState
    troubles: Sequence[Trouble]


@dataclass(frozen=True)
class Pages:
    """Render the templates with what every page shows."""

    templates: Environment
    clock: Clock
    snapshot: Cached[Snapshot]

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page for the operator who is logged in."""
        text = self.templates.get_template(template).render(
            now=self.clock(),
            user=request.scope["user"],
            csrf=csrf_token(request),
            path=request.url.path,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            notice=request.session.pop(NOTICE) if NOTICE in request.session else None,
            needing=len(self.snapshot.get().troubles),
            **values,
        )
        return HTMLResponse(text, status)

    def render_plain(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page that needs neither a login nor the database."""
        text = self.templates.get_template(template).render(csrf=csrf_token(request), **values)
        return HTMLResponse(text, status)
