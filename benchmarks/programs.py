"""The programs that are measured: how each is started and given its orders, and how its work is counted and checked."""

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import Any, ClassVar

from celery import Celery
from sqlalchemy import Engine, create_engine, text

from benchmarks import asyncio_loop, plain_celery
from benchmarks.services import Services, driver_url, shown_logs, wait_until
from worker.app import KEY_PREFIX
from worker.database.database import Database
from worker.local.demo import orders as demo
from worker.local.samples import sample_file
from worker.local.supervisor import Supervisor, free_port

CARRIERS: Mapping[str, Mapping[str, str]] = {
    "cervo": {"TOKEN": "sandbox-cervo-token"},
    "borzo": {"TOKEN": "sandbox-borzo-token", "CALLBACK_SECRET": "sandbox-borzo-secret"},
    "deliverit": {"USERNAME": "sandbox@deliverit.example", "PASSWORD": "sandbox-deliverit-password"},
}
"""The credentials of the sandbox, by carrier."""
STORES = {"cervo": "34", "borzo": "21", "deliverit": "17"}
"""The store whose first carrier this is."""


def order(number: int, carrier: str = "cervo") -> dict[str, Any]:
    """Return the order with this number, in the format of the platform's messages."""
    return demo.order(f"B{number:06}", STORES[carrier], "ring the bell")


def message(number: int, carrier: str = "cervo") -> str:
    """Return the `order.placed` message of the order with this number."""
    envelope = {"specversion": "1.0", "id": f"m{number}", "source": "bench", "type": "order.placed"}
    return json.dumps({**envelope, "data": order(number, carrier)})


class Program(ABC):
    """A program that creates orders at the carrier, in one or more worker processes."""

    name: ClassVar[str]

    def __init__(self, services: Services, workers: int = 2) -> None:
        self.services = services
        self.workers = [f"worker-{number + 1}" for number in range(workers)]

    @abstractmethod
    def prepare(self) -> None:
        """Create its tables in the empty database."""

    @abstractmethod
    def start(self, supervisor: Supervisor) -> None:
        """Start its processes."""

    @abstractmethod
    def ready(self) -> bool:
        """Return whether all its workers answer."""

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

    def place(self, numbers: range) -> None:
        """Release the orders with these numbers, and wait until they and all orders before them are done."""
        self.prepare_orders(numbers)
        self.release_orders()
        self.wait_done(numbers.stop)

    def wait_done(self, orders: int) -> None:
        """Wait until this number of orders is done. Raises TimeoutError."""
        wait_until(lambda: self.done() >= orders, f"{self.name} works", seconds=60 + orders / 20)


@contextmanager
def running(services: Services, *programs: Program) -> Iterator[Supervisor]:
    """Run programs on empty services until the end of the context, from the moment when all of them answer."""
    services.empty()
    with Supervisor(services.environ, services.folder / "log") as supervisor, shown_logs(supervisor):
        for program in programs:
            program.prepare()
            program.start(supervisor)
        for program in programs:
            wait_until(program.ready, f"{program.name} starts")
        yield supervisor


