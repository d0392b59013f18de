"""A real worker and beat with RabbitMQ as broker and as bus, which fails in every way: no order and no event is lost.

An event may come twice; the events of a delivery come in their order.
"""

import gc
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import amqp
import pytest

from tests.bus.servers import RabbitServer
from tests.chaos.proxy import Network
from tests.conftest import RABBITMQ_VARIABLE, missing
from tests.rabbitmq import Node, own_node
from tests.runtime.machine import EXAMPLE, Machine
from worker.database import deliveries
from worker.local.supervisor import Supervisor

MOMENT = 2.0
T = TypeVar("T")


class RabbitMachine(Machine):
    """A machine whose broker and bus are a RabbitMQ node behind a proxy."""

    def __init__(self, supervisor: Supervisor, network: Network, folder: Path, database: str, node: Node) -> None:
        self.node, self.amqp_link = node, network.link(node.port)
        address = node.url.replace(f":{node.port}/", f":{self.amqp_link.port}/")
        super().__init__(supervisor, network, folder, database, BROKER_URL=address, BUS_URL=address)

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


@pytest.fixture
def machine(tmp_path: Path, _sqlite_with_tables: Path) -> Iterator[RabbitMachine]:
    folder = tmp_path
    database = folder / "order-sync.db"
    database.write_bytes(_sqlite_with_tables.read_bytes())
    with ExitStack() as stack:
        try:
            node = stack.enter_context(own_node(folder / "rabbitmq"))
        except (OSError, RuntimeError) as error:
            missing("RabbitMQ", RABBITMQ_VARIABLE, error)
        supervisor = stack.enter_context(Supervisor(dict(os.environ), folder / "log"))
        network = stack.enter_context(Network(seed=0))
        made = RabbitMachine(supervisor, network, folder, f"sqlite:///{database}", node)
        made.check()
        yield made
        made.close()
        gc.collect()  # py-amqp leaves sockets open, whose warnings belong to this test


def send_order_task(machine: RabbitMachine) -> str:
    """Send the task `orders.receive` as a platform does with its own Celery; return the order's id."""
    document = json.loads(EXAMPLE.read_text())
    document["id"] = document["data"]["order_id"] = name = machine.new()
    connection = amqp.Connection(f"127.0.0.1:{machine.node.port}")
    connection.connect()
    body = json.dumps([[document], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers = {"lang": "py", "task": "orders.receive", "id": str(uuid4()), "root_id": None, "parent_id": None}
    message = amqp.Message(
        body, content_type="application/json", content_encoding="utf-8", delivery_mode=2, application_headers=headers
    )
    connection.channel().basic_publish_confirm(message, "", "osync.orders")
    connection.close()
    return name


def kill(machine: RabbitMachine) -> None:
    """Kill the server. It comes back with everything."""
    machine.node.kill()
    machine.accept()
    machine.node.start()


def cut(machine: RabbitMachine) -> None:
    """Cut every connection."""
    machine.network.cut(machine.amqp_link)


def out_of_memory(machine: RabbitMachine) -> None:
    """Let the server have a memory alarm for a while."""
    machine.node.control("set_vm_memory_high_watermark", "0.0001")
    machine.accept()
    machine.worker.wait(MOMENT)
    machine.node.control("set_vm_memory_high_watermark", "0.4")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # py-amqp's sockets to a killed server
def test_whatever_happens_to_rabbitmq_orders_come_in_and_events_come_out(machine: RabbitMachine) -> None:
    sent = send_order_task(machine)
    for failure in (kill, cut, out_of_memory):
        placed = machine.check()
        failure(machine)
        later = machine.check()
        machine.until(partial(machine.settles, sent, *placed, *later))
