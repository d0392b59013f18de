"""The relay publishes every event once and in order, whatever the bus loses and however many relays run."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from shutil import copy
from typing import Any, cast

import pytest
import redis

from tests.database.commits import lose_next_commit
from tests.database.samples import NOW, place
from tests.database.test_outbox import tell
from tests.services.containers import ReplaceableContainer
from worker.bus import streams
from worker.bus.publisher import Publisher
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.database import deliveries, leases, outbox
from worker.domain.delivery import OutgoingEvent
from worker.enqueue import SingleFlight
from worker.services import relay
from worker.services.relay import Relay

Embedded = Callable[..., AbstractContextManager[str]]


class RelayHarness:
    """A container with a database of events, and a bus that can be replaced."""

    def __init__(self, database: str, **environment: str) -> None:
        wanted = {"DATABASE_URL": database, "REDIS_URL": "redis://127.0.0.1:1/0", **environment}
        self.container = ReplaceableContainer(
            load({f"ORDER_SYNC_{key}": value for key, value in wanted.items()}), clock=lambda: NOW
        )
        self.database = self.container.database

    def move_to(self, url: str) -> redis.Redis:
        """Publish on this server from now on; return its client."""
        client = streams.connect(url)
        self.container.bus = Bus(client, orders="orders", events="deliveries")
        return client

    def add_events(self, *keys: str) -> None:
        """Add an event to each of these deliveries."""
        for key in keys:
            self.database.persist(deliveries.update, [key], tell)

    def relay(self) -> None:
        """Publish as a worker does."""
        self.container.relay.publish()

    def another_relay(self) -> Relay:
        """Return the relay of another process."""
        return replace(self.container.relay, single_flight=SingleFlight())

    def outbox(self) -> list[str]:
        """Return every event of the database."""
        return [body for _, body in self.database.read(outbox.events)]


@pytest.fixture
def harness(sqlite_url: str) -> Iterator[RelayHarness]:
    relays = RelayHarness(sqlite_url, EVENTS_KEEP="4")
    yield relays
    relays.database.close()


def stream(client: redis.Redis) -> list[str]:
    """Return the events on the bus."""
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange("deliveries"))
    return [fields[b"event"].decode() for _, fields in entries]


# --- a bus that loses events ---


def delete_the_stream(client: redis.Redis) -> None:
    client.delete("deliveries")


def flush(client: redis.Redis) -> None:
    client.flushall()


def trim_everything(client: redis.Redis) -> None:
    client.xtrim("deliveries", maxlen=0, approximate=False)


def delete_and_make_a_group(client: redis.Redis) -> None:
    client.delete("deliveries")
    client.xgroup_create("deliveries", "subscriber", id="0", mkstream=True)


EMPTIED = [delete_the_stream, flush, trim_everything, delete_and_make_a_group]


@pytest.mark.fault("F-13")
@pytest.mark.parametrize("lose", EMPTIED)
def test_an_emptied_bus_gets_the_newest_events_again(
    harness: RelayHarness, embedded_redis: Embedded, lose: Callable[[redis.Redis], None]
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        one, two, _ = place(harness.database, "1", "2", "3")
        harness.add_events(two, one)
        harness.relay()
        assert stream(client) == harness.outbox()
        lose(client)
        harness.relay()
        assert stream(client) == harness.outbox()[-4:]
        harness.add_events(one)
        harness.relay()
        harness.relay()
        assert stream(client) == harness.outbox()[-5:]


@pytest.mark.parametrize("lose", EMPTIED)
def test_new_events_are_published_after_the_lost_ones(
    harness: RelayHarness, embedded_redis: Embedded, lose: Callable[[redis.Redis], None]
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        one, two = place(harness.database, "1", "2")
        harness.relay()
        lose(client)
        harness.add_events(two, one)
        harness.relay()
        assert stream(client) == harness.outbox()


def test_events_that_a_subscriber_deletes_are_not_published_again(
    harness: RelayHarness, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        one, two = place(harness.database, "1", "2")
        harness.relay()
        for identity, _ in cast("list[tuple[bytes, object]]", client.xrange("deliveries")):
            client.xdel("deliveries", identity)
        harness.relay()
        assert stream(client) == []
        harness.add_events(two, one)
        harness.relay()
        assert stream(client) == harness.outbox()[2:]
        client.delete("deliveries")
        harness.relay()
        assert stream(client) == harness.outbox()


@pytest.mark.fault("F-20")
def test_exactly_the_lost_events_are_published_again_on_a_bus_restored_from_an_older_copy(
    harness: RelayHarness, embedded_redis: Embedded, tmp_path: Path
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        one, two, three = place(harness.database, "1", "2", "3")
        harness.relay()
        before = client.xrange("deliveries")
        client.save()
        copy(tmp_path / "dump.rdb", tmp_path / "older.rdb")
        harness.add_events(two, one, two, three, one, two)  # more than EVENTS_KEEP: every lost event is published again
        harness.relay()
        assert stream(client) == harness.outbox()
    copy(tmp_path / "older.rdb", tmp_path / "dump.rdb")
    with embedded_redis() as url, harness.move_to(url) as client:
        assert client.xrange("deliveries") == before
        harness.relay()
        assert (client.xrange("deliveries", count=3), stream(client)) == (before, harness.outbox())


@pytest.mark.fault("F-12")
def test_a_bus_that_restarts_empty_gets_the_newest_events_again(
    harness: RelayHarness, embedded_redis: Embedded, tmp_path: Path
) -> None:
    for start in range(2):
        (tmp_path / "dump.rdb").unlink(missing_ok=True)
        with embedded_redis() as url, harness.move_to(url) as client:
            if start == 0:
                place(harness.database, "1", "2", "3")
            harness.relay()
            assert stream(client) == harness.outbox()


def test_the_events_of_a_new_database_are_published_on_an_old_bus(
    harness: RelayHarness, embedded_redis: Embedded, tmp_path: Path
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        (one,) = place(harness.database, "1")
        harness.add_events(one)
        harness.relay()
        old = harness.outbox()
        new = RelayHarness(f"sqlite:///{tmp_path}/new.db")
        new.database.upgrade()
        new.container.bus = harness.container.bus
        assert place(new.database, "1") == [one]
        new.relay()
        assert stream(client) == old + new.outbox()
        new.database.close()


def test_nothing_is_published_again_on_an_intact_bus(harness: RelayHarness, embedded_redis: Embedded) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        harness.relay()
        assert stream(client) == []
        place(harness.database, "1", "2", "3")
        harness.relay()
        before = client.xrange("deliveries")
        harness.relay()
        assert client.xrange("deliveries") == before


# --- concurrent and killed relays ---


class Interrupting:
    """A publisher that runs something before each batch, or dies after one."""

    def __init__(self, real: Publisher, *, before: Callable[[], None] | None = None, dies: bool = False) -> None:
        self._real, self._before, self._dies = real, before, dies

    def last_surviving(self, stream_id: str) -> tuple[str, str]:
        return self._real.last_surviving(stream_id)

    def publish(self, database: str, events: list[OutgoingEvent], newest: str) -> Any:
        if self._before:
            self._before()
        published = self._real.publish(database, events, newest)
        if self._dies:
            raise KeyboardInterrupt
        return published


def interrupt(harness: RelayHarness, **how: Any) -> Callable[[], None]:
    """Interrupt the publisher; return the function that puts the real one back."""
    bus = cast("Bus", harness.container.bus)
    real = bus.publisher
    bus.publisher = cast("Publisher", Interrupting(real, **how))
    return lambda: setattr(bus, "publisher", real)


def killed_before_marking(harness: RelayHarness) -> str:
    """Kill a relay between publishing and marking; return a delivery that has no later event."""
    one, two = place(harness.database, "1", "2")
    harness.add_events(one)
    restore = interrupt(harness, dies=True)
    with pytest.raises(KeyboardInterrupt):
        harness.relay()
    restore()
    return two


@pytest.mark.fault("F-06", "F-57")
@pytest.mark.quirk("X-08")
def test_nothing_is_published_twice_after_a_relay_was_killed_before_marking(
    harness: RelayHarness, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        harness.add_events(killed_before_marking(harness))
        harness.relay()
        assert (stream(client), harness.database.read(outbox.count_unpublished)) == (harness.outbox(), 0)
        harness.relay()
        assert stream(client) == harness.outbox()


@pytest.mark.fault("F-57")
def test_events_that_a_killed_relay_published_and_the_bus_lost_are_published_again(
    harness: RelayHarness, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        killed_before_marking(harness)
        client.delete("deliveries")
        harness.relay()
        assert stream(client) == harness.outbox()


@pytest.mark.fault("F-57")
def test_a_relay_whose_lease_ended_publishes_nothing_that_another_has_published(
    harness: RelayHarness, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        one, two = place(harness.database, "1", "2")

        def another() -> None:
            restore()
            harness.add_events(two, one)
            harness.container.clock = lambda: NOW + timedelta(seconds=relay.LEASE_SECONDS + 1)
            harness.another_relay().publish()
            assert stream(client) == harness.outbox()

        restore = interrupt(harness, before=another)
        harness.relay()
        harness.relay()
        assert (stream(client), harness.database.read(outbox.count_unpublished)) == (harness.outbox(), 0)


@pytest.mark.quirk("X-08")
def test_relays_without_a_lease_publish_nothing_twice_and_nothing_out_of_order(
    harness: RelayHarness, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "take", lambda *_: True)
    monkeypatch.setattr(leases, "holds", lambda *_: True)
    monkeypatch.setattr(relay, "BATCH", 7)
    with embedded_redis() as url, harness.move_to(url) as client:
        ids = place(harness.database, "1", "2", "3", "4")

        def drain(_number: int) -> None:
            while harness.database.read(outbox.count_unpublished):
                harness.another_relay().publish()

        harness.add_events(*ids * 10)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(drain, range(3)))
        published, expected = ([json.loads(body) for body in bodies] for bodies in (stream(client), harness.outbox()))
        assert [_ids(published, each) for each in ids] == [_ids(expected, each) for each in ids]
        assert len(published) == len(expected) == 44


def _ids(events: list[Any], delivery: str) -> list[str]:
    return [each["id"] for each in events if each["data"]["delivery_id"] == delivery]


def test_events_lost_during_a_relay_are_published_by_the_next_one(
    harness: RelayHarness, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        one, _ = place(harness.database, "1", "2")
        harness.relay()
        harness.add_events(one)
        restore = interrupt(harness, before=lambda: flush(client))
        harness.relay()
        assert stream(client) == []
        restore()
        harness.relay()
        assert stream(client) == harness.outbox()


# --- events that cannot be published ---


def test_an_event_that_the_bus_refuses_does_not_delay_other_deliveries(
    harness: RelayHarness, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 2)
    with embedded_redis() as url, harness.move_to(url) as client:
        ids = place(harness.database, "1", "2", "3", "4", "5")
        harness.add_events(ids[0])
        guards = [f"deliveries:sequence:{harness.database.identity}:{ids[at]}" for at in (0, 1)]
        for guard in guards:
            client.lpush(guard, "not a guard")
        harness.relay()
        expected = harness.outbox()
        assert stream(client) == expected[2:5]
        client.delete(*guards)
        harness.relay()
        assert stream(client) == [*expected[2:5], *expected[:2], expected[5]]


@pytest.mark.fault("F-11")
def test_another_relay_goes_on_at_once_when_the_process_of_the_first_one_ends(
    harness: RelayHarness, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 3)
    with embedded_redis() as url, harness.move_to(url) as client:
        place(harness.database, *"12345678")
        restore = interrupt(harness, before=harness.container.queue.relay.stop)
        harness.relay()
        restore()
        assert stream(client) == harness.outbox()[:3]
        harness.another_relay().publish()
        assert stream(client) == harness.outbox()


@pytest.mark.fault("F-62")
def test_a_backlog_is_published_in_order(
    harness: RelayHarness, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 3)
    with embedded_redis() as url, harness.move_to(url) as client:
        ids = place(harness.database, "1", "2", "3", "4")
        harness.add_events(*ids, *ids)
        harness.relay()
        assert (stream(client), harness.database.read(outbox.count_unpublished)) == (harness.outbox(), 0)


def test_an_event_that_is_committed_late_is_not_overtaken_by_later_events_of_its_delivery(
    harness: RelayHarness, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction takes its positions before its events are visible, and the next event may follow at once."""
    monkeypatch.setattr(relay, "BATCH", 2)
    with embedded_redis() as url, harness.move_to(url) as client:
        one, _, _ = place(harness.database, "1", "2", "3")
        move_events(harness, "position + 100", "sequence = 1")

        def commit() -> None:
            if len(harness.outbox()) == 3:
                harness.add_events(one, one)
                move_events(harness, "1", "sequence = 2")
                move_events(harness, "900", "sequence = 3")

        interrupt(harness, before=commit)
        harness.relay()
        published = [json.loads(body) for body in stream(client)]
        assert [each["sequence"] for each in published if each["partitionkey"] == one] == [
            "0000000001",
            "0000000002",
            "0000000003",
        ]
        assert (len(published), harness.database.read(outbox.count_unpublished)) == (5, 0)


