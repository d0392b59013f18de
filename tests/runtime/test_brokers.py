"""A real worker and beat on Redis and on RabbitMQ: whatever happens to a broker, no order, courier or event is lost.

Each broker is also the bus. The processes of a broker meet one failure after the other. Most orders are for an
unknown store, so they need no carrier, but the reader, the sweep, Celery's queues and the relay.
"""

import asyncio
import gc
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.chaos.proxy import Mode, Network
from tests.conftest import RABBITMQ_VARIABLE, missing
from tests.rabbitmq import own_node
from tests.runtime.machine import EXAMPLE, Machine, RabbitMachine
from worker.app import create_app
from worker.bus.streams import SOCKET_SECONDS
from worker.config.settings import load
from worker.container import Container
from worker.database import leases
from worker.database.search import Filter, search
from worker.local.samples import sample_file, sandbox_account
from worker.local.supervisor import Supervisor
from worker.services.sweep import LEASE
from worker.web import count_answers
from worker.web.operators import create_desk_app

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # py-amqp's sockets to dead servers
]
MOMENT = 2.0
LONGER_THAN_ANY_TIMEOUT = SOCKET_SECONDS + MOMENT
HANGING = ("first", "second", "third", "fourth")
"""As many accounts as the worker has threads. They log in only in the test in which the log-in hangs."""
EMPTY = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


class Broker:
    """A machine with accounts at the sandbox, and this process as another one of its deployment."""

    def __init__(self, machine: Machine, sandbox: str) -> None:
        self.machine, self.sandbox = machine, sandbox
        settings = load(
            {key: value for key, value in machine.supervisor.environ.items() if key.startswith("ORDER_SYNC")}
        )
        self.services = Container(settings, clock=lambda: datetime.now(UTC), app=create_app(settings))

    def close(self) -> None:
        self.services.database.close()
        self.services.app.close()

    @property
    def worker_pid(self) -> int:
        assert self.machine.worker.running is not None
        return self.machine.worker.running.pid

    def order(self, account: str) -> str:
        """Store an order that has to be booked with an account; return its id."""
        document = json.loads(EXAMPLE.read_text())
        document["id"] = document["data"]["order_id"] = name = self.machine.new()
        document["data"]["carriers"] = [account]
        self.services.ingest.store_documents([(name, json.dumps(document).encode())])
        return name

    def send_order_task(self) -> str:
        """Send the task `orders.receive` as a platform does with its own Celery; return the order's id."""
        document = json.loads(EXAMPLE.read_text())
        document["id"] = document["data"]["order_id"] = name = self.machine.new()
        self.machine.put("orders", task("orders.receive"), json.dumps([[document], *EMPTY[1:]]).encode())
        return name

    def lease(self, name: str) -> str:
        """Return until when the next step of an order is claimed for a task; nothing if it is not."""
        query = text("SELECT coalesce(lease_until, '') FROM delivery WHERE order_id = :name")
        with self.machine.store.engine.connect() as connection:
            return str(connection.execute(query, {"name": name}).scalar_one())

    def claims(self, name: str) -> bool:
        """Sweep; return whether the next step of an order is claimed for a task."""
        self.services.sweep.run()
        return self.lease(name) > ""

    def keeps_workers_from_sweeping(self) -> bool:
        """Let workers sweep by themselves only in two minutes; return whether none does so now."""
        return self.machine.store.write(leases.take, LEASE, LEASE, datetime.now(UTC), 120)

    def depth(self, queue: str) -> int:
        """Return how many tasks wait in a queue."""
        return self.services.queue.depths([queue])[queue]

    def calling(self) -> list[str]:
        """Return the accounts for which tasks of workers run, sorted."""
        found = self.services.app.control.inspect(timeout=2).active() or {}
        return sorted(each["args"][0] for tasks in found.values() for each in tasks if each["args"])

    def has_one_courier_each(self, *names: str) -> bool:
        """Return whether each of these orders has exactly one order at the carrier."""
        found = self.machine.store.read(search, Filter(), 1000)
        refs = {each.order.order_id: [attempt.ref for attempt in each.attempts if attempt.ref] for each in found}
        orders = {each["id"] for each in httpx.get(f"{self.sandbox}/sandbox/orders").json()["orders"]}
        return all(len(refs.get(name, ())) == 1 and orders.issuperset(refs[name]) for name in names)

    def metrics(self, name: str) -> dict[str, float]:
        """Return a metric by queue, as the web process shows it."""
        desk = create_desk_app(self.services, count_answers(self.services))

        async def ask() -> str:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(desk), base_url="http://desk.example") as client:
                return (await client.get("/metrics")).text

        families = text_string_to_metric_families(asyncio.run(ask()))
        return {
            sample.labels["queue"]: sample.value
            for family in families
            if family.name == name
            for sample in family.samples
        }


