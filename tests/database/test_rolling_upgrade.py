"""Two versions of the code on one database: this one works on tables that a newer version has already migrated."""

from typing import Any

import pytest
from sqlalchemy import MetaData, Table, text

from tests.database.samples import ID, LATER, begun, place
from worker.database import deliveries
from worker.database.database import Database

TABLES = ("delivery", "attempt")
NEWER = {
    "delivery": ("route_code VARCHAR", "retries INTEGER NOT NULL DEFAULT 3"),
    "attempt": ("vehicle VARCHAR", "pieces INTEGER NOT NULL DEFAULT 1"),
}
"""Columns as a migration may add them while this version still runs: nullable, or with a default of the server's."""


@pytest.fixture
def newer(bare_store: Database) -> Database:
    """Give a database to which a newer version has added columns."""
    bare_store.upgrade()
    with bare_store.engine.begin() as connection:
        for table, columns in NEWER.items():
            for column in columns:
                connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))
    return bare_store


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
def test_rows_of_a_newer_version_are_handed_out(newer: Database) -> None:
    place(newer)
    assert [each.id for each in newer.write(deliveries.claim, LATER, 10)] == [ID]


@pytest.mark.fault("F-60")
def test_what_a_newer_version_wrote_survives_a_change_by_this_one(newer: Database) -> None:
    place(newer)
    with newer.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET route_code = 'N1'"))
    newer.persist(deliveries.update, [ID], begun)
    assert [{name: row[name] for name in ("route_code", "retries")} for row in _whole(newer, "delivery")] == [
        {"route_code": "N1", "retries": 3}
    ]
    assert [{name: row[name] for name in ("vehicle", "pieces")} for row in _whole(newer, "attempt")] == [
        {"vehicle": None, "pieces": 1}
    ]


def _whole(store: Database, name: str) -> list[dict[str, Any]]:
    found = MetaData()
    found.reflect(store.engine, only=[name])
    table: Table = found.tables[name]
    with store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(table.select()).mappings()]
