"""The commands and examples of README.md work."""

import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from typer.main import get_command

from schemas.messages import Message, read_message
from worker.bus.streams import Bus, Entry
from worker.cli import app
from worker.domain.delivery import OutgoingEvent

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "docs" / "order-placed.json"
URL = "redis://127.0.0.1:6379/0"
SECONDS = 300
"""How long an example may take, however loaded the machine is."""


def block(language: str, marker: str) -> str:
    """Return the one fenced block of a language that contains a marker."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (found,) = [each for each in blocks if marker in each]
    assert URL in found
    return str(found)


def run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True, timeout=SECONDS, capture_output=True)


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
    run(sys.executable, "-c", block("python", "xadd").replace(URL, own_redis))
    assert placed(own_redis) == [example()]


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="there is no redis-cli here")
def test_the_redis_cli_example_places_the_order(own_redis: str) -> None:
    line = next(line for line in block("sh", "XADD").splitlines() if line.startswith("redis-cli"))
    run("sh", "-c", line.replace(URL, own_redis))
    assert placed(own_redis) == [example()]


def node_has_ioredis() -> bool:
    command = ["node", "-e", 'require("ioredis")']
    return bool(shutil.which("node")) and not subprocess.run(command, capture_output=True, check=False).returncode


def test_the_node_example_places_the_order(own_redis: str) -> None:
    if not node_has_ioredis():
        pytest.skip("there is no node with ioredis here")
    run("node", "-e", block("js", "xadd").replace(URL, own_redis))
    assert placed(own_redis) == [example()]


def test_the_celery_example_sends_a_task_of_the_worker(own_redis: str) -> None:
    run(sys.executable, "-c", block("python", "send_task").replace(URL, own_redis))
    with redis.Redis.from_url(own_redis, decode_responses=True) as client:
        sent: list[Any] = client.lrange("osync:orders", 0, -1)
    (envelope,) = [json.loads(each) for each in sent]
    assert envelope["headers"]["task"] == "orders.receive"
    arguments, *_ = json.loads(b64decode(envelope["body"]))
    assert arguments == [json.loads(EXAMPLE.read_text())]


def test_the_listening_example_prints_each_event_and_acknowledges_it(own_redis: str) -> None:
    events = [
        {"subject": "2011", "type": "delivery.updated", "data": {"status": status}, "sequence": "1"} for status in "ab"
    ]
    bus = bus_at(own_redis)
    outgoing = [OutgoingEvent(n, "key", n, json.dumps(event)) for n, event in enumerate(events, 1)]
    bus.publisher.publish("database", outgoing, "")
    script = block("python", "xreadgroup").replace(URL, own_redis)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as listener:
        assert listener.stdout
        printed = [listener.stdout.readline(), listener.stdout.readline()]
        listener.kill()
    with redis.Redis.from_url(own_redis, decode_responses=True) as client:
        pending: Any = client.xpending_range("deliveries", "kitchen-screen", "-", "+", 10)
        ((first, _), _) = cast("Any", client.xrange("deliveries"))
    assert printed == ["2011 delivery.updated a 1\n", "2011 delivery.updated b 1\n"]
    assert first not in [each["message_id"] for each in pending]


@pytest.mark.parametrize("line", [line for line in README.splitlines() if line.startswith("order-sync ")])
def test_every_command_of_the_readme_exists(line: str) -> None:
    arguments = line.split("#", maxsplit=1)[0].split()[1:]
    command = get_command(app)
    known = getattr(command, "commands", {})
    assert arguments[0] in known
    options = {option for parameter in known[arguments[0]].params for option in parameter.opts}
    assert [text for text in arguments if text.startswith("--") and text not in options] == []


def test_every_relative_link_of_the_pages_has_a_target() -> None:
    pages = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    links = [(page, target) for page in pages for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())]
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


def test_the_example_is_a_valid_message_of_the_bus() -> None:
    entry = Entry("1-0", EXAMPLE.read_bytes())
    assert read_message(entry.document).type == "order.placed"
