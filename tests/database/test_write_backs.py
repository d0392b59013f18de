"""Who is to look at which order on the platform, and when: each once at a time, and the newest state in the end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.messages import Message
from schemas.status import DeliveryStatus
from tests.database.samples import ID, NOW, order, place, rows, take_in
from worker.database import deliveries, write_backs
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery
from worker.ordering_api.write_policy import WriteBackState

SECOND = timedelta(seconds=1)
UNTIL = NOW + 60 * SECOND


@pytest.fixture
def telling(store: Database) -> Iterator[Database]:
    """Give a store whose orders of the source `platform` are written back."""
    made = Database(store.engine.url.render_as_string(hide_password=False), write_back_source="platform")
    yield made
    made.close()


def moves(store: Database, at: int = 0, **changes: Any) -> None:
    """Let the delivery move, that many seconds later."""

    def decide(delivery: Delivery) -> Change:
        return Change(replace(delivery, **{"changed_at": NOW + at * SECOND, **changes}))

    store.persist(deliveries.update, [ID], decide)


def due(store: Database) -> list[tuple[str, Any, Any]]:
    return [(row["delivery_id"], row["due_at"], row["lease_until"]) for row in rows(store, "write_back")]


def test_a_new_order_and_one_that_moved_are_looked_at_and_a_mere_poll_is_not(telling: Database) -> None:
    place(telling)
    assert due(telling) == [(ID, NOW, None)]
    assert telling.write(write_backs.lease, ID, NOW, UNTIL) == WriteBackState()
    assert telling.persist(write_backs.release, ID, UNTIL, WriteBackState(22, written=True, seen=0), None)
    assert (telling.read(write_backs.count_waiting, UNTIL), telling.read(write_backs.count_waiting, NOW)) == (0, 0)
    moves(telling, 9, next_run_at=UNTIL, failures=2)
    assert due(telling) == [(ID, None, None)]
    moves(telling, 9, status=DeliveryStatus.CREATED)
    assert due(telling) == [(ID, NOW + 9 * SECOND, None)]
    assert (telling.read(write_backs.count_waiting, NOW), telling.read(write_backs.count_waiting, UNTIL)) == (0, 1)
    assert telling.read(write_backs.write_back_state, ID) == WriteBackState(22, written=True, seen=0)


def test_no_order_of_another_source_is_looked_at_and_none_where_there_is_no_platform(
    telling: Database, store: Database
) -> None:
    elsewhere = Message(source="another shop", id="1", type="order.placed", data=order("2012"))
    take_in(telling, elsewhere)
    place(store)
    moves(store, status=DeliveryStatus.CREATED)
    assert (
        due(telling),
        telling.write(write_backs.claim, UNTIL, 9),
        telling.read(write_backs.write_back_state, ID),
    ) == ([], [], None)


def test_those_that_have_waited_longest_are_handed_out_first_and_each_once_for_a_while(telling: Database) -> None:
    ids = place(telling, "1", "2", "3")
    for number, each in enumerate(ids):
        until = NOW + (60 + number) * SECOND
        telling.write(write_backs.lease, each, NOW, until)
        telling.persist(write_backs.release, each, until, WriteBackState(), NOW + (3 - number) * SECOND)
    later = NOW + 5 * SECOND
    assert telling.write(write_backs.claim, NOW, 9) == []
    assert telling.write(write_backs.claim, later, 1) == [ids[2]]
    assert sorted(telling.write(write_backs.claim, later, 9)) == sorted(ids[:2])
    assert telling.write(write_backs.claim, later, 9) == []
    assert sorted(telling.write(write_backs.claim, later + 30 * SECOND, 9)) == sorted(ids)


def test_of_many_at_once_one_looks(telling: Database) -> None:
    place(telling)
    with ThreadPoolExecutor(4) as pool:
        untils = [UNTIL + number * SECOND for number in range(8)]
        begun = list(pool.map(lambda until: telling.write(write_backs.lease, ID, NOW, until), untils))
    assert [each for each in begun if each is not None] == [WriteBackState()]


def test_many_sweeps_at_once_hand_each_out_once(telling: Database) -> None:
    ids = place(telling, *map(str, range(20)))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: telling.write(write_backs.claim, NOW, 7), range(8)))
    assert sorted(each for batch in found for each in batch) == sorted(ids)


def test_what_moves_during_a_look_is_looked_at_again(telling: Database) -> None:
    place(telling)
    telling.write(write_backs.lease, ID, NOW, UNTIL)
    moves(telling, 1, status=DeliveryStatus.CREATED)
    assert telling.write(write_backs.claim, NOW + 2 * SECOND, 9) == []
    assert telling.write(write_backs.lease, ID, NOW + 2 * SECOND, UNTIL + SECOND) is None
    assert telling.persist(write_backs.release, ID, UNTIL, WriteBackState(22), NOW + 9 * SECOND)
    assert due(telling) == [(ID, NOW + SECOND, None)]


@pytest.mark.fault("F-65")
def test_a_look_that_died_with_its_process_is_made_again_and_what_it_says_later_counts_no_more(
    telling: Database,
) -> None:
    place(telling)
    telling.write(write_backs.lease, ID, NOW, UNTIL)
    assert telling.write(write_backs.claim, UNTIL - SECOND, 9) == []
    assert telling.write(write_backs.claim, UNTIL, 9) == [ID]
    assert telling.write(write_backs.lease, ID, UNTIL, UNTIL + 60 * SECOND) == WriteBackState()
    assert not telling.persist(write_backs.release, ID, UNTIL, WriteBackState(8, written=True), None)
    assert telling.persist(write_backs.release, ID, UNTIL + 60 * SECOND, WriteBackState(9), None)
    assert (telling.read(write_backs.write_back_state, ID), due(telling)) == (WriteBackState(9), [(ID, None, None)])


def test_what_is_settled_or_waits_for_longer_is_not_looked_at_by_a_hint_that_comes_late(telling: Database) -> None:
    place(telling)
    telling.write(write_backs.lease, ID, NOW, UNTIL)
    telling.persist(write_backs.release, ID, UNTIL, WriteBackState(), None)
    assert telling.write(write_backs.lease, ID, NOW, UNTIL) is None
    moves(telling, 60, status=DeliveryStatus.CREATED)
    assert telling.write(write_backs.lease, ID, NOW, UNTIL) is None
    assert telling.write(write_backs.lease, ID, NOW + 30 * SECOND, UNTIL) == WriteBackState()
    assert telling.write(write_backs.lease, "no such delivery", NOW, UNTIL) is None
