"""The simulation that the tests of the services share."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.database import deliveries
from worker.database.database import Database
from worker.database.tables import DELIVERY


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path)) as running:
        yield running
        check_stored_properties(running.container.database)


def check_stored_properties(database: Database) -> None:
    """Check that the columns that the sweep uses are the properties of the deliveries, whatever happened."""
    columns = select(DELIVERY.c.id, DELIVERY.c.step_carrier, DELIVERY.c.may_give_way)
    with database.engine.connect() as connection:
        stored = {row.id: row for row in connection.execute(columns)}
    for each in database.read(deliveries.load, stored):
        assert (each.id, each.step_carrier, each.may_give_way) == tuple(stored[each.id])


@pytest.fixture
def gateway(simulation: Simulation) -> ScriptedGateway:
    return ScriptedGateway(simulation)
