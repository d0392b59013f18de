"""Lives at each of the carriers, as far as a test wants them to have come."""

from collections.abc import Callable

import pytest

from tests.domain.scenario import Life


@pytest.fixture
def created() -> Callable[..., Life]:
    """Make a life whose carrier has acknowledged; what was told so far counts as read."""

    def make(*carriers: str) -> Life:
        life = Life(*carriers)
        life.place()
        life.book()
        life.lines()
        return life

    return make
