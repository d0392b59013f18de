"""The outbox keeps every event in its order until the relay has published it; leases choose the relay."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import EventType, carrier_key, delivery_id, skipped_key
from schemas.status import Cause
from tests.database.samples import ID, NOW, message, order, place, rows, store_messages
from worker.database import deliveries, leases, outbox, search
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery, Event, OutgoingEvent
from worker.domain.lifecycle import snapshot

SECOND = timedelta(seconds=1)


def tell(delivery: Delivery) -> Change:
    """Add an event without changing the delivery."""
    after = replace(delivery, sequence=delivery.sequence + 1)
    return Change(after, (Event(EventType.UPDATED, after.sequence, NOW, snapshot(after, None, Cause.POLL, NOW)),))


def waiting(database: Database, limit: int = 100) -> list[tuple[int, str, int]]:
    return [(each.position, each.key, each.sequence) for each in database.read(outbox.unpublished, limit)]


def test_unpublished_events_are_read_oldest_first_and_in_the_sequence_of_their_key(database: Database) -> None:
    first, second = place(database, "1", "2")
    database.persist(deliveries.update, [second], tell)
    database.persist(deliveries.update, [first], tell)
    database.persist(deliveries.update, [second], tell)
    expected = [(1, first, 1), (2, second, 1), (3, second, 2), (4, first, 2), (5, second, 3)]
    assert waiting(database) == expected
    assert waiting(database, 2) == expected[:2]
    assert database.read(outbox.count_unpublished) == 5


@pytest.mark.quirk("X-08")
def test_concurrent_changes_keep_the_sequence_of_a_key_in_the_outbox(database: Database) -> None:
    ids = place(database, "1", "2", "3")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: database.persist(deliveries.update, [ids[number % 3]], tell), range(15)))
    for key in ids:
        assert [sequence for _, of, sequence in waiting(database) if of == key] == [1, 2, 3, 4, 5, 6]


def test_an_unpublished_event_has_the_content_for_the_bus(database: Database) -> None:
    place(database)
    (row,) = rows(database, "event")
    assert database.read(outbox.unpublished, 10) == [OutgoingEvent(1, ID, 1, row["body"])]
    assert database.read(outbox.events) == [(1, row["body"])]


def test_a_published_event_is_not_read_again_and_has_its_stream_id(database: Database) -> None:
    _, second, _ = place(database, "1", "2", "3")
    database.persist(outbox.mark_published, [(1, "7-0"), (3, "7-1")])
    assert waiting(database) == [(2, second, 1)]
    assert [(row["position"], row["stream_id"]) for row in rows(database, "publication")] == [
        (1, "7-0"),
        (2, None),
        (3, "7-1"),
    ]


def test_marking_no_events_changes_nothing(database: Database) -> None:
    place(database)
    database.persist(outbox.mark_published, [])
    assert waiting(database) == [(1, ID, 1)]


def test_unpublished_events_are_read_without_those_of_excluded_keys(database: Database) -> None:
    first, second, third = place(database, "1", "2", "3")
    assert [each.key for each in database.read(outbox.unpublished, 10, {first})] == [second, third]
    assert [each.key for each in database.read(outbox.unpublished, 1, {first})] == [second]
    assert [each.key for each in database.read(outbox.unpublished, 10)] == [first, second, third]


def test_a_database_keeps_its_identity(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    again = Database(url)
    assert (database.identity, len(database.identity)) == (again.identity, 32)
    again.close()


def published(database: Database, count: int) -> None:
    """Publish so many events with the stream ids p1, p2, ..."""
    place(database, *(str(number) for number in range(count)))
    database.persist(outbox.mark_published, [(at, f"p{at}") for at in range(1, count + 1)])


def test_the_newest_stream_id_is_the_highest_one(database: Database) -> None:
    assert database.read(outbox.newest_stream_id) == ""
    published(database, 3)
    assert database.read(outbox.newest_stream_id) == "p3"


@pytest.mark.fault("F-20")
def test_exactly_the_events_after_the_last_surviving_one_are_requeued(database: Database) -> None:
    published(database, 5)
    assert database.write(outbox.requeue_lost, "p2", "p4", 1) == 2
    assert [each.position for each in database.read(outbox.unpublished, 10)] == [3, 4]
    assert database.read(outbox.newest_stream_id) == "p5"
    assert database.write(outbox.requeue_lost, "p2", "p4", 1) == 0


def test_only_the_newest_events_are_requeued_for_an_empty_bus(database: Database) -> None:
    published(database, 5)
    assert database.write(outbox.requeue_lost, "", "p5", 2) == 2
    assert [each.position for each in database.read(outbox.unpublished, 10)] == [4, 5]
    # Requested again before they are published, it requeues no more of them.
    assert database.write(outbox.requeue_lost, "", "p3", 2) == 0
    database.persist(outbox.mark_published, [(4, "p6"), (5, "p7")])
    assert database.read(outbox.newest_stream_id) == "p7"


def test_events_are_read_of_one_order_and_after_a_position(database: Database) -> None:
    first, _ = place(database, "1", "2")
    database.persist(deliveries.update, [first], tell)
    database.persist(outbox.mark_published, [(1, "7-0")])
    assert [position for position, _ in database.read(outbox.events)] == [1, 2, 3]
    assert [position for position, _ in database.read(outbox.events, keys=database.read(search.event_keys, "1"))] == [
        1,
        3,
    ]
    assert [position for position, _ in database.read(outbox.events, after=1, limit=1)] == [2]


def test_the_keys_of_an_order_without_a_delivery_follow_from_the_sources_of_all_messages(database: Database) -> None:
    place(database, "1")
    store_messages(database, replace(message(order("2"), "another"), source="kiosk"))
    assert database.read(search.event_keys, "3") == [
        "3",
        carrier_key("3"),
        *(skipped_key(delivery_id(source, "3")) for source in ("kiosk", "platform")),
    ]


def test_a_lease_has_one_holder(database: Database) -> None:
    assert database.write(leases.take, "relay", "a", NOW, 10)
    assert not database.write(leases.take, "relay", "b", NOW, 10)
    assert database.write(leases.take, "another", "b", NOW, 10)


def test_the_holder_renews_its_lease(database: Database) -> None:
    database.write(leases.take, "relay", "a", NOW, 10)
    assert database.write(leases.take, "relay", "a", NOW + 9 * SECOND, 10)
    assert not database.write(leases.take, "relay", "b", NOW + 11 * SECOND, 10)


def test_an_expired_lease_is_taken_by_another(database: Database) -> None:
    database.write(leases.take, "relay", "a", NOW, 10)
    assert database.write(leases.take, "relay", "b", NOW + 11 * SECOND, 10)
    assert not database.write(leases.take, "relay", "a", NOW + 12 * SECOND, 10)


def test_only_the_holder_drops_a_lease(database: Database) -> None:
    database.write(leases.take, "relay", "a", NOW, 10)
    database.write(leases.drop, "relay", "b")
    assert not database.write(leases.take, "relay", "b", NOW, 10)
    database.write(leases.drop, "relay", "a")
    assert database.write(leases.take, "relay", "b", NOW, 10)


def test_one_of_many_takes_a_lease(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda holder: database.write(leases.take, "relay", holder, NOW, 10), "abcdefgh"))
    assert taken.count(True) == 1
