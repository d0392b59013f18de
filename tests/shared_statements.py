"""SQLite databases that share their compiled statements, because compiling them takes longer than most tests."""

from typing import Any

from sqlalchemy import Engine, util
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

STATEMENTS: util.LRUCache[Any, Any] = util.LRUCache(2000)


class SharedDialect(SQLiteDialect_pysqlite):
    """The dialect of SQLite. All of its instances are equal, so that they find each other's statements."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Let a new engine use the shared statements."""
        engine.update_execution_options(compiled_cache=STATEMENTS)


def share_statements() -> None:
    """Share the statements of every SQLite database that is opened from now on."""
    registry.register("sqlite", __name__, SharedDialect.__name__)
