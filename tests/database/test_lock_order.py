"""Rows are always locked in the same order, first those of accounts and shops, so that two writers never deadlock."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.database.samples import NOW, SHOP, place
from worker.database import accounts, deliveries, due_work, shops
from worker.database.database import Database
from worker.domain.delivery import Change, Step

LATER = NOW + timedelta(minutes=5)
WRITERS: dict[str, Callable[[Database, list[str]], Any]] = {
    "an account is resumed": lambda database, _: database.write(accounts.resume, "borzo", "operator", NOW),
    "shops are stored": lambda database, _: database.write(shops.save_shops, {"17": SHOP}, NOW),
    "leases are shortened": lambda database, ids: database.write(due_work.release, ids, LATER, LATER),
    "deliveries change": lambda database, ids: database.write(deliveries.update, ids, lambda _: None),
}


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as database:
        yield database


def stored_from_the_highest_id_on(database: Database, step: Step) -> list[str]:
    """Store deliveries of a paused account, so that the table holds them in the reverse order of their ids."""
    ids = sorted(place(database, *map(str, range(6))))
    database.write(accounts.pause, "borzo", "operator", "why", NOW)
    for each in reversed(ids):  # a changed row moves to the end of its table
        database.write(
            deliveries.update,
            [each],
            lambda found: Change(replace(found, carrier="borzo", step=step, next_run_at=LATER, retry_at=LATER)),
        )
    return ids


def free_rows(url: str, table: str, key: str) -> list[str]:
    """Return the keys of the rows that nobody has locked."""
    with psycopg.connect(url) as other:
        query = f"SELECT {key} FROM {table} ORDER BY {key} FOR UPDATE SKIP LOCKED"
        return [row[0] for row in other.execute(query).fetchall()]


def while_waiting_for(url: str, table: str, key: str, value: str, work: Callable[[], object]) -> list[str]:
    """Run work while a row is locked; return the rows that are still free once the work waits for that row."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as admin, ThreadPoolExecutor(1) as pool:
        holder.execute(f"SELECT FROM {table} WHERE {key} = %s FOR UPDATE", [value])
        done = pool.submit(work)
        while admin.execute(waiting).fetchone() is None and not done.done():
            pass
        free = free_rows(url, table, key)
        holder.rollback()
        done.result()
        return free


@pytest.mark.fault("F-87")
@pytest.mark.parametrize("writer", WRITERS)
def test_deliveries_are_locked_in_the_order_of_their_ids(writer: str, postgres: Database, postgres_url: str) -> None:
    step = Step.ROUTE if writer == "shops are stored" else Step.BOOK
    ids = stored_from_the_highest_id_on(postgres, step)
    free = while_waiting_for(postgres_url, "delivery", "id", ids[0], lambda: WRITERS[writer](postgres, ids[::-1]))
    assert free == ids[1:]


@pytest.mark.fault("F-87")
def test_shops_are_locked_in_the_order_of_their_ids(postgres: Database, postgres_url: str) -> None:
    directory = {"2": SHOP, "1": SHOP}
    postgres.write(shops.save_shops, directory, NOW)
    work = lambda: postgres.write(shops.save_shops, directory, NOW)  # noqa: E731
    assert while_waiting_for(postgres_url, "shop", "store_id", "1", work) == ["2"]
