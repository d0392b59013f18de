"""Changes of deliveries are atomic and serialized."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from schemas.events import EventType
from schemas.status import AttemptState, Cause, DeliveryStatus
from tests.database.samples import ID, LATER, NOW, SHOP, begun, events, message, order, place, rows, store_messages
from tests.database.samples import changed as update
from worker.database import accounts, deliveries, shops
from worker.database.connection import IntegrityError
from worker.database.database import Database
from worker.database.tables import DELIVERY
from worker.domain.delivery import Attempt, Change, Delivery, Event, Step
from worker.domain.lifecycle import snapshot

QUEUED = (1, "delivery.status_changed")
SECOND = timedelta(seconds=1)


def published(delivery: Delivery, **more: Any) -> Change:
    """Change a delivery and add an event."""
    after = replace(delivery, sequence=delivery.sequence + 1, **more)
    return Change(after, (Event(EventType.UPDATED, after.sequence, NOW, snapshot(after, None, Cause.POLL, NOW)),))


def start(delivery: Delivery) -> Change:
    """Begin an attempt and add an event."""
    return published(begun(delivery).delivery)


def test_a_change_writes_the_delivery_its_attempt_and_its_event(database: Database) -> None:
    place(database)
    changed = update(database, [ID], start)
    assert database.read(deliveries.load, [ID]) == changed
    assert [attempt.state for attempt in changed[0].attempts] == ["submitting"]
    assert events(database) == [QUEUED, (2, "delivery.updated")]


def test_a_decision_gets_the_stored_delivery(database: Database) -> None:
    place(database)
    changed = update(database, [ID], start)
    seen: list[Delivery] = []
    assert update(database, [ID], seen.append) == []
    assert seen == changed


@pytest.mark.fault("F-70")
@pytest.mark.parametrize(
    "change",
    [
        lambda database: update(database, [ID], start),
        lambda database: database.write(deliveries.advance_sequence, ID, 7),
        lambda database: database.write(deliveries.set_all, DELIVERY.c.id == ID, next_run_at=LATER),
    ],
    ids=["update", "advance_sequence", "set_all"],
)
def test_a_known_delivery_is_read_again_only_when_it_has_changed(
    database: Database, change: Callable[[Database], object]
) -> None:
    place(database)
    (known,) = update(database, [ID], partial(begun, id=1, ended_at=NOW))
    seen: list[Delivery] = []
    database.write(deliveries.update, [ID], seen.append, [known])
    assert seen[0] is known
    change(database)
    database.write(deliveries.update, [ID], seen.append, [known])
    assert seen[1:] == database.read(deliveries.load, [ID])
    assert seen[1] != known


@pytest.mark.fault("F-95")
def test_a_change_that_the_database_has_lost_is_not_taken_for_the_stored_one(database: Database) -> None:
    place(database)
    with database.engine.connect() as connection:
        (lost,) = deliveries.update(connection, [ID], start)
    stored = update(database, [ID], published)
    seen: list[Delivery] = []
    database.write(deliveries.update, [ID], seen.append, [lost.delivery])
    assert seen == stored


def test_a_decision_without_a_change_writes_nothing(database: Database) -> None:
    place(database)
    before = rows(database, "delivery")
    assert update(database, [ID], lambda _: None) == []
    assert update(database, [], start) == []
    assert update(database, ["no such delivery"], start) == []
    assert rows(database, "delivery") == before
    assert events(database) == [QUEUED]


def test_only_deliveries_with_a_decision_are_changed(database: Database) -> None:
    first, second = place(database, "1", "2")
    update(database, [first, second], lambda each: published(each, detail="x") if each.id == first else None)
    assert {each.id: each.detail for each in database.read(deliveries.load, [first, second])} == {
        first: "x",
        second: None,
    }


def test_an_error_in_a_decision_writes_nothing_of_the_batch(database: Database) -> None:
    ids = place(database, "1", "2")
    before = [rows(database, name) for name in ("delivery", "attempt", "event")]
    decided: list[str] = []

    def decide(delivery: Delivery) -> Change:
        decided.append(delivery.id)
        if len(decided) == len(ids):
            raise ValueError("undecided")
        return start(delivery)

    with pytest.raises(ValueError, match="undecided"):
        update(database, ids, decide)
    assert [rows(database, name) for name in ("delivery", "attempt", "event")] == before


@pytest.mark.quirk("X-08")
def test_a_change_whose_event_cannot_be_written_is_rolled_back(database: Database) -> None:
    place(database)
    before = database.read(deliveries.load, [ID])
    with pytest.raises(IntegrityError):
        update(database, [ID], lambda each: published(begun(replace(each, sequence=0)).delivery))
    assert database.read(deliveries.load, [ID]) == before


def test_concurrent_changes_of_a_delivery_are_serialized(database: Database) -> None:
    place(database)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda _: update(database, [ID], lambda each: published(each, failures=each.failures + 1)),
                range(12),
            )
        )
    (found,) = database.read(deliveries.load, [ID])
    assert (found.failures, found.sequence) == (12, 13)
    assert [sequence for sequence, _ in events(database)] == list(range(1, 14))


@pytest.mark.fault("F-23")
def test_batches_in_opposite_orders_do_not_block_each_other(database: Database) -> None:
    ids = place(database, *(str(number) for number in range(10)))
    with ThreadPoolExecutor(4) as pool:
        jobs = [ids, ids[::-1]] * 4
        done = pool.map(
            lambda some: update(database, some, lambda each: published(each, failures=each.failures + 1)),
            jobs,
        )
        assert [len(each) for each in done] == [10] * 8
    assert {each.failures for each in database.read(deliveries.load, ids)} == {8}


@pytest.mark.quirk("X-03")
def test_two_live_attempts_of_a_delivery_are_impossible(database: Database) -> None:
    place(database)
    update(database, [ID], start)
    before = database.read(deliveries.load, [ID])
    with pytest.raises(IntegrityError):
        update(database, [ID], lambda each: Change(begun(each, carrier="borzo").delivery))
    assert database.read(deliveries.load, [ID]) == before


@pytest.mark.parametrize(
    "harmless",
    [{"ended_at": NOW}, {"surplus": True}, {"state": DeliveryStatus.QUEUED.value}],
    ids=["ended", "surplus", "unsent"],
)
def test_a_live_attempt_may_exist_beside_one_that_brings_no_courier(
    database: Database, harmless: dict[str, Any]
) -> None:
    place(database)
    update(database, [ID], partial(begun, **harmless))
    (changed,) = update(database, [ID], begun)
    assert [attempt.live and not attempt.surplus for attempt in changed.attempts] == [False, True]
    assert database.read(deliveries.load, [ID]) == [changed]


def test_an_attempt_may_end_in_the_commit_that_begins_the_next(database: Database) -> None:
    place(database)
    update(database, [ID], begun)

    def next_one(delivery: Delivery) -> Change:
        (first,) = delivery.attempts
        return begun(delivery.with_attempt(replace(first, ended_at=LATER)))

    changed = update(database, [ID], next_one)
    assert database.read(deliveries.load, [ID]) == changed


def test_an_earlier_attempt_may_replace_the_live_one_in_one_commit(database: Database) -> None:
    place(database)
    update(database, [ID], partial(begun, state=DeliveryStatus.QUEUED.value))
    update(database, [ID], begun)

    def swap(delivery: Delivery) -> Change:
        first, second = delivery.attempts
        return Change(
            replace(delivery, attempts=(replace(first, state=AttemptState.SUBMITTING), replace(second, ended_at=NOW)))
        )

    changed = update(database, [ID], swap)
    assert database.read(deliveries.load, [ID]) == changed


def test_deliveries_are_found_by_either_id_newest_first(database: Database) -> None:
    old = store_messages(database, message(order()))
    others = [
        store_messages(database, replace(message(order()), source=source), now=NOW + timedelta(minutes=minutes))
        for minutes, source in enumerate(("b", "c", "d", "e"), 1)
    ]
    newest_first = [made for (made,) in reversed([old, *others])]
    assert database.read(deliveries.find, "2011") == newest_first
    assert database.read(deliveries.find, ID) == old
    assert database.read(deliveries.find, "nobody") == []


def test_unfinished_deliveries_are_counted_by_status(database: Database) -> None:
    held, finished, *_ = place(database, "1", "2", "3", "4")
    update(database, [held], lambda each: Change(replace(each, status=DeliveryStatus.ON_HOLD)))
    read_once_more = {"status": DeliveryStatus.DELIVERED, "step": Step.TRACK, "next_run_at": LATER}
    update(database, [finished], lambda each: Change(replace(each, **read_once_more)))  # type: ignore[arg-type]
    assert database.read(deliveries.status_counts) == {"queued": 2, "on_hold": 1}


def test_the_attempts_of_a_delivery_are_sorted_by_number(database: Database) -> None:
    place(database)
    for number in (3, 1, 2):
        update(database, [ID], partial(_with_ended, number=number))
    (found,) = database.read(deliveries.load, [ID])
    assert [attempt.number for attempt in found.attempts] == [1, 2, 3]


def _with_ended(delivery: Delivery, number: int) -> Change:
    attempt = Attempt(
        number, delivery.id, number, "borzo", AttemptState.REJECTED, f"t{number}", NOW, NOW, NOW, ended_at=NOW
    )
    return Change(delivery.with_attempt(attempt))


def test_the_metadata_of_an_account_is_stored_and_replaced(database: Database) -> None:
    assert database.read(accounts.account_metadata, "deliverit") == {}
    database.write(accounts.put_account_metadata, "deliverit", {"company": "42"})
    database.write(accounts.put_account_metadata, "deliverit", {"company": "43", "name": "Ærø"})
    assert database.read(accounts.account_metadata, "deliverit") == {"company": "43", "name": "Ærø"}
    assert database.read(accounts.account_metadata, "borzo") == {}


def test_no_shops_are_loaded_for_no_ids(database: Database) -> None:
    database.write(shops.save_shops, {"17": SHOP}, NOW)
    assert database.read(shops.load_shops, []) == {}


@pytest.mark.fault("F-73")
def test_two_live_attempts_never_have_the_same_order_of_a_carrier(database: Database) -> None:
    first, second = place(database, "1", "2")
    database.write(deliveries.update, [first], partial(begun, id=1, ref="99999"))
    with pytest.raises(IntegrityError):
        database.write(deliveries.update, [second], partial(begun, id=2, ref="99999"))

    def end(delivery: Delivery) -> Change:
        return Change(delivery.with_attempt(replace(delivery.attempts[0], ended_at=NOW)))

    database.write(deliveries.update, [first], end)
    database.write(deliveries.update, [second], partial(begun, id=2, ref="99999"))
    assert [each.ref for each in database.read(deliveries.load, [second])[0].attempts] == ["99999"]