def move_events(harness: RelayHarness, position: str, where: str) -> None:
    """Move events to another position in the outbox."""
    with harness.database.engine.begin() as connection:
        these = f"position IN (SELECT position FROM event WHERE {where})"
        connection.exec_driver_sql(f"UPDATE publication SET position = {position} WHERE {these}")
        connection.exec_driver_sql(f"UPDATE event SET position = {position} WHERE {where}")


def test_a_relay_stops_when_the_bus_refuses_events_of_many_deliveries(
    harness: RelayHarness, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 2)
    monkeypatch.setattr(relay, "MAX_STUCK_KEYS", 2)
    with embedded_redis() as url, harness.move_to(url) as client:
        for key in place(harness.database, "1", "2", "3")[:2]:
            client.lpush(f"deliveries:sequence:{harness.database.identity}:{key}", "not a guard")
        harness.relay()
        assert (stream(client), harness.database.read(outbox.count_unpublished)) == ([], 3)


def test_events_wait_for_the_next_relay_while_the_bus_is_away(harness: RelayHarness, embedded_redis: Embedded) -> None:
    place(harness.database, "1")
    with harness.move_to("redis://127.0.0.1:1/0"):
        harness.relay()
    assert harness.database.read(outbox.count_unpublished) == 1
    with embedded_redis() as url, harness.move_to(url) as client:
        harness.relay()
        assert stream(client) == harness.outbox()


# --- a commit without an answer ---


@pytest.mark.fault("F-70")
def test_events_that_the_bus_lost_are_not_marked_as_published_by_an_older_relay(
    harness: RelayHarness, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, harness.move_to(url) as client:
        (one,) = place(harness.database, "1")
        harness.relay()
        harness.add_events(one)

        def lose_events_and_begin_another_relay() -> None:
            client.flushall()
            known = harness.database.read(outbox.newest_stream_id)
            later = NOW + timedelta(seconds=relay.LEASE_SECONDS + 1)
            assert harness.database.write(leases.take, relay.LEASE, "another", later, relay.LEASE_SECONDS)
            assert harness.database.write(outbox.requeue_lost, "", known, 10) == 2

        interrupt(harness, before=lambda: lose_next_commit(harness.database, lose_events_and_begin_another_relay))
        harness.relay()
        assert harness.database.read(outbox.count_unpublished) == 2
