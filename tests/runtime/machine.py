"""A real worker and beat, with a Redis server and a database of their own."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import redis

from tests.chaos.proxy import Network
from tests.database.samples import message, order, store_messages
from worker.bus.port import OUTAGES
from worker.database import deliveries, outbox
from worker.database.database import Database
from worker.local.supervisor import Supervisor, read_tail, start_redis

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "order-placed.json"
PATIENCE = 90.0


class Machine:
    """A Redis server behind a proxy, a database, a worker and a beat."""

    def __init__(self, supervisor: Supervisor, network: Network, folder: Path, database: str, **settings: str) -> None:
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
            **{f"ORDER_SYNC_{name}": value for name, value in settings.items()},
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
            with suppress(*OUTAGES):
                if done():
                    return
            assert time.monotonic() < deadline, read_tail(self.worker.log)
            self.supervisor.watch()
            self.worker.wait(0.1)

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
