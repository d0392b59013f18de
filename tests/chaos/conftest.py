"""Scenarios with one sandbox and one Redis for all of them, and a database for each."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from tests.chaos.clock import FastClock
from tests.chaos.forks import ForkedProcess
from tests.chaos.processes import environment, write_single_carrier_stores
from tests.chaos.sandbox import Sandbox
from tests.chaos.scenario import Case, Scenario
from tests.conftest import new_database
from worker.database.accounts import put_account_metadata
from worker.database.database import Database
from worker.local.supervisor import Supervisor, free_port
from worker.sandbox import SandboxConfig

RATE = 8
"""Slow enough that on a loaded machine no lease ends before its process has had its turn."""
STEP = 100_000
"""Seconds of the fast clock between two statuses at a carrier: none changes during a test."""
DEADLINE = 12.0
"""Real seconds for a call: several workers that start at once delay each other's replies."""
THREADS = 4
"""Threads of each worker: three may wait at a point, and all workers share PostgreSQL's hundred connections."""
BuildScenarios = Callable[..., list[Scenario]]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(dict(os.environ), tmp_path / "log", grace=1, process=ForkedProcess) as running:
        yield running


@pytest.fixture
def build_scenarios(
    supervisor: Supervisor,
    postgres_server: str,
    embedded_redis: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
) -> Iterator[BuildScenarios]:
    """Return a function that builds a scenario for each case; callbacks reach the web process of the first."""
    clock, web = FastClock.begin(RATE), free_port()
    stores = write_single_carrier_stores(tmp_path / "stores.toml")
    with ExitStack() as stack:
        url = stack.enter_context(embedded_redis())
        callbacks = f"http://127.0.0.1:{web}/callbacks/borzo"
        sandbox = stack.enter_context(closing(Sandbox(supervisor, clock, STEP, callbacks)))

        def build(number: int, case: Case) -> Scenario:
            database = stack.enter_context(new_database(postgres_server))
            with closing(Database(database)) as empty:
                SQLModel.metadata.create_all(empty.engine)  # in a tenth of a migration's time
                # As after a log-in, so that the reader of the orders books all of them itself.
                empty.write(put_account_metadata, "deliverit", {"company": str(SandboxConfig().deliverit_company)})
            environ = environment(
                clock,
                database=database,
                redis_url=url.replace("/0", f"/{number}"),
                sandbox=sandbox.port,
                journal=tmp_path / f"journal-{number}",
                web=0 if number else web,
                deadline=DEADLINE,
                more={"STORES_FILE": stores, "WORKER_CONCURRENCY": str(THREADS)},
            )
            numbered = replace(case, number=number)
            return stack.enter_context(closing(Scenario(numbered, supervisor, tmp_path, environ, sandbox)))

        numbers = count()
        yield lambda *cases: [build(next(numbers), case) for case in cases]
        supervisor.stop()
