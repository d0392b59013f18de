"""The street that every test of the tasks walks on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.simulation import Simulation


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path)
    yield made
    made.close()
