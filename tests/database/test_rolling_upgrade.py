"""Two versions of the code at once: what the older one writes, before and after the migration, the newer one reads."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Table, select, update

from tests.database.samples import ID, LATER, NOW, begun, place, rows
from worker.database import migrations
from worker.database.database import Store
from worker.database.tables import DELIVERY
from worker.domain.delivery import Delivery

OLDER = "0001"
TABLES = ("delivery", "attempt")
Rows = dict[str, list[dict[str, Any]]]


def _migrate(store: Store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    with store.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


@pytest.fixture
def older(bare_store: Store) -> Store:
    """Give a store as the older code left it."""
    _migrate(bare_store, OLDER)
    return bare_store


@pytest.fixture
def written(sqlite_url: str) -> tuple[Delivery, Rows]:
    """Give a delivery with its attempt, and its rows."""
    with closing(Store(sqlite_url)) as store:
        place(store)
        store.update([ID], begun)
        (delivery,) = store.load([ID])
        return delivery, {name: rows(store, name) for name in TABLES}


def _tables(store: Store) -> dict[str, Table]:
    """Read what tables there are, as the code of that version knows them."""
    found = MetaData()
    found.reflect(store.engine, only=TABLES)
    return dict(found.tables)


def _write(store: Store, tables: dict[str, Table], written: Rows) -> None:
    with store.engine.begin() as connection:
        for name in TABLES:
            known = set(tables[name].columns.keys())
            values = [{key: value for key, value in row.items() if key in known} for row in written[name]]
            connection.execute(tables[name].insert(), values)


def _as_the_older_knew(delivery: Delivery) -> Delivery:
    """Take away what the older code had no word for."""
    attempts = tuple(replace(each, journal=None, wait_until=None) for each in delivery.attempts)
    return replace(delivery, turn=None, alarmed_at=None, carrier_since=None, attempts=attempts)


def test_what_stood_there_before_the_migration_is_read_after_it(older: Store, written: tuple[Delivery, Rows]) -> None:
    delivery, known = written
    _write(older, _tables(older), known)
    older.upgrade()
    assert older.load([ID]) == [_as_the_older_knew(delivery)]


def test_what_the_older_code_still_writes_is_read_and_handed_out(older: Store, written: tuple[Delivery, Rows]) -> None:
    delivery, known = written
    tables = _tables(older)
    older.upgrade()
    _write(older, tables, known)
    assert older.load([ID]) == [_as_the_older_knew(delivery)]
    with older.engine.begin() as connection:
        connection.execute(update(DELIVERY).values(next_run_at=NOW, lease_until=None))
    assert [each.id for each in older.claim(LATER, 10)] == [ID]


def test_what_the_newer_code_writes_is_read_by_the_older(older: Store) -> None:
    tables = _tables(older)
    older.upgrade()
    place(older)
    older.update([ID], begun)
    for name in TABLES:
        (newer,) = rows(older, name)
        with older.engine.connect() as connection:
            read = connection.execute(select(tables[name])).mappings().one()
        assert {key: _bare(value) for key, value in read.items()} == {key: _bare(newer[key]) for key in read}


def _bare(value: Any) -> Any:
    """Tell a time in UTC without its zone: SQLite stores none, and a bare table does not put it back."""
    aware = isinstance(value, datetime) and value.tzinfo
    return value.astimezone(UTC).replace(tzinfo=None) if aware else value
