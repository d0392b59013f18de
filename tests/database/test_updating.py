from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from schemas.events import EventType
from schemas.status import AttemptState, Cause, DeliveryStatus
from tests.database.samples import ID, LATER, NOW, SHOP, begun, events, message, order, place, rows, take_in
from tests.database.samples import changed as update
from worker.database import accounts, deliveries, shops
from worker.database.database import Database
from worker.database.deliveries import Due
from worker.domain.delivery import Attempt, Change, Delivery, Event, Step
from worker.domain.lifecycle import snapshot
from worker.domain.schedule import LEASE

QUEUED = (1, "delivery.status_changed")
TICK = timedelta(seconds=1)


def told(delivery: Delivery, **more: Any) -> Change:
    """Change a delivery and tell of it."""
    after = replace(delivery, sequence=delivery.sequence + 1, **more)
    return Change(after, (Event(EventType.UPDATED, after.sequence, NOW, snapshot(after, None, Cause.POLL, NOW)),))


def start(delivery: Delivery) -> Change:
    """Begin an attempt and tell of it."""
    return told(begun(delivery).delivery)


def due(store: Database, *order_ids: str, at: int = 0, **more: Any) -> list[str]:
    """Place orders that are due in so many seconds and not handed out."""
    ids = place(store, *order_ids)
    run_at = NOW + timedelta(seconds=at)
    store.persist(
        deliveries.update, ids, lambda each: Change(replace(each, **{"next_run_at": run_at, "step": Step.BOOK, **more}))
    )
    return ids


def test_a_change_writes_the_delivery_its_attempt_and_its_event(store: Database) -> None:
    place(store)
    changed = update(store, [ID], start)
    assert store.read(deliveries.load, [ID]) == changed
    assert [attempt.state for attempt in changed[0].attempts] == ["submitting"]
    assert events(store) == [QUEUED, (2, "delivery.updated")]


def test_a_decision_sees_what_is_stored(store: Database) -> None:
    place(store)
    changed = update(store, [ID], start)
    seen: list[Delivery] = []
    assert update(store, [ID], seen.append) == []
    assert seen == changed


def test_a_decision_for_nothing_writes_nothing(store: Database) -> None:
    place(store)
    before = rows(store, "delivery")
    assert update(store, [ID], lambda _: None) == []
    assert update(store, [], start) == []
    assert update(store, ["no such delivery"], start) == []
    assert rows(store, "delivery") == before
    assert events(store) == [QUEUED]


def test_only_what_was_decided_is_changed(store: Database) -> None:
    first, second = place(store, "1", "2")
    update(store, [first, second], lambda each: told(each, detail="x") if each.id == first else None)
    assert {each.id: each.detail for each in store.read(deliveries.load, [first, second])} == {first: "x", second: None}


def test_an_error_in_a_decision_writes_nothing_of_the_batch(store: Database) -> None:
    ids = place(store, "1", "2")
    before = [rows(store, name) for name in ("delivery", "attempt", "event")]
    asked: list[str] = []

    def decide(delivery: Delivery) -> Change:
        asked.append(delivery.id)
        if len(asked) == len(ids):
            raise ValueError("undecided")
        return start(delivery)

    with pytest.raises(ValueError, match="undecided"):
        update(store, ids, decide)
    assert [rows(store, name) for name in ("delivery", "attempt", "event")] == before


@pytest.mark.quirk("X-08")
def test_an_event_that_cannot_be_written_takes_its_change_back(store: Database) -> None:
    place(store)
    before = store.read(deliveries.load, [ID])
    with pytest.raises(IntegrityError):
        update(store, [ID], lambda each: told(begun(replace(each, sequence=0)).delivery))
    assert store.read(deliveries.load, [ID]) == before


def test_changes_at_the_same_time_come_one_after_the_other(store: Database) -> None:
    place(store)
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda _: update(store, [ID], lambda each: told(each, failures=each.failures + 1)),
                range(12),
            )
        )
    (found,) = store.read(deliveries.load, [ID])
    assert (found.failures, found.sequence) == (12, 13)
    assert [sequence for sequence, _ in events(store)] == list(range(1, 14))


@pytest.mark.fault("F-23")
def test_batches_named_in_opposite_sequence_do_not_block_each_other(store: Database) -> None:
    ids = place(store, *(str(number) for number in range(10)))
    with ThreadPoolExecutor(4) as pool:
        jobs = [ids, ids[::-1]] * 4
        done = pool.map(
            lambda some: update(store, some, lambda each: told(each, failures=each.failures + 1)),
            jobs,
        )
        assert [len(each) for each in done] == [10] * 8
    assert {each.failures for each in store.read(deliveries.load, ids)} == {8}


