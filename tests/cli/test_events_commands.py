"""`order-sync events replay`."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from tests.cli.commands import CommandLine, Result
from tests.database.samples import rows
from tests.database.test_outbox import tell
from tests.web.edge import NOW
from worker.container import Container
from worker.database import deliveries


@pytest.fixture
def published(
    command_line: CommandLine, redis_url: str, prefix: str, bus_entries: Callable[[], list[Any]], delivery: str
) -> Iterator[Callable[[], list[str]]]:
    """Publish the events of the delivery, and give a function that reads what is on the bus."""
    assert (command_line("trim").code, bus_entries(), bool(delivery)) == (0, [], True)
    with redis.Redis.from_url(redis_url) as client:
        yield lambda: [fields[b"event"].decode() for _, fields in client.xrange(f"{prefix}deliveries")]
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


def test_the_events_of_an_order_are_published_again(
    command_line: CommandLine, published: Callable[[], list[str]], container: Container
) -> None:
    container.relay.publish()
    (event,) = published()
    result = command_line("events", "replay", "--order", "2011", "--by", "maria", "--reason", "the screen was down")
    assert (result, published()) == (Result(0, "1 event is published again\n", ""), [event, event])
    (action,) = rows(container.database, "operator_action")
    assert (action["operator"], action["action"], action["reason"], action["subject"]) == (
        "maria", "events replay", "the screen was down", "order 2011",
    )  # fmt: skip


def test_recorded_events_are_json_with_and_without_the_option(command_line: CommandLine, delivery: str) -> None:
    plain = command_line("events", "--order", "2011")
    assert command_line("events", "--order", "2011", "--json") == plain
    assert [each["data"]["delivery_id"] for each in plain.documents] == [delivery]


def test_the_events_since_a_time_are_published_again(
    command_line: CommandLine, published: Callable[[], list[str]], container: Container
) -> None:
    container.relay.publish()
    since = (NOW - timedelta(minutes=1)).isoformat()
    assert command_line("events", "replay", "--since", since, "--until", NOW.isoformat(), "--json").documents == [
        {"published": 0}
    ]
    assert command_line("events", "replay", "--since", since, "--json").documents == [{"published": 1}]
    assert [json.loads(each)["subject"] for each in published()] == ["2011"] * 2


@pytest.mark.usefixtures("published")
def test_many_events_are_published_again_only_after_a_question(
    command_line: CommandLine, container: Container, delivery: str
) -> None:
    for _ in range(100):
        container.database.persist(deliveries.update, [delivery], tell)
    result = command_line("events", "replay", "--order", "2011")
    question = "101 events are published again, and every consumer group reads them."
    assert result == Result(2, "", f"order-sync: {question} Write --yes if you are sure\n")
    assert rows(container.database, "operator_action") == []
    assert command_line("events", "replay", "--order", "2011", "--yes").lines == ["101 events are published again"]


def test_a_replay_names_its_events(command_line: CommandLine) -> None:
    assert command_line("events", "replay") == Result(
        2, "", "order-sync: write --order ID, or --since TIME, perhaps with --until TIME\n"
    )


@pytest.mark.usefixtures("delivery")
def test_a_replay_without_a_bus_is_reported_with_advice(command_line: CommandLine) -> None:
    result = command_line("events", "replay", "--order", "2011")
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "check ORDER_SYNC_REDIS_URL and ORDER_SYNC_BUS_URL" in result.err
