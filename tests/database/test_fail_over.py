"""A primary with a synchronous standby: what was committed survives, and a primary that is cut off commits nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from tests.chaos.postgres import Pair, pair, programs
from tests.chaos.proxy import Network
from tests.conftest import missing
from tests.database.pooler import PGBOUNCER
from tests.database.samples import place
from worker.database import deliveries
from worker.database.connection import is_transient
from worker.database.database import Database

PATIENCE = 120
"""Seconds after which something counts as never true, however loaded the machine is."""
LIMIT = "100ms"
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
