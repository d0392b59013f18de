"""Migrations make the tables of the code, and the code works on tables that a newer version has migrated."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, Table, inspect, text
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlmodel import SQLModel

from tests.database.samples import ID, LATER, begun, place
from worker.database import deliveries, due_work
from worker.database.database import Database
from worker.database.search import Filter, search
from worker.domain.delivery import Change, Delivery, replace

NEWER = {
    "delivery": ("route_code VARCHAR", "retries INTEGER NOT NULL DEFAULT 3"),
    "attempt": ("vehicle VARCHAR", "pieces INTEGER NOT NULL DEFAULT 1"),
}
"""Columns that a migration may add while this version still runs: nullable, or with a default of the server."""


def test_the_migrations_create_exactly_the_tables_of_the_code(bare_database: Database) -> None:
    bare_database.upgrade()
    with bare_database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*SQLModel.metadata.tables, "alembic_version"}


def test_the_migrations_create_the_indexes_of_the_code_with_their_conditions(bare_database: Database) -> None:
    bare_database.upgrade()
    migrated = _indexes(bare_database)
    with bare_database.engine.begin() as connection:
        SQLModel.metadata.drop_all(connection)
        SQLModel.metadata.create_all(connection)
    assert migrated == _indexes(bare_database)


def _indexes(database: Database) -> dict[str, list[str]]:
    inspector = inspect(database.engine)
    return {name: sorted(map(_description, inspector.get_indexes(name))) for name in SQLModel.metadata.tables}


def _description(index: ReflectedIndex) -> str:
    conditions = [str(option) for option in index.get("dialect_options", {}).values()]
    return f"{index['name']} {index['column_names']} {index['unique']} {conditions}"


@pytest.mark.fault("F-60")
def test_upgrading_again_changes_nothing(database: Database) -> None:
    before = _indexes(database)
    database.upgrade()
    database.upgrade()
    assert _indexes(database) == before


@pytest.mark.fault("F-60")
@pytest.mark.long
def test_three_upgrades_at_once_all_succeed(bare_database: Database) -> None:
    url = bare_database.engine.url.render_as_string(hide_password=False)
    command = [str(Path(sys.executable).parent / "order-sync"), "db", "upgrade"]
    environ = {**os.environ, "ORDER_SYNC_DATABASE_URL": url}
    upgrades = [subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(each.communicate()[1], each.returncode) for each in upgrades] == [(b"", 0)] * 3
    bare_database.ping()


def test_a_database_without_tables_gets_them_and_one_with_tables_keeps_its_rows(bare_database: Database) -> None:
    bare_database.create()
    place(bare_database)
    bare_database.create()
    assert [each.id for each in bare_database.read(search, Filter(), 10)] == [ID]


def test_a_database_with_our_tables_passes_the_check(database: Database) -> None:
    database.ping()


# --- two versions of the code on one database ---


@pytest.fixture
def newer(bare_database: Database) -> Database:
    """Return a database to which a newer version has added columns."""
    bare_database.upgrade()
    with bare_database.engine.begin() as connection:
        for table, columns in NEWER.items():
            for column in columns:
                connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))
    return bare_database


@pytest.mark.fault("F-60")
def test_an_upgrade_by_this_version_leaves_a_database_that_a_newer_one_has_upgraded(newer: Database) -> None:
    with newer.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    before = _indexes(newer)
    assert (newer.upgrade(), _indexes(newer)) == (False, before)
    newer.create()
    newer.ping()


@pytest.mark.fault("F-60")
def test_rows_of_a_newer_version_are_read(newer: Database) -> None:
    place(newer)
    newer.persist(deliveries.update, [ID], begun)
    (before,) = newer.read(deliveries.load, [ID])
    with newer.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET route_code = 'N1'"))
        connection.execute(text("UPDATE attempt SET vehicle = 'bicycle'"))
    assert newer.read(deliveries.load, [ID]) == [before]


@pytest.mark.fault("F-60")
def test_deliveries_of_a_newer_version_are_claimed(newer: Database) -> None:
    place(newer)
    assert [each.id for each in newer.write(due_work.claim_deliveries, LATER, 10)] == [ID]


@pytest.mark.fault("F-60")
def test_values_of_a_newer_version_survive_a_change_by_this_one(newer: Database) -> None:
    place(newer)
    with newer.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET route_code = 'N1'"))
    newer.persist(deliveries.update, [ID], begun)
    assert [{name: row[name] for name in ("route_code", "retries")} for row in _read_table(newer, "delivery")] == [
        {"route_code": "N1", "retries": 3}
    ]
    assert [{name: row[name] for name in ("vehicle", "pieces")} for row in _read_table(newer, "attempt")] == [
        {"vehicle": None, "pieces": 1}
    ]


@pytest.mark.fault("F-60")
def test_fields_of_a_newer_version_survive_a_change_by_this_one(database: Database) -> None:
    place(database)
    database.persist(deliveries.update, [ID], begun)
    with database.engine.begin() as connection:
        for table in NEWER:
            newer = text(f"UPDATE {table} SET document = replace(document, '{{', :start)")
            connection.execute(newer, {"start": '{"route":{"code":"N1"},'})
    database.persist(deliveries.update, [ID], _wait)
    documents = [json.loads(row["document"]) for table in NEWER for row in _read_table(database, table)]
    assert [(each["route"], each.get("wait_until")) for each in documents] == [
        ({"code": "N1"}, None),
        ({"code": "N1"}, "2026-11-21T18:40:00.123456Z"),
    ]


def _wait(delivery: Delivery) -> Change:
    return Change(delivery.with_attempt(replace(delivery.attempts[0], wait_until=LATER)))


def _read_table(database: Database, name: str) -> list[dict[str, Any]]:
    metadata = MetaData()
    metadata.reflect(database.engine, only=[name])
    table: Table = metadata.tables[name]
    with database.engine.connect() as connection:
        return [dict(row) for row in connection.execute(table.select()).mappings()]
