"""The two that are compared: how each is started, how it gets its orders, when it is done and what proves it."""

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
    """Make the order of a number, as the platform writes it."""
    return demo.order(f"B{number:06}", STORE, "ring the bell")


@dataclass
class Place:
    """Where everything is."""

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
        """Hang up."""
        self.sql.close()
        self.redis.close()


class Contender(ABC):
    """One way to bring orders to the carrier."""

    name: str
    app: str
    key_prefix: str = ""
    options: Sequence[str] = ()

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def prepare(self) -> None:
        """Make the tables."""

    @abstractmethod
    def reset(self) -> None:
        """Forget every order."""

    @property
    @abstractmethod
    def environ(self) -> dict[str, str]:
        """Its settings."""

    @abstractmethod
    def stage(self, numbers: Sequence[int]) -> None:
        """Write the messages of these orders, where nobody reads them yet."""

    @abstractmethod
    def give(self) -> None:
        """Let it have the staged orders, all at once."""

    @abstractmethod
    def done(self) -> int:
        """Count the orders that are through."""

    @abstractmethod
    def proof(self) -> Counter[str]:
        """Count what it tells of each order; each must be 1."""

    def start(self, fleet: Supervisor) -> None:
        """Start its processes."""
        fleet.environ = {**self.place.environ, **self.environ}
        for name in WORKERS:
            fleet.start_command(name, [part.format(app=self.app, name=name) for part in [*WORKER, *self.options]])

    def ready(self) -> bool:
        """Tell whether both workers answer."""
        app = Celery(broker=self.place.redis_url, set_as_current=False)
        app.conf.broker_transport_options = {"global_keyprefix": self.key_prefix}
        return len(app.control.ping(timeout=0.5) or ()) == len(WORKERS)


class OrderSync(Contender):
    """Two workers and the beat, with settings as a deployment has them."""

    name = "Order Sync"
    app = "worker.app"
    key_prefix = KEY_PREFIX

    def prepare(self) -> None:
        """Migrate."""
        store = Database(self.place.database)
        store.upgrade()
        store.close()

    def reset(self) -> None:
        """Empty the tables."""
        self.place.sql.execute("TRUNCATE delivery, attempt, event, message, lease")

    @property
    def environ(self) -> dict[str, str]:
        """Only the rate and the polling are not those of a real account."""
        mine = {
            "CONFIG": self._empty("order-sync.toml"),
            "STORES_FILE": str(Path(__file__).parent.parent / "worker" / "demo" / "stores.toml"),
            "DATABASE_URL": self.place.database,
            "REDIS_URL": self.place.redis_url,
            "CARRIERS__CERVO__BASE_URL": self.place.carrier,
            "CARRIERS__CERVO__TOKEN": TOKEN,
            "CARRIERS__CERVO__RATE": "100000/second",
            "CARRIERS__CERVO__POLL_INTERVAL": "3600",
        }
        return {f"ORDER_SYNC_{key}": value for key, value in mine.items()}

    def _empty(self, name: str) -> str:
        path = self.place.folder / name
        path.touch()
        return str(path)

    def start(self, fleet: Supervisor) -> None:
        """Start workers and beat."""
        super().start(fleet)
        schedule = str(self.place.folder / "beat")
        fleet.start_command("beat", ["celery", "--app", self.app, "beat", "--schedule", schedule])

    def stage(self, numbers: Sequence[int]) -> None:
        """Write `order.placed` messages."""
        self._staged = self.place.redis.pipeline(transaction=False)
        for number in numbers:
            envelope = {"specversion": "1.0", "id": f"m{number}", "source": "bench", "type": "order.placed"}
            self._staged.xadd("orders", {"event": json.dumps({**envelope, "data": order(number)})})

    def give(self) -> None:
        """Put them on the stream."""
        self._staged.execute()

    def done(self) -> int:
        """Count by the events on the bus: `queued` and `created` for each order."""
        return int(self.place.redis.xlen("deliveries")) // 2

    def proof(self) -> Counter[str]:
        """Count the `created` events of each order."""
        entries: Any = self.place.redis.xrange("deliveries")
        events = [json.loads(fields[b"event"]) for _, fields in entries]
        return Counter(event["subject"] for event in events if event["data"]["status"] == "created")


class PlainCelery(Contender):
    """Two workers of 32 threads."""

    name = "plain Celery"
    app = "benchmarks.plain_celery"
    options = ("--pool", "threads", "--concurrency", str(plain_celery.CONCURRENCY))

    def prepare(self) -> None:
        """Make its table."""
        engine = create_engine(driver_url(self.place.database))
        plain_celery.METADATA.create_all(engine)
        engine.dispose()

    def reset(self) -> None:
        """Empty its table."""
        self.place.sql.execute("TRUNCATE plain_order RESTART IDENTITY")

    @property
    def environ(self) -> dict[str, str]:
        """Tell it where everything is."""
        return {
            "PLAIN_BROKER_URL": self.place.redis_url,
            "PLAIN_DATABASE_URL": self.place.database,
            "PLAIN_CARRIER_URL": self.place.carrier,
        }

    def stage(self, numbers: Sequence[int]) -> None:
        """Send the tasks to a queue that nobody reads."""
        with (
            plain_celery.app.connection_for_write(self.place.redis_url) as connection,
            connection.Producer() as producer,
        ):
            for number in numbers:
                plain_celery.place.apply_async((order(number),), queue="staged", producer=producer)

    def give(self) -> None:
        """Turn the staged queue into the one that is read."""
        self.place.redis.rename("staged", plain_celery.QUEUE)

    def done(self) -> int:
        """Count the rows that are created."""
        row = self.place.sql.execute("SELECT count(*) FROM plain_order WHERE status = 'created'").fetchone()
        return int(row[0]) if row else 0

    def proof(self) -> Counter[str]:
        """Count the rows of each order."""
        found = self.place.sql.execute("SELECT order_id FROM plain_order WHERE status = 'created'").fetchall()
        return Counter(order_id for (order_id,) in found)
