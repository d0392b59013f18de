"""Stored events are published again in their order, beside the relay, and nothing is published wrongly afterwards."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import fakeredis
import pytest
import redis

from tests.database.samples import NOW, place, rows
from tests.services.test_relay import RelayHarness, stream
from worker.bus.streams import Bus
from worker.database import accounts, leases, outbox
from worker.domain.operator import Operator
from worker.enqueue import SingleFlight
from worker.services.relay import LEASE
from worker.services.replays import BATCH, NotPublished, Replays

MARIA = Operator("maria", "the screen was down")


@pytest.fixture
def harness(sqlite_url: str) -> Iterator[RelayHarness]:
    harness = RelayHarness(sqlite_url)
    yield harness
    harness.database.close()


@pytest.fixture
def bus(harness: RelayHarness) -> redis.Redis:
    client = fakeredis.FakeRedis()
    harness.container.bus = Bus(client, orders="orders", events="deliveries")
    return client


def replays(harness: RelayHarness) -> Replays:
    return harness.container.replays


def published(harness: RelayHarness, count: int) -> tuple[str, str]:
    """Publish so many events of two orders in turn; return their keys."""
    one, two = place(harness.database, "1", "2")
    for number in range(count - 2):
        harness.add_events((one, two)[number % 2])
    harness.relay()
    return one, two


def test_the_events_of_an_order_are_published_again_as_they_were(harness: RelayHarness, bus: redis.Redis) -> None:
    one, _ = published(harness, 6)
    events = harness.outbox()
    chosen = replays(harness).choose("1")
    assert replays(harness).count(chosen) == 3
    assert list(replays(harness).to_bus(chosen, MARIA, "order 1")) == [3]
    assert stream(bus) == [*events, *(each for each in events if json.loads(each)["partitionkey"] == one)]


def test_after_a_replay_new_events_are_published_once_and_nothing_counts_as_lost(
    harness: RelayHarness, bus: redis.Redis
) -> None:
    one, two = published(harness, 6)
    list(replays(harness).to_bus(replays(harness).choose("1"), MARIA, "order 1"))
    before = stream(bus)
    harness.relay()
    harness.another_relay().publish()
    assert stream(bus) == before
    harness.add_events(one, two)
    harness.relay()
    harness.relay()
    assert stream(bus) == [*before, *harness.outbox()[-2:]]
    assert accounts.EVERY_ACCOUNT not in harness.database.read(accounts.paused)
    newest = bus.xrevrange("deliveries", count=1)[0][0].decode().partition("-")  # type: ignore[union-attr,index]
    assert harness.database.read(outbox.newest_stream_id) == f"{newest[0]:0>13}-{newest[2]:0>10}"


def test_a_bus_that_is_emptied_after_a_replay_gets_every_event_once(harness: RelayHarness, bus: redis.Redis) -> None:
    published(harness, 6)
    list(replays(harness).to_bus(replays(harness).choose("1"), MARIA, "order 1"))
    bus.delete("deliveries")
    harness.relay()
    assert stream(bus) == harness.outbox()


def test_events_between_two_times_are_published_again(harness: RelayHarness, bus: redis.Redis) -> None:
    published(harness, 4)
    first, *_ = harness.outbox()
    later = replace(replays(harness))
    assert later.count(later.choose(since=NOW - timedelta(seconds=1))) == 4
    assert later.count(later.choose(since=NOW - timedelta(days=1), until=NOW)) == 0
    assert later.count(later.choose(since=NOW + timedelta(seconds=1))) == 0
    harness.add_events(json.loads(first)["partitionkey"])
    chosen = later.choose(since=NOW)
    harness.relay()
    assert list(later.to_bus(chosen, MARIA, "since then")) == [5]
    assert stream(bus) == harness.outbox() * 2


def test_events_that_wait_are_published_in_their_order(harness: RelayHarness, bus: redis.Redis) -> None:
    one, _ = published(harness, 4)
    harness.add_events(one)
    list(replays(harness).to_bus(replays(harness).choose("1"), MARIA, "order 1"))
    of_one = [json.loads(each)["data"]["sequence"] for each in stream(bus)[4:]]
    assert of_one == [1, 2, 3]


def test_new_events_are_published_between_the_batches(harness: RelayHarness, bus: redis.Redis) -> None:
    one, two = published(harness, BATCH + 10)
    work = replays(harness).to_bus(replays(harness).choose(since=NOW), MARIA, "since then")
    assert next(work) == BATCH
    harness.add_events(one)
    assert list(work) == [10]
    new = harness.outbox()[-1]
    assert stream(bus).index(new) in range(BATCH + 10 + BATCH, 2 * BATCH + 21)
    assert (stream(bus).count(new), len(stream(bus))) == (1, 2 * (BATCH + 10) + 1)
    sequences: dict[str, list[int]] = defaultdict(list)
    for each in stream(bus)[BATCH + 10 :]:
        event = json.loads(each)
        sequences[event["partitionkey"]].append(event["data"]["sequence"])
    assert {key: sequences[key] == sorted(sequences[key]) for key in (one, two)} == {one: True, two: True}


def test_a_replay_waits_for_a_relay_that_publishes(harness: RelayHarness, bus: redis.Redis) -> None:
    published(harness, 4)
    assert harness.database.write(leases.take, LEASE, "another", NOW, 10)
    waits = []

    def pause(seconds: float) -> None:
        waits.append((seconds, len(stream(bus))))
        harness.database.write(leases.drop, LEASE, "another")

    replay = replace(replays(harness), pause=pause)
    assert list(replay.to_bus(replay.choose("1"), MARIA, "order 1")) == [2]
    assert (waits, len(stream(bus))) == ([(0.1, 4)], 6)


def test_a_replay_that_another_relay_finishes_is_not_repeated(harness: RelayHarness, bus: redis.Redis) -> None:
    published(harness, 4)
    busy = replace(harness.container.relay, single_flight=Refusing())
    replay = replace(replays(harness), relay=busy, pause=lambda _: harness.another_relay().publish())
    assert list(replay.to_bus(replay.choose("1"), MARIA, "order 1")) == [2]
    assert len(stream(bus)) == 6


class Refusing(SingleFlight):
    """A process whose relay never runs."""

    def run(self, _work: object) -> None:
        pass


def test_a_bus_that_takes_no_events_ends_the_replay_and_the_relay_finishes_the_batch(
    harness: RelayHarness, bus: redis.Redis
) -> None:
    published(harness, 4)
    stuck = replace(replays(harness), relay=replace(harness.container.relay, single_flight=Refusing()))
    stuck = replace(stuck, pause=lambda _: None)
    with pytest.raises(NotPublished, match="2 events are not published: the bus is not reachable or refuses them"):
        list(stuck.to_bus(stuck.choose("1"), MARIA, "order 1"))
    harness.relay()
    assert len(stream(bus)) == 6


@pytest.mark.usefixtures("bus")
def test_a_replay_is_recorded_with_its_operator_and_reason(harness: RelayHarness) -> None:
    published(harness, 4)
    list(replays(harness).to_bus(replays(harness).choose("1"), MARIA, "order 1"))
    (action,) = rows(harness.database, "operator_action")
    recorded = {key: action[key] for key in ("operator", "action", "reason", "delivery_id", "subject")}
    assert recorded == {
        "operator": "maria", "action": "events replay", "reason": "the screen was down", "delivery_id": None,
        "subject": "order 1",
    }  # fmt: skip
