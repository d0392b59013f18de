"""A primary with a synchronous standby: what was committed survives, and a primary that is cut off commits nothing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from tests.chaos.postgres import Pair, pair, programs
from tests.chaos.proxy import Network
from tests.conftest import missing
from tests.database.pooler import PGBOUNCER, pgbouncer
from tests.database.samples import place
from tests.services.simulation import ENVIRONMENT, Simulation
from tests.services.test_notifications import Channel
from tests.services.test_troubles import keys
from worker.database import deliveries, leases
from worker.database.connection import is_transient
from worker.database.database import Database
from worker.services.notifications import LASTS, LEASE_SECONDS, OVER, Notifications
from worker.services.system_troubles import COMMITS_WAIT

PATIENCE = 120
"""Seconds after which something counts as never true, however loaded the machine is."""
LIMIT = "100ms"
ROLES = Path(__file__).resolve().parents[2] / "deploy" / "postgres-roles.sql"
COMMAND = Path(sys.executable).with_name("order-sync")
NOWHERE = "http://127.0.0.1:1"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE wait_event = 'SyncRep' AND clock_timestamp() - query_start > 5 * interval '100ms'"
)


@pytest.fixture
def servers() -> Iterator[Pair]:
    if PGBOUNCER is None or programs() is None:
        missing("PgBouncer or PostgreSQL's pg_basebackup", "PATH", "they are not installed")
    with Network(seed=1) as network, pair(network) as started:
        yield started


def through_the_pooler(servers: Pair) -> str:
    return f"postgresql://postgres@127.0.0.1:{servers.entrance}/postgres"


def of_both(servers: Pair) -> str:
    ports = f"{servers.primary.port},127.0.0.1:{servers.standby.port}"
    return f"postgresql://postgres@127.0.0.1:{ports}/postgres?target_session_attrs=read-write"


@pytest.mark.long
@pytest.mark.fault("F-112")
@pytest.mark.parametrize("address", [through_the_pooler, of_both])
def test_what_was_committed_survives_the_primary_and_processes_find_the_next_one(
    servers: Pair, address: Callable[[Pair], str]
) -> None:
    with closing(Database(address(servers))) as database:
        database.upgrade()
        before = place(database, "1", "2", "3")
        servers.fail_over()
        after = _again(lambda: place(database, "4"))
        stored = database.read(deliveries.load, [*before, *after])
        assert sorted(each.order.order_id for each in stored) == list("1234")


@pytest.mark.long
@pytest.mark.fault("F-113")
def test_a_primary_that_is_cut_off_confirms_no_commit_and_its_orders_are_stored_once_by_the_next_one(
    servers: Pair,
) -> None:
    with closing(Database(of_both(servers))) as database, ThreadPoolExecutor(2) as pool:
        database.upgrade()
        servers.isolate()
        placed = pool.submit(place, database, "1")
        limited = pool.submit(_change_within_the_limit, servers.primary.url)
        _await_two_commits_beyond_the_limit(servers.primary.url)
        assert (placed.done(), limited.done()) == (False, False)
        old = servers.primary
        servers.fence()
        old.end()
        failures = [each.exception(PATIENCE) for each in (placed, limited)]
        assert [type(each) for each in failures] == [OperationalError, psycopg.OperationalError]
        ids = _again(lambda: place(database, "1"))
        assert database.read(_count) == len(ids) == 1


@pytest.mark.long
@pytest.mark.fault("F-115")
@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_operators_see_and_hear_that_commits_wait_for_a_lost_standby_until_it_is_back(
    servers: Pair, tmp_path: Path, *, pooled: bool
) -> None:
    servers.primary.execute(ROLES.read_text())
    with closing(Database(servers.url.replace("postgres@", "order_sync_owner@"))) as owner:
        owner.upgrade()
    url = servers.url.replace("postgres@", "order_sync@")
    with ExitStack() as stack:
        url = stack.enter_context(pgbouncer(url, tmp_path, default_pool_size="4")) if pooled else url
        simulation = stack.enter_context(closing(Simulation(tmp_path, DATABASE_URL=url)))
        pool = ThreadPoolExecutor(1)
        stack.callback(pool.shutdown, wait=False)
        services, team = simulation.container, Channel()
        one, two = (
            Notifications(services.database, services.troubles, {"team": team.send}, services.clock) for _ in range(2)
        )
        simulation.pass_time()
        one.run("one")

        servers.standby.end()
        waiting = pool.submit(services.database.write, leases.take, "test", "one", simulation.now, 1.0)
        assert wait([waiting], (COMMITS_WAIT + timedelta(seconds=1)).total_seconds()).done == set()
        assert keys(simulation) == ["commits_wait_for_standby"]
        for passed in (timedelta(0), LASTS):
            simulation.now += passed
            one.run("one")
        for passed in (timedelta(seconds=LEASE_SECONDS + 1), LASTS):
            simulation.now += passed
            two.run("two")
        assert team.titles == ["Commits wait for a standby"]
        assert "Commits wait for a standby" in _run(url, tmp_path, "status")
        assert "FAIL  database: commits have waited for" in _run(url, tmp_path, "check")

        servers.standby.start()
        assert waiting.result(PATIENCE)
        for passed in (timedelta(0), OVER):
            simulation.pass_time(passed.total_seconds())
            two.run("two")
        assert keys(simulation) == []
    assert team.titles == ["Commits wait for a standby", "Over: Commits wait for a standby"]


def _run(url: str, folder: Path, *arguments: str) -> str:
    """Return what a command writes. It fails, because something needs an operator."""
    addresses = {key: NOWHERE for key in ENVIRONMENT if key.endswith("BASE_URL")}
    settings = {**ENVIRONMENT, **addresses, "PUBLIC_URL": NOWHERE, "DATABASE_URL": url, "CONFIG": os.devnull}
    environment = {**os.environ, **{f"ORDER_SYNC_{name}": value for name, value in settings.items()}}
    ran = subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ran.returncode == 1, ran.stderr
    return ran.stdout


def _change_within_the_limit(url: str) -> None:
    with psycopg.connect(url, options=f"-c statement_timeout={LIMIT}") as connection:
        connection.execute("CREATE TABLE lost ()")


def _await_two_commits_beyond_the_limit(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        while admin.execute(WAITING).fetchone() != (2,):
            pass


def _count(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM delivery").scalar_one())


def _again(work: Callable[[], list[str]]) -> list[str]:
    """Return the result of work, which is repeated while its failure is temporary, as every process does."""
    while True:
        try:
            return work()
        except Exception as error:
            if not is_transient(error):
                raise
