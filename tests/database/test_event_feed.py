"""A reader of the feed sees every event exactly once, those of a key in order, however transactions overlap."""

import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete
from sqlalchemy.engine import make_url

from schemas.events import EventType, OrderEvent, carrier_key
from tests.database.pooler import PGBOUNCER, pgbouncer
from tests.database.samples import ID, NOW, message, order, place, rows, store_messages
from tests.database.test_outbox import tell
from tests.database.test_purged_rows import end, publish
from worker.database import accounts, deliveries, event_feed, outbox, retention
from worker.database.database import Database
from worker.database.event_feed import Horizon, Observation, Wanted
from worker.database.tables import EVENT
from worker.services.event_feed import CursorExpired, EventFeed, EventPage


def write(connection: Connection, key: str, sequence: int = 1) -> None:
    data = OrderEvent(order_id=key, order_source="platform", reason="pickup")
    outbox.add(connection, [outbox.event_row(EventType.SKIPPED, key, sequence, key, data, NOW)])


def seen(page: EventPage) -> list[tuple[int, str, int]]:
    return [(each.position, each.key, each.sequence) for each in page.events]


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as database:
        yield database


# --- one reader -------------------------------------------------------------------------------------------------------


def test_events_are_read_after_a_cursor_oldest_first_and_a_page_at_a_time(database: Database) -> None:
    first, second = place(database, "1", "2")
    database.persist(deliveries.update, [first], tell)
    feed = EventFeed(database)
    assert feed.first() == 0
    page = feed.read(0, limit=2)
    assert (seen(page), page.next, page.complete) == ([(1, first, 1), (2, second, 1)], 2, False)
    page = feed.read(page.next, limit=2)
    assert (seen(page), page.next, page.complete) == ([(3, first, 2)], 3, True)
    assert feed.read(3) == EventPage([], 3, complete=True)
    assert [each.body for each in feed.read(0).events] == [row["body"] for row in rows(database, "event")]


def test_a_reader_that_follows_gets_old_events_and_then_new_ones(database: Database) -> None:
    place(database, "1")
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        place(database, str(len(pauses) + 1))

    found = EventFeed(database, wait).follow(0)
    assert [next(found).position for _ in range(3)] == [1, 2, 3]
    assert pauses == [0.5, 0.5]
    assert next(EventFeed(database, wait).follow(0, Wanted(order_id="2"))).position == 2


def test_an_empty_database_has_an_empty_feed(database: Database) -> None:
    feed = EventFeed(database)
    assert (feed.settled(), feed.first(), feed.read(0)) == (0, 0, EventPage([], 0, complete=True))


def test_a_reader_chooses_types_and_keys_and_the_cursor_passes_the_others(database: Database) -> None:
    first, second = place(database, "1", "2")
    for each in (first, second):
        database.persist(deliveries.update, [each], tell)
    feed = EventFeed(database)
    updated = feed.read(0, Wanted(types=[EventType.UPDATED]))
    assert (seen(updated), updated.next) == ([(3, first, 2), (4, second, 2)], 4)
    assert seen(feed.read(0, Wanted(keys=[second]))) == [(2, second, 1), (4, second, 2)]
    assert feed.read(0, Wanted(types=[EventType.CONFLICT])) == EventPage([], 4, complete=True)


@pytest.mark.parametrize("source", ["Platform", 'a"b', "%", "plat", "shop\\"])
def test_a_source_reads_its_own_orders_and_what_is_about_accounts(database: Database, source: str) -> None:
    place(database, "1")
    named = message(order("2", notes=f'"order_source":"{source}"'))
    (other,) = store_messages(database, type(named)(source, named.id, named.type, named.data))
    database.write(accounts.pause, "borzo", accounts.OPERATOR, f'"order_source":"{source}"', NOW)
    feed = EventFeed(database)
    assert seen(feed.read(0, Wanted(source=source))) == [(2, other.id, 1), (3, carrier_key("borzo"), 1)]
    assert [position for position, *_ in seen(feed.read(0, Wanted(source="platform")))] == [1, 3]


