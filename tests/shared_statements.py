"""Databases that share their compiled statements, because compiling them takes longer than most tests."""

from typing import Any

from sqlalchemy import Engine, util
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

STATEMENTS: util.LRUCache[Any, Any] = util.LRUCache(2000)


class Shared:
    """A part of a dialect: all dialects of a class are equal, so that their engines find each other's statements."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Let a new engine use the shared statements."""
        engine.update_execution_options(compiled_cache=STATEMENTS)


class SQLite(Shared, SQLiteDialect_pysqlite):
    """The dialect of SQLite."""

    supports_statement_cache = True


class PostgreSQL(Shared, PGDialect_psycopg):
    """The dialect of PostgreSQL."""

    supports_statement_cache = True


def share_statements() -> None:
    """Share the statements of every database that is opened from now on."""
    registry.register("sqlite", __name__, SQLite.__name__)
    registry.register("postgresql.psycopg", __name__, PostgreSQL.__name__)
