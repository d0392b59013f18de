"""Connections to SQLite or PostgreSQL, with the options that make each database safe."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - the pool's
)

from worker.folders import create_private

__all__ = [
    "Connection",
    "DatabaseError",
    "IntegrityError",
    "alone",
    "connect",
    "is_transient",
    "reading",
    "without_limit",
    "without_standby",
]

BUSY_SECONDS = 20
"""The longest wait, in seconds, for a lock, for the end of a statement, or for a free connection of the pool."""
LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")
ALIVE = {
    "connect_timeout": 5,
    # A host that has vanished sends no reset, so a connection without an answer for 15 seconds counts as lost.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
DatabaseError = SQLAlchemyError
"""The base class of the database's errors, for the packages that must not import SQLAlchemy."""
READING = "reading"
UPGRADE_LOCK = 4_670_235
"""The advisory lock of an upgrade. The locks of orders are random numbers of 63 bits, so a collision is improbable."""
TRANSIENT = (OperationalError, InterfaceError, TimeoutError)
SERVER = re.compile(r"\[?(?P<host>[^][@]*?)\]?(?::(?P<port>\d+))?")
NO_RIGHT = "42501"
"""The SQLSTATE of a refused privilege."""
READ_ONLY = "25006"
"""PostgreSQL's error code for a write to a read-only server, which can happen after a fail-over."""
P = ParamSpec("P")
T = TypeVar("T")


def connect(url: str, *, pool_size: int = 16) -> Engine:
    """Create the engine of this process. A forked process must create its own engine."""
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        return _sqlite(url, address.database, pool_size)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(
        address,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=BUSY_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,  # keeps customers' data in failed statements out of the log
        connect_args=dict(ALIVE),
    )
    _work_behind_a_pooler(engine)
    return engine


def _address(url: str) -> URL:
    """Parse an address. SQLAlchemy does not read `//one:5432,two:5432/name`, which libpq does.

    Raises ArgumentError and ValueError for what is no address.
    """
    scheme, _, rest = url.partition("://")
    servers = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    if "," not in servers:
        return make_url(url)
    found = [SERVER.fullmatch(each) for each in servers.split(",")]
    if None in found:
        raise ArgumentError(f"not servers: {servers}")
    hosts, ports = (",".join(each[name] or "" for each in found if each) for name in ("host", "port"))
    address = make_url(f"{scheme}://{rest.replace(servers, '', 1)}")
    return address.update_query_dict({"host": hosts, **({"port": ports} if ports.strip(",") else {})})


def _work_behind_a_pooler(engine: Engine) -> None:
    """Find out whether a pooler such as PgBouncer is between this process and the server, and adapt to it.

    Without a pooler, `LIMITS` are set once for each connection. A pooler may run each transaction on another connection
    to the server. So behind a pooler, each transaction sets `LIMITS` again, and no statement is prepared.
    """
    pooled = False

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: Any, options: Any) -> Any:
        nonlocal pooled
        if not pooled:
            pooled, connection = _open_directly(*arguments, **options)
            if connection is not None:
                return connection
        return psycopg.connect(*arguments, **options, prepare_threshold=None)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if pooled:
            connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = '{BUSY_SECONDS}s'" for name in LIMITS))


def _open_directly(*arguments: Any, **options: Any) -> tuple[bool, Any]:
    """Return whether a pooler is in use, and a new connection with `LIMITS` (None if a pooler is in use)."""
    wanted = [options.get("options", ""), *(f"-c {name}={BUSY_SECONDS}s" for name in LIMITS)]
    try:
        connection = psycopg.connect(*arguments, **{**options, "options": " ".join(wanted)})
    except psycopg.OperationalError as error:
        if "options" not in str(error):
            raise
        return True, None  # the pooler refuses the parameter `options`
    # A pooler that ignores the parameter reports an invented process number, so the two numbers differ.
    (process,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    connection.rollback()
    if process == connection.info.backend_pid:
        return False, connection
    connection.close()
    return True, None


def _sqlite(url: str, database: str | None, pool_size: int) -> Engine:
    pool: dict[str, Any] = {}
    if database and database != ":memory:":
        create_private(Path(database))  # the files beside it, `-wal` and `-shm`, get the same mode
        pool = {"pool_size": pool_size, "max_overflow": pool_size, "pool_timeout": BUSY_SECONDS}
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **pool
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we send BEGIN ourselves, because sqlite3 would send it too late
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # After a plain BEGIN, a transaction that reads first fails at its first write if another one wrote meanwhile.
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READING) else "BEGIN IMMEDIATE")

    return engine


def is_transient(error: Exception) -> bool:
    """Return whether a retry may succeed: the database was unreachable, busy or read-only, or ended the transaction."""
    if isinstance(error, TRANSIENT):
        return True
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return lost or getattr(getattr(error, "orig", None), "sqlstate", None) == READ_ONLY


def is_refused(error: Exception) -> bool:
    """Return whether the database refuses something to the role that is logged in."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) == NO_RIGHT


def without_limit(connection: Connection) -> None:
    """Remove the time limit of the statements in this transaction."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def without_standby(change: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Connection, P], T]:
    """Return a change whose commit does not wait for a synchronous standby. A fail-over may lose it."""

    @wraps(change)
    def changed(connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL synchronous_commit = local")
        return change(connection, *args, **kwargs)

    return changed


def alone(connection: Connection) -> None:
    """Wait until no other upgrade runs, and make other upgrades wait until this transaction ends."""
    without_limit(connection)
    if connection.dialect.name == "postgresql":  # on SQLite only one transaction writes
        connection.execute(select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads and blocks no writer."""
    with engine.connect().execution_options(**{READING: True}) as connection:
        yield connection
