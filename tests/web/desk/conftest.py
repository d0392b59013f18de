"""The desk under test, beside a simulation of the whole product."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.services.simulation import Simulation
from tests.web.desk.operator_browser import Browser
from worker.web import desk

Open = Callable[..., Browser]


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path)) as running:
        running.pass_time()
        yield running


@pytest.fixture
def open_browser(simulation: Simulation) -> Iterator[Open]:
    """Give a function that opens another browser."""
    app = desk.build(simulation.container, ticks=count(step=100.0).__next__)  # every page is measured anew
    opened: list[Browser] = []

    def open_one(base_url: str = "http://127.0.0.1:8001") -> Browser:
        opened.append(Browser(app, base_url))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def browser(open_browser: Open) -> Browser:
    """Open the browser of maria, who has logged in."""
    opened = open_browser()
    opened.log_in()
    return opened
