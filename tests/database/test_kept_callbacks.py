from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.database.samples import ID, NOW, RULES, begun, place, rows
from tests.database.samples import changed as update
from worker.carriers.port import Callback, CallbackKey, Observation, Raw
from worker.database import callbacks, deliveries
from worker.database.callbacks import WAKE_UP_WAIT, StoredCallback
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle import apply_observations

CALLBACK = Callback(
    method="POST",
    body=b'{"order_id": 7}',
    headers={"content-type": "application/json", "x-dv-signature": "secret", "cookie": "a=1"},
    query="a=1",
    token="t",
)
SECOND = timedelta(seconds=1)


def keep(store: Database, callback: Callback = CALLBACK, carrier: str = "borzo") -> str:
    kept = store.write(callbacks.save, carrier, callback, NOW)
    assert kept is not None
    return kept


def end(delivery: Delivery) -> Change:
    return Change(replace(delivery, detail="seen"))


def test_a_kept_callback_is_as_it_came_but_for_its_secrets(store: Database) -> None:
    kept = keep(store)
    shown = replace(CALLBACK, headers={"content-type": "application/json"})
    assert store.read(callbacks.load, kept) == StoredCallback(kept, "borzo", shown, NOW, None)
    assert store.read(callbacks.load, "no such callback") is None


@pytest.mark.quirk("B-83", "B-92")
def test_the_very_same_callback_is_kept_once(store: Database) -> None:
    keep(store)
    assert store.write(callbacks.save, "borzo", replace(CALLBACK, headers={}), NOW + SECOND) is None
    assert len(rows(store, "callback")) == 1


@pytest.mark.quirk("B-92")
@pytest.mark.parametrize("changed", [{"body": b"{}"}, {"query": "a=2"}, {"token": "u"}, {"token": None}])
def test_a_callback_that_differs_is_another(store: Database, changed: dict[str, object]) -> None:
    keep(store)
    keep(store, replace(CALLBACK, **changed))  # type: ignore[arg-type]
    keep(store, carrier="cervo")
    assert len(rows(store, "callback")) == 3


@pytest.mark.fault("F-40")
def test_a_callback_that_comes_many_times_at_once_is_kept_once(store: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: store.write(callbacks.save, "borzo", CALLBACK, NOW), range(100)))
    assert kept.count(None) == 99


def test_a_new_callback_is_left_to_its_hint_for_a_moment(store: Database) -> None:
    kept = keep(store)
    assert store.write(callbacks.claim, NOW + WAKE_UP_WAIT - SECOND, 10) == []
    assert store.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10) == [kept]


def test_the_older_a_waiting_callback_is_the_more_seldom_it_is_handed_out(store: Database) -> None:
    kept = keep(store)
    for seconds in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1624):
        assert store.write(callbacks.claim, NOW + (seconds - 1) * SECOND, 10) == []
        assert store.write(callbacks.claim, NOW + seconds * SECOND, 10) == [kept]


def test_an_applied_callback_is_handed_out_no_more(store: Database) -> None:
    kept = keep(store)
    store.write(callbacks.settle, kept, "unreadable")
    assert store.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10) == []
    found = store.read(callbacks.load, kept)
    assert found is not None
    assert found.result == "unreadable"


def test_many_claimers_together_are_handed_every_callback_once(store: Database) -> None:
    kept = [keep(store, replace(CALLBACK, query=str(number))) for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        handed = pool.map(lambda _: store.write(callbacks.claim, NOW + WAKE_UP_WAIT, 5), range(8))
        assert Counter(each for some in handed for each in some) == Counter(kept)


@pytest.mark.quirk("B-92")
def test_a_callback_and_its_effect_are_one_commit(store: Database) -> None:
    place(store)
    (begun_,) = update(store, [ID], begun)
    kept = keep(store)
    changed = [change.delivery for change in store.write(callbacks.apply, kept, "applied", ID, end)]
    assert changed == store.read(deliveries.load, [ID]) == [replace(begun_, detail="seen")]
    assert [row["result"] for row in rows(store, "callback")] == ["applied"]


@pytest.mark.fault("F-40")
@pytest.mark.quirk("B-83")
def test_a_callback_that_is_applied_a_hundred_times_at_once_is_told_once(store: Database) -> None:
    place(store)
    (begun_,) = update(store, [ID], begun)
    kept, attempt = keep(store), begun_.attempts[0].id
    news = Observation(DeliveryStatus.CREATED, Raw("order", "new"), ref="7")
    before = len(rows(store, "event"))

    def apply(_: int) -> list[Change]:
        return store.write(
            callbacks.apply,
            kept,
            "applied",
            ID,
            lambda it: apply_observations(it, attempt, [news], RULES, NOW, Cause.CALLBACK),
        )

    with ThreadPoolExecutor(8) as pool:
        changed = list(pool.map(apply, range(100)))
    assert changed.count([]) == 99
    assert len(rows(store, "event")) == before + 1


@pytest.mark.quirk("B-92")
def test_a_callback_whose_effect_fails_still_waits(store: Database) -> None:
    place(store)
    before, kept = store.read(deliveries.load, [ID]), keep(store)

    def fail(_: Delivery) -> Change:
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        store.write(callbacks.apply, kept, "applied", ID, fail)
    assert store.read(deliveries.load, [ID]) == before
    assert store.write(callbacks.claim, NOW + WAKE_UP_WAIT, 10) == [kept]


def test_an_attempt_is_found_by_our_reference_by_its_token_or_by_the_carriers_id(store: Database) -> None:
    place(store)
    store.persist(deliveries.update, [ID], partial(begun, id=77, token="secret", ref="F64u3fbx"))
    keys = [CallbackKey(attempt_id=77), CallbackKey(token="secret"), CallbackKey(ref="F64u3fbx")]
    assert [store.read(callbacks.find_attempt, "deliverit", key) for key in keys] == [(ID, 77)] * 3
    assert [store.read(callbacks.find_attempt, "borzo", key) for key in keys] == [None] * 3


def test_our_own_reference_counts_more_than_the_carriers(store: Database) -> None:
    first, second = place(store, "1", "2")
    store.persist(deliveries.update, [first], partial(begun, id=1, ref="x"))
    store.persist(deliveries.update, [second], partial(begun, id=2, ref="y"))
    assert store.read(callbacks.find_attempt, "deliverit", CallbackKey(ref="x", attempt_id=2)) == (second, 2)
    assert store.read(callbacks.find_attempt, "deliverit", CallbackKey(ref="x", attempt_id=3)) == (first, 1)


def test_a_key_that_names_nothing_finds_nothing(store: Database) -> None:
    place(store)
    store.persist(deliveries.update, [ID], begun)
    assert store.read(callbacks.find_attempt, "deliverit", CallbackKey()) is None
    assert (
        store.read(
            callbacks.find_attempt, "deliverit", CallbackKey(ref="unknown", attempt_id=2**63 - 1, token="unknown")
        )
        is None
    )
