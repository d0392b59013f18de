"""A platform that carries a write out long after it was given up."""

from pathlib import Path

import pytest

from tests.services.simulation import Simulation
from tests.services.test_write_back import conflicts, fault, seed, settle, stands, written


@pytest.mark.fault("F-63")
@pytest.mark.quirk("O-18")
def test_a_write_that_comes_after_our_last_is_seen_and_told(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, ORDERING__SOURCE="demo")
    seed(simulation)
    simulation.place(store_id="21")
    simulation.until(lambda it: 3 in written(it), step=1)
    fault(simulation, "late", "update", times=1, delay=200)
    simulation.until(lambda it: it.status() == "delivered")
    settle(simulation, 40)
    assert (written(simulation)[-3:], stands(simulation), conflicts(simulation)) == (
        [9, 11, 9],
        9,
        ["platform_differs"],
    )
    simulation.close()