@pytest.mark.quirk("X-03")
def test_two_live_attempts_of_a_delivery_are_impossible(store: Database) -> None:
    place(store)
    update(store, [ID], start)
    before = store.read(deliveries.load, [ID])
    with pytest.raises(IntegrityError):
        update(store, [ID], lambda each: Change(begun(each, carrier="borzo").delivery))
    assert store.read(deliveries.load, [ID]) == before


@pytest.mark.parametrize(
    "harmless",
    [{"ended_at": NOW}, {"surplus": True}, {"state": DeliveryStatus.QUEUED.value}],
    ids=["ended", "surplus", "unsent"],
)
def test_a_live_attempt_may_stand_beside_one_no_courier_can_come_of(store: Database, harmless: dict[str, Any]) -> None:
    place(store)
    update(store, [ID], partial(begun, **harmless))
    (changed,) = update(store, [ID], begun)
    assert [attempt.live and not attempt.surplus for attempt in changed.attempts] == [False, True]
    assert store.read(deliveries.load, [ID]) == [changed]


def test_an_attempt_may_end_in_the_commit_that_begins_the_next(store: Database) -> None:
    place(store)
    update(store, [ID], begun)

    def next_one(delivery: Delivery) -> Change:
        (first,) = delivery.attempts
        return begun(delivery.with_attempt(replace(first, ended_at=LATER)))

    changed = update(store, [ID], next_one)
    assert store.read(deliveries.load, [ID]) == changed


def test_a_live_attempt_may_give_way_to_an_earlier_one_in_one_commit(store: Database) -> None:
    place(store)
    update(store, [ID], partial(begun, state=DeliveryStatus.QUEUED.value))
    update(store, [ID], begun)

    def swap(delivery: Delivery) -> Change:
        first, second = delivery.attempts
        return Change(
            replace(delivery, attempts=(replace(first, state=AttemptState.SUBMITTING), replace(second, ended_at=NOW)))
        )

    changed = update(store, [ID], swap)
    assert store.read(deliveries.load, [ID]) == changed


@pytest.mark.quirk("X-06")
def test_what_is_due_is_handed_out_once_for_as_long_as_its_lease_lasts(store: Database) -> None:
    due(store)
    assert store.write(deliveries.claim, NOW, 10) == [Due(ID, Step.BOOK, "deliverit")]
    assert store.write(deliveries.claim, NOW + LEASE, 10) == []
    assert store.write(deliveries.claim, NOW + LEASE + TICK, 10) == [Due(ID, Step.BOOK, "deliverit")]


def test_what_is_not_yet_due_is_not_handed_out(store: Database) -> None:
    due(store, at=1)
    assert store.write(deliveries.claim, NOW, 10) == []
    assert [each.id for each in store.write(deliveries.claim, NOW + TICK, 10)] == [ID]


def test_what_has_ended_is_never_handed_out(store: Database) -> None:
    due(store, step=None, next_run_at=None)
    assert store.write(deliveries.claim, LATER, 10) == []


def test_a_change_ends_the_lease(store: Database) -> None:
    due(store)
    store.write(deliveries.claim, NOW, 10)
    update(store, [ID], lambda each: Change(replace(each, next_run_at=NOW + TICK)))
    assert [each.id for each in store.write(deliveries.claim, NOW + TICK, 10)] == [ID]


@pytest.mark.fault("F-62")
def test_no_more_is_handed_out_than_was_asked_for_and_the_oldest_first(store: Database) -> None:
    late, early = due(store, "1", at=-1)[0], due(store, "2", at=-2)[0]
    assert [[each.id for each in store.write(deliveries.claim, NOW, 1)] for _ in range(3)] == [[early], [late], []]


@pytest.mark.fault("F-62")
def test_a_full_carriers_deliveries_are_left_for_later(store: Database) -> None:
    due(store, "1", carrier="deliverit")
    (borzo,) = due(store, "2", carrier="borzo")
    (nobody,) = due(store, "3", carrier=None)
    assert {each.id for each in store.write(deliveries.claim, NOW, 10, except_carriers=["deliverit"])} == {
        borzo,
        nobody,
    }
    assert [each.carrier for each in store.write(deliveries.claim, NOW, 10)] == ["deliverit"]


