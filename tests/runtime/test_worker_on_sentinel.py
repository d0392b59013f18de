"""A real worker and beat on a master that Sentinel names: a fail-over loses no order, no courier and no event.

The servers have TLS and the users of `deploy/`. The orders get couriers of the sandbox.
"""

import asyncio
import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from flower.utils.broker import Broker  # type: ignore[import-untyped]

from tests.chaos.proxy import Network
from tests.runtime.machine import EXAMPLE, Machine
from tests.runtime.test_foreign_messages import FOREIGN
from tests.sentinel import PASSWORD, Cluster, Server
from worker.app import create_app
from worker.bus import streams
from worker.config.settings import load
from worker.database import deliveries
from worker.local.samples import sample_file, sandbox_account
from worker.local.supervisor import Supervisor

LOAD = 10
"""The orders that are placed during each failure."""


class SentinelMachine(Machine):
    """A machine whose broker, bus and rate limits are on a master that Sentinel names."""

    def __init__(
        self, supervisor: Supervisor, network: Network, folder: Path, database: str, cluster: Cluster, sandbox: str
    ) -> None:
        self.cluster, self.sandbox = cluster, sandbox
        self.client = streams.connect(cluster.url)
        account = {
            f"CARRIERS__DELIVERIT__{key.upper()}": value for key, value in sandbox_account("deliverit", sandbox).items()
        }
        super().__init__(
            supervisor,
            network,
            folder,
            database,
            REDIS_URL=cluster.url,
            STORES_FILE=str(sample_file("stores.toml")),
            CARRIERS__DELIVERIT__POLL_INTERVAL="1",
            **account,
        )

    def close(self) -> None:
        super().close()
        self.client.close()

    def place(self) -> str:
        """Put an order on the bus, again and again until a replica has it; return its id."""
        document = json.loads(EXAMPLE.read_text())
        document["id"] = document["data"]["order_id"] = name = self.new()
        self.until(partial(self.has_placed, json.dumps(document)))
        return name

    def has_placed(self, document: str) -> bool:
        """Put a message on the bus; return whether a replica has it."""
        with self.client.pipeline(transaction=False) as pipe:
            cast("Any", pipe.xadd("orders", {"event": document})).execute_command("WAIT", 1, 1000)
            return bool(pipe.execute()[1])

    def published(self) -> list[str]:
        """Return the ids of all events on the master."""
        found = cast("list[Any]", self.client.xrange("deliveries"))
        return [json.loads(fields[b"event"])["id"] for _, fields in found]

    def has_left(self, server: Server) -> bool:
        """Return whether another server is the master."""
        return self.cluster.master is not server

    def couriers(self) -> list[str]:
        """Return the carrier's ids of all orders at the carrier."""
        orders = httpx.get(f"{self.sandbox}/sandbox/orders", params={"carrier": "deliverit"}).json()["orders"]
        return sorted(each["id"] for each in orders)

    def has_one_courier_each(self, *names: str) -> bool:
        """Return whether each of these orders has a courier, and the carrier has no other order."""
        found = [self.store.read(deliveries.find, name) for name in names]
        refs = [attempt.ref for each in found if each for attempt in each[0].attempts]
        return len(refs) == len(names) and None not in refs and sorted(map(str, refs)) == self.couriers()


@pytest.fixture
def machine(tmp_path: Path, _sqlite_with_tables: Path, cluster: Cluster, sandbox: str) -> Iterator[SentinelMachine]:
    database = tmp_path / "order-sync.db"
    database.write_bytes(_sqlite_with_tables.read_bytes())
    with ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(dict(os.environ), tmp_path / "log"))
        network = stack.enter_context(Network(seed=0))
        made = SentinelMachine(supervisor, network, tmp_path, f"sqlite:///{database}", cluster, sandbox)
        yield made
        made.close()


def kill(machine: SentinelMachine) -> Callable[[], None]:
    """Kill the master."""
    master = machine.cluster.master
    master.kill()
    return master.start


def switch(machine: SentinelMachine) -> Callable[[], None]:
    """Let Sentinel promote a replica."""
    machine.cluster.fail_over()
    return lambda: None


def cut_off(machine: SentinelMachine) -> Callable[[], None]:
    """Cut the master off from the replicas and Sentinels, but not from the worker."""
    return machine.cluster.cut_off().rejoin


@pytest.mark.long
def test_a_fail_over_loses_no_order_no_courier_and_no_event(machine: SentinelMachine) -> None:
    placed = [machine.place()]
    machine.until(partial(machine.has_one_courier_each, *placed))
    for failure in (kill, switch, cut_off):
        before = machine.cluster.master
        mend = failure(machine)
        placed += [machine.place() for _ in range(LOAD)]
        machine.until(partial(machine.has_one_courier_each, *placed))
        machine.until(partial(machine.has_left, before))
        mend()  # what was the master comes back, as a replica
        placed += [machine.place() for _ in range(LOAD)]
        machine.until(partial(machine.has_one_courier_each, *placed))
        machine.until(lambda: machine.published() == machine.recorded())
        machine.cluster.await_ready()


@pytest.mark.long
def test_foreign_messages_on_celery_s_queues_do_not_end_the_worker(machine: SentinelMachine) -> None:
    first = machine.place()
    machine.until(partial(machine.has_one_courier_each, first))
    process = machine.worker.running
    for queue in ("events", "orders", "timers"):
        machine.client.rpush(f"osync:{queue}", *FOREIGN.values())
    second = machine.accept()
    machine.until(lambda: machine.settles(second) and not machine.client.exists("osync:orders", "osync:events"))
    assert machine.worker.running is process


@pytest.mark.long
def test_events_that_only_a_cut_off_master_has_are_published_again_on_the_new_one(machine: SentinelMachine) -> None:
    first = machine.place()
    machine.until(partial(machine.settles, first))
    old = machine.cluster.cut_off()
    old.ask("CONFIG", "SET", "min-replicas-to-write", "0")  # so it still accepts writes
    late = machine.accept()
    with old.admin() as client:
        machine.until(lambda: client.xlen("deliveries") == len(machine.recorded()))
    machine.until(partial(machine.has_left, old))
    old.rejoin()
    machine.until(partial(machine.settles, first, late))
    assert "events.lost_by_bus" in machine.worker.log.read_text()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Flower leaves its connections open
def test_flower_shows_the_queues_and_no_password(cluster: Cluster) -> None:
    app = create_app(load({"ORDER_SYNC_REDIS_URL": cluster.url}))
    app.send_task("timers.sweep", queue="timers")
    with app.connection() as connection:
        url = connection.as_uri(include_password=True)
    options = {"broker_options": app.conf.broker_transport_options, "broker_use_ssl": app.conf.broker_use_ssl}
    assert asyncio.run(Broker(url, **options).queues(["timers"])) == [{"name": "timers", "messages": 1}]
    assert PASSWORD not in app.conf.humanize(with_defaults=False, censored=True)
    app.close()
    gc.collect()  # its warnings belong to this test
