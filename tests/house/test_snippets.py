"""The programs in the pages place orders and read events as they say."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from schemas.messages import Message, read_message
from schemas.status import DeliveryStatus
from tests.bus.servers import RabbitServer, read_all
from tests.examples.languages import EXAMPLES, NODE, require
from tests.house.pages import ROOT, block
from tests.web.edge import Edge
from worker.bus.port import Entry
from worker.bus.streams import Bus
from worker.database import deliveries
from worker.domain.delivery import OutgoingEvent
from worker.web.server import OPTIONS, LimitedProtocol

SENDING, SUBSCRIBING, PULLING = "docs/sending-orders.md", "docs/subscribing.md", "docs/pulling.md"
RABBITMQ = "docs/rabbitmq.md"
EXAMPLE = ROOT / "docs" / "order-placed.json"
SECONDS = 300
"""How long an example may take, however loaded the machine is."""


@pytest.fixture(autouse=True)
def _sample_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that has only the sample order, as a user does."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, "order.json")


def run(*command: str, redis_url: str, **variables: str) -> None:
    environment = {**os.environ, "ORDER_SYNC_REDIS_URL": redis_url, **variables}
    subprocess.run(command, env=environment, check=True, timeout=SECONDS, capture_output=True)


def bus_at(url: str) -> Bus:
    return Bus(redis.Redis.from_url(url), orders="orders", events="deliveries")


def placed(url: str) -> list[Message]:
    """Return the messages on the stream of orders, read as the worker reads them."""
    bus = bus_at(url)
    bus.read("reader", 10, 1)  # creates the group
    return [read_message(entry.document) for entry in bus.read("reader", 10, 1)]


def example() -> Message:
    return read_message(EXAMPLE.read_bytes())


def test_the_python_example_places_the_order(own_redis: str) -> None:
    run(sys.executable, "-c", block(SENDING, "python", "xadd"), redis_url=own_redis)
    assert placed(own_redis) == [example()]


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="there is no redis-cli here")
def test_the_redis_cli_example_places_the_order(own_redis: str) -> None:
    line = next(line for line in block(SENDING, "sh", "XADD").splitlines() if line.startswith("redis-cli"))
    run("sh", "-c", line, redis_url=own_redis)
    assert placed(own_redis) == [example()]


def test_the_node_example_places_the_order(own_redis: str) -> None:
    require(NODE)
    modules = str(EXAMPLES / "node_modules")
    run("node", "-e", block(SENDING, "js", "xAdd"), redis_url=own_redis, NODE_PATH=modules)
    assert placed(own_redis) == [example()]


def test_the_celery_example_sends_a_task_of_the_worker(own_redis: str) -> None:
    run(sys.executable, "-c", block(SENDING, "python", "send_task"), redis_url=own_redis)
    with redis.Redis.from_url(own_redis, decode_responses=True) as client:
        sent: list[Any] = client.lrange("osync:orders", 0, -1)
    (envelope,) = [json.loads(each) for each in sent]
    assert envelope["headers"]["task"] == "orders.receive"
    arguments, *_ = json.loads(b64decode(envelope["body"]))
    assert arguments == [json.loads(EXAMPLE.read_text())]


async def run_against(app: ASGIApp, script: str, **variables: str) -> str:
    """Run a script that calls a web app; return its output."""
    config = Config(app, **OPTIONS)
    made = partial(LimitedProtocol, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    environment = {**os.environ, "ORDER_SYNC_WEB_ADDRESS": f"{host}:{port}", **variables}
    process = await asyncio.create_subprocess_exec("sh", "-c", script, env=environment, stdout=subprocess.PIPE)
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate()
    server.close()
    return output.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_curl_example_places_reads_and_cancels_the_order(make_edge: Callable[..., Edge]) -> None:
    edge = make_edge(API_KEYS__PLATFORM="k" * 32)
    script = block(SENDING, "sh", "order()")
    output = edge.run(run_against(edge.web, script, ORDER_SYNC_API_KEYS__PLATFORM="k" * 32))
    placed, state, cancelled = json.loads(f"[{output.replace('}{', '},{')}]")
    assert (state["order_id"], state["status"], cancelled) == ("2011", "queued", placed)
    (delivery,) = edge.container.database.read(deliveries.find, placed["delivery_id"])
    assert (delivery.order, delivery.status) == (example().data, DeliveryStatus.CANCELLED)


def test_the_fetch_example_places_the_order(make_edge: Callable[..., Edge]) -> None:
    require(NODE)
    edge = make_edge(API_KEYS__PLATFORM="k" * 32)
    script = f"node - <<'END'\n{block(SENDING, 'js', 'fetch(')}END\n"
    output = edge.run(run_against(edge.web, script, ORDER_SYNC_API_KEYS__PLATFORM="k" * 32))
    status, _, answer = output.partition(" ")
    (delivery,) = edge.container.database.read(deliveries.find, json.loads(answer)["delivery_id"])
    assert (status, delivery.order) == ("202", example().data)


def test_the_example_of_json_schema_accepts_events_and_checks_their_times(tmp_path: Path) -> None:
    script = block(SUBSCRIBING, "python", "jsonschema").replace("docs/schemas", str(ROOT / "docs" / "schemas"))
    sample = json.loads((ROOT / "schemas" / "samples.json").read_text())["events"][0]["document"]
    for time, fails in ((sample["time"], False), ("yesterday", True)):
        (tmp_path / "event.json").write_text(json.dumps({**sample, "time": time}))
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (ran.returncode != 0, "'yesterday' is not a 'date-time'" in ran.stderr) == (fails, fails)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_examples_of_curl_and_python_read_the_events_of_an_order(
    make_edge: Callable[..., Edge], tmp_path: Path
) -> None:
    edge = make_edge(API_KEYS__PLATFORM="k" * 32)
    edge.run(run_against(edge.web, block(SENDING, "sh", "order()"), ORDER_SYNC_API_KEYS__PLATFORM="k" * 32))
    script = block(PULLING, "sh", "read_events()").replace("after=4711&wait=30", "after=now&wait=0")
    output = edge.run(run_against(edge.web, script, ORDER_SYNC_API_KEYS__PLATFORM="k" * 32))
    reader = (
        block(PULLING, "python", "cursor").replace("while True:", "for _ in range(2):").replace("wait=30", "wait=0")
    )
    printed = edge.run(
        run_against(
            edge.web,
            f"cd {tmp_path} && {sys.executable} - <<'END'\n{reader}END\n",
            ORDER_SYNC_API_KEYS__PLATFORM="k" * 32,
        )
    )
    first, then = json.loads(f"[{output.replace('}{', '},{')}]")
    assert [each["data"]["status"] for each in first["events"]] == ["queued", "cancelled"]
    assert then == {"events": [], "next": first["next"]}
    assert printed.splitlines() == [f"2011 delivery.status_changed {status}" for status in ("queued", "cancelled")]


PIPE = 1_000_000
"""More bytes than a pipe holds: who writes a line of this length waits for its reader."""


PROGRAMS = {"python": ([sys.executable, "-c"], "xreadgroup"), "js": (["node", "-e"], "xReadGroup")}
"""How the shortest subscriber of each language runs, and what marks it in the page."""


@pytest.fixture(params=PROGRAMS)
def listener(request: pytest.FixtureRequest, own_redis: str) -> "Listener":
    if request.param == "js":
        require(NODE)
    return Listener(own_redis, request.param)


class Listener:
    """The shortest subscriber as it stands in the page, on a server of its own."""

    def __init__(self, url: str, language: str) -> None:
        self.bus, self.count = bus_at(url), 0
        run, marker = PROGRAMS[language]
        self.command = [*run, block(SUBSCRIBING, language, marker)]
        self.environment = {**os.environ, "ORDER_SYNC_REDIS_URL": url, "NODE_PATH": str(EXAMPLES / "node_modules")}
        (waits,) = re.findall(r"(?i)block[=:] ?(\d+)", self.command[-1])
        self.block_seconds = int(waits) / 1000
        self.client = redis.Redis.from_url(url, decode_responses=True)

    def publish(self, *subjects: str) -> None:
        """Publish an event about each subject: one delivery's, in its order."""
        for subject in subjects:
            self.count += 1
            event: dict[str, Any] = {"subject": subject, "type": "delivery.updated", "partitionkey": "key"}
            event |= {"sequence": f"{self.count:010}", "data": {"status": "created", "sequence": self.count}}
            outgoing = OutgoingEvent(self.count, "key", self.count, json.dumps(event))
            self.bus.publisher.publish("database", [outgoing], self.bus.last_id())

    def run(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(self.command, env=self.environment, stdout=subprocess.PIPE, text=True)

    def wait_until_pending(self, count: int, process: "subprocess.Popen[str]") -> None:
        """Wait until this many entries are read and not acknowledged; fail when the reader ends."""
        while self.pending() != count:
            stays_alive(process, 0.05)

    def pending(self) -> int:
        groups: Any = self.client.xinfo_groups("deliveries")
        return sum(int(group["pending"]) for group in groups if group["name"] == "kitchen-screen")


def stays_alive(process: "subprocess.Popen[str]", seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


def lines(process: "subprocess.Popen[str]", count: int) -> list[list[str]]:
    assert process.stdout
    return [process.stdout.readline().split() for _ in range(count)]


@pytest.mark.fault("F-83")
def test_the_listening_example_survives_a_crash_and_an_idle_time_and_prints_every_event(own_redis: str) -> None:
    listener = Listener(own_redis, "python")  # Node writes to a pipe without waiting, so it cannot be held
    listener.publish("x" * PIPE, *(str(number) for number in range(2, 11)))
    with listener.run() as crashed:
        listener.wait_until_pending(10, crashed)  # it has read all of them, and still prints the first
        crashed.kill()
    with listener.run() as restarted:
        printed = lines(restarted, 10)
        assert [(kind, status, sequence) for _, kind, status, sequence in printed] == [
            ("delivery.updated", "created", str(number)) for number in range(1, 11)
        ]
        listener.wait_until_pending(0, restarted)
        stays_alive(restarted, 1.5 * listener.block_seconds)
        listener.publish("11")
        assert lines(restarted, 1) == [["11", "delivery.updated", "created", "11"]]
        restarted.kill()


@pytest.mark.fault("F-83")
def test_the_listening_example_ignores_an_event_that_it_has_handled(listener: "Listener") -> None:
    listener.publish("1", "2")
    ((_, repeated), _) = cast("Any", listener.client.xrange("deliveries"))
    listener.client.xadd("deliveries", repeated)
    listener.publish("3")
    with listener.run() as process:
        assert [line[0] for line in lines(process, 3)] == ["1", "2", "3"]
        listener.wait_until_pending(0, process)
        process.kill()


def test_the_example_is_a_valid_message_of_the_bus() -> None:
    entry = Entry("1-0", EXAMPLE.read_bytes())
    assert read_message(entry.document).type == "order.placed"


# --- RabbitMQ ---


def test_the_python_example_for_rabbitmq_places_the_order(rabbitmq_url: str) -> None:
    server = RabbitServer(rabbitmq_url)
    text = block(RABBITMQ, "python", "kombu").replace('routing_key="orders"', f'routing_key="{server.bus.orders}"')
    run(sys.executable, "-c", text, redis_url="", ORDER_SYNC_BUS_URL=rabbitmq_url)
    (entry,) = read_all(server.bus, 1)
    assert (read_message(entry.document), entry.id.partition("-")[0]) == (example(), "1795282800000")
    server.remove()
