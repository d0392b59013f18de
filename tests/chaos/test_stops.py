"""Real processes that are stopped at the worst moments or asked to end: what they do late does no harm."""

import signal

import pytest

from tests.chaos import injection_points
from tests.chaos.conftest import BuildScenarios
from tests.chaos.scenario import Case, Scenario, wait

BEFORE = Case("stopped between the intent and the call", injection_points.BOOKED, signal=signal.SIGSTOP)
AFTER = Case("stopped before the first byte", injection_points.SENDING, frozenset({"borzo"}), signal=signal.SIGSTOP)
ENDED = Case("asked to end during the creates", fault="slow", delay=1.0, signal=signal.SIGTERM)


@pytest.mark.long
@pytest.mark.fault("F-08")
def test_a_worker_that_stood_still_past_its_lease_sends_nothing_any_more(build_scenarios: BuildScenarios) -> None:
    (scenario,) = build_scenarios(BEFORE)
    scenario.begin()
    wait(scenario, Scenario.triggered, "stops")
    scenario.start("worker", "other")
    wait(scenario, lambda each: all(found.status != "queued" for found in each.deliveries()), "is given up")
    scenario.worker.signal(signal.SIGCONT)
    wait(scenario, lambda each: each.journal_empty() and each.settled(), "settles")
    assert scenario.result() == scenario.case.expected


@pytest.mark.long
@pytest.mark.fault("F-09")
def test_a_courier_that_came_too_late_is_announced_and_called_off(build_scenarios: BuildScenarios) -> None:
    (scenario,) = build_scenarios(AFTER)
    scenario.start("web")
    scenario.begin()
    wait(scenario, Scenario.triggered, "stops")
    scenario.start("worker", "other")
    wait(scenario, Scenario.settled, "gets another courier")
    scenario.worker.signal(signal.SIGCONT)
    wait(scenario, lambda each: each.couriers("cancel") == ["borzo"] and each.settled(), "cancels one courier")
    assert scenario.couriers() == ["borzo", "borzo"]
    conflicts = [event["type"] for event in scenario.events() if event["type"] == "delivery.conflict"]
    assert conflicts == ["delivery.conflict"]


@pytest.mark.fault("F-11")
def test_a_worker_that_is_asked_to_end_waits_for_its_calls(build_scenarios: BuildScenarios) -> None:
    (scenario,) = build_scenarios(ENDED)
    scenario.begin()
    wait(scenario, Scenario.died, "ends")
    assert scenario.worker.running is not None
    assert scenario.worker.running.returncode == 0
    assert [each.status.value for each in scenario.deliveries()] == ["created"] * 3
    scenario.start_again()
    wait(scenario, Scenario.settled, "settles")
    assert scenario.result() == scenario.case.expected
