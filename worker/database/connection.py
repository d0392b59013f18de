"""The connection to SQLite or PostgreSQL, and what each needs to be safe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - the pool's
)

BUSY_SECONDS = 20
"""How long anything waits for the database: for a lock, a statement's end or a free connection."""
LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")
ALIVE = {
    "connect_timeout": 5,
    # A host that vanished says nothing: after 15 seconds without a sign of it, the connection counts as lost.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
READING = "reading"
DatabaseError = SQLAlchemyError
"""The base of every error that this room raises."""
PASSING = (OperationalError, InterfaceError, TimeoutError)
STANDBY = "25006"
"""PostgreSQL's code for a write to a server that only reads, as after a fail-over."""


def connect(url: str, *, pool_size: int = 16) -> Engine:
    """Make the engine of this process; it must not be carried over a fork."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return _sqlite(url, address.database, pool_size)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    return create_engine(
        address,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,  # an error must not carry a customer into the log
        connect_args={**ALIVE, "options": " ".join(f"-c {name}={BUSY_SECONDS}s" for name in LIMITS)},
    )


def _sqlite(url: str, database: str | None, pool_size: int) -> Engine:
    pool: dict[str, Any] = {}
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        pool = {"pool_size": pool_size, "max_overflow": pool_size, "pool_timeout": BUSY_SECONDS}
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **pool
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; sqlite3 would say it too late
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later would fail when another wrote in between.
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READING) else "BEGIN IMMEDIATE")

    return engine


def is_transient(error: Exception) -> bool:
    """Tell whether the database may take the same again in a while: it was away, or busy, or chose another."""
    if isinstance(error, PASSING):
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or getattr(getattr(error, "orig", None), "sqlstate", None) == STANDBY


def without_limit(connection: Connection) -> None:
    """Let the statements of this transaction take the time they need."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads and makes no writer wait."""
    with engine.connect().execution_options(**{READING: True}) as connection:
        yield connection