def test_a_cursor_after_which_retention_has_deleted_events_is_expired(database: Database) -> None:
    place(database)
    database.write(deliveries.update, [ID], tell)
    database.write(deliveries.update, [ID], tell)
    publish(database)
    end(database)
    feed = EventFeed(database)
    cursor = feed.read(0, limit=1).next
    assert database.write(retention.delete_events, NOW.replace(year=2027), 0).count == 2
    assert feed.first() == 2
    for expired in (0, cursor):
        with pytest.raises(CursorExpired):
            feed.read(expired)
    assert seen(feed.read(feed.first())) == [(3, ID, 3)]


def test_retention_keeps_the_newest_event_so_that_its_cursor_stays_valid(database: Database) -> None:
    place(database)
    database.write(deliveries.update, [ID], tell)
    database.write(outbox.mark_published, [(2, "0000000000001-0000000000"), (1, "0000000000002-0000000000")])
    end(database)
    database.write(retention.delete_events, NOW.replace(year=2027), 0)
    assert [row["position"] for row in rows(database, "event")] == [1, 2]
    assert EventFeed(database).read(2) == EventPage([], 2, complete=True)


def test_a_cursor_of_another_database_is_expired(database: Database) -> None:
    place(database)
    with pytest.raises(CursorExpired):
        EventFeed(database).read(2)


# --- transactions that overlap ----------------------------------------------------------------------------------------


@pytest.mark.fault("F-99")
def test_an_event_is_not_read_before_those_below_it_are_committed(postgres: Database) -> None:
    late = postgres.engine.connect()
    write(late, "late")
    postgres.write(write, "early")
    feed = EventFeed(postgres, lambda _: None)
    assert (feed.read(0), feed.settled()) == (EventPage([], 0, complete=True), 0)
    late.commit()
    late.close()
    assert seen(feed.read(0)) == [(1, "late", 1), (2, "early", 1)]


def test_the_position_of_a_rolled_back_event_holds_nothing_up(postgres: Database) -> None:
    late = postgres.engine.connect()
    write(late, "late")
    postgres.write(write, "early")
    late.close()
    assert seen(EventFeed(postgres).read(0)) == [(2, "early", 1)]


def test_a_reader_waits_a_moment_for_a_transaction_that_is_about_to_end(postgres: Database) -> None:
    late = postgres.engine.connect()
    write(late, "late")
    postgres.write(write, "early")
    assert seen(EventFeed(postgres, lambda _: late.close()).read(0)) == [(2, "early", 1)]


@pytest.mark.fault("F-99")
def test_a_transaction_that_hangs_hides_no_event_that_was_settled_before(postgres: Database) -> None:
    feed = EventFeed(postgres, lambda _: None)
    postgres.write(write, "1")
    assert feed.settled() == 1
    with postgres.engine.connect() as hanging:
        write(hanging, "2")
        for key in "345":
            postgres.write(write, key)
        assert seen(feed.read(0)) == [(1, "1", 1)]
        assert feed.read(1) == EventPage([], 1, complete=True)
    assert [key for _, key, _ in seen(feed.read(1))] == ["3", "4", "5"]


def test_a_transaction_that_began_to_write_later_holds_nothing_up(postgres: Database) -> None:
    feed = EventFeed(postgres, lambda _: None)
    with postgres.engine.connect() as first, postgres.engine.connect() as second:
        write(first, "1")
        postgres.write(write, "2")
        assert feed.settled() == 0
        write(second, "3")
        first.commit()
        assert seen(feed.read(0)) == [(1, "1", 1), (2, "2", 1)]


def test_writers_of_other_tables_and_readers_hold_nothing_up(postgres: Database) -> None:
    (one,) = place(postgres, "1")
    with postgres.engine.connect() as other, postgres.engine.connect() as reader:
        deliveries.load(other, [one])
        outbox.mark_published(other, [(1, "7-0")])
        outbox.events(reader)
        assert EventFeed(postgres, lambda _: None).settled() == 1