def task(name: str, **headers: object) -> dict[str, object]:
    """Return the headers of a task's message."""
    return {"lang": "py", "task": name, "id": str(uuid4()), "root_id": None, "parent_id": None, **headers}


@pytest.fixture(scope="module", autouse=True)
def _garbage() -> Iterator[None]:
    """Collect the sockets that py-amqp leaves open after `broker` has ended, because their warnings belong here."""
    yield
    gc.collect()


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _sqlite_with_tables: Path, _sandbox: str
) -> Iterator[Broker]:
    """Give the processes of a deployment on each broker in turn."""
    folder = tmp_path_factory.mktemp(request.param)
    database = folder / "order-sync.db"
    database.write_bytes(_sqlite_with_tables.read_bytes())
    httpx.post(f"{_sandbox}/sandbox/reset")
    accounts = {
        f"CARRIERS__{name.upper()}__{key.upper()}": value
        for name in ("deliverit", "another", *HANGING)
        for key, value in {"kind": "deliverit", **sandbox_account("deliverit", _sandbox)}.items()
    }
    settings = {"STORES_FILE": str(sample_file("stores.toml")), **accounts}
    with ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(dict(os.environ), folder / "log"))
        network = stack.enter_context(Network(seed=0))
        url = f"sqlite:///{database}"
        if request.param == "redis":
            machine = Machine(supervisor, network, folder, url, **settings)
        else:
            try:
                node = stack.enter_context(own_node(folder / "rabbitmq"))
            except (OSError, RuntimeError) as error:
                missing("RabbitMQ", RABBITMQ_VARIABLE, error)
            machine = RabbitMachine(supervisor, network, folder, url, node, **settings)
        made = Broker(machine, _sandbox)
        machine.check()
        yield made
        made.close()
        machine.close()


def start_again(machine: Machine) -> None:
    """Start the worker, as a supervisor does after its end."""
    machine.worker.start()
    machine.supervisor.processes.append(machine.worker)


def end(machine: Machine, number: int) -> None:
    """End the worker by a signal; it is not started again."""
    machine.supervisor.processes.remove(machine.worker)
    machine.worker.signal(number)
    machine.worker.wait(60)


def test_each_task_runs_once(broker: Broker) -> None:
    started, ended = Counter[str](), Counter[str]()
    app = broker.services.app
    handlers = {
        "task-started": lambda event: started.update([event["uuid"]]),
        "task-succeeded": lambda event: ended.update([event["uuid"]]),
    }
    with app.connection_for_read() as first:
        receiver = app.events.Receiver(first, handlers=handlers)
        with receiver.consumer_context(wakeup=False) as (connection, _, _):
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.2)  # on Redis, kombu subscribes only when it waits for events
            sent = [
                app.send_task(name, args=[account, []]).id
                for _ in range(5)
                for account in ("deliverit", "another")
                for name in ("deliveries.book", "deliveries.track")
            ]

            def done() -> bool:
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)
                return ended.keys() >= set(sent)

            broker.machine.until(done)
    assert [(started[each], ended[each]) for each in sent] == [(1, 1)] * 20


def test_the_tasks_of_each_account_wait_in_queues_of_their_own_and_are_counted(broker: Broker) -> None:
    machine = broker.machine
    end(machine, signal.SIGTERM)
    name = broker.order("deliverit")
    for account, action, count in (("another", "book", 1), ("another", "track", 2)):
        for _ in range(count):
            broker.services.app.send_task(f"deliveries.{action}", args=[account, []])
    depths, waits = broker.metrics("order_sync_queue_depth"), broker.metrics("order_sync_queue_wait_seconds")
    counted = [depths[f"carrier.{queue}"] for queue in ("deliverit", "deliverit.reads", "another", "another.reads")]
    waiting = [waits[f"carrier.{queue}"] > 0 for queue in ("deliverit", "deliverit.reads", "another", "another.reads")]
    start_again(machine)
    machine.until(lambda: broker.has_one_courier_each(name))
    machine.until(lambda: broker.depth("carrier.another") == broker.depth("carrier.another.reads") == 0)
    assert (counted, waiting) == ([1, 0, 1, 2], [True, False, False, False])


FOREIGN: dict[str, Callable[[Machine, str], None]] = {
    "no JSON": lambda machine, queue: machine.put_raw(queue, b"garbage"),
    "a list": lambda machine, queue: machine.put_raw(queue, b"[1, 2]"),
    "no properties": lambda machine, queue: machine.put_raw(queue, b'{"body": "e30=", "headers": {}}'),
    "a known task without an id": lambda machine, queue: machine.put(
        queue, {"lang": "py", "task": "events.publish"}, json.dumps(EMPTY).encode()
    ),
    "an unknown task": lambda machine, queue: machine.put(queue, task("no.such.task"), json.dumps(EMPTY).encode()),
    "an unknown task without an id": lambda machine, queue: machine.put(
        queue, {"lang": "py", "task": "no.such.task"}, json.dumps(EMPTY).encode()
    ),
    "arguments that are no JSON": lambda machine, queue: machine.put(queue, task("events.publish"), b"{"),
    "arguments that are an object": lambda machine, queue: machine.put(queue, task("events.publish"), b"{}"),
    "wrong arguments": lambda machine, queue: machine.put(
        queue, task("deliveries.book"), json.dumps([[1, 2, 3], *EMPTY[1:]]).encode()
    ),
}
"""What may be put on a queue although no worker can run it."""
REPORTS = {"broker.message_dropped", "task.unusable"}


