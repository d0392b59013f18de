"""Lives at each of the carriers, as far as a test wants them to have come."""

from collections.abc import Callable

import pytest

from tests.domain.scenario import DeliveryScenario


@pytest.fixture
def created() -> Callable[..., DeliveryScenario]:
    """Make a scenario whose carrier has acknowledged; what was told so far counts as read."""

    def make(*carriers: str) -> DeliveryScenario:
        scenario = DeliveryScenario(*carriers)
        scenario.place()
        scenario.book()
        scenario.new_events()
        return scenario

    return make
