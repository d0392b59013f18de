"""Which orders are compared with the platform, and when: by one process at a time, the newest state at last."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schemas.messages import Message
from schemas.status import DeliveryStatus
from tests.database.samples import ID, NOW, order, place, rows, store_messages
from worker.database import deliveries, write_backs
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery, Gate
from worker.ordering_api.write_policy import WriteBackState

SECOND = timedelta(seconds=1)
UNTIL = NOW + 60 * SECOND


@pytest.fixture
def written_back(database: Database) -> Iterator[Database]:
    """Yield a database whose orders of the source `platform` are written back."""
    made = Database(database.engine.url.render_as_string(hide_password=False), write_back_source="platform")
    yield made
    made.close()


def change(database: Database, at: int = 0, **changes: Any) -> None:
    """Change the delivery, so many seconds later."""

    def decide(delivery: Delivery) -> Change:
        return Change(replace(delivery, **{"changed_at": NOW + at * SECOND, **changes}))

    database.persist(deliveries.update, [ID], decide)


def due(database: Database) -> list[tuple[str, Any, Any]]:
    return [(row["delivery_id"], row["due_at"], row["lease_until"]) for row in rows(database, "write_back")]


def test_a_new_order_and_a_changed_status_are_due_and_a_mere_poll_is_not(written_back: Database) -> None:
    place(written_back)
    assert due(written_back) == [(ID, NOW, None)]
    assert written_back.write(write_backs.lease, ID, NOW, UNTIL) == WriteBackState()
    assert written_back.persist(write_backs.release, ID, UNTIL, WriteBackState(22, written=True, seen=0), None)
    assert (written_back.read(write_backs.count_waiting, UNTIL), written_back.read(write_backs.count_waiting, NOW)) == (
        0,
        0,
    )
    change(written_back, 9, next_run_at=UNTIL, failures=2)
    assert due(written_back) == [(ID, None, None)]
    change(written_back, 9, status=DeliveryStatus.CREATED)
    assert due(written_back) == [(ID, NOW + 9 * SECOND, None)]
    assert (written_back.read(write_backs.count_waiting, NOW), written_back.read(write_backs.count_waiting, UNTIL)) == (
        0,
        1,
    )
    assert written_back.read(write_backs.write_back_state, ID) == WriteBackState(22, written=True, seen=0)


def test_an_order_of_another_source_is_not_due_and_without_a_platform_no_order_is(
    written_back: Database, database: Database
) -> None:
    elsewhere = Message(source="another shop", id="1", type="order.placed", data=order("2012"))
    store_messages(written_back, elsewhere)
    place(database)
    change(database, status=DeliveryStatus.CREATED)
    assert (
        due(written_back),
        written_back.write(write_backs.claim, UNTIL, 9),
        written_back.read(write_backs.write_back_state, ID),
    ) == ([], [], None)


def test_the_longest_waiting_are_claimed_first_and_once_within_a_lease(written_back: Database) -> None:
    ids = place(written_back, "1", "2", "3")
    for number, each in enumerate(ids):
        until = NOW + (60 + number) * SECOND
        written_back.write(write_backs.lease, each, NOW, until)
        written_back.persist(write_backs.release, each, until, WriteBackState(), NOW + (3 - number) * SECOND)
    later = NOW + 5 * SECOND
    assert written_back.write(write_backs.claim, NOW, 9) == []
    assert written_back.write(write_backs.claim, later, 1) == [ids[2]]
    assert sorted(written_back.write(write_backs.claim, later, 9)) == sorted(ids[:2])
    assert written_back.write(write_backs.claim, later, 9) == []
    assert sorted(written_back.write(write_backs.claim, later + 30 * SECOND, 9)) == sorted(ids)


def test_a_delivery_whose_gate_is_closed_is_claimed_before_those_that_have_waited_longer(
    written_back: Database,
) -> None:
    early, late = place(written_back, "1", "2")
    written_back.write(deliveries.update, [late], lambda each: Change(replace(each, gate=Gate.READY)))
    later = NOW + 5 * SECOND
    assert [written_back.write(write_backs.claim, later, 1) for _ in range(3)] == [[late], [early], []]


def test_one_of_many_gets_the_lease_of_a_delivery(written_back: Database) -> None:
    place(written_back)
    with ThreadPoolExecutor(4) as pool:
        untils = [UNTIL + number * SECOND for number in range(8)]
        begun = list(pool.map(lambda until: written_back.write(write_backs.lease, ID, NOW, until), untils))
    assert [each for each in begun if each is not None] == [WriteBackState()]


def test_concurrent_claims_return_each_delivery_once(written_back: Database) -> None:
    ids = place(written_back, *map(str, range(20)))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: written_back.write(write_backs.claim, NOW, 7), range(8)))
    assert sorted(each for batch in found for each in batch) == sorted(ids)


def test_a_change_during_a_comparison_makes_the_delivery_due_again(written_back: Database) -> None:
    place(written_back)
    written_back.write(write_backs.lease, ID, NOW, UNTIL)
    change(written_back, 1, status=DeliveryStatus.CREATED)
    assert written_back.write(write_backs.claim, NOW + 2 * SECOND, 9) == []
    assert written_back.write(write_backs.lease, ID, NOW + 2 * SECOND, UNTIL + SECOND) is None
    assert written_back.persist(write_backs.release, ID, UNTIL, WriteBackState(22), NOW + 9 * SECOND)
    assert due(written_back) == [(ID, NOW + SECOND, None)]


@pytest.mark.fault("F-65")
def test_a_comparison_lost_with_its_process_is_repeated_and_its_late_result_is_ignored(
    written_back: Database,
) -> None:
    place(written_back)
    written_back.write(write_backs.lease, ID, NOW, UNTIL)
    assert written_back.write(write_backs.claim, UNTIL - SECOND, 9) == []
    assert written_back.write(write_backs.claim, UNTIL, 9) == [ID]
    assert written_back.write(write_backs.lease, ID, UNTIL, UNTIL + 60 * SECOND) == WriteBackState()
    assert not written_back.persist(write_backs.release, ID, UNTIL, WriteBackState(8, written=True), None)
    assert written_back.persist(write_backs.release, ID, UNTIL + 60 * SECOND, WriteBackState(9), None)
    assert (written_back.read(write_backs.write_back_state, ID), due(written_back)) == (
        WriteBackState(9),
        [(ID, None, None)],
    )


def test_a_late_wake_up_task_leases_no_delivery_that_is_not_due(written_back: Database) -> None:
    place(written_back)
    written_back.write(write_backs.lease, ID, NOW, UNTIL)
    written_back.persist(write_backs.release, ID, UNTIL, WriteBackState(), None)
    assert written_back.write(write_backs.lease, ID, NOW, UNTIL) is None
    change(written_back, 60, status=DeliveryStatus.CREATED)
    assert written_back.write(write_backs.lease, ID, NOW, UNTIL) is None
    assert written_back.write(write_backs.lease, ID, NOW + 30 * SECOND, UNTIL) == WriteBackState()
    assert written_back.write(write_backs.lease, "no such delivery", NOW, UNTIL) is None
