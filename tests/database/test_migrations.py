import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlmodel import SQLModel

from worker.database.database import Database


def test_the_migrations_make_exactly_the_tables_of_the_code(bare_store: Database) -> None:
    bare_store.upgrade()
    with bare_store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        assert set(inspect(connection).get_table_names()) == {*SQLModel.metadata.tables, "alembic_version"}


def test_the_migrations_make_the_indexes_of_the_code_with_their_conditions(bare_store: Database) -> None:
    bare_store.upgrade()
    migrated = _indexes(bare_store)
    with bare_store.engine.begin() as connection:
        SQLModel.metadata.drop_all(connection)
        SQLModel.metadata.create_all(connection)
    assert migrated == _indexes(bare_store)


def _indexes(store: Database) -> dict[str, list[str]]:
    inspector = inspect(store.engine)
    return {name: sorted(map(_described, inspector.get_indexes(name))) for name in SQLModel.metadata.tables}


def _described(index: ReflectedIndex) -> str:
    conditions = [str(option) for option in index.get("dialect_options", {}).values()]
    return f"{index['name']} {index['column_names']} {index['unique']} {conditions}"


@pytest.mark.fault("F-60")
def test_upgrading_again_changes_nothing(store: Database) -> None:
    before = _indexes(store)
    store.upgrade()
    store.upgrade()
    assert _indexes(store) == before


def test_a_database_with_our_tables_answers_a_ping(store: Database) -> None:
    store.ping()
