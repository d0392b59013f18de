"""Copies of the state of a delivery."""

import dataclasses

import pytest

from tests.domain.scenario import DeliveryScenario, observed
from worker.domain.delivery import replace


@pytest.fixture
def scenario() -> DeliveryScenario:
    scenario = DeliveryScenario("borzo")
    scenario.place()
    scenario.book()
    scenario.observe(observed("picked_up", ref="R-1"))
    return scenario


def test_a_copy_is_as_the_standard_library_makes_it_and_leaves_the_original_alone(scenario: DeliveryScenario) -> None:
    delivery, attempt, event = scenario.delivery, scenario.attempt, scenario.events[-1]
    before = dataclasses.asdict(attempt)
    assert [replace(delivery, failures=3), replace(attempt, calls=7, ref=None), replace(event, sequence=9)] == [
        dataclasses.replace(delivery, failures=3),
        dataclasses.replace(attempt, calls=7, ref=None),
        dataclasses.replace(event, sequence=9),
    ]
    assert dataclasses.asdict(attempt) == before
