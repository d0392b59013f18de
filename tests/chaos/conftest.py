"""The stage: a sandbox and a Redis for all scenes, and a database for each."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from tests.chaos.clock import FastClock
from tests.chaos.processes import Carriers, environment
from tests.chaos.scenario import Case, Scene
from tests.conftest import _new_database
from worker.database.database import Database
from worker.local.supervisor import Supervisor, free_port

RATE = 20
STEP = 4000
"""Of the fast clock: nothing happens to an order at its carrier while a test runs."""
PATIENT = 5.0
"""Seconds for a call: a machine on which ten workers start at once is slow, and a time-out would be another story."""
Stage = Callable[..., list[Scene]]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(dict(os.environ), tmp_path / "log", grace=1) as made:
        yield made


@pytest.fixture
def stage(
    fleet: Supervisor,
    postgres_server: str,
    embedded_redis: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
) -> Iterator[Stage]:
    """Give a way to set scenes: each has a database and a bus of its own; callbacks reach the edge of the first."""
    clock, web = FastClock.begin(RATE), free_port()
    with ExitStack() as stack:
        url = stack.enter_context(embedded_redis())
        callbacks = f"http://127.0.0.1:{web}/callbacks/borzo"
        sandbox = stack.enter_context(closing(Carriers(fleet, clock, STEP, callbacks)))

        def scene(number: int, case: Case) -> Scene:
            database = stack.enter_context(_new_database(postgres_server))
            with closing(Database(database)) as store:
                SQLModel.metadata.create_all(store.engine)  # in a tenth of a migration's time
            environ = environment(
                clock,
                database=database,
                redis_url=url.replace("/0", f"/{number}"),
                origin=sandbox.origin,
                journal=tmp_path / f"journal-{number}",
                web=0 if number else web,
                deadline=PATIENT,
            )
            return stack.enter_context(closing(Scene(replace(case, number=number), fleet, tmp_path, environ, sandbox)))

        yield lambda *cases: [scene(number, case) for number, case in enumerate(cases)]
        fleet.stop()
