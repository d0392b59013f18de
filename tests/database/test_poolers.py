"""PostgreSQL behind a pooler: start-up options are refused, and a prepared statement may be on another connection."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database.pooler import PGBOUNCER, pgbouncer, strict_proxy
from tests.database.samples import LATER, place
from worker.database import deliveries, due_work
from worker.database.connection import BUSY_SECONDS, LIMITS
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery

NEEDS_PGBOUNCER = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed; the proxy stands in for it")
POOLERS = [
    "proxy",
    pytest.param("pgbouncer", marks=NEEDS_PGBOUNCER),
    pytest.param("pgbouncer that ignores options", marks=NEEDS_PGBOUNCER),
]


@pytest.fixture(params=POOLERS)
def pooled(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[Database]:
    """Yield a database with our tables behind each pooler in turn."""
    settings = {"ignore_startup_parameters": "options"} if "ignores" in request.param else {}
    pooler = strict_proxy(postgres_url) if request.param == "proxy" else pgbouncer(postgres_url, tmp_path, **settings)
    with pooler as url, closing(Database(url, pool_size=8)) as database:
        yield database


@pytest.mark.long
@pytest.mark.fault("F-85")
def test_every_kind_of_work_goes_through_a_pooler(pooled: Database) -> None:
    pooled.upgrade()
    pooled.ping()
    ids = place(pooled, *map(str, range(10)))

    def count(delivery: Delivery) -> Change:
        return Change(replace(delivery, failures=delivery.failures + 1))

    def work(_: int) -> int:
        for _ in range(7):  # psycopg prepares a statement that it sends for the sixth time
            pooled.read(deliveries.load, ids)
            pooled.write(due_work.claim_deliveries, LATER, 10)
            pooled.persist(deliveries.update, ids, count)
        return 10

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 40
    assert [each.failures for each in pooled.read(deliveries.load, ids)] == [28] * 10


@pytest.mark.fault("F-85")
def test_each_transaction_through_a_pooler_has_the_limits_and_leaves_none_behind(pooled: Database) -> None:
    def limits(connection: Any) -> list[str]:
        return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in LIMITS]

    assert [pooled.read(limits), pooled.write(limits)] == [[f"{BUSY_SECONDS}s"] * len(LIMITS)] * 2
    address = pooled.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True, prepare_threshold=None) as other:
        assert [other.execute(f"SHOW {name}").fetchone() for name in LIMITS] == [("0",)] * len(LIMITS)


@pytest.mark.fault("F-85")
def test_without_a_pooler_no_transaction_sets_the_limits_again(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database, database.engine.begin() as connection:
        shown = connection.exec_driver_sql(
            "SELECT name, source FROM pg_settings WHERE name IN ('statement_timeout', "
            "'idle_in_transaction_session_timeout')"
        )
        assert {(row.name, row.source) for row in shown} == {(name, "client") for name in LIMITS}


def test_options_in_the_address_are_kept(postgres_url: str) -> None:
    with closing(Database(f"{postgres_url}?options=-c%20application_name%3Dours")) as database:
        shown = ("application_name", *LIMITS)
        assert [
            database.read(lambda connection, name: connection.exec_driver_sql(f"SHOW {name}").scalar_one(), name)
            for name in shown
        ] == ["ours", *[f"{BUSY_SECONDS}s"] * len(LIMITS)]
