"""A real worker and beat with a Redis server that fails in every way: no order and no event is lost.

The same processes meet one failure after the other. All orders are for an unknown store, so they need no carrier, but
the reader, the sweep, Celery's queues and the relay.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import redis

from tests.chaos.proxy import Network
from tests.database.samples import message, order, store_messages
from worker.bus.streams import SOCKET_SECONDS
from worker.database import deliveries, outbox
from worker.database.database import Database
from worker.local.supervisor import Process, Supervisor, read_tail, start_redis

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "order-placed.json"
PATIENCE = 90.0
MOMENT = 2.0
LONGER_THAN_ANY_TIMEOUT = SOCKET_SECONDS + MOMENT


class Machine:
    """A Redis server behind a proxy, a database, a worker and a beat."""

    def __init__(self, supervisor: Supervisor, network: Network, folder: Path, database: str) -> None:
        self.supervisor, self.network = supervisor, network
        direct = start_redis(supervisor, folder / "redis")
        (self.server,) = supervisor.processes
        port = urlsplit(direct).port or 0
        self.link = network.link(port)
        self.redis = redis.Redis.from_url(direct, socket_timeout=2, decode_responses=True)
        self.store = Database(database)
        supervisor.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ORDER_SYNC_")},
            "ORDER_SYNC_CONFIG": os.devnull,
            "ORDER_SYNC_DATABASE_URL": database,
            "ORDER_SYNC_REDIS_URL": direct.replace(f":{port}/", f":{self.link.port}/"),
            "ORDER_SYNC_JOURNAL_FOLDER": str(folder / "journal"),
            "ORDER_SYNC_WORKER_CONCURRENCY": "4",
        }
        supervisor.start_command(
            "worker", ["celery", "--app", "worker.app", "worker", "--without-gossip", "--without-mingle"]
        )
        supervisor.start_command(
            "beat", ["celery", "--app", "worker.app", "beat", "--schedule", str(folder / "celerybeat-schedule")]
        )
        _, self.worker, _ = supervisor.processes
        self._count = 0

    def close(self) -> None:
        self.supervisor.stop()
        self.store.close()
        self.redis.close()

    def new(self) -> str:
        """Return the id of a new order."""
        self._count += 1
        return f"order-{self._count}"

    def place(self) -> str:
        """Put an order on the bus; return its id."""
        document = json.loads(EXAMPLE.read_text())
        document["id"] = document["data"]["order_id"] = name = self.new()
        self.redis.xadd("orders", {"event": json.dumps(document)})
        return name

    def accept(self) -> str:
        """Store an order, as a reader that dies before it enqueues anything; return its id."""
        name = self.new()
        store_messages(self.store, message(order(name)))
        return name

    def published(self) -> list[str]:
        """Return the ids of all events on the bus."""
        found = cast("list[Any]", self.redis.xrange("deliveries"))
        return [json.loads(fields["event"])["id"] for _, fields in found]

    def recorded(self) -> list[str]:
        """Return the ids of all events in the database."""
        return [json.loads(body)["id"] for _, body in self.store.read(outbox.events, limit=10_000)]

    def until(self, done: Callable[[], bool]) -> None:
        """Wait until something is so. As under `up`, a process that ends is restarted."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(redis.RedisError):
                if done():
                    return
            assert time.monotonic() < deadline, read_tail(self.worker.log)
            self.supervisor.watch()
            self.server.wait(0.05)

    def settles(self, *names: str) -> bool:
        """Return whether these orders are stored, and every event is on the bus once and in order."""
        known = all(self.store.read(deliveries.find, name) for name in names)
        return known and self.published() == self.recorded()

    def check(self) -> tuple[str, str]:
        """Wait until an order came in from the bus and events came out of the database; return the orders."""
        placed = accepted = ""

        def done() -> bool:
            nonlocal placed, accepted
            placed, accepted = placed or self.place(), accepted or self.accept()
            return self.settles(placed, accepted)

        self.until(done)
        return placed, accepted


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, _sqlite_with_tables: Path) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    database = folder / "order-sync.db"
    database.write_bytes(_sqlite_with_tables.read_bytes())
    with Supervisor(dict(os.environ), folder / "log") as supervisor, Network(seed=0) as network:
        made = Machine(supervisor, network, folder, f"sqlite:///{database}")
        made.check()
        yield made
        made.close()


def pid(process: Process) -> int:
    assert process.running is not None
    return process.running.pid


GARBAGE = {
    "no JSON": b"garbage",
    "a list": b"[1, 2]",
    "no properties": b'{"body": "e30=", "headers": {"task": "events.publish"}}',
    "a known task without an id": json.dumps(
        {
            "body": "W1tdLCB7fSwge31d",
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": {"task": "events.publish", "lang": "py"},
            "properties": {
                "delivery_tag": "foreign",
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": "events"},
            },
        }
    ).encode(),
}


@pytest.mark.fault("F-48")
def test_foreign_messages_on_celery_s_queues_neither_end_nor_delay_the_worker(machine: Machine) -> None:
    before, accepted = pid(machine.worker), machine.accept()
    for queue in ("events", "orders", "timers"):
        machine.redis.rpush(f"osync:{queue}", *GARBAGE.values())
    machine.until(lambda: machine.settles(accepted) and not machine.redis.exists("osync:orders", "osync:events"))
    machine.check()
    assert pid(machine.worker) == before
    assert "foreign" not in cast("dict[str, str]", machine.redis.hgetall("osync:unacked"))


def kill(machine: Machine) -> None:
    """Kill the server. It comes back with what it has persisted."""
    machine.server.signal(signal.SIGKILL)
    machine.server.wait(10)
    machine.accept()


def flush(machine: Machine) -> None:
    """Empty the server."""
    machine.redis.flushall()


def freeze(machine: Machine) -> None:
    """Stop the server for longer than every timeout."""
    machine.server.signal(signal.SIGSTOP)
    machine.accept()
    machine.server.wait(LONGER_THAN_ANY_TIMEOUT)
    machine.server.signal(signal.SIGCONT)


def half_open(machine: Machine) -> None:
    """Keep every connection open and silent."""
    machine.network.silence(machine.link)


def read_only(machine: Machine) -> None:
    """Make the server a replica for a while, as in a fail-over."""
    machine.redis.replicaof("127.0.0.1", 1)
    machine.accept()
    machine.server.wait(MOMENT)
    machine.redis.replicaof("NO", "ONE")


def full(machine: Machine) -> None:
    """Let the server be full for a while."""
    machine.redis.config_set("maxmemory", 1)
    machine.accept()
    machine.server.wait(MOMENT)
    machine.redis.config_set("maxmemory", 0)


@pytest.mark.fault("F-12", "F-13", "F-14", "F-15", "F-17", "F-18")
@pytest.mark.parametrize("failure", [kill, flush, freeze, half_open, read_only, full])
def test_whatever_happens_to_redis_orders_come_in_and_events_come_out(
    machine: Machine, failure: Callable[[Machine], None]
) -> None:
    placed = machine.check()
    failure(machine)
    later = machine.check()
    machine.until(lambda: machine.settles(*placed, *later))
