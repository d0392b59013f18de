"""The simulation that the tests of the services share."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path)) as running:
        yield running


@pytest.fixture
def gateway(simulation: Simulation) -> ScriptedGateway:
    return ScriptedGateway(simulation)
