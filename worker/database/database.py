"""The database of a process: it runs each function of this package in one transaction."""

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from worker import tracing
from worker.database import outbox, write_backs
from worker.database.connection import DatabaseError, alone, connect, is_transient, reading

RETRY_PAUSES = (0.1, 0.5, 2.0, 5.0)
"""Seconds between the tries of `persist` while the database is unreachable."""
P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """The database of this process. Construct it after any fork.

    `read`, `write` and `persist` call a function of this package with a connection and the given arguments.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        retry_pauses: Sequence[float] = RETRY_PAUSES,
        write_back_source: str | None = None,
    ) -> None:
        """Create the engine. Only orders of `write_back_source` are written back; None means that no order is."""
        self.engine = connect(url, pool_size=pool_size)
        # Not `execution_options`: each statement of such a copy joins the events of two engines.
        self.engine.update_execution_options(**{write_backs.SOURCE: write_back_source} if write_back_source else {})
        self._retry_pauses = retry_pauses

    def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query in a transaction that changes nothing and blocks no writer."""
        with tracing.transaction(query, self.engine.dialect.name), reading(self.engine) as connection:
            return query(connection, *args, **kwargs)

    def write(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change in one transaction."""
        with tracing.transaction(change, self.engine.dialect.name), self.engine.begin() as connection:
            return change(connection, *args, **kwargs)

    def persist(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change in one transaction. After a transient error, run it again, once after each of the retry pauses.

        The error of the last run is raised. A commit may have succeeded in spite of an error, so a second run of the
        change must be harmless.
        """
        for pause in self._retry_pauses:
            try:
                return self.write(change, *args, **kwargs)
            except Exception as error:
                if not is_transient(error):
                    raise
                time.sleep(pause)
        return self.write(change, *args, **kwargs)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def upgrade(self) -> bool:
        """Bring the schema up to date. Concurrent upgrades wait for each other.

        If a newer version of the program has upgraded it, change nothing and return False.
        """
        # Imported here, because only this method needs Alembic and its import takes half a second.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
        from alembic.script import ScriptDirectory  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
        with self.engine.connect() as connection:
            alone(connection)
            if not known.issuperset(MigrationContext.configure(connection).get_current_heads()):
                return False
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
        return True

    def version(self) -> str:
        """Return the version of the schema."""
        from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - as in `upgrade`

        with self.engine.connect() as connection:
            return str(MigrationContext.configure(connection).get_current_revision())

    def create(self) -> None:
        """Create our tables if the database does not have them."""
        try:
            self.ping()
        except DatabaseError:
            self.upgrade()

    def compact(self) -> None:
        """Rewrite a SQLite file, so that no deleted or replaced text is left in it. Do nothing on PostgreSQL.

        Other processes wait until the file is rewritten. On PostgreSQL, autovacuum frees what is no longer visible.
        """
        if self.engine.dialect.name == "sqlite":
            connection = self.engine.raw_connection()
            try:
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    connection.cursor().execute(statement)
            finally:
                connection.close()

    def ping(self) -> None:
        """Check that the database responds and has our tables. Raises DatabaseError."""
        with reading(self.engine) as connection:
            connection.execute(text("SELECT version_num FROM alembic_version"))

    @cached_property
    def identity(self) -> str:
        """The id of this database, which is part of the names of its keys on the bus."""
        return self.write(outbox.identity)
