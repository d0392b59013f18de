"""On RabbitMQ, readers of partitions handle every event once and in order, also when their number changes."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from amqp.exceptions import NotFound

from tests.bus.servers import RabbitServer
from tests.bus.test_conformance import publish
from tests.conftest import new_database
from tests.examples.conftest import SECONDS
from tests.examples.test_amqp_subscriber import SCRIPT, Kitchen
from tests.examples.test_subscribers import event

pytestmark = pytest.mark.long

DELIVERIES = [f"delivery-{number}" for number in range(30)]


class Partitions:
    """Readers of partitions, and events that are published while the tests wait."""

    def __init__(self, kitchen: Kitchen) -> None:
        self.kitchen, self._next = kitchen, count(1)
        self.sequence = 0
        self.readers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, partitions: int) -> None:
        for partition in (f"{each}/{partitions}" for each in range(partitions)):
            self.readers[partition] = self.kitchen.run(partition)

    def declare(self, partitions: int) -> None:
        assert self.kitchen.run(f"0/{partitions}", "--declare").wait(SECONDS) == 0

    def kill(self, partition: str) -> None:
        reader = self.readers.pop(partition)
        reader.kill()
        reader.wait()

    def publish(self) -> None:
        self.sequence = next(self._next)
        publish(self.kitchen.server.bus, *(event(delivery, self.sequence) for delivery in DELIVERIES))

    def until(self, done: Callable[[], bool], *, load: bool = False) -> None:
        deadline = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < deadline, self.kitchen.log.read_text()
            assert [each.poll() for each in self.readers.values()] == [None] * len(self.readers)
            if load:
                self.publish()
            else:
                time.sleep(0.05)

    def by_delivery(self) -> dict[str, list[int]]:
        handled = self.kitchen.handled()
        return {delivery: [number for name, number in handled if name == delivery] for delivery in DELIVERIES}

    def all_handled(self) -> bool:
        return len(self.kitchen.handled()) == len(DELIVERIES) * self.sequence

    def remove_exchange(self, partitions: int) -> None:
        with self.kitchen.server.connection.channel() as channel:
            channel.exchange_delete(f"{self.kitchen.queue}.of-{partitions}")

    def remove(self) -> None:
        """Stop the readers, and delete what they have declared."""
        for partition in list(self.readers):
            self.kill(partition)
        names = [f"{self.kitchen.queue}.{each}-of-{number}" for number in (2, 4) for each in range(number)]
        with self.kitchen.server.connection.channel() as channel:
            for name in (*names, f"{self.kitchen.queue}.failed"):
                channel.queue_delete(name)
            channel.exchange_delete(f"{self.kitchen.queue}.failed")
        for number in (2, 4):
            self.remove_exchange(number)


@pytest.fixture
def partitions(tmp_path: Path, rabbitmq_url: str, postgres_server: str) -> Iterator[Partitions]:
    server = RabbitServer(rabbitmq_url)
    with new_database(postgres_server) as database:
        made = Partitions(Kitchen(tmp_path, server, database))
        yield made
        made.remove()
        made.kitchen.store.close()
    server.remove()


@pytest.mark.fault("F-83")
def test_no_event_is_lost_or_overtaken_when_readers_die_and_the_number_of_partitions_changes(
    partitions: Partitions,
) -> None:
    partitions.declare(2)
    partitions.publish()
    partitions.start(2)
    partitions.until(lambda: len(partitions.kitchen.handled()) > 100, load=True)
    partitions.kill("0/2")
    partitions.readers["0/2"] = partitions.kitchen.run("0/2")

    partitions.declare(4)
    handled = len(partitions.kitchen.handled())
    partitions.until(lambda: len(partitions.kitchen.handled()) > handled + 100, load=True)
    partitions.remove_exchange(2)  # from now on, only the new queues get events
    partitions.until(partitions.all_handled)
    partitions.publish()
    for each in ("0/2", "1/2"):
        partitions.kill(each)
    partitions.start(4)
    handled = len(partitions.kitchen.handled())
    partitions.until(lambda: len(partitions.kitchen.handled()) > handled + 100, load=True)
    partitions.until(partitions.all_handled)

    expected = list(range(1, partitions.sequence + 1))
    assert partitions.by_delivery() == dict.fromkeys(DELIVERIES, expected)


def test_a_reader_of_a_number_of_partitions_that_was_not_declared_reads_nothing(partitions: Partitions) -> None:
    partitions.declare(2)
    reader = partitions.kitchen.run("0/4")
    partitions.publish()
    partitions.until(lambda: f"no exchange '{partitions.kitchen.queue}.of-4'" in partitions.kitchen.log.read_text())
    reader.kill()
    reader.wait()
    partitions.start(2)
    partitions.until(partitions.all_handled)
    with partitions.kitchen.server.connection.channel() as channel, pytest.raises(NotFound):
        channel.queue_declare(f"{partitions.kitchen.queue}.0-of-4", passive=True)


@pytest.mark.parametrize("partition", ["4/4", "-1/4", "0/61"])
def test_a_reader_of_a_partition_that_does_not_exist_ends_at_once(partition: str) -> None:
    ended = subprocess.run([sys.executable, SCRIPT, partition], capture_output=True, text=True, check=False)
    message = "the partitions of four are 0/4, 1/4, 2/4 and 3/4; 60 is the most\n"
    assert (ended.returncode, ended.stderr) == (1, message)
