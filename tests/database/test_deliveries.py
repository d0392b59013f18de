"""Changes of deliveries are atomic and serialized, and a due delivery is claimed by one process at a time."""

from collections import Counter
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
from worker.database.deliveries import Due
from worker.domain.delivery import Attempt, Change, Delivery, Event, Step
from worker.domain.lifecycle import snapshot
from worker.domain.schedule import LEASE

QUEUED = (1, "delivery.status_changed")
SECOND = timedelta(seconds=1)


def published(delivery: Delivery, **more: Any) -> Change:
    """Change a delivery and add an event."""
    after = replace(delivery, sequence=delivery.sequence + 1, **more)
    return Change(after, (Event(EventType.UPDATED, after.sequence, NOW, snapshot(after, None, Cause.POLL, NOW)),))


def start(delivery: Delivery) -> Change:
    """Begin an attempt and add an event."""
    return published(begun(delivery).delivery)


def due(database: Database, *order_ids: str, at: int = 0, **more: Any) -> list[str]:
    """Place orders that are due in so many seconds and not claimed."""
    ids = place(database, *order_ids)
    run_at = NOW + timedelta(seconds=at)
    database.persist(
        deliveries.update, ids, lambda each: Change(replace(each, **{"next_run_at": run_at, "step": Step.BOOK, **more}))
    )
    return ids


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


@pytest.mark.quirk("X-06")
def test_a_due_delivery_is_claimed_once_while_its_lease_lasts(database: Database) -> None:
    due(database)
    assert database.write(deliveries.claim, NOW, 10) == [Due(ID, Step.BOOK, "deliverit")]
    assert database.write(deliveries.claim, NOW + LEASE, 10) == []
    assert database.write(deliveries.claim, NOW + LEASE + SECOND, 10) == [Due(ID, Step.BOOK, "deliverit")]


def test_a_delivery_that_is_not_due_is_not_claimed(database: Database) -> None:
    due(database, at=1)
    assert database.write(deliveries.claim, NOW, 10) == []
    assert [each.id for each in database.write(deliveries.claim, NOW + SECOND, 10)] == [ID]


def test_a_delivery_without_a_next_step_is_never_claimed(database: Database) -> None:
    due(database, step=None, next_run_at=None)
    assert database.write(deliveries.claim, LATER, 10) == []


def test_a_change_ends_the_lease(database: Database) -> None:
    due(database)
    database.write(deliveries.claim, NOW, 10)
    update(database, [ID], lambda each: Change(replace(each, next_run_at=NOW + SECOND)))
    assert [each.id for each in database.write(deliveries.claim, NOW + SECOND, 10)] == [ID]


@pytest.mark.fault("F-62")
def test_the_oldest_due_deliveries_are_claimed_first_and_no_more_than_requested(database: Database) -> None:
    late, early = due(database, "1", at=-1)[0], due(database, "2", at=-2)[0]
    assert [[each.id for each in database.write(deliveries.claim, NOW, 1)] for _ in range(3)] == [[early], [late], []]


@pytest.mark.fault("F-62")
def test_deliveries_of_a_busy_carrier_are_not_claimed(database: Database) -> None:
    due(database, "1", carrier="deliverit")
    (borzo,) = due(database, "2", carrier="borzo")
    (nobody,) = due(database, "3", carrier=None)
    assert {each.id for each in database.write(deliveries.claim, NOW, 10, except_carriers=["deliverit"])} == {
        borzo,
        nobody,
    }
    assert [each.carrier for each in database.write(deliveries.claim, NOW, 10)] == ["deliverit"]


@pytest.mark.fault("F-91")
@pytest.mark.parametrize(
    ("except_reads", "claimed"),
    [
        ([], {Step.BOOK, Step.RECONCILE, Step.CONFIRM, Step.AMEND, Step.CANCEL, Step.TRACK}),
        (["borzo"], {Step.BOOK, Step.RECONCILE, Step.CONFIRM, Step.AMEND, Step.CANCEL}),
    ],
)
def test_a_carrier_that_is_busy_with_reads_is_not_read_and_everything_else_is_claimed(
    database: Database, except_reads: list[str], claimed: set[Step]
) -> None:
    at_carrier = set(Step) - {Step.ROUTE}
    for step in at_carrier:
        due(database, step.value, carrier="borzo", step=step)
    found = database.write(deliveries.claim, NOW, 10, except_reads=except_reads)
    assert {each.step for each in found} == claimed
    left = database.write(deliveries.claim, NOW, 10)
    assert {each.step for each in found + left} == at_carrier


