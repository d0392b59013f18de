"""Scenarios at any of the carriers."""

from collections.abc import Callable

import pytest

from tests.domain.scenario import DeliveryScenario


@pytest.fixture
def created() -> Callable[..., DeliveryScenario]:
    """Return a scenario whose carrier has created the order; its events have been read."""

    def make(*carriers: str) -> DeliveryScenario:
        scenario = DeliveryScenario(*carriers)
        scenario.place()
        scenario.book()
        scenario.new_events()
        return scenario

    return make
