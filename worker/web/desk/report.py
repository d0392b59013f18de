"""The page of the carriers' report. It is built in a thread of its own, so that no callback waits for it."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.container import Container
from worker.domain.report import FEW, By, Figures, Milestone, Report, spread
from worker.services.carrier_report import ReportScope
from worker.web.desk.charts import Chart, by_hour, by_minutes
from worker.web.desk.pages import Pages, storable, words
from worker.web.desk.threads import Threads
from worker.wording import counted

PERIODS: Mapping[str, timedelta] = {"1d": timedelta(days=1), "7d": timedelta(days=7), "31d": timedelta(days=31)}
DEFAULT_PERIOD = "7d"
MOST_EVENTS = 200_000
"""The most events that the page reads, which takes some seconds. The command line reads any number."""
PAUSE_SECONDS = 0.04
"""The pause after each part of the events, in which other threads of the process answer callbacks."""
KEPT_SECONDS = 60.0
MOST_WAITING = 4
"""The most reports that are under way at the same time."""
MILESTONE_TEXTS: Mapping[Milestone, str] = {
    Milestone.COURIER: "Minutes to the courier",
    Milestone.PICKUP: "Minutes to the pickup",
    Milestone.DOOR: "Minutes to the door",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which report an operator wants to see. `period` is a key of `PERIODS`."""

    period: str
    store_id: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A report. If there are too many events, `report` is None."""

    scope: ReportScope
    events: int
    report: Report | None


@dataclass
class RecentReports:
    """The reports of the last minute, which one thread builds one after the other. Only the event loop uses it."""

    build: Callable[[Wanted], Found]
    ticks: Callable[[], float]
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "report"))
    _kept: dict[Wanted, "tuple[float, Future[Found]]"] = field(default_factory=dict)

    async def get(self, wanted: Wanted) -> Found:
        """Return a report that is at most a minute old. Raises HTTPException while too many are under way."""
        now = self.ticks()
        self._kept = {key: (at, kept) for key, (at, kept) in self._kept.items() if _is_usable(kept, now - at)}
        if wanted not in self._kept:
            if sum(not kept.done() for _, kept in self._kept.values()) >= MOST_WAITING:
                raise HTTPException(503, "Other reports are under way. Try again in a moment.")
            self._kept[wanted] = now, self._thread.submit(self.build, wanted)
        return await asyncio.shield(asyncio.wrap_future(self._kept[wanted][1]))


def _is_usable(kept: "Future[Found]", age: float) -> bool:
    return not kept.done() or (age < KEPT_SECONDS and kept.exception() is None)


class ReportPage:
    """Show the carriers' report."""

    def __init__(self, services: Container, pages: Pages, ticks: Callable[[], float], threads: Threads) -> None:
        self._services, self._pages, self._threads = services, pages, threads
        self._reports = RecentReports(self._build, ticks)

    async def show(self, request: Request) -> Response:
        """Show the report of a time until now, of one store or all."""
        query = request.query_params
        period = period if (period := query.get("period", "")) in PERIODS else DEFAULT_PERIOD
        wanted = Wanted(period, storable(query.get("store", "")).strip()[:64] or None)
        return await self._threads.run(self._render, request, wanted, await self._reports.get(wanted))

    def _build(self, wanted: Wanted) -> Found:
        now, reports = self._services.clock(), self._services.carrier_reports
        scope = ReportScope(now - PERIODS[wanted.period], now, wanted.store_id)
        events = reports.count_events(scope)
        if events > MOST_EVENTS:
            return Found(scope, events, None)
        return Found(scope, events, reports.of(scope, partial(time.sleep, PAUSE_SECONDS)))

    def _render(self, request: Request, wanted: Wanted, found: Found) -> Response:
        report = found.report
        return self._pages.render(
            request,
            "report.html",
            wanted=wanted,
            found=found,
            periods=[(name, length.days) for name, length in PERIODS.items()],
            carriers=_carriers(report, self._services.callbacks_expected) if report else [],
            tables=_tables(report) if report else {},
        )


def _carriers(report: Report, callbacks_expected: frozenset[str]) -> list[dict[str, Any]]:
    hours: dict[str, Counter[int]] = {}
    for group, figures in report.by(By.HOUR):
        hours.setdefault(group.carrier, Counter())[int(group.name)] += figures.offered
    return [
        {
            "name": group.carrier,
            "facts": list(_facts(figures, expected=group.carrier in callbacks_expected)),
            "charts": [by_hour("Orders by the hour of the store's day", hours[group.carrier]), *_durations(figures)],
        }
        for group, figures in report.by(By.CARRIER)
    ]


def _durations(figures: Figures) -> Iterator[Chart]:
    for milestone in (Milestone.PICKUP, Milestone.DOOR):
        if figures.minutes[milestone]:
            yield by_minutes(MILESTONE_TEXTS[milestone], figures.minutes[milestone])


def _facts(figures: Figures, *, expected: bool) -> Iterator[tuple[str, str]]:
    """Yield the figures of an account with their names. `expected` is whether the account should send callbacks."""
    yield "Orders offered", str(figures.offered)
    yield "Accepted", f"{figures.accepted} ({_percent(figures.accepted_share)})"
    for milestone, name in MILESTONE_TEXTS.items():
        yield name, minutes(figures.minutes[milestone])
    yield "Minutes after the requested pickup", minutes(figures.late)
    yield "Unknown outcomes", f"{figures.unknown} ({figures.unknown_per_thousand or 0:.1f} per thousand)"
    for name, counts in (("Ended", figures.ended), ("Refused", figures.refused), ("Cancelled by", figures.cancelled)):
        if counts:
            yield name, ", ".join(f"{words(each)} {count}" for each, count in counts.most_common())
    if expected:
        yield "Late callbacks", f"{figures.late_callbacks} of {figures.by_callback}"
        yield "Statuses without a callback", f"{figures.by_read} of {figures.by_callback + figures.by_read}"
    if figures.unmapped:
        yield "Unmapped statuses", ", ".join(f"{each} {count}" for each, count in figures.unmapped.most_common())
    for currency, (amount, count) in figures.median_prices.items():
        yield "Median price", f"{amount} {currency} ({_orders(count)})"
    yield "Estimated times", f"{figures.estimated} of {figures.times} ({_percent(figures.estimated_share)})"


def _tables(report: Report) -> dict[str, list[tuple[str, ...]]]:
    """Return the rows of the tables by store and by hour."""
    return {
        name: [(group.name, group.carrier, *_cells(figures)) for group, figures in report.by(by)]
        for name, by in (("Store", By.STORE), ("Hour", By.HOUR))
    }


def _cells(figures: Figures) -> tuple[str, ...]:
    times = (*figures.minutes.values(), figures.late)
    return (str(figures.offered), _percent(figures.accepted_share), *map(minutes, times), str(figures.unknown))


def minutes(counts: Counter[int]) -> str:
    """Return the median and the 90th percentile as a text; for few orders, the median and their number."""
    found = spread(counts)
    if found is None:
        return "no order"
    return f"{found.median} ({_orders(found.count)})" if found.count < FEW else f"{found.median} (90 % in {found.p90})"


def _orders(count: int) -> str:
    return counted(count, "order", "orders")


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"
