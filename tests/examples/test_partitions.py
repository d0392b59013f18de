"""The readers of partitions handle every event once and in the order of its delivery, whatever fails or changes."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, cast
from zlib import crc32

import pytest

from tests.database.samples import place
from tests.examples.conftest import BLOCKED, SECONDS, Subscription
from tests.examples.languages import EXAMPLES, NODE, PHP, PYTHON, RUBY, Language, require
from tests.examples.test_subscribers import events_of_all_deliveries
from tests.services.test_relay import RelayHarness, interrupt

pytestmark = pytest.mark.long


def start(subscription: Subscription, partitions: int) -> list[str]:
    """Start a reader of each partition; return the names of the readers."""
    names = [f"{each}-of-{partitions}" for each in range(partitions)]
    for each, name in enumerate(names):
        subscription.start(name, f"{each}/{partitions}")
    return names


def stop(subscription: Subscription, partitions: int) -> None:
    """Kill the readers of all partitions in the middle of their work, and remove their groups."""
    for each in range(partitions):
        subscription.kill(f"{each}-of-{partitions}")
        subscription.client.xgroup_destroy("deliveries", f"kitchen-screen.{each}-of-{partitions}")


def by_delivery(subscription: Subscription) -> dict[str, list[int]]:
    """Return the sequences that were handled of each delivery, in the order in which they were handled."""
    found: dict[str, list[int]] = {}
    for delivery, sequence in subscription.handled():
        found.setdefault(delivery, []).append(sequence)
    return found


def readers(subscription: Subscription) -> set[tuple[str, str]]:
    """Return the deliveries and the readers that have handled an event of them."""
    return set(subscription.store.execute("SELECT DISTINCT delivery_id, reader FROM handled"))


@pytest.mark.fault("F-83")
def test_a_partition_has_one_working_reader_and_another_goes_on_when_it_is_killed(subscription: Subscription) -> None:
    names = start(subscription, 3)
    subscription.start("1-of-3-spare", "1/3")
    subscription.publish(*events_of_all_deliveries(1, 2))
    subscription.until(subscription.is_done)
    with subscription.store.transaction():
        subscription.store.execute("LOCK TABLE handled IN EXCLUSIVE MODE")
        subscription.publish(*events_of_all_deliveries(3, 5))
        subscription.until(lambda: len(subscription.store.execute(BLOCKED).fetchall()) == len(names))
        (oldest,) = cast("Any", subscription.client.xpending_range("deliveries", "kitchen-screen.1-of-3", "-", "+", 1))
        subscription.kill(oldest["consumer"])
    subscription.publish(*events_of_all_deliveries(6, 8))
    subscription.until(subscription.is_done)

    assert by_delivery(subscription) == {f"delivery-{number}": list(range(1, 9)) for number in range(30)}
    wrong = {
        (delivery, reader)
        for delivery, reader in readers(subscription)
        if not reader.startswith(f"{crc32(delivery.encode()) % 3}-of-3")
    }
    assert wrong == set()


@pytest.fixture
def harness(subscription: Subscription, sqlite_url: str) -> Iterator[RelayHarness]:
    """Give the relay that publishes on the bus of the subscription."""
    relays = RelayHarness(sqlite_url)
    with relays.move_to(subscription.redis_url):
        yield relays
    relays.database.close()


def under_load(harness: RelayHarness, deliveries: list[str], condition: Callable[[], bool]) -> Callable[[], bool]:
    """Return a condition that publishes events of all deliveries whenever it is evaluated.

    Every third relay is killed between publishing and marking.
    """
    rounds = count(1)

    def evaluate() -> bool:
        harness.add_events(*deliveries)
        if next(rounds) % 3 == 0:
            restore = interrupt(harness, dies=True)
            with suppress(KeyboardInterrupt):
                harness.relay()
            restore()
        harness.relay()
        return condition()

    return evaluate


@pytest.mark.fault("F-83")
@pytest.mark.parametrize("subscription", [PYTHON, NODE], indirect=True, ids=["python", "node"])
def test_no_event_is_lost_or_overtaken_when_the_number_of_partitions_changes_under_load(
    subscription: Subscription, harness: RelayHarness
) -> None:
    ids = place(harness.database, *(str(number) for number in range(20)))

    def until(condition: Callable[[], bool]) -> None:
        subscription.until(under_load(harness, ids, condition))

    def begun() -> bool:
        groups: Any = subscription.client.xinfo_groups("deliveries")
        return all(group["last-delivered-id"] != "0-0" for group in groups)

    def have_worked(names: list[str]) -> bool:
        return {reader for _, reader in readers(subscription)} >= set(names)

    two = start(subscription, 2)
    until(lambda: have_worked(two))
    subscription.client.delete("deliveries")
    handled = len(subscription.handled())
    until(lambda: len(subscription.handled()) > handled + len(ids))
    four = start(subscription, 4)
    until(lambda: len(subscription.client.xinfo_groups("deliveries")) == 6 and begun())  # both sets of readers work
    stop(subscription, 2)
    until(lambda: have_worked(four))
    one = start(subscription, 1)
    until(lambda: len(subscription.client.xinfo_groups("deliveries")) == 5 and begun())
    stop(subscription, 4)
    until(lambda: have_worked(one))
    subscription.until(subscription.is_done)

    expected: dict[str, list[int]] = {}
    for event in map(json.loads, harness.outbox()):
        expected.setdefault(event["partitionkey"], []).append(event["data"]["sequence"])
    assert by_delivery(subscription) == expected


def test_the_events_of_a_partition_without_a_reader_wait_for_one(subscription: Subscription) -> None:
    subscription.start("0-of-2", "0/2")
    subscription.publish(*events_of_all_deliveries(1, 1))
    subscription.until(lambda: {reader for _, reader in readers(subscription)} == {"0-of-2"})
    subscription.bus.trim(0)
    subscription.start("1-of-2", "1/2")
    subscription.until(subscription.is_done)
    assert by_delivery(subscription) == {f"delivery-{number}": [1] for number in range(30)}


@pytest.mark.parametrize("language", [PYTHON, NODE, PHP, RUBY], ids=lambda each: each.command)
@pytest.mark.parametrize("partition", ["4/4", "-1/4", "0/0"])
def test_a_reader_of_a_partition_that_does_not_exist_ends_at_once(language: Language, partition: str) -> None:
    require(language)
    addresses = {"ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0", "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    command = [language.command, str(EXAMPLES / language.script), "one", partition]
    environment = {**os.environ, **addresses}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (ended.returncode, ended.stderr) == (1, "the partitions of four are 0/4, 1/4, 2/4 and 3/4\n")
