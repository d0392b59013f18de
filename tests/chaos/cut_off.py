"""A scenario on three hosts: the first is cut off while it creates, and comes back after the others took over.

`python -m tests.chaos.cut_off FOLDER`, in namespaces of its own, prints the result before and after the return.
"""

import json
import os
import sys
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.bus import RedisBus
from tests.chaos.clock import FastClock
from tests.chaos.environment import port_of
from tests.chaos.hosts import SERVERS, Host, build_network
from tests.chaos.postgres import embedded
from tests.chaos.processes import command, environment, write_single_carrier_stores
from tests.chaos.proxy import Network
from tests.chaos.sandbox import Sandbox
from tests.chaos.scenario import ALL, READY_AT, STORE_OF, Case, Scenario, wait
from worker.database import outbox
from worker.database.database import Database
from worker.local.demo.orders import message, order
from worker.local.supervisor import Supervisor, free_port, start_redis
from worker.services.worker_heartbeats import GONE, last_seen

RATE = 10
DEADLINE = 6.0
"""Real seconds for a call. The lease of a call is 30 s of the fast clock longer."""
STEP = 100_000
LATER = "later"
CASE = Case("is cut off while it creates", fault="no_reply", unknown=frozenset({"cervo"}))


class CutOff(Scenario):
    """A scenario whose workers run on three hosts. Further orders are placed while the first host is away."""

    def __init__(self, clock: FastClock, hosts: list[Host], supervisor: Supervisor, *arguments: Any) -> None:
        super().__init__(CASE, supervisor, *arguments)
        self._clock, self._hosts, self._on = clock, hosts, supervisor
        self._settings = {**arguments[1]}

    def start(self, kind: str, name: str = "") -> Any:  # noqa: ARG002 - the first host has one worker
        """Start a worker on the first host."""
        return self._start_on(self._hosts[0])

    def _start_on(self, host: Host) -> Any:
        self._on.environ = environ_of(host, self._settings)
        return self._on.start(f"{host.name}-worker", host.command(command("worker")))

    def is_creating(self) -> bool:
        """Return whether every carrier has created its order and none has answered."""
        return self.couriers() == sorted(ALL) and {each.status for each in self.deliveries()} == {"queued"}

    def go_on_without_the_first(self) -> None:
        """Cut the first host off, start the workers of the others, and place further orders."""
        self._hosts[0].cut()
        for host in self._hosts[1:]:
            self._start_on(host)
        for carrier in ALL:
            identity = f"{self._mark}-{LATER}-{carrier}"
            data = {**order(identity, STORE_OF[carrier], "sandbox:happy"), "ready_at": READY_AT.isoformat()}
            RedisBus(self.server).publish(message("order.placed", identity, data))

    def settled(self) -> bool:
        """Return whether every order has come to its end and everything is published."""
        found = self.deliveries()
        ended = len(found) == 2 * len(ALL) and all(each.attention or each.status == "created" for each in found)
        return ended and self.database.read(outbox.count_unpublished) == 0

    def come_back(self) -> None:
        """Connect the first host again."""
        self._hosts[0].heal()

    def is_back(self) -> bool:
        """Return whether all three workers run, and the first one has no outcome left to store."""
        seen = self.database.read(last_seen).values()
        running = [at for at in seen if self._clock() - at < GONE]
        return len(running) == len(self._hosts) and not any(self._hosts[0].journal.iterdir())


def environ_of(host: Host, settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of a host: the settings with its links and its journal."""
    at = {name: f"{host.servers}:{link.port}" for name, link in host.links.items()}
    carriers = {
        name: f"http://{value.removeprefix('http://').partition(':')[0]}:{host.links['carriers'].port}"
        for name, value in settings.items()
        if name.endswith("__BASE_URL")
    }
    redis_url = settings["ORDER_SYNC_REDIS_URL"]
    ours = {
        "ORDER_SYNC_DATABASE_URL": f"postgresql://postgres@{at['database']}/postgres",
        "ORDER_SYNC_REDIS_URL": redis_url.replace(f"127.0.0.1:{port_of(redis_url)}", at["redis"]),
        "ORDER_SYNC_JOURNAL_FOLDER": str(host.journal),
        "CHAOS_TICK": "1.0",
    }
    return {**settings, **carriers, **ours, **host.variables}


def main(folder: Path) -> None:
    """Run the scenario; print its results."""
    build_network()
    clock = FastClock.begin(RATE)
    with ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(dict(os.environ), folder / "log", grace=1))
        redis_url = start_redis(supervisor, folder / "redis")
        postgres = stack.enter_context(embedded())
        with closing(Database(postgres.url)) as database:
            database.upgrade()
        sandbox = stack.enter_context(closing(Sandbox(supervisor, clock, STEP)))
        network = stack.enter_context(Network(1, SERVERS))
        servers: dict[str, int | Path] = {
            "database": postgres.entrance,
            "redis": port_of(redis_url),
            "carriers": sandbox.port,
        }
        hosts = [
            Host(number, folder, {name: network.link(each) for name, each in servers.items()}, network, free_port())
            for number in (1, 2, 3)
        ]
        for host in hosts:
            host.connect()
        environ = environment(
            clock,
            database=postgres.url,
            redis_url=redis_url,
            sandbox=sandbox.port,
            journal=folder,
            deadline=DEADLINE,
            more={"STORES_FILE": write_single_carrier_stores(folder / "stores.toml"), "WORKER_CONCURRENCY": "4"},
        )
        scenario = stack.enter_context(closing(CutOff(clock, hosts, supervisor, folder, environ, sandbox)))
        see = partial(wait, scenario)
        scenario.begin()
        see(lambda _: scenario.is_creating(), "creates")
        scenario.go_on_without_the_first()
        see(lambda _: scenario.settled(), "is replaced")
        without = scenario.result()
        scenario.come_back()
        see(lambda _: scenario.is_back(), "is back")
        see(lambda _: scenario.settled(), "has settled")
        print(json.dumps([without, scenario.result()]))  # noqa: T201 - its result


if __name__ == "__main__":
    main(Path(sys.argv[1]))
