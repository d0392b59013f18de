"""The relay puts every event on the bus once and in order, whatever the bus loses and whoever else relays."""

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


class Newsroom:
    """A house with a database that has something to tell, and a Redis server that may be exchanged."""

    def __init__(self, database: str, **environment: str) -> None:
        wanted = {"DATABASE_URL": database, "REDIS_URL": "redis://127.0.0.1:1/0", **environment}
        self.house = ReplaceableContainer(
            load({f"ORDER_SYNC_{key}": value for key, value in wanted.items()}), clock=lambda: NOW
        )
        self.store = self.house.database

    def move_to(self, url: str) -> redis.Redis:
        """Publish at this server from now on."""
        client = streams.connect(url)
        self.house.bus = Bus(client, orders="orders", events="deliveries")
        return client

    def tell(self, *keys: str) -> None:
        """Let deliveries tell something."""
        for key in keys:
            self.store.persist(deliveries.update, [key], tell)

    def relay(self) -> None:
        """Relay as a worker does."""
        self.house.relay.publish()

    def another_relay(self) -> Relay:
        """Return the relay of another process."""
        return replace(self.house.relay, single_flight=SingleFlight())

    def told(self) -> list[str]:
        """Read what the database has told."""
        return [body for _, body in self.store.read(outbox.events)]


@pytest.fixture
def newsroom(sqlite_url: str) -> Iterator[Newsroom]:
    made = Newsroom(sqlite_url, EVENTS_KEEP="4")
    yield made
    made.store.close()


def stream(client: redis.Redis) -> list[str]:
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange("deliveries"))
    return [fields[b"event"].decode() for _, fields in found]


# --- what the bus loses ---


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
    newsroom: Newsroom, embedded_redis: Embedded, lose: Callable[[redis.Redis], None]
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, two, _ = place(newsroom.store, "1", "2", "3")
        newsroom.tell(two, one)
        newsroom.relay()
        assert stream(client) == newsroom.told()
        lose(client)
        newsroom.relay()
        assert stream(client) == newsroom.told()[-4:]
        newsroom.tell(one)
        newsroom.relay()
        newsroom.relay()
        assert stream(client) == newsroom.told()[-5:]