def test_a_carrier_that_is_busy_with_calls_is_still_read(database: Database) -> None:
    due(database, "1", carrier="borzo")
    (read,) = due(database, "2", carrier="borzo", step=Step.TRACK)
    assert database.write(deliveries.claim, NOW, 10, except_carriers=["borzo"]) == [Due(read, Step.TRACK, "borzo")]


@pytest.mark.fault("F-91")
def test_however_many_reads_are_overdue_other_steps_are_claimed_before_them(database: Database) -> None:
    reads = due(database, *"123456", at=-600, carrier="borzo", step=Step.TRACK)
    (create,) = due(database, "7", carrier="borzo")
    found = database.write(deliveries.claim, NOW, 3)
    assert (found[0], {each.step for each in found[1:]}, len(found)) == (
        Due(create, Step.BOOK, "borzo"),
        {Step.TRACK},
        4,
    )
    assert {each.id for each in found[1:]} < set(reads)


def test_a_step_about_a_surplus_courier_is_claimed_for_their_own_carrier(database: Database) -> None:
    due(database, carrier="borzo")
    (started,) = update(database, [ID], start)
    (attempt,) = started.attempts
    surplus = replace(attempt, id=attempt.id + 1, number=2, token="another", carrier="deliverit", surplus=True)

    def cancel(each: Delivery) -> Change:
        added = each.with_attempt(surplus)
        return Change(replace(added, step=Step.CANCEL, step_attempt_id=surplus.id, next_run_at=NOW))

    update(database, [ID], cancel)
    assert database.write(deliveries.claim, NOW, 10, except_carriers=["deliverit"]) == []
    assert database.write(deliveries.claim, NOW, 10, except_carriers=["borzo"]) == [Due(ID, Step.CANCEL, "deliverit")]


def test_a_delivery_is_routed_while_its_carrier_is_busy(database: Database) -> None:
    due(database, carrier="borzo", step=Step.ROUTE)
    assert database.write(deliveries.claim, NOW, 10, except_carriers=["borzo"]) == [Due(ID, Step.ROUTE, None)]


def test_due_alarms_are_decided_about_oldest_first_and_leave_leases_alone(database: Database) -> None:
    due(database, "1", alarm_at=NOW + SECOND)
    late, early = (due(database, each, alarm_at=NOW - int(each) * SECOND)[0] for each in ("2", "3"))
    database.write(deliveries.claim, NOW, 10)

    def decide(delivery: Delivery) -> Change:
        return Change(replace(delivery, alarm_at=None))

    for fired in ([early], [late], []):
        changes = database.write(deliveries.update_alarmed, NOW, 1, decide)
        assert [each.delivery.id for each in changes] == fired
    assert database.write(deliveries.claim, NOW, 10) == []


@pytest.mark.fault("F-62")
@pytest.mark.quirk("X-06")
def test_concurrent_claims_return_every_delivery_once(database: Database) -> None:
    ids = due(database, *(str(number) for number in range(40)))
    with ThreadPoolExecutor(4) as pool:
        claimed = Counter(
            each.id for some in pool.map(lambda _: database.write(deliveries.claim, NOW, 7), range(12)) for each in some
        )
    assert claimed == Counter(ids)


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


def test_the_newest_deliveries_are_listed_with_or_without_finished_ones(database: Database) -> None:
    for minutes, each in enumerate("123"):
        store_messages(database, message(order(each)), now=NOW + timedelta(minutes=minutes))
    (ended,) = database.read(deliveries.find, "3")
    update(database, [ended.id], lambda each: Change(replace(each, status=DeliveryStatus.DELIVERED)))
    assert [each.order.order_id for each in database.read(deliveries.recent, 2)] == ["3", "2"]
    assert [each.order.order_id for each in database.read(deliveries.recent, 2, unfinished=True)] == ["2", "1"]


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
