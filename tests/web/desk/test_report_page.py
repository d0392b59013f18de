"""The page of the carriers' report shows the figures, and draws them without scripts and styles."""

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from tests.services.simulation import START, Simulation
from tests.web.desk.operator_browser import Browser
from worker.domain.report import Report
from worker.services.carrier_report import ReportScope
from worker.web.desk import report
from worker.web.desk.charts import bar_chart, by_hour, by_minutes
from worker.web.desk.report import Found, RecentReports, Wanted, minutes

PATH = "/carriers/report"
SCOPE = ReportScope(START, START + timedelta(hours=1))


@pytest.fixture
def delivered(simulation: Simulation) -> Simulation:
    """Deliver an order at Cervo."""
    simulation.place_at("cervo", "2011")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    simulation.now += timedelta(seconds=1)
    return simulation


@pytest.mark.usefixtures("delivered")
def test_the_page_shows_figures_and_charts_without_scripts_and_styles(browser: Browser) -> None:
    page = browser.get(browser.get("/carriers").links["The carriers' report"])
    lines = page.lines
    begin = lines.index("cervo")
    assert (page.path, lines[begin + 1 : begin + 3]) == (PATH, ["Orders offered 1", "Accepted 1 (100%)"])
    assert "Ended delivered 1" in lines
    assert [each for each in lines if each.startswith("20 cervo 1 100%")] != []  # the hour at the store
    assert [each for each in lines if each.startswith("34 cervo 1 100%")] != []  # the store
    assert Counter(each for each in page.tags if each in {"svg", "title", "desc", "style", "script"}) == {
        "svg": 3,
        "title": 4,
        "desc": 3,
        "script": 1,
    }
    assert "style=" not in page.reply.text
    assert page.reply.text.count("Orders in all: 1. Highest bar: 1 (hour 20).") == 1


@pytest.mark.usefixtures("delivered")
def test_a_wrong_filter_and_too_many_events_are_no_failure(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    for query in ("store=99", "store=<script>", "period=nonsense&store=99"):
        page = browser.get(f"{PATH}?{query}")
        shown = (page.status, page.lines[-1], page.tags.count("script"))
        assert shown == (200, "No carrier was asked in this time.", 1)
    assert "cervo" in browser.get(f"{PATH}?store=%00").lines
    monkeypatch.setattr(report, "MOST_EVENTS", 3)
    text = " ".join(browser.get(f"{PATH}?period=31d").lines)
    assert "events, which are too many for this page" in text
    assert "order-sync carriers report --since 31d" in text


def test_the_page_of_a_database_that_does_not_answer_says_so(simulation: Simulation, browser: Browser) -> None:
    simulation.container.database.write(lambda connection: connection.exec_driver_sql("DROP TABLE shop"))
    assert browser.get(PATH).status == 503


# --- the reports of the last minute ---


def recent(build: Any, *ticks: float) -> RecentReports:
    return RecentReports(build, iter(ticks or count()).__next__)


def wanted(store: str) -> Wanted:
    return Wanted("7d", store)


def test_a_report_is_built_once_a_minute_for_all_operators() -> None:
    built = []

    def build(each: Wanted) -> Found:
        built.append(each.store_id)
        return Found(SCOPE, 0, Report({}))

    async def ask() -> None:
        for store in ("17", "21", "17", "17"):
            await reports.get(wanted(store))

    reports = recent(build, 0.0, 1.0, 59.0, 60.0)
    asyncio.run(ask())
    assert built == ["17", "21", "17"]


def test_a_report_that_failed_is_built_again() -> None:
    outcomes: list[Exception | Found] = [LookupError("no database"), Found(SCOPE, 0, Report({}))]

    def build(_wanted: Wanted) -> Found:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def ask() -> list[Any]:
        first = await asyncio.gather(reports.get(wanted("17")), return_exceptions=True)
        return [*first, await reports.get(wanted("17"))]

    reports = recent(build)
    failed, found = asyncio.run(ask())
    assert (type(failed), found) == (LookupError, Found(SCOPE, 0, Report({})))


def test_at_most_four_reports_are_under_way() -> None:
    ended = threading.Event()

    def build(_wanted: Wanted) -> Found:
        ended.wait(30)
        return Found(SCOPE, 0, None)

    async def ask() -> list[str]:
        waiting = [asyncio.ensure_future(reports.get(wanted(str(each)))) for each in (*range(4), 0, 4)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
        ended.set()
        return [type(each).__name__ for each in await asyncio.gather(*waiting, return_exceptions=True)]

    reports = recent(build)
    assert asyncio.run(ask()) == ["Found"] * 5 + [HTTPException.__name__]


# --- charts and texts ---


def test_a_bar_is_as_high_as_its_value() -> None:
    chart = bar_chart("Orders", "hour", [("00", 0), ("01", 2), ("02", 4)])
    assert [(bar.x, bar.y, bar.width, bar.height, bar.labelled) for bar in chart.bars] == [
        (0.5, 72.0, 79.0, 0.0, True),
        (80.5, 36.0, 79.0, 36.0, True),
        (160.5, 0.0, 79.0, 72.0, True),
    ]
    assert chart.summary == "Orders in all: 6. Highest bar: 4 (hour 02)."


def test_a_day_has_24_bars_with_a_label_for_every_third() -> None:
    chart = by_hour("Orders", Counter({18: 3}))
    assert [(bar.label, bar.value) for bar in chart.bars if bar.value] == [("18", 3)]
    assert [bar.label for bar in chart.bars if bar.labelled] == ["00", "03", "06", "09", "12", "15", "18", "21"]


def test_the_last_bar_of_minutes_has_all_longer_ones() -> None:
    chart = by_minutes("Minutes", Counter({0: 1, 9: 1, 10: 1, 119: 1, 120: 1, 900: 1}))
    assert [(bar.label, bar.value) for bar in chart.bars if bar.value] == [("0", 2), ("10", 1), ("110", 1), ("120+", 2)]


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "no order"), ([7], "7 (1 order)"), ([7, 8, 9], "8 (3 orders)"), (range(1, 21), "10 (90 % in 18)")],
)
def test_minutes_of_few_orders_are_shown_with_their_number(values: list[int], text: str) -> None:
    assert minutes(Counter(values)) == text