@pytest.mark.parametrize("lose", EMPTIED)
def test_what_was_told_after_the_loss_comes_after_what_was_lost(
    newsroom: Newsroom, embedded_redis: Embedded, lose: Callable[[redis.Redis], None]
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, two = place(newsroom.store, "1", "2")
        newsroom.relay()
        lose(client)
        newsroom.tell(two, one)
        newsroom.relay()
        assert stream(client) == newsroom.told()


def test_what_a_subscriber_deletes_is_not_published_again(newsroom: Newsroom, embedded_redis: Embedded) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, two = place(newsroom.store, "1", "2")
        newsroom.relay()
        for identity, _ in cast("list[tuple[bytes, object]]", client.xrange("deliveries")):
            client.xdel("deliveries", identity)
        newsroom.relay()
        assert stream(client) == []
        newsroom.tell(two, one)
        newsroom.relay()
        assert stream(client) == newsroom.told()[2:]
        client.delete("deliveries")
        newsroom.relay()
        assert stream(client) == newsroom.told()


@pytest.mark.fault("F-20")
def test_of_a_bus_that_comes_back_older_exactly_the_lost_end_is_published_again(
    newsroom: Newsroom, embedded_redis: Embedded, tmp_path: Path
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, two, three = place(newsroom.store, "1", "2", "3")
        newsroom.relay()
        before = client.xrange("deliveries")
        client.save()
        copy(tmp_path / "dump.rdb", tmp_path / "older.rdb")
        newsroom.tell(two, one, two, three, one, two)  # more than are kept: of an end everything is wanted
        newsroom.relay()
        assert stream(client) == newsroom.told()
    copy(tmp_path / "older.rdb", tmp_path / "dump.rdb")
    with embedded_redis() as url, newsroom.move_to(url) as client:
        assert client.xrange("deliveries") == before
        newsroom.relay()
        assert (client.xrange("deliveries", count=3), stream(client)) == (before, newsroom.told())


@pytest.mark.fault("F-12")
def test_a_bus_that_restarts_with_nothing_gets_the_newest_events_again(
    newsroom: Newsroom, embedded_redis: Embedded, tmp_path: Path
) -> None:
    for start in range(2):
        (tmp_path / "dump.rdb").unlink(missing_ok=True)
        with embedded_redis() as url, newsroom.move_to(url) as client:
            if start == 0:
                place(newsroom.store, "1", "2", "3")
            newsroom.relay()
            assert stream(client) == newsroom.told()


def test_a_new_database_beside_an_old_bus_publishes_what_it_tells(
    newsroom: Newsroom, embedded_redis: Embedded, tmp_path: Path
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        (one,) = place(newsroom.store, "1")
        newsroom.tell(one)
        newsroom.relay()
        old = newsroom.told()
        new = Newsroom(f"sqlite:///{tmp_path}/new.db")
        new.store.upgrade()
        new.house.bus = newsroom.house.bus
        assert place(new.store, "1") == [one]
        new.relay()
        assert stream(client) == old + new.told()
        new.store.close()


def test_an_intact_bus_is_left_as_it_is(newsroom: Newsroom, embedded_redis: Embedded) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        newsroom.relay()
        assert stream(client) == []
        place(newsroom.store, "1", "2", "3")
        newsroom.relay()
        before = client.xrange("deliveries")
        newsroom.relay()
        assert client.xrange("deliveries") == before


# --- other relays ---


class Interrupting:
    """An outlet at which something happens just before or after a batch goes out."""

    def __init__(self, real: Publisher, *, before: Callable[[], None] | None = None, dies: bool = False) -> None:
        self._real, self._before, self._dies = real, before, dies

    def last_surviving(self, place: str) -> tuple[str, str]:
        return self._real.last_surviving(place)

    def publish(self, database: str, events: list[OutgoingEvent], newest: str) -> Any:
        if self._before:
            self._before()
        told = self._real.publish(database, events, newest)
        if self._dies:
            raise KeyboardInterrupt
        return told


def interrupt(newsroom: Newsroom, **how: Any) -> Callable[[], None]:
    """Let the next relay be interrupted; return what puts the real outlet back."""
    made = newsroom.house.bus
    real = made.publisher
    made.publisher = cast("Publisher", Interrupting(real, **how))
    return lambda: setattr(made, "publisher", real)


def killed_while_telling(newsroom: Newsroom) -> str:
    """Kill a relay between publishing and marking; return a delivery that it told nothing of."""
    one, two = place(newsroom.store, "1", "2")
    newsroom.tell(one)
    back = interrupt(newsroom, dies=True)
    with pytest.raises(KeyboardInterrupt):
        newsroom.relay()
    back()
    return two


@pytest.mark.fault("F-06", "F-57")
@pytest.mark.quirk("X-08")
def test_a_relay_killed_before_it_could_mark_publishes_nothing_twice(
    newsroom: Newsroom, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        newsroom.tell(killed_while_telling(newsroom))
        newsroom.relay()
        assert (stream(client), newsroom.store.read(outbox.count_unpublished)) == (newsroom.told(), 0)
        newsroom.relay()
        assert stream(client) == newsroom.told()


@pytest.mark.fault("F-57")
def test_what_a_killed_relay_published_and_the_bus_then_lost_is_published_again(
    newsroom: Newsroom, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        killed_while_telling(newsroom)
        client.delete("deliveries")
        newsroom.relay()
        assert stream(client) == newsroom.told()


@pytest.mark.fault("F-57")
def test_a_relay_that_slept_through_its_lease_finds_that_another_has_published(
    newsroom: Newsroom, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, two = place(newsroom.store, "1", "2")

        def another() -> None:
            back()
            newsroom.tell(two, one)
            newsroom.house.clock = lambda: NOW + timedelta(seconds=relay.LEASE_SECONDS + 1)
            newsroom.another_relay().publish()
            assert stream(client) == newsroom.told()

        back = interrupt(newsroom, before=another)
        newsroom.relay()
        newsroom.relay()
        assert (stream(client), newsroom.store.read(outbox.count_unpublished)) == (newsroom.told(), 0)


@pytest.mark.quirk("X-08")
def test_relays_that_know_nothing_of_each_other_publish_nothing_twice_and_nothing_late(
    newsroom: Newsroom, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "take", lambda *_: True)
    monkeypatch.setattr(relay, "BATCH", 7)
    with embedded_redis() as url, newsroom.move_to(url) as client:
        ids = place(newsroom.store, "1", "2", "3", "4")

        def drain(_number: int) -> None:
            while newsroom.store.read(outbox.count_unpublished):
                newsroom.another_relay().publish()

        newsroom.tell(*ids * 10)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(drain, range(3)))
        found, told = ([json.loads(body) for body in bodies] for bodies in (stream(client), newsroom.told()))
        assert [_of(found, each) for each in ids] == [_of(told, each) for each in ids]
        assert len(found) == len(told) == 44


def _of(found: list[Any], delivery: str) -> list[str]:
    return [each["id"] for each in found if each["data"]["delivery_id"] == delivery]


def test_a_loss_in_the_middle_of_relaying_is_made_good_by_the_next_relay(
    newsroom: Newsroom, embedded_redis: Embedded
) -> None:
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, _ = place(newsroom.store, "1", "2")
        newsroom.relay()
        newsroom.tell(one)
        back = interrupt(newsroom, before=lambda: flush(client))
        newsroom.relay()
        assert stream(client) == []
        back()
        newsroom.relay()
        assert stream(client) == newsroom.told()


# --- what cannot be published ---


def test_an_event_that_the_bus_refuses_holds_up_nobody_behind_it(
    newsroom: Newsroom, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 2)
    with embedded_redis() as url, newsroom.move_to(url) as client:
        ids = place(newsroom.store, "1", "2", "3", "4", "5")
        newsroom.tell(ids[0])
        guards = [f"deliveries:sequence:{newsroom.store.identity}:{ids[at]}" for at in (0, 1)]
        for guard in guards:
            client.lpush(guard, "not a guard")
        newsroom.relay()
        told = newsroom.told()
        assert stream(client) == told[2:5]
        client.delete(*guards)
        newsroom.relay()
        assert stream(client) == [*told[2:5], *told[:2], told[5]]


@pytest.mark.fault("F-62")
def test_a_backlog_is_drained_in_its_order(
    newsroom: Newsroom, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 3)
    with embedded_redis() as url, newsroom.move_to(url) as client:
        ids = place(newsroom.store, "1", "2", "3", "4")
        newsroom.tell(*ids, *ids)
        newsroom.relay()
        assert (stream(client), newsroom.store.read(outbox.count_unpublished)) == (newsroom.told(), 0)


def test_an_event_whose_place_in_the_backlog_was_taken_before_it_was_there_is_not_overtaken(
    newsroom: Newsroom, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction draws its positions long before others see it, and the next one of its delivery follows at once."""
    monkeypatch.setattr(relay, "BATCH", 2)
    with embedded_redis() as url, newsroom.move_to(url) as client:
        one, _, _ = place(newsroom.store, "1", "2", "3")
        put(newsroom, "position + 100", "sequence = 1")

        def commit() -> None:
            if len(newsroom.told()) == 3:
                newsroom.tell(one, one)
                put(newsroom, "1", "sequence = 2")
                put(newsroom, "900", "sequence = 3")

        interrupt(newsroom, before=commit)
        newsroom.relay()
        told = [json.loads(body) for body in stream(client)]
        assert [each["sequence"] for each in told if each["partitionkey"] == one] == ["1", "2", "3"]
        assert (len(told), newsroom.store.read(outbox.count_unpublished)) == (5, 0)


def put(newsroom: Newsroom, position: str, these: str) -> None:
    """Give events another position in the outbox."""
    with newsroom.store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE event SET position = {position} WHERE {these}")


def test_a_bus_that_refuses_many_is_left_alone_for_a_while(
    newsroom: Newsroom, embedded_redis: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 2)
    monkeypatch.setattr(relay, "MAX_STUCK_KEYS", 2)
    with embedded_redis() as url, newsroom.move_to(url) as client:
        for key in place(newsroom.store, "1", "2", "3")[:2]:
            client.lpush(f"deliveries:sequence:{newsroom.store.identity}:{key}", "not a guard")
        newsroom.relay()
        assert (stream(client), newsroom.store.read(outbox.count_unpublished)) == ([], 3)


def test_a_bus_that_is_away_leaves_the_events_to_the_next_relay(newsroom: Newsroom, embedded_redis: Embedded) -> None:
    place(newsroom.store, "1")
    with newsroom.move_to("redis://127.0.0.1:1/0"):
        newsroom.relay()
    assert newsroom.store.read(outbox.count_unpublished) == 1
    with embedded_redis() as url, newsroom.move_to(url) as client:
        newsroom.relay()
        assert stream(client) == newsroom.told()
