"""Accounts that are paused: told once, by who may say so, and on a gap-free sequence of their own."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.database.samples import LATER, NOW, place
from worker.database import accounts, deliveries, outbox
from worker.database.accounts import Pause
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery, Step


def told(store: Database) -> list[tuple[Any, ...]]:
    events = [json.loads(body) for _, body in store.read(outbox.events)]
    return [(each["type"], each["subject"], each["sequence"], *each["data"].values()) for each in events]


def test_a_pause_and_its_end_are_told_once_each(store: Database) -> None:
    assert [store.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW) for _ in range(2)] == [True, False]
    assert store.read(accounts.paused) == {"borzo": Pause(NOW, "carrier", "HTTP 401")}
    assert [store.write(accounts.resume, "borzo", "probe", LATER) for _ in range(2)] == [True, False]
    assert store.read(accounts.paused) == {}
    since = "2026-11-21T17:40:00.123456Z"
    assert told(store) == [
        ("carrier.paused", "borzo", "1", "borzo", "carrier", "HTTP 401", since),
        ("carrier.resumed", "borzo", "2", "borzo", "probe", "HTTP 401", since),
    ]


def test_each_account_has_a_sequence_of_its_own(store: Database) -> None:
    for name in ("borzo", "cervo"):
        store.write(accounts.pause, name, "carrier", "", NOW)
    store.write(accounts.resume, "borzo", "operator", LATER)
    assert [(subject, sequence) for _, subject, sequence, *_ in told(store)] == [
        ("borzo", "1"),
        ("cervo", "1"),
        ("borzo", "2"),
    ]


def test_what_an_operator_paused_only_an_operator_resumes(store: Database) -> None:
    store.write(accounts.pause, "borzo", "operator", "a holiday", NOW)
    assert [
        store.write(accounts.pause, "borzo", "carrier", "HTTP 401", LATER),
        store.write(accounts.resume, "borzo", "probe", LATER),
    ] == [False, False]
    assert store.read(accounts.paused) == {"borzo": Pause(NOW, "operator", "a holiday")}
    assert store.write(accounts.resume, "borzo", "operator", LATER)


def test_an_operator_may_make_a_carriers_pause_their_own_and_nothing_more_is_told(store: Database) -> None:
    store.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW)
    assert store.write(accounts.pause, "borzo", "operator", "we look into it", LATER)
    assert store.read(accounts.paused) == {"borzo": Pause(NOW, "operator", "we look into it")}
    assert len(told(store)) == 1


def test_what_a_probe_told_of_an_account_outlasts_its_pause(store: Database) -> None:
    store.write(accounts.put_account_metadata, "deliverit", {"company": "14"})
    store.write(accounts.pause, "deliverit", "carrier", "HTTP 401", NOW)
    store.write(accounts.resume, "deliverit", "probe", LATER)
    assert store.read(accounts.account_metadata, "deliverit") == {"company": "14"}


def put_off(step: Step, **more: Any) -> Callable[[Delivery], Change]:
    times = {"retry_at": LATER, "next_run_at": LATER, **more}
    return lambda each: Change(replace(each, carrier="borzo", step=step, **times))


def test_what_was_put_off_is_due_when_its_account_goes_again(store: Database) -> None:
    steps = {"1": Step.BOOK, "2": Step.CANCEL, "3": Step.TRACK, "5": Step.AMEND, "6": Step.CONFIRM}
    ids = place(store, *steps)
    for each, step in zip(ids, steps.values(), strict=True):
        store.persist(deliveries.update, [each], put_off(step))
    store.persist(deliveries.update, place(store, "4"), put_off(Step.ALARM, next_run_at=LATER - timedelta(minutes=1)))
    store.write(accounts.pause, "borzo", "carrier", "", NOW)
    assert store.write(deliveries.claim, NOW, 10) == []
    store.write(accounts.resume, "borzo", "probe", NOW)
    assert sorted(each.step for each in store.write(deliveries.claim, NOW, 10)) == [
        "alarm",
        "amend",
        "book",
        "cancel",
        "confirm",
        "track",
    ]


def test_a_later_order_a_look_up_and_another_account_keep_their_time(store: Database) -> None:
    later, doubt, other = place(store, "1", "2", "3")
    store.persist(deliveries.update, [later], put_off(Step.BOOK, next_run_at=LATER + timedelta(hours=1)))
    store.persist(deliveries.update, [doubt], put_off(Step.RECONCILE))
    store.persist(deliveries.update, [other], put_off(Step.BOOK))
    store.write(accounts.pause, "cervo", "carrier", "", NOW)
    store.write(accounts.resume, "cervo", "probe", NOW)
    assert store.write(deliveries.claim, NOW, 10) == []
    store.write(accounts.pause, "borzo", "carrier", "", NOW)
    store.write(accounts.resume, "borzo", "probe", NOW)
    assert [each.id for each in store.write(deliveries.claim, NOW, 10)] == [other]


def test_what_is_given_back_is_handed_out_again_soon_unless_somebody_began_it(store: Database) -> None:
    due, begun = place(store, "1", "2")
    soon = NOW + timedelta(seconds=1)
    store.persist(deliveries.update, [begun], put_off(Step.CONFIRM))
    store.write(deliveries.release, [due, begun], NOW, soon)
    claims = [store.write(deliveries.claim, NOW + timedelta(seconds=seconds), 10) for seconds in (0.5, 1.5)]
    assert [[each.id for each in claim] for claim in claims] == [[], [due]]