def _answering_workers(services: Services, key_prefix: str, most: int) -> int:
    app = Celery(broker=services.redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": key_prefix}
    return len(app.control.broadcast("ping", reply=True, timeout=0.5, limit=most) or ())


class _StreamProgram(Program):
    """A program that reads the stream `orders` and publishes a `queued` and a `created` event for each order."""

    carriers: Sequence[str] = ("cervo",)
    """The carriers of the orders, in turn."""

    def prepare_orders(self, numbers: Sequence[int]) -> None:
        """Collect `order.placed` messages."""
        self._prepared = self.services.redis.pipeline(transaction=False)
        for number in numbers:
            self._prepared.xadd("orders", {"event": message(number, self.carriers[number % len(self.carriers)])})

    def release_orders(self) -> None:
        """Publish them on the stream."""
        self._prepared.execute()

    def done(self) -> int:
        """Return half the number of events on the bus."""
        return int(self.services.redis.xlen("deliveries")) // 2

    def reported(self) -> Counter[str]:
        """Return the number of `created` events of each order."""
        return Counter(event["subject"] for _, event in self.events() if event["data"]["status"] == "created")

    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """Return all events on the bus, each with the time of its publication, to the millisecond."""
        entries: Any = self.services.redis.xrange("deliveries")
        return [(int(key.partition(b"-")[0]) / 1000, json.loads(fields[b"event"])) for key, fields in entries]


class OrderSync(_StreamProgram):
    """Workers and the beat, with the settings of a deployment."""

    name = "Order Sync"

    def __init__(
        self, services: Services, workers: int = 2, carriers: Sequence[str] = ("cervo",), web: str = ""
    ) -> None:
        """`web` is the address of the web process; without an address, there is none."""
        super().__init__(services, workers)
        self.carriers, self._web, self._desk = carriers, web, free_port()

    def prepare(self) -> None:
        """Upgrade the database."""
        with closing(Database(self.services.database)) as database:
            database.upgrade()

    @property
    def environ(self) -> dict[str, str]:
        """The settings of real accounts, except for the rate limits and the poll intervals."""
        settings = {
            "CONFIG": os.devnull,
            "STORES_FILE": str(sample_file("stores.toml")),
            "DATABASE_URL": self.services.database,
            "REDIS_URL": self.services.redis_url,
            "JOURNAL_FOLDER": str(self.services.folder / "journal"),
            "CA_BUNDLE": self.services.ca_bundle,
            "EVENTS_KEEP": "1000000",  # the events are counted on the bus
            "DESK_ADDRESS": f"127.0.0.1:{self._desk}",
            **({"WEB_ADDRESS": self._web, "PUBLIC_URL": f"http://{self._web}"} if self._web else {}),
        }
        for name in self.carriers:
            account = {"BASE_URL": self.services.carrier, "RATE": "100000/second", "POLL_INTERVAL": "3600"}
            settings |= {
                f"CARRIERS__{name.upper()}__{key}": value for key, value in {**account, **CARRIERS[name]}.items()
            }
        return {f"ORDER_SYNC_{key}": value for key, value in settings.items()}

    def start(self, supervisor: Supervisor) -> None:
        """Start the workers, the beat, and the web process if it has an address."""
        self.start_workers(supervisor)
        schedule = str(self.services.folder / "beat")
        beat = ["celery", "--app", "worker.app", "beat", "--scheduler", "celery.beat:Scheduler", "--schedule", schedule]
        supervisor.start_command("beat", beat)
        if self._web:
            supervisor.start_command("web", ["order-sync", "web"])

    def start_workers(self, supervisor: Supervisor) -> None:
        """Start the workers alone."""
        supervisor.environ = {**self.services.environ, **self.environ}
        for name in self.workers:
            supervisor.start_command(name, _celery_worker("worker.app", name))

    def ready(self) -> bool:
        """Return whether the workers answer."""
        return _answering_workers(self.services, KEY_PREFIX, len(self.workers)) == len(self.workers)


class AsyncioLoop(_StreamProgram):
    """The hand-written loop of `asyncio_loop.py`."""

    name = "asyncio loop"

    def prepare(self) -> None:
        """Create its tables."""
        self.services.sql.execute(asyncio_loop.TABLES)

    def start(self, supervisor: Supervisor) -> None:
        """Start its processes."""
        supervisor.environ = {
            **self.services.environ,
            "LOOP_REDIS_URL": self.services.redis_url,
            "LOOP_DATABASE_URL": self.services.database,
            "LOOP_CARRIER_URL": self.services.carrier,
            "LOOP_CA_BUNDLE": self.services.ca_bundle,
        }
        for name in self.workers:
            supervisor.start_command(name, ["python", "-m", "benchmarks.asyncio_loop", name])

    def ready(self) -> bool:
        """Return whether all its processes read the stream."""
        redis = self.services.redis
        if not redis.exists("orders"):
            return False
        consumers: Any = redis.xinfo_consumers("orders", asyncio_loop.GROUP)
        return len(consumers) == len(self.workers)


class PlainCelery(Program):
    """Workers of 32 threads."""

    name = "plain Celery"

    def prepare(self) -> None:
        """Create its table."""
        self._engine.dispose()  # its connections may be to a file that was removed
        plain_celery.METADATA.create_all(self._engine)

    def start(self, supervisor: Supervisor) -> None:
        """Start its workers."""
        supervisor.environ = {
            **self.services.environ,
            "PLAIN_BROKER_URL": self.services.redis_url,
            "PLAIN_DATABASE_URL": self.services.database,
            "PLAIN_CARRIER_URL": self.services.carrier,
            "PLAIN_CA_BUNDLE": self.services.ca_bundle,
        }
        options = ["--pool", "threads", "--concurrency", str(plain_celery.CONCURRENCY)]
        for name in self.workers:
            supervisor.start_command(name, [*_celery_worker("benchmarks.plain_celery", name), *options])

    def ready(self) -> bool:
        """Return whether the workers answer."""
        return _answering_workers(self.services, "", len(self.workers)) == len(self.workers)

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
        with self._engine.connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM plain_order WHERE status = 'created'")) or 0)

    def reported(self) -> Counter[str]:
        """Return the number of rows of each order with the status `created`."""
        with self._engine.connect() as connection:
            return Counter(connection.scalars(text("SELECT order_id FROM plain_order WHERE status = 'created'")))

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(driver_url(self.services.database))


def _celery_worker(app: str, name: str) -> list[str]:
    return ["celery", "--app", app, "worker", "--without-gossip", "--without-mingle", "--hostname", f"{name}@bench"]