def reports(machine: Machine) -> list[str]:
    """Return the names of the lines that the worker has logged about foreign messages."""
    lines = [line for line in machine.worker.log.read_text().splitlines() if line.startswith("{")]
    return [event for line in lines if (event := json.loads(line)["event"]) in REPORTS]


@pytest.mark.fault("F-48")
def test_foreign_messages_on_celery_s_queues_are_reported_and_neither_end_nor_delay_the_worker(broker: Broker) -> None:
    machine = broker.machine
    before, known = broker.worker_pid, len(reports(machine))
    for queue in ("events", "orders", "timers"):
        for put in FOREIGN.values():
            put(machine, queue)
    machine.until(lambda: broker.depth("events") == broker.depth("orders") == broker.depth("timers") == 0)
    machine.check()
    expected = {"broker.message_dropped": 18, "task.unusable": 3}
    if isinstance(machine, RabbitMachine):
        expected = {"broker.message_dropped": 9, "task.unusable": 12}
    assert (broker.worker_pid, Counter(reports(machine)[known:])) == (before, expected)


def restart(machine: Machine) -> None:
    """Kill the broker, and start it again."""
    machine.restart_broker()


def empty(machine: Machine) -> None:
    """Let the broker lose everything."""
    machine.empty_broker()


def freeze(machine: Machine) -> None:
    """Let the broker not answer for longer than every timeout."""
    machine.network.turn(machine.broker_link, Mode.SILENT)
    machine.accept()
    machine.worker.wait(LONGER_THAN_ANY_TIMEOUT)
    machine.network.turn(machine.broker_link, Mode.PASS)


def half_open(machine: Machine) -> None:
    """Keep every connection open and silent."""
    machine.network.silence(machine.broker_link)


def refuse(machine: Machine) -> None:
    """Let the broker accept no messages for a while: Redis is full, RabbitMQ has an alarm."""
    machine.refuse()
    machine.accept()
    machine.worker.wait(MOMENT)
    machine.accept_again()


def become_replica(machine: Machine) -> None:
    """Make Redis a replica for a while, as in a fail-over. On RabbitMQ, this is only the Redis of the rate limits."""
    machine.redis.replicaof("127.0.0.1", 1)
    machine.accept()
    machine.worker.wait(MOMENT)
    machine.redis.replicaof("NO", "ONE")


@pytest.mark.fault("F-12", "F-13", "F-14", "F-15", "F-17", "F-18")
@pytest.mark.parametrize("failure", [restart, empty, freeze, half_open, refuse, become_replica])
def test_whatever_happens_to_the_broker_orders_come_in_and_events_come_out(
    broker: Broker, failure: Callable[[Machine], None]
) -> None:
    machine = broker.machine
    sent, placed = broker.send_order_task(), machine.check()
    machine.until(lambda: machine.settles(sent))
    failure(machine)
    later = machine.check()
    machine.until(lambda: machine.settles(sent, *placed, *later))


@pytest.mark.fault("F-10", "F-11")
def test_a_worker_that_stops_hands_over_what_it_has_not_begun_and_a_killed_one_what_it_runs(broker: Broker) -> None:
    machine, queue = broker.machine, "carrier.deliverit"
    login = {"kind": "slow", "api": "deliverit", "operation": "login", "delay": 40, "times": None}
    httpx.post(f"{broker.sandbox}/sandbox/faults", json=login)
    hanging = [broker.order(account) for account in HANGING]
    machine.until(lambda: broker.calling() == sorted(HANGING))
    name = broker.order("deliverit")
    machine.until(lambda: broker.claims(name))
    machine.until(broker.keeps_workers_from_sweeping)
    lease, waits = broker.lease(name), broker.depth(queue) > 0  # RabbitMQ has given the task to the worker
    machine.worker.signal(signal.SIGQUIT)  # what SIGTERM is with REMAP_SIGTERM, as in the image
    machine.until(lambda: waits or "" < broker.lease(name) < lease)
    httpx.request("DELETE", f"{broker.sandbox}/sandbox/faults")
    machine.worker.signal(signal.SIGKILL)
    machine.until(lambda: broker.has_one_courier_each(name, *hanging))
