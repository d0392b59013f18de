"""The subscriber on RabbitMQ handles every event, in the order of its delivery, whatever ends it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.bus.servers import RabbitServer
from tests.bus.test_conformance import publish
from tests.conftest import new_database
from tests.examples.conftest import BLOCKED, RECORDS, SECONDS
from tests.examples.test_subscribers import event

SCRIPT = Path(__file__).parents[2] / "examples" / "amqp_subscriber.py"


class Kitchen:
    """The subscriber as a process on a queue and a database of its own."""

    def __init__(self, folder: Path, server: RabbitServer, database: str) -> None:
        self.server, self.store = server, psycopg.connect(database, autocommit=True)
        self.store.execute(RECORDS)
        self.queue = f"{server.prefix}kitchen"
        text = SCRIPT.read_text().replace('"deliveries", "kitchen-screen"', f'"{server.bus.events}", "{self.queue}"')
        self.script = folder / "subscriber.py"
        self.script.write_text(text.replace("TRIES, RETRY_SECONDS = 10, 5", "TRIES, RETRY_SECONDS = 3, 0"))
        self.environ = {**os.environ, "DATABASE_URL": database, "AMQP_URL": server.url}
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, str(self.script), *arguments]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)

    def start(self) -> None:
        self.process = self.run()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def handled(self) -> list[tuple[str, int]]:
        return list(self.store.execute("SELECT delivery_id, sequence FROM handled ORDER BY position"))

    def depth(self, queue: str) -> int:
        with self.server.connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    def close(self) -> None:
        self.kill()
        self.store.close()
        with self.server.connection.channel() as channel:
            for name in (self.queue, f"{self.queue}.failed"):
                channel.queue_delete(name)
            channel.exchange_delete(f"{self.queue}.failed")


@pytest.fixture
def kitchen(tmp_path: Path, rabbitmq_url: str, postgres_server: str) -> Iterator[Kitchen]:
    server = RabbitServer(rabbitmq_url)
    with new_database(postgres_server) as database:
        made = Kitchen(tmp_path, server, database)
        made.start()
        made.until(lambda: made.log.exists() and _declared(made))
        yield made
        made.close()
    server.remove()


def _declared(kitchen: Kitchen) -> bool:
    try:
        return kitchen.depth(kitchen.queue) == 0
    except Exception:  # noqa: BLE001 - the queue does not exist yet
        return False


def test_a_subscriber_that_is_killed_while_it_handles_an_event_handles_every_event_in_order(kitchen: Kitchen) -> None:
    publish(kitchen.server.bus, *(event(f"d{number}", 1) for number in range(10)))
    kitchen.until(lambda: len(kitchen.handled()) == 10)
    with psycopg.connect(kitchen.environ["DATABASE_URL"]) as blocker:
        blocker.execute("LOCK TABLE handled")
        publish(kitchen.server.bus, *(event(f"d{number}", sequence) for sequence in (2, 3) for number in range(10)))
        kitchen.until(lambda: bool(kitchen.store.execute(BLOCKED).fetchall()))
        kitchen.kill()
    kitchen.start()
    kitchen.until(lambda: len(kitchen.handled()) == 30)
    by_delivery = {name: [each for key, each in kitchen.handled() if key == name] for name, _ in kitchen.handled()}
    assert by_delivery == {f"d{number}": [1, 2, 3] for number in range(10)}


def test_an_event_that_always_fails_is_put_aside_and_the_others_go_on(kitchen: Kitchen) -> None:
    publish(kitchen.server.bus, event("broken", 1), event("broken", 2), event("whole", 1))
    kitchen.until(lambda: len(kitchen.handled()) == 2)
    kitchen.until(lambda: kitchen.depth(f"{kitchen.queue}.failed") == 1)
    assert sorted(kitchen.handled()) == [("broken", 1), ("whole", 1)]