def test_a_reader_blocks_no_writer(postgres: Database) -> None:
    with postgres.engine.connect() as reader:
        event_feed.observe(reader)
        event_feed.events(reader, 0, 10, 10, Wanted())
        postgres.write(write, "1")
        postgres.write(lambda connection: connection.execute(delete(EVENT)))


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed")
@pytest.mark.fault("F-85")
def test_the_feed_works_through_a_pooler(postgres: Database, postgres_url: str, tmp_path: Path) -> None:
    with pgbouncer(postgres_url, tmp_path) as url, closing(Database(url)) as pooled:
        feed = EventFeed(pooled, lambda _: None)
        with postgres.engine.connect() as late:
            write(late, "late")
            pooled.write(write, "early")
            assert seen(feed.read(0)) == []
            late.commit()
        assert seen(feed.read(0)) == [(1, "late", 1), (2, "early", 1)]


def test_a_role_that_may_only_read_our_tables_sees_the_writers(postgres: Database, postgres_url: str) -> None:
    reader = make_url(postgres_url).update_query_dict({"options": "-c role=pg_read_all_data"})
    with closing(Database(reader.render_as_string(hide_password=False))) as database:
        with postgres.engine.connect() as late:
            write(late, "late")
            postgres.write(write, "early")
            assert EventFeed(database, lambda _: None).settled() == 0
            late.commit()
        assert seen(EventFeed(database).read(0)) == [(1, "late", 1), (2, "early", 1)]


@pytest.mark.fault("F-99")
def test_many_writers_and_a_reader_lose_repeat_and_reorder_nothing(database: Database) -> None:
    ids = place(database, "1", "2", "3", "4")

    def change(number: int) -> None:
        chance = random.Random(number)
        for _ in range(25):
            with suppress(ZeroDivisionError), database.engine.begin() as connection:
                deliveries.update(connection, chance.sample(ids, 2), tell)
                write(connection, f"{number} {chance.random()}"[:36])
                if chance.random() < 0.2:
                    _ = 1 / 0

    feed, found = EventFeed(database), []
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(change, number) for number in range(4)]
        cursor = 0
        while not all(writer.done() for writer in writers):
            page = feed.read(cursor, limit=7)
            found += page.events
            cursor = page.next
        for writer in writers:
            writer.result()
    found += feed.read(cursor, limit=1000).events
    assert [each.position for each in found] == [row["position"] for row in rows(database, "event")]
    by_key: dict[str, list[int]] = defaultdict(list)
    for each in found:
        by_key[each.key].append(each.sequence)
    assert [by_key[key] for key in by_key] == [list(range(1, len(by_key[key]) + 1)) for key in by_key]


# --- the settled position ---------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["write", "commit", "roll back", "look"]), st.integers(0, 3))))
def test_the_settled_position_never_passes_an_event_that_may_still_appear(steps: list[tuple[str, int]]) -> None:
    horizon, allocated = Horizon(), 0
    open_: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    visible: set[int] = set()
    for count, (step, writer) in enumerate(steps):
        if step == "write":
            allocated += 1
            names.setdefault(writer, f"{writer}/{count}")
            open_.setdefault(writer, []).append(allocated)
        elif step in {"commit", "roll back"}:
            names.pop(writer, None)
            written = open_.pop(writer, [])
            visible.update(written if step == "commit" else ())
        else:
            before = horizon.settled
            settled = horizon.add(Observation(max(visible, default=0), frozenset(names.values())))
            assert before <= settled < min(chain(*open_.values(), [allocated + 1]))
    for writer in list(open_):
        visible.update(open_.pop(writer))
    assert horizon.add(Observation(max(visible, default=0))) == max(visible, default=0)


def test_observations_are_limited_while_a_writer_hangs() -> None:
    horizon = Horizon()
    for newest in range(1000):
        horizon.add(Observation(newest, frozenset({"1/1"})))
    assert horizon.add(Observation(1000)) >= event_feed.MOST_OBSERVATIONS - 1
    assert horizon.add(Observation(1000)) == 1000


def test_the_settled_position_of_a_database_that_has_lost_commits_begins_again() -> None:
    horizon = Horizon()
    assert horizon.add(Observation(9)) == 9
    assert horizon.add(Observation(7, frozenset({"1/1"}))) == 0
    assert horizon.add(Observation(7)) == 7
