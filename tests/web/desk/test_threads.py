"""The desk answers in threads of its own, so its pages never occupy those of the callbacks."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import count

import pytest
from anyio import from_thread, to_thread

from tests.services.simulation import Simulation
from tests.web.desk.operator_browser import Browser
from worker.web import desk

PAGES = ("/", "/deliveries", "/deliveries/{id}", "/carriers", "/messages", "/system", "/do/cancel?delivery={id}")


@pytest.fixture
def watched(simulation: Simulation) -> Iterator[tuple[Browser, set[float]]]:
    """Open a browser at a desk that records how many of the process's shared threads are busy while it works."""
    borrowed: set[float] = set()
    real = simulation.container.clock

    def clock() -> datetime:
        limiter = from_thread.run_sync(to_thread.current_default_thread_limiter)
        borrowed.add(limiter.borrowed_tokens)
        return real()

    simulation.container.clock = clock
    app = desk.build(simulation.container, ticks=count(step=100.0).__next__)
    simulation.container.clock = real
    with closing(Browser(app)) as browser:
        yield browser, borrowed


def test_pages_and_forms_leave_the_shared_threads_free(
    watched: tuple[Browser, set[float]], simulation: Simulation
) -> None:
    browser, borrowed = watched
    simulation.place_at("cervo", "2011")
    browser.log_in()
    found = [browser.get(each.format(id=simulation.delivery().id)) for each in PAGES]
    done = browser.send(browser.get("/do/carriers-pause?account=cervo"), reason="holiday")
    assert [each.status for each in (*found, done)] == [200] * (len(PAGES) + 1)
    assert borrowed == {0}
