"""The environment of a run: its servers, its processes and the links between them."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg.rows import dict_row

from tests.chaos.bus import PlatformBus, RabbitBus, RedisBus, Subscriber
from tests.chaos.callback_relay import CallbackRelay
from tests.chaos.checker import ENDED, awaits_operator
from tests.chaos.clock import FastClock
from tests.chaos.conditions import Conditions
from tests.chaos.faults import CLOCKS_WRONG, FaultInjector, chosen, faults_of, is_wanted
from tests.chaos.hosts import HERE, SECONDS_AHEAD, SERVERS, Host
from tests.chaos.load import SHOP_SCRIPTS, Load
from tests.chaos.machine import Stopwatch, slowness
from tests.chaos.platform_checker import CLOSED
from tests.chaos.postgres import Embedded, Pair, embedded, pair
from tests.chaos.processes import CARRIER_OF, command, environment, platform, transfer_account, write_stores
from tests.chaos.proxy import Network
from tests.chaos.sandbox import Sandbox
from tests.chaos.strangers import Strangers
from tests.chaos.take_overs import TakeOvers
from tests.rabbitmq import own_node
from worker.database.database import Database
from worker.local.supervisor import Process, Supervisor, free_port, start_redis

RATE, RATE_OF_HOSTS = 20.0, 10.0
"""Several hosts have more processes, so the machine is slower for each of them."""
STEP = 40.0
WORKERS = 2
ORDERS_PER_SECOND, ORDERS_OF_HOSTS = 1.5, 0.5
TICK = 0.05
POLL_INTERVAL = "20"
"""Short enough that Borzo's callbacks and reads of the same order overlap."""
BOOKING_INTERVAL, BOOKING_CHANCE = 0.5, 0.3
"""Seconds between two rounds of bookings by hand, and the share of orders that are booked in each."""
LOOK_INTERVAL = 0.25
"""Seconds between two looks at claims."""
RECOVERY, SETTLING = 60.0, 120.0
"""Seconds of an idle machine."""
MINUTES_AHEAD = (-6, -2, 0, 2, 6)
"""How far the clock of a carrier may be ahead in a run in which they are wrong."""


