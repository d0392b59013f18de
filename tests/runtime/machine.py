"""A real worker and beat, with a database, a Redis and perhaps a RabbitMQ of their own."""

import json
import os
import signal
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import amqp
import redis

from tests.bus.servers import RabbitServer
from tests.chaos.proxy import Network
from tests.database.samples import message, order, store_messages
from tests.rabbitmq import Node, connected
from worker.bus.port import OUTAGES
from worker.database import deliveries, outbox
from worker.database.database import Database
from worker.local.supervisor import Supervisor, read_tail, start_redis

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "order-placed.json"
PATIENCE = 180.0
T = TypeVar("T")


class Machine:
    """A Redis server behind a proxy, a database, a worker and a beat."""

    def __init__(self, supervisor: Supervisor, network: Network, folder: Path, database: str, **settings: str) -> None:
        self.supervisor, self.network = supervisor, network
        direct = start_redis(supervisor, folder / "redis")
        (self.server,) = supervisor.processes
        port = urlsplit(direct).port or 0
        self.link = self.broker_link = network.link(port)
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

    # --- the broker ---

    def put(self, queue: str, headers: Mapping[str, object], body: bytes) -> None:
        """Put a message on a queue of Celery, as any program may."""
        where = {"delivery_tag": headers.get("id", "foreign"), "delivery_info": {"exchange": "", "routing_key": queue}}
        whole = {
            "body": b64encode(body).decode(),
            "content-type": "application/json",
            "content-encoding": "utf-8",
            "headers": headers,
            "properties": {**where, "body_encoding": "base64"},
        }
        self.put_raw(queue, json.dumps(whole).encode())

    def put_raw(self, queue: str, entry: bytes) -> None:
        """Put something that is no message of Celery on a queue."""
        self.redis.rpush(f"osync:{queue}", entry)

    def restart_broker(self) -> None:
        """Kill the broker. It comes back with what it has persisted."""
        self.server.signal(signal.SIGKILL)
        self.server.wait(10)
        self.accept()

    def empty_broker(self) -> None:
        """Let the broker lose everything."""
        self.redis.flushall()

    def refuse(self) -> None:
        """Let the broker accept no messages."""
        self.redis.config_set("maxmemory", 1)

    def accept_again(self) -> None:
        """Let the broker accept messages."""
        self.redis.config_set("maxmemory", 0)


class RabbitMachine(Machine):
    """A machine whose broker and bus are a RabbitMQ node behind a proxy."""

    def __init__(
        self, supervisor: Supervisor, network: Network, folder: Path, database: str, node: Node, **settings: str
    ) -> None:
        self.node, link = node, network.link(node.port)
        address = node.url.replace(f":{node.port}/", f":{link.port}/")
        super().__init__(
            supervisor, network, folder, database, **{"BROKER_URL": address, "BUS_URL": address, **settings}
        )
        self.broker_link = link

    def place(self) -> str:
        """Put an order on the bus; return its id."""
        document = json.loads(EXAMPLE.read_text())
        document["id"] = document["data"]["order_id"] = name = self.new()
        self._with_server(lambda server: server.bus.add_order(json.dumps(document)))
        return name

    def published(self) -> list[str]:
        """Return the ids of all events in the stream, in the order in which they first came."""
        found = self._with_server(lambda server: server.events())
        return list(dict.fromkeys(json.loads(document)["id"] for document in found))

    def _with_server(self, use: Callable[[RabbitServer], T]) -> T:
        server = RabbitServer(self.node.url, prefix="")
        try:
            return use(server)
        finally:
            server.end(server.bus)
            server.connection.close()

    def settles(self, *names: str) -> bool:
        """Return whether these orders are stored, and every event is in the stream."""
        known = all(self.store.read(deliveries.find, name) for name in names)
        return known and sorted(self.published()) == sorted(self.recorded())

    # --- the broker ---

    def put(self, queue: str, headers: Mapping[str, object], body: bytes) -> None:
        """Put a message on a queue of Celery, as any program may."""
        self._publish(
            queue,
            amqp.Message(
                body,
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                application_headers=dict(headers),
            ),
        )

    def put_raw(self, queue: str, entry: bytes) -> None:
        """Put something that is no message of Celery on a queue."""
        self._publish(queue, amqp.Message(entry))

    def _publish(self, queue: str, message: amqp.Message) -> None:
        with closing(connected(self.node.url)) as connection:
            connection.channel().basic_publish_confirm(message, "", f"osync.{queue}")

    def restart_broker(self) -> None:
        """Kill the broker. It comes back with everything."""
        self.node.kill()
        self.accept()
        self.node.start()

    def empty_broker(self) -> None:
        """Let the broker lose everything that is in a queue of Celery, and the stream of the events."""
        names = self.node.control("list_queues", "name", "--no-table-headers").split()
        with closing(connected(self.node.url)) as connection:
            channel = connection.channel()
            for name in names:
                if name.startswith("osync."):
                    channel.queue_purge(name)
            channel.queue_delete("deliveries")

    def refuse(self) -> None:
        """Let the broker have a memory alarm."""
        self.node.control("set_vm_memory_high_watermark", "0.0001")

    def accept_again(self) -> None:
        """End the memory alarm."""
        self.node.control("set_vm_memory_high_watermark", "0.4")
