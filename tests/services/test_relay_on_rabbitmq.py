"""On RabbitMQ, every event reaches the stream in order, whatever dies, and the stream is compared with the outbox."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import delete

from tests.bus.servers import RabbitServer, StreamsServer
from tests.database.samples import place
from tests.services.test_relay import RelayHarness
from worker.addresses.amqp_url import AmqpUrl
from worker.bus import rabbitmq
from worker.database import accounts
from worker.database.connection import Connection
from worker.database.tables import EVENT, PUBLICATION
from worker.domain.delivery import OutgoingEvent


@pytest.fixture
def harness(sqlite_url: str, rabbit_server: RabbitServer) -> Iterator[RelayHarness]:
    relays = RelayHarness(sqlite_url, EVENTS_KEEP="4")
    relays.container.bus = rabbit_server.bus
    yield relays
    relays.database.close()


def stream(rabbit_server: RabbitServer) -> list[str]:
    return [document.decode() for document in rabbit_server.events()]


def first_occurrences(documents: Sequence[str]) -> dict[str, list[int]]:
    """Return the sequences of each key in the order in which they first came."""
    found: dict[str, list[int]] = {}
    for document in documents:
        event = json.loads(document)
        sequences = found.setdefault(event["partitionkey"], [])
        if int(event["sequence"]) not in sequences:
            sequences.append(int(event["sequence"]))
    return found


class Dying:
    """A publisher that dies after it has published a batch."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def publish(self, database: str, events: Sequence[OutgoingEvent], newest: str) -> Any:
        self._real.publish(database, events, newest)
        raise KeyboardInterrupt


def forget_newest_commits(connection: Connection, count: int) -> None:
    """Lose the newest events, as a fail-over to a standby that is behind does."""
    positions = [row.position for row in connection.execute(EVENT.select().order_by(EVENT.c.position.desc()))][:count]
    connection.execute(delete(PUBLICATION).where(PUBLICATION.c.position.in_(positions)))
    connection.execute(delete(EVENT).where(EVENT.c.position.in_(positions)))


def test_every_event_is_published_once_while_nothing_fails(harness: RelayHarness, rabbit_server: RabbitServer) -> None:
    one, two = place(harness.database, "1", "2")
    harness.relay()
    harness.add_events(two, one, one)
    harness.relay()
    harness.relay()
    assert sorted(stream(rabbit_server)) == sorted(harness.outbox())
    assert first_occurrences(stream(rabbit_server)) == {one: [1, 2, 3], two: [1, 2]}


@pytest.mark.fault("F-06", "F-57")
def test_events_of_a_relay_that_died_before_marking_them_come_again_and_stay_in_order(
    harness: RelayHarness, rabbit_server: RabbitServer
) -> None:
    one, two = place(harness.database, "1", "2")
    harness.add_events(one)
    publisher = rabbit_server.bus.publisher
    rabbit_server.bus.publisher = Dying(publisher)  # type: ignore[misc]
    with pytest.raises(KeyboardInterrupt):
        harness.relay()
    rabbit_server.bus.publisher = publisher  # type: ignore[misc]
    harness.add_events(two, one)
    harness.another_relay().publish()
    assert first_occurrences(stream(rabbit_server)) == {one: [1, 2, 3], two: [1, 2]}
    assert [each for each in harness.outbox() if stream(rabbit_server).count(each) == 2] == harness.outbox()[:3]


@pytest.mark.fault("F-13")
def test_a_stream_that_was_deleted_gets_the_newest_events_again(
    harness: RelayHarness, rabbit_server: RabbitServer
) -> None:
    one, two, _ = place(harness.database, "1", "2", "3")
    harness.add_events(two, one)
    harness.relay()
    rabbit_server.lose_events()
    harness.relay()
    assert sorted(stream(rabbit_server)) == sorted(harness.outbox()[-4:])


@pytest.mark.fault("F-95")
def test_a_database_that_lost_commits_is_noticed_and_the_sequence_goes_on(
    harness: RelayHarness, rabbit_server: RabbitServer
) -> None:
    one, _ = place(harness.database, "1", "2")
    harness.relay()
    harness.add_events(one)
    harness.relay()
    harness.database.write(forget_newest_commits, 1)
    harness.container.lost_commits.check()
    held = harness.database.read(accounts.paused)[accounts.EVERY_ACCOUNT]
    assert (held.by, held.because) == ("database", "events on the bus that the database has lost: 1")
    harness.add_events(one)
    harness.relay()
    assert json.loads(stream(rabbit_server)[-2])["sequence"] < json.loads(stream(rabbit_server)[-1])["sequence"]


def test_events_wait_while_rabbitmq_is_away(harness: RelayHarness, rabbit_server: RabbitServer) -> None:
    place(harness.database, "1")
    nowhere = AmqpUrl.parse("amqp://127.0.0.1:1").servers
    harness.container.bus = rabbitmq.Bus(nowhere, orders="orders", events="deliveries")
    harness.relay()
    harness.container.bus = rabbit_server.bus
    harness.relay()
    assert stream(rabbit_server) == harness.outbox()


@pytest.fixture
def streams_server(redis_url: str) -> Iterator[StreamsServer]:
    made = StreamsServer(redis_url)
    yield made
    made.remove()


def test_a_bus_to_which_a_deployment_moves_gets_the_newest_events_and_then_every_event(
    harness: RelayHarness, rabbit_server: RabbitServer, streams_server: StreamsServer
) -> None:
    one, two = place(harness.database, "1", "2")
    harness.container.bus = streams_server.bus
    harness.relay()
    harness.container.bus = rabbit_server.bus
    harness.add_events(one, two)
    harness.relay()
    assert sorted(stream(rabbit_server)) == sorted(harness.outbox()[-4:])
    harness.add_events(one)
    harness.relay()
    harness.container.bus = streams_server.bus
    harness.relay()
    assert sorted(each.decode() for each in streams_server.events()) == sorted(harness.outbox())
