"""The carriers' report of a simulated evening."""

from datetime import timedelta

import pytest

from tests.services.simulation import START, Simulation
from worker.domain.report import By, Group, Milestone, Report
from worker.services import carrier_report
from worker.services.carrier_report import ReportScope

EVENING = ReportScope(START - timedelta(hours=1), START + timedelta(hours=6))


@pytest.fixture
def evening(simulation: Simulation) -> Simulation:
    """Deliver one order at Cervo, and one at Borzo that is placed an hour later."""
    simulation.place_at("cervo", "1")
    simulation.until(lambda it: it.status("1") == "delivered", step=30)
    simulation.now = max(simulation.now, START + timedelta(hours=1))
    simulation.place_at("borzo", "2")
    simulation.until(lambda it: it.status("2") == "delivered", step=30)
    return simulation


def report(simulation: Simulation, scope: ReportScope = EVENING) -> Report:
    return simulation.container.carrier_reports.of(scope)


def summary(found: Report, by: By) -> list[tuple[str, str, int, int, int]]:
    """Return for each group its name, its account, and how many orders were offered, accepted and delivered."""
    return [
        (group.name, group.carrier, each.offered, each.accepted, each.ended["delivered"])
        for group, each in found.by(by)
    ]


def test_the_orders_of_an_evening_are_counted_by_carrier_store_and_local_hour(evening: Simulation) -> None:
    found = report(evening)
    assert summary(found, By.CARRIER) == [("", "borzo", 1, 1, 1), ("", "cervo", 1, 1, 1)]
    assert summary(found, By.STORE) == [("21", "borzo", 1, 1, 1), ("34", "cervo", 1, 1, 1)]
    assert summary(found, By.HOUR) == [("15", "borzo", 1, 1, 1), ("20", "cervo", 1, 1, 1)]
    borzo, cervo = (found.groups[Group(By.CARRIER, "", name)] for name in ("borzo", "cervo"))
    assert [len(borzo.minutes[each]) for each in Milestone] == [1, 1, 1]
    assert (borzo.by_callback > 0, cervo.late.total()) == (True, 1)


def test_a_report_may_be_about_one_store(evening: Simulation) -> None:
    scope = ReportScope(EVENING.since, EVENING.until, "21")
    assert summary(report(evening, scope), By.CARRIER) == [("", "borzo", 1, 1, 1)]


def test_orders_that_were_offered_outside_the_span_are_left_out(evening: Simulation) -> None:
    until = ReportScope(EVENING.since, START + timedelta(minutes=2))
    since = ReportScope(START + timedelta(hours=1), EVENING.until)
    assert [summary(report(evening, scope), By.CARRIER) for scope in (until, since)] == [
        [("", "cervo", 1, 1, 0)],
        [("", "borzo", 1, 1, 1)],
    ]


def test_the_events_of_a_span_are_read_in_parts(evening: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report(evening)
    monkeypatch.setattr(carrier_report, "PAGE", 3)
    assert report(evening) == whole
    reports = evening.container.carrier_reports
    assert reports.count_events(EVENING) == len(evening.events("1")) + len(evening.events("2"))
