"""A callback is stored once, claimed while it waits, and applied in one commit with its effect."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.database.samples import ID, NOW, RULES, begun, place, rows
from tests.database.samples import changed as update
from worker.carriers.port import Callback, CallbackKey, Observation, Raw
from worker.database import callbacks, deliveries
from worker.database.callbacks import WAKE_UP_WAIT, FoundAttempt, StoredCallback
from worker.database.database import Database
from worker.domain.callback_decision import CallbackDecision
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle import apply_observations

CALLBACK = Callback(
    method="POST",
    body=b'{"order_id": 7}',
    headers={"content-type": "application/json", "x-dv-signature": "secret", "cookie": "a=1"},
    query="a=1",
    token="t",
)
SIGNED = replace(CALLBACK, token=None)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def save(database: Database, callback: Callback = CALLBACK, carrier: str = "borzo", **more: Any) -> str:
    callback_id = database.write(partial(callbacks.save, **more), carrier, callback, NOW)
    assert callback_id is not None
    return callback_id


def end(delivery: Delivery) -> Change:
    return Change(replace(delivery, detail="seen"))


def test_a_callback_is_stored_without_its_secret_headers(database: Database) -> None:
    callback_id = save(database)
    shown = replace(CALLBACK, headers={"content-type": "application/json"})
    assert database.read(callbacks.load, callback_id) == StoredCallback(callback_id, "borzo", shown, NOW, None)
    assert database.read(callbacks.load, "no such callback") is None


@pytest.mark.quirk("B-83", "B-92")
def test_an_equal_signed_callback_is_stored_once(database: Database) -> None:
    save(database, SIGNED)
    assert database.write(callbacks.save, "borzo", replace(SIGNED, headers={}), NOW + SECOND) is None
    assert len(rows(database, "callback")) == 1


@pytest.mark.fault("F-77")
@pytest.mark.quirk("C-53")
def test_an_equal_unsigned_callback_is_stored_again(database: Database) -> None:
    save(database)
    save(database)
    assert len(rows(database, "callback")) == 2


@pytest.mark.quirk("B-92")
@pytest.mark.parametrize("changed", [{"body": b"{}"}, {"query": "a=2"}, {"token": "u"}])
def test_a_callback_with_other_content_is_stored_separately(database: Database, changed: dict[str, object]) -> None:
    save(database, SIGNED)
    save(database, replace(SIGNED, **changed))  # type: ignore[arg-type]
    save(database, SIGNED, carrier="cervo")
    assert len(rows(database, "callback")) == 3


@pytest.mark.fault("F-40")
def test_a_callback_that_arrives_many_times_at_once_is_stored_once(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: database.write(callbacks.save, "borzo", SIGNED, NOW), range(100)))
    assert results.count(None) == 99


def test_a_new_callback_is_left_to_its_wake_up_task_at_first(database: Database) -> None:
    callback_id = save(database)
    assert database.write(callbacks.claim, NOW + WAKE_UP_WAIT - SECOND, 10) == []
    assert database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10) == [callback_id]


@pytest.mark.fault("F-79")
def test_callbacks_of_our_attempts_are_claimed_before_those_of_nobody(database: Database) -> None:
    unknown = {save(database) for _ in range(3)}
    ours = {save(database, attempt_id=7) for _ in range(2)}
    assert set(database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 2)) == ours
    assert set(database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 9)) == unknown


@pytest.mark.fault("F-79")
def test_a_callback_of_nobody_is_claimed_only_a_few_times_in_two_days(database: Database) -> None:
    callback_id, claimed = save(database), []
    for at in [*range(0, 3600, 20), *range(3600, 48 * 3600, 600)]:
        claimed += database.write(callbacks.claim, NOW + at * SECOND, 10)
    assert claimed == [callback_id] * 7


@pytest.mark.fault("F-79")
def test_a_callback_is_due_as_soon_as_an_attempt_has_its_reference(database: Database) -> None:
    ours, _ = (save(database, carrier="deliverit", key=CallbackKey(ref=ref)) for ref in ("7", "8"))
    place(database)
    assert len(database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10)) == 2
    update(database, [ID], partial(begun, ref="7"))
    assert database.write(callbacks.claim, NOW + WAKE_UP_WAIT + SECOND, 10) == [ours]


@pytest.mark.fault("F-78")
def test_the_callbacks_of_an_attempt_wait_in_the_carrier_s_order_then_by_arrival(database: Database) -> None:
    at = [NOW + seconds * SECOND for seconds in (9, 5, 5)]
    late, first, second = (save(database, attempt_id=7, key=CallbackKey(reported_at=time)) for time in at)
    untimed, applied, _ = (save(database, attempt_id=number) for number in (7, 7, 8))
    database.write(callbacks.settle, applied, "applied")
    assert [each.id for each in database.read(callbacks.waiting, 7)] == [untimed, first, second, late]


def test_a_callback_that_was_early_is_attached_to_its_attempt_with_all_about_the_same_order(database: Database) -> None:
    early = [save(database, key=CallbackKey(ref=ref)) for ref in ("7", "7", "8")]
    save(database, key=CallbackKey(ref="7"), carrier="cervo")
    database.write(callbacks.attach, early[0], 77)
    assert [each.id for each in database.read(callbacks.waiting, 77)] == early[:2]


def test_an_older_waiting_callback_is_claimed_less_often(database: Database) -> None:
    callback_id = save(database, attempt_id=7)
    for seconds in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1624):
        assert database.write(callbacks.claim, NOW + (seconds - 1) * SECOND, 10) == []
        assert database.write(callbacks.claim, NOW + seconds * SECOND, 10) == [callback_id]


def test_a_settled_callback_is_not_claimed_again(database: Database) -> None:
    callback_id = save(database)
    database.write(callbacks.settle, callback_id, "unreadable")
    assert database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10) == []
    found = database.read(callbacks.load, callback_id)
    assert found is not None
    assert found.result == "unreadable"


def test_what_a_callback_meant_is_stored_with_the_state_on_which_that_depended(database: Database) -> None:
    decision = CallbackDecision(
        7, "created", 10, "R-1", {"order_status": "new"}, cancel_requested=True, meaning=({"status": "created"},)
    )
    callback_id, other = save(database, attempt_id=7), save(database, attempt_id=7)
    database.write(callbacks.settle, callback_id, "applied", decision)
    database.write(callbacks.settle, other, "applied", CallbackDecision(7, "created"))
    found = database.read(callbacks.of_attempts, [7])
    assert [each.decision for each in found] == [decision, CallbackDecision(7, "created")]


def test_concurrent_claims_return_every_callback_once(database: Database) -> None:
    ids = [save(database, replace(CALLBACK, query=str(number))) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        claimed = pool.map(lambda _: database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 5), range(8))
        assert Counter(each for some in claimed for each in some) == Counter(ids)


@pytest.mark.quirk("B-92")
def test_a_callback_and_its_effect_are_one_commit(database: Database) -> None:
    place(database)
    (begun_,) = update(database, [ID], begun)
    callback_id = save(database)
    changed = [change.delivery for change in database.write(callbacks.apply, callback_id, "applied", ID, end)]
    assert changed == database.read(deliveries.load, [ID]) == [replace(begun_, detail="seen")]
    assert [row["result"] for row in rows(database, "callback")] == ["applied"]


@pytest.mark.fault("F-40")
@pytest.mark.quirk("B-83")
def test_a_callback_that_is_applied_a_hundred_times_at_once_has_one_event(database: Database) -> None:
    place(database)
    (begun_,) = update(database, [ID], begun)
    callback_id, attempt = save(database), begun_.attempts[0].id
    news = Observation(DeliveryStatus.CREATED, Raw("order", "new"), ref="7")
    before = len(rows(database, "event"))

    def apply(_: int) -> list[Change]:
        return database.write(
            callbacks.apply,
            callback_id,
            "applied",
            ID,
            lambda delivery: apply_observations(delivery, attempt, [news], RULES, NOW, Cause.CALLBACK),
        )

    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(apply, range(100)))
    assert changed.count([]) == 99
    assert len(rows(database, "event")) == before + 1


@pytest.mark.quirk("B-92")
def test_a_callback_whose_effect_fails_still_waits(database: Database) -> None:
    place(database)
    before, callback_id = database.read(deliveries.load, [ID]), save(database)

    def fail(_: Delivery) -> Change:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        database.write(callbacks.apply, callback_id, "applied", ID, fail)
    assert database.read(deliveries.load, [ID]) == before
    assert database.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10) == [callback_id]


def test_an_attempt_is_found_by_our_reference_its_token_or_the_carrier_s_id(database: Database) -> None:
    place(database)
    database.persist(deliveries.update, [ID], partial(begun, id=77, token="secret", ref="F64u3fbx"))
    keys = [CallbackKey(attempt_id=77), CallbackKey(token="secret"), CallbackKey(ref="F64u3fbx")]
    assert [database.read(callbacks.find_attempt, "deliverit", key) for key in keys] == [
        FoundAttempt(ID, 77, "2011")
    ] * 3
    assert [database.read(callbacks.find_attempt, "borzo", key) for key in keys] == [None] * 3


def test_our_own_reference_is_preferred_to_the_carrier_s_id(database: Database) -> None:
    first, second = place(database, "1", "2")
    database.persist(deliveries.update, [first], partial(begun, id=1, ref="x"))
    database.persist(deliveries.update, [second], partial(begun, id=2, ref="y"))
    assert database.read(callbacks.find_attempt, "deliverit", CallbackKey(ref="x", attempt_id=2)) == FoundAttempt(
        second, 2, "2"
    )
    assert database.read(callbacks.find_attempt, "deliverit", CallbackKey(ref="x", attempt_id=3)) == FoundAttempt(
        first, 1, "1"
    )


def test_an_unknown_key_finds_no_attempt(database: Database) -> None:
    place(database)
    database.persist(deliveries.update, [ID], begun)
    assert database.read(callbacks.find_attempt, "deliverit", CallbackKey()) is None
    assert (
        database.read(
            callbacks.find_attempt, "deliverit", CallbackKey(ref="unknown", attempt_id=2**63 - 1, token="unknown")
        )
        is None
    )