def test_a_step_about_a_courier_too_many_is_handed_out_to_his_own_carrier(store: Database) -> None:
    due(store, carrier="borzo")
    (follows,) = update(store, [ID], start)
    (attempt,) = follows.attempts
    extra = replace(attempt, id=attempt.id + 1, number=2, token="another", carrier="deliverit", surplus=True)

    def turn(each: Delivery) -> Change:
        return Change(replace(each.with_attempt(extra), step=Step.CANCEL, step_attempt_id=extra.id, next_run_at=NOW))

    update(store, [ID], turn)
    assert store.write(deliveries.claim, NOW, 10, except_carriers=["deliverit"]) == []
    assert store.write(deliveries.claim, NOW, 10, except_carriers=["borzo"]) == [Due(ID, Step.CANCEL, "deliverit")]


@pytest.mark.parametrize("step", [Step.ALARM, Step.ROUTE])
def test_a_step_that_needs_no_carrier_waits_for_no_carriers_queue(store: Database, step: Step) -> None:
    due(store, carrier="borzo", step=step)
    assert store.write(deliveries.claim, NOW, 10, except_carriers=["borzo"]) == [Due(ID, step, None)]


@pytest.mark.fault("F-62")
@pytest.mark.quirk("X-06")
def test_many_claimers_together_are_handed_every_delivery_once(store: Database) -> None:
    ids = due(store, *(str(number) for number in range(40)))
    with ThreadPoolExecutor(4) as pool:
        handed = Counter(
            each.id for some in pool.map(lambda _: store.write(deliveries.claim, NOW, 7), range(12)) for each in some
        )
    assert handed == Counter(ids)


def test_deliveries_are_found_by_either_id_newest_first(store: Database) -> None:
    old = take_in(store, message(order()))
    others = [
        take_in(store, replace(message(order()), source=source), now=NOW + timedelta(minutes=minutes))
        for minutes, source in enumerate(("b", "c", "d", "e"), 1)
    ]
    newest_first = [made for (made,) in reversed([old, *others])]
    assert store.read(deliveries.find, "2011") == newest_first
    assert store.read(deliveries.find, ID) == old
    assert store.read(deliveries.find, "nobody") == []


def test_the_newest_deliveries_are_listed_and_those_that_are_over_can_be_left_out(store: Database) -> None:
    for minutes, each in enumerate("123"):
        take_in(store, message(order(each)), now=NOW + timedelta(minutes=minutes))
    (ended,) = store.read(deliveries.find, "3")
    update(store, [ended.id], lambda each: Change(replace(each, status=DeliveryStatus.DELIVERED)))
    assert [each.order.order_id for each in store.read(deliveries.recent, 2)] == ["3", "2"]
    assert [each.order.order_id for each in store.read(deliveries.recent, 2, unfinished=True)] == ["2", "1"]


def test_deliveries_that_are_not_over_are_counted_by_status(store: Database) -> None:
    held, over, *_ = place(store, "1", "2", "3", "4")
    update(store, [held], lambda each: Change(replace(each, status=DeliveryStatus.ON_HOLD)))
    read_once_more = {"status": DeliveryStatus.DELIVERED, "step": Step.TRACK, "next_run_at": LATER}
    update(store, [over], lambda each: Change(replace(each, **read_once_more)))  # type: ignore[arg-type]
    assert store.read(deliveries.status_counts) == {"queued": 2, "on_hold": 1}


def test_the_attempts_of_a_delivery_come_in_their_order(store: Database) -> None:
    place(store)
    for number in (3, 1, 2):
        update(store, [ID], partial(_with_ended, number=number))
    (found,) = store.read(deliveries.load, [ID])
    assert [attempt.number for attempt in found.attempts] == [1, 2, 3]


def _with_ended(delivery: Delivery, number: int) -> Change:
    attempt = Attempt(
        number, delivery.id, number, "borzo", AttemptState.REJECTED, f"t{number}", NOW, NOW, NOW, ended_at=NOW
    )
    return Change(delivery.with_attempt(attempt))


def test_the_facts_of_an_account_are_kept_and_replaced(store: Database) -> None:
    assert store.read(accounts.account_metadata, "deliverit") == {}
    store.write(accounts.put_account_metadata, "deliverit", {"company": "42"})
    store.write(accounts.put_account_metadata, "deliverit", {"company": "43", "name": "Ærø"})
    assert store.read(accounts.account_metadata, "deliverit") == {"company": "43", "name": "Ærø"}
    assert store.read(accounts.account_metadata, "borzo") == {}


def test_an_unknown_shop_is_in_nobodys_directory(store: Database) -> None:
    store.write(shops.save_shops, {"17": SHOP}, NOW)
    assert store.read(shops.load_shops, []) == {}