class Run:
    """One run with its servers, processes, load and faults."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        stack: ExitStack,
        wanted: Collection[str] = (),
        *,
        on_rabbitmq: bool = False,
        hosts: int = 0,
    ) -> None:
        """`hosts` is the number of namespaced hosts; with 0, this machine is the only host."""
        self.seed, self.folder = seed, folder
        self.gate = random.Random(f"{seed} gate").choice(sorted(SHOP_SCRIPTS))
        dice, choices = random.Random(f"{seed} clocks"), MINUTES_AHEAD if is_wanted(CLOCKS_WRONG, wanted) else (0,)
        self.clocks_ahead = {api: 60.0 * dice.choice(choices) for api in sorted(CARRIER_OF.values())}
        # A time that its row shows more than two minutes ahead of ours counts as an estimate (D-57).
        self.clocks_ahead["deliverit"] = min(self.clocks_ahead["deliverit"], 60.0)
        self.conditions = Conditions(folder / "conditions")
        self.clock = FastClock.begin(RATE_OF_HOSTS if hosts else RATE)
        self.supervisor = stack.enter_context(Supervisor(dict(os.environ), folder / "log", grace=8))
        url = start_redis(self.supervisor, folder / "redis")
        (self.redis,) = self.supervisor.processes
        self.rabbitmq = stack.enter_context(own_node(folder / "rabbitmq")) if on_rabbitmq else None
        self.network = stack.enter_context(Network(seed, SERVERS if hosts else HERE))
        served: AbstractContextManager[Embedded | Pair] = pair(self.network) if hosts else embedded()
        self.postgres = stack.enter_context(served)
        relay = free_port()
        callbacks = f"http://127.0.0.1:{relay}/callbacks/borzo"
        self.sandbox = stack.enter_context(
            closing(Sandbox(self.supervisor, self.clock, STEP, callbacks, self.clocks_ahead))
        )
        servers: dict[str, int | Path] = {
            "redis": port_of(url),
            "database": self.postgres.entrance,
            "carriers": self.sandbox.port,
            **({"rabbitmq": self.rabbitmq.port} if self.rabbitmq else {}),
        }
        self.hosts = [self._host(number, hosts or 1, servers) for number in range(bool(hosts), hosts + 1)]
        webs = [f"http://{host.address}:{host.web_port}" for host in self.hosts]
        self.relay = CallbackRelay(webs, seed)
        self.network.start(self.relay.serve(relay))
        self.strangers = Strangers(self.network, webs, seed, self.clock)
        self._start(relay, url)
        self.redis_client = stack.enter_context(closing(redis.Redis.from_url(url, socket_timeout=2)))
        bus: PlatformBus = RabbitBus(self.rabbitmq.url) if self.rabbitmq else RedisBus(self.redis_client)
        self.subscriber = stack.enter_context(Subscriber(bus))
        dice = random.Random(f"{seed} load")
        rate = ORDERS_OF_HOSTS if hosts else ORDERS_PER_SECOND
        self.load = Load(bus, self.sandbox.seed, dice, rate, self.clock, self.gate)
        self.injector = FaultInjector(chosen(faults_of(self), wanted), random.Random(f"{seed} injector"))
        self.exits: Counter[str] = Counter()
        self.take_overs, self._looked_at = TakeOvers(), 0.0
        self._bookings, self._booked_at = random.Random(f"{seed} bookings"), 0.0
        self.began, self.began_at, self.slowness = time.monotonic(), time.time(), 1.0

    def _host(self, number: int, beats: int, servers: Mapping[str, int | Path]) -> Host:
        """Return a host with links of its own."""
        links = {name: self.network.link(server) for name, server in servers.items()}
        ahead = SECONDS_AHEAD[number % len(SECONDS_AHEAD)] if number else 0.0
        host = Host(number, self.folder, links, self.network, free_port(), ahead, beats)
        if number:
            host.connect()
        return host

    def _start(self, relay: int, redis_url: str) -> None:
        """Start the processes of each host; they reach every server through its links."""
        with closing(Database(self.database)) as database:
            database.upgrade()
        for host in self.hosts:
            self.supervisor.environ = self._environ(host, relay, redis_url)
            begin, prefix = partial(self._start_on, host), f"{host.name}-" if host.number else ""
            several = WORKERS if not host.number else 1
            host.workers = [begin(f"{prefix}worker-{each}", command("worker")) for each in range(several)]
            host.beat = begin(f"{prefix}beat", command("beat", str(self.folder / f"{prefix}schedule")))
            host.web = begin(f"{prefix}web", command("web"))
            if host is self.hosts[0]:
                begin("operator", command("operator", str(self.seed)))

    def _start_on(self, host: Host, name: str, arguments: Sequence[str]) -> Process:
        return self.supervisor.start(name, host.command(arguments))

    def _environ(self, host: Host, relay: int, redis_url: str) -> dict[str, str]:
        """Return the environment of the processes of a host."""
        at = {name: f"{host.servers}:{link.port}" for name, link in host.links.items()}
        carriers = host.links["carriers"].port
        settings = environment(
            self.clock,
            database=f"postgresql://postgres@{at['database']}/postgres",
            redis_url=redis_url.replace(f"{HERE}:{port_of(redis_url)}/", f"{at['redis']}/"),
            sandbox=carriers,
            journal=host.journal,
            more={
                "WEB_ADDRESS": f"{host.address}:{host.web_port}",
                "PUBLIC_URL": f"http://{HERE}:{relay}",
                "STORES_FILE": write_stores(self.folder / "stores.toml"),
                **platform(carriers, GATE=self.gate, BACKFILL="true"),
                **transfer_account(carriers),
                "CARRIERS__BORZO__POLL_INTERVAL": POLL_INTERVAL,
            },
        )
        if self.rabbitmq:
            address = self.rabbitmq.url.replace(f"{HERE}:{self.rabbitmq.port}/", f"{at['rabbitmq']}/")
            settings |= {"ORDER_SYNC_BROKER_URL": address, "ORDER_SYNC_BUS_URL": address}
        return {**settings, **self.conditions.variable, **host.variables}

    @property
    def database(self) -> str:
        """The address of PostgreSQL, which is another one after a fail-over."""
        return self.postgres.url

    @property
    def several_hosts(self) -> bool:
        """Whether the hosts are in namespaces of their own."""
        return bool(self.hosts[0].number)

    @property
    def workers(self) -> list[Process]:
        """The workers of all hosts."""
        return [worker for host in self.hosts for worker in host.workers]

    @property
    def now(self) -> float:
        """Real seconds since the run began."""
        return time.monotonic() - self.began

    # --- the phases of a run ---

    def disturb(self, seconds: float) -> None:
        """Run load and faults until this time of the run."""
        while self.now < seconds:
            self.load.tick(self.now)
            self.injector.tick(self.now)
            self._supervise()
        self.injector.end_all(self.now)
        if self.rabbitmq:
            self.rabbitmq.await_commands()

    def recover(self) -> float | None:
        """Place an ordinary order at each store; return the seconds until all have a courier, None if one gets none."""
        began, waited = self.now, Stopwatch()
        probes = set(self.load.probe(began))
        while waited() < RECOVERY:
            self.load.publish_due(self.now)
            self._supervise()
            if self._holds(lambda: {row["order_id"] for row in self.rows("delivery") if _dispatched(row)} >= probes):
                return self.now - began
        return None

    def settle(self) -> bool:
        """Wait until every order has ended or waits for an operator and everything is published; False if too late."""
        waited = Stopwatch()
        while waited() < SETTLING:
            self.load.publish_due(float("inf"))
            self._supervise(0.5)
            if self._holds(self._settled):
                return True
        return False

    def _settled(self) -> bool:
        deliveries = self.rows("delivery")
        missing = self.load.placed.keys() - {row["order_id"] for row in deliveries}
        return all(map(_settled, deliveries)) and not self._unpublished(deliveries) and not missing - self._closed()

    def _unpublished(self, deliveries: list[dict[str, Any]]) -> bool:
        """Return whether an event, or the write-back of an ended delivery, is still due."""
        ended = {row["id"] for row in deliveries if row["status"] in ENDED}
        write_backs = (row for row in self.rows("write_back") if row["delivery_id"] in ended)
        due = any(row["due_at"] or row["lease_until"] for row in write_backs)
        return due or any(row["stream_id"] is None for row in self.rows("publication"))

    def _closed(self) -> set[str]:
        return {each["id"] for each in self.sandbox.orders("ordering") if each["status"] in CLOSED}

    def _holds(self, condition: Callable[[], bool]) -> bool:
        """Return whether a condition is true; False while the database is away."""
        try:
            return condition()
        except psycopg.Error:
            return False

    def watch_claims(self) -> None:
        """Measure how long what is claimed now waits, because a host goes away."""
        with suppress(psycopg.Error):
            self.take_overs.begin(self.now, self._claims(), self.clock())

    def _claims(self) -> list[dict[str, Any]]:
        query = "SELECT id, version, lease_until, next_run_at FROM delivery"
        with psycopg.connect(self.database, row_factory=dict_row, connect_timeout=2) as connection:
            return connection.execute(query).fetchall()

    def _supervise(self, pause: float = TICK) -> None:
        self.exits.update(self.supervisor.watch())
        self.slowness = max(self.slowness, slowness())
        if self.take_overs.watching and self.now >= self._looked_at + LOOK_INTERVAL:
            self._looked_at = self.now
            with suppress(psycopg.Error):
                self.take_overs.look(self.now, self._claims())
        if self.now >= self._booked_at + BOOKING_INTERVAL:
            self._booked_at = self.now
            self.sandbox.book_by_hand(lambda: self._bookings.random() < BOOKING_CHANCE)
        time.sleep(pause)

    def dump_state(self) -> None:
        """Write what is under way: the threads of each process to its log, the database's queries to a file."""
        for process in (each for host in self.hosts for each in (*host.workers, host.web)):
            process.signal(signal.SIGUSR2)
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            busy = connection.execute(
                "SELECT pid, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by, query,"
                " now() - xact_start AS since FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ).fetchall()
        (self.folder / "database.txt").write_text("\n".join(map(str, busy)))
        self._supervise(1.0)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table. Raises psycopg.Error."""
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            return connection.execute(f'SELECT * FROM "{table}"').fetchall()


def _dispatched(row: dict[str, Any]) -> bool:
    return row["status"] not in {"queued", "submit_unknown"}


def _settled(row: dict[str, Any]) -> bool:
    return row["status"] in ENDED or awaits_operator(row)


def port_of(url: str) -> int:
    """Return the port of an address."""
    port = urlsplit(url).port
    assert port is not None
    return port
