from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import EventType
from schemas.status import Cause
from tests.database.samples import ID, LATER, NOW, place, rows
from worker.database import deliveries, leases, outbox
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery, Event, OutgoingEvent
from worker.domain.lifecycle import snapshot

SECOND = timedelta(seconds=1)


def tell(delivery: Delivery) -> Change:
    """Tell of a delivery without changing it."""
    after = replace(delivery, sequence=delivery.sequence + 1)
    return Change(after, (Event(EventType.UPDATED, after.sequence, NOW, snapshot(after, None, Cause.POLL, NOW)),))


def waiting(store: Database, limit: int = 100) -> list[tuple[int, str, int]]:
    return [(each.position, each.key, each.sequence) for each in store.read(outbox.unpublished, limit)]


def test_unsent_events_come_oldest_first_and_in_the_sequence_of_their_key(store: Database) -> None:
    first, second = place(store, "1", "2")
    store.persist(deliveries.update, [second], tell)
    store.persist(deliveries.update, [first], tell)
    store.persist(deliveries.update, [second], tell)
    expected = [(1, first, 1), (2, second, 1), (3, second, 2), (4, first, 2), (5, second, 3)]
    assert waiting(store) == expected
    assert waiting(store, 2) == expected[:2]
    assert store.read(outbox.count_unpublished) == 5


@pytest.mark.quirk("X-08")
def test_the_sequence_of_a_key_holds_in_the_outbox_when_many_tell_at_once(store: Database) -> None:
    ids = place(store, "1", "2", "3")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.persist(deliveries.update, [ids[number % 3]], tell), range(15)))
    for key in ids:
        assert [sequence for _, of, sequence in waiting(store) if of == key] == [1, 2, 3, 4, 5, 6]


def test_an_unsent_event_carries_what_goes_to_the_bus(store: Database) -> None:
    place(store)
    (row,) = rows(store, "event")
    assert store.read(outbox.unpublished, 10) == [OutgoingEvent(1, ID, 1, row["body"])]
    assert store.read(outbox.events) == [(1, row["body"])]


def test_a_sent_event_is_not_sent_again_and_knows_its_place_on_the_bus(store: Database) -> None:
    first, second, third = place(store, "1", "2", "3")
    store.persist(outbox.mark_published, [(1, "7-0"), (3, "7-1")], LATER)
    assert waiting(store) == [(2, second, 1)]
    assert [(row["key"], row["stream_id"], row["published_at"]) for row in rows(store, "event")] == [
        (first, "7-0", LATER),
        (second, None, None),
        (third, "7-1", LATER),
    ]


def test_nothing_sent_changes_nothing(store: Database) -> None:
    place(store)
    store.persist(outbox.mark_published, [], LATER)
    assert waiting(store) == [(1, ID, 1)]


def test_unsent_events_can_be_read_without_those_of_some_keys(store: Database) -> None:
    first, second, third = place(store, "1", "2", "3")
    assert [each.key for each in store.read(outbox.unpublished, 10, {first})] == [second, third]
    assert [each.key for each in store.read(outbox.unpublished, 1, {first})] == [second]
    assert [each.key for each in store.read(outbox.unpublished, 10)] == [first, second, third]


def test_a_database_keeps_the_name_that_it_gave_itself(store: Database) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    again = Database(url)
    assert (store.identity, len(store.identity)) == (again.identity, 32)
    again.close()


def published(store: Database, count: int) -> None:
    """Publish as many events, at the places p1, p2, ..."""
    place(store, *(str(number) for number in range(count)))
    store.persist(outbox.mark_published, [(at, f"p{at}") for at in range(1, count + 1)], NOW)


def test_the_newest_place_is_the_highest_that_was_noted(store: Database) -> None:
    assert store.read(outbox.newest_stream_id) == ""
    published(store, 3)
    assert store.read(outbox.newest_stream_id) == "p3"


@pytest.mark.fault("F-20")
def test_exactly_what_stood_behind_a_place_is_unpublished(store: Database) -> None:
    published(store, 5)
    assert store.write(outbox.requeue_lost, "p2", "p4", 1) == 2
    assert [each.position for each in store.read(outbox.unpublished, 10)] == [3, 4]
    assert store.read(outbox.newest_stream_id) == "p5"
    assert store.write(outbox.requeue_lost, "p2", "p4", 1) == 0


def test_of_a_bus_that_is_empty_only_the_newest_are_unpublished(store: Database) -> None:
    published(store, 5)
    assert store.write(outbox.requeue_lost, "", "p5", 2) == 2
    assert [each.position for each in store.read(outbox.unpublished, 10)] == [4, 5]
    assert (
        store.write(outbox.requeue_lost, "", "p3", 2) == 0
    )  # asked again before they are published, it is no more of them
    store.persist(outbox.mark_published, [(4, "p6"), (5, "p7")], LATER)
    assert store.read(outbox.newest_stream_id) == "p7"


def test_told_events_can_be_read_of_one_order_and_from_a_position_on(store: Database) -> None:
    first, _ = place(store, "1", "2")
    store.persist(deliveries.update, [first], tell)
    store.persist(outbox.mark_published, [(1, "7-0")], NOW)
    assert [position for position, _ in store.read(outbox.events)] == [1, 2, 3]
    assert [position for position, _ in store.read(outbox.events, keys=store.read(outbox.event_keys, "1"))] == [1, 3]
    assert [position for position, _ in store.read(outbox.events, after=1, limit=1)] == [2]


def test_only_one_holds_a_lease(store: Database) -> None:
    assert store.write(leases.take, "relay", "a", NOW, 10)
    assert not store.write(leases.take, "relay", "b", NOW, 10)
    assert store.write(leases.take, "another", "b", NOW, 10)


def test_the_holder_renews_its_lease(store: Database) -> None:
    store.write(leases.take, "relay", "a", NOW, 10)
    assert store.write(leases.take, "relay", "a", NOW + 9 * SECOND, 10)
    assert not store.write(leases.take, "relay", "b", NOW + 11 * SECOND, 10)


def test_a_lease_that_ran_out_goes_to_another(store: Database) -> None:
    store.write(leases.take, "relay", "a", NOW, 10)
    assert store.write(leases.take, "relay", "b", NOW + 11 * SECOND, 10)
    assert not store.write(leases.take, "relay", "a", NOW + 12 * SECOND, 10)


def test_only_the_holder_gives_a_lease_back(store: Database) -> None:
    store.write(leases.take, "relay", "a", NOW, 10)
    store.write(leases.drop, "relay", "b")
    assert not store.write(leases.take, "relay", "b", NOW, 10)
    store.write(leases.drop, "relay", "a")
    assert store.write(leases.take, "relay", "b", NOW, 10)


def test_a_lease_is_taken_by_one_of_many(store: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda holder: store.write(leases.take, "relay", holder, NOW, 10), "abcdefgh"))
    assert taken.count(True) == 1
