"""The two contenders: how each is started and given its orders, and how its work is counted and checked."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery
from redis import Redis
from sqlalchemy import create_engine

from benchmarks import plain_celery
from benchmarks.services import driver_url
from worker.app import KEY_PREFIX
from worker.database.database import Database
from worker.local.demo import orders as demo
from worker.local.supervisor import Supervisor

STORE = "34"
TOKEN = "sandbox-cervo-token"
WORKERS = ("worker-1", "worker-2")
WORKER = ["celery", "--app", "{app}", "worker", "--without-gossip", "--without-mingle", "--hostname", "{name}@bench"]


def order(number: int) -> dict[str, Any]:
    """Return the order with this number, in the format of the platform's messages."""
    return demo.order(f"B{number:06}", STORE, "ring the bell")


@dataclass
class Services:
    """The addresses of the services, and connections to them."""

    database: str
    redis_url: str
    carrier: str
    folder: Path
    environ: Mapping[str, str]

    @cached_property
    def redis(self) -> Redis:
        """The bus and the broker."""
        return Redis.from_url(self.redis_url)

    @cached_property
    def sql(self) -> psycopg.Connection:
        """The database."""
        return psycopg.connect(self.database, autocommit=True)

    def close(self) -> None:
        """Close the connections."""
        self.sql.close()
        self.redis.close()


class Contender(ABC):
    """A program that creates orders at the carrier."""

    name: str
    app: str
    key_prefix: str = ""
    options: Sequence[str] = ()

    def __init__(self, services: Services) -> None:
        self.services = services

    @abstractmethod
    def prepare(self) -> None:
        """Create the tables."""

    @abstractmethod
    def reset(self) -> None:
        """Delete every order."""

    @property
    @abstractmethod
    def environ(self) -> dict[str, str]:
        """The settings of its processes."""

    @abstractmethod
    def prepare_orders(self, numbers: Sequence[int]) -> None:
        """Write the messages of these orders to a place that no worker reads yet."""

    @abstractmethod
    def release_orders(self) -> None:
        """Release the prepared orders to the workers, all at once."""

    @abstractmethod
    def done(self) -> int:
        """Return the number of orders that are done."""

    @abstractmethod
    def reported(self) -> Counter[str]:
        """Return how often each order was reported as created; each count must be 1."""

    def start(self, supervisor: Supervisor) -> None:
        """Start its processes."""
        supervisor.environ = {**self.services.environ, **self.environ}
        for name in WORKERS:
            supervisor.start_command(name, [part.format(app=self.app, name=name) for part in [*WORKER, *self.options]])

    def ready(self) -> bool:
        """Return whether both workers answer."""
        app = Celery(broker=self.services.redis_url, set_as_current=False)
        app.conf.broker_transport_options = {"global_keyprefix": self.key_prefix}
        return len(app.control.ping(timeout=0.5) or ()) == len(WORKERS)


class OrderSync(Contender):
    """Two workers and the beat, with the settings of a deployment."""

    name = "Order Sync"
    app = "worker.app"
    key_prefix = KEY_PREFIX

    def prepare(self) -> None:
        """Upgrade the database."""
        database = Database(self.services.database)
        database.upgrade()
        database.close()

    def reset(self) -> None:
        """Delete every row."""
        self.services.sql.execute("TRUNCATE delivery, attempt, event, message, lease")

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a real account, except for the rate limit and the poll interval."""
        settings = {
            "CONFIG": self._empty("order-sync.toml"),
            "STORES_FILE": str(Path(demo.__file__).parent / "stores.toml"),
            "DATABASE_URL": self.services.database,
            "REDIS_URL": self.services.redis_url,
            "CARRIERS__CERVO__BASE_URL": self.services.carrier,
            "CARRIERS__CERVO__TOKEN": TOKEN,
            "CARRIERS__CERVO__RATE": "100000/second",
            "CARRIERS__CERVO__POLL_INTERVAL": "3600",
        }
        return {f"ORDER_SYNC_{key}": value for key, value in settings.items()}

    def _empty(self, name: str) -> str:
        path = self.services.folder / name
        path.touch()
        return str(path)

    def start(self, supervisor: Supervisor) -> None:
        """Start the workers and the beat."""
        super().start(supervisor)
        schedule = str(self.services.folder / "beat")
        supervisor.start_command("beat", ["celery", "--app", self.app, "beat", "--schedule", schedule])

    def prepare_orders(self, numbers: Sequence[int]) -> None:
        """Write `order.placed` messages."""
        self._prepared = self.services.redis.pipeline(transaction=False)
        for number in numbers:
            envelope = {"specversion": "1.0", "id": f"m{number}", "source": "bench", "type": "order.placed"}
            self._prepared.xadd("orders", {"event": json.dumps({**envelope, "data": order(number)})})

    def release_orders(self) -> None:
        """Publish them on the stream."""
        self._prepared.execute()

    def done(self) -> int:
        """Return half the number of events on the bus: each order has a `queued` and a `created` one."""
        return int(self.services.redis.xlen("deliveries")) // 2

    def reported(self) -> Counter[str]:
        """Return the number of `created` events of each order."""
        entries: Any = self.services.redis.xrange("deliveries")
        events = [json.loads(fields[b"event"]) for _, fields in entries]
        return Counter(event["subject"] for event in events if event["data"]["status"] == "created")


class PlainCelery(Contender):
    """Two workers of 32 threads."""

    name = "plain Celery"
    app = "benchmarks.plain_celery"
    options = ("--pool", "threads", "--concurrency", str(plain_celery.CONCURRENCY))

    def prepare(self) -> None:
        """Create its table."""
        engine = create_engine(driver_url(self.services.database))
        plain_celery.METADATA.create_all(engine)
        engine.dispose()

    def reset(self) -> None:
        """Delete every row of its table."""
        self.services.sql.execute("TRUNCATE plain_order RESTART IDENTITY")

    @property
    def environ(self) -> dict[str, str]:
        """The addresses of the services."""
        return {
            "PLAIN_BROKER_URL": self.services.redis_url,
            "PLAIN_DATABASE_URL": self.services.database,
            "PLAIN_CARRIER_URL": self.services.carrier,
        }

    def prepare_orders(self, numbers: Sequence[int]) -> None:
        """Send the tasks to a queue that no worker reads."""
        with (
            plain_celery.app.connection_for_write(self.services.redis_url) as connection,
            connection.Producer() as producer,
        ):
            for number in numbers:
                plain_celery.place.apply_async((order(number),), queue="prepared", producer=producer)

    def release_orders(self) -> None:
        """Rename that queue to the one that the workers read."""
        self.services.redis.rename("prepared", plain_celery.QUEUE)

    def done(self) -> int:
        """Return the number of rows with the status `created`."""
        row = self.services.sql.execute("SELECT count(*) FROM plain_order WHERE status = 'created'").fetchone()
        return int(row[0]) if row else 0

    def reported(self) -> Counter[str]:
        """Return the number of rows of each order with the status `created`."""
        found = self.services.sql.execute("SELECT order_id FROM plain_order WHERE status = 'created'").fetchall()
        return Counter(order_id for (order_id,) in found)
