"""A pause of an account and its end are published once each, in a sequence of the account's own."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.database.samples import LATER, NOW, place
from worker.database import accounts, deliveries, due_work, outbox
from worker.database.accounts import Pause
from worker.database.database import Database
from worker.domain.delivery import Change, Delivery, Step


def published(database: Database) -> list[tuple[Any, ...]]:
    events = [json.loads(body) for _, body in database.read(outbox.events)]
    return [(each["type"], each["subject"], each["sequence"], *each["data"].values()) for each in events]


def test_a_pause_and_its_end_are_published_once_each(database: Database) -> None:
    assert [database.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW) for _ in range(2)] == [True, False]
    assert database.read(accounts.paused) == {"borzo": Pause(NOW, "carrier", "HTTP 401")}
    assert [database.write(accounts.resume, "borzo", "probe", LATER) for _ in range(2)] == [True, False]
    assert database.read(accounts.paused) == {}
    since = "2026-11-21T17:40:00.123456Z"
    assert published(database) == [
        ("carrier.paused", "borzo", "0000000001", "borzo", "carrier", "HTTP 401", since),
        ("carrier.resumed", "borzo", "0000000002", "borzo", "probe", "HTTP 401", since),
    ]


def test_each_account_has_a_sequence_of_its_own(database: Database) -> None:
    for name in ("borzo", "cervo"):
        database.write(accounts.pause, name, "carrier", "", NOW)
    database.write(accounts.resume, "borzo", "operator", LATER)
    assert [(subject, sequence) for _, subject, sequence, *_ in published(database)] == [
        ("borzo", "0000000001"),
        ("cervo", "0000000001"),
        ("borzo", "0000000002"),
    ]


def test_only_an_operator_resumes_an_account_that_an_operator_paused(database: Database) -> None:
    database.write(accounts.pause, "borzo", "operator", "a holiday", NOW)
    assert [
        database.write(accounts.pause, "borzo", "carrier", "HTTP 401", LATER),
        database.write(accounts.resume, "borzo", "probe", LATER),
    ] == [False, False]
    assert database.read(accounts.paused) == {"borzo": Pause(NOW, "operator", "a holiday")}
    assert database.write(accounts.resume, "borzo", "operator", LATER)


def test_an_operator_takes_over_a_carrier_s_pause_without_another_event(database: Database) -> None:
    database.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW)
    assert database.write(accounts.pause, "borzo", "operator", "we look into it", LATER)
    assert database.read(accounts.paused) == {"borzo": Pause(NOW, "operator", "we look into it")}
    assert len(published(database)) == 1


def test_the_metadata_of_an_account_outlasts_its_pause(database: Database) -> None:
    database.write(accounts.put_account_metadata, "deliverit", {"company": "14"})
    database.write(accounts.pause, "deliverit", "carrier", "HTTP 401", NOW)
    database.write(accounts.resume, "deliverit", "probe", LATER)
    assert database.read(accounts.account_metadata, "deliverit") == {"company": "14"}


def postpone(step: Step, **more: Any) -> Callable[[Delivery], Change]:
    times = {"retry_at": LATER, "next_run_at": LATER, **more}
    return lambda each: Change(replace(each, carrier="borzo", step=step, **times))


def test_postponed_steps_are_due_when_their_account_is_resumed(database: Database) -> None:
    steps = {"1": Step.BOOK, "2": Step.CANCEL, "3": Step.TRACK, "5": Step.AMEND, "6": Step.CONFIRM}
    ids = place(database, *steps)
    for each, step in zip(ids, steps.values(), strict=True):
        database.persist(deliveries.update, [each], postpone(step))
    database.write(accounts.pause, "borzo", "carrier", "", NOW)
    assert database.write(due_work.claim_deliveries, NOW, 10) == []
    database.write(accounts.resume, "borzo", "probe", NOW)
    assert sorted(each.step for each in database.write(due_work.claim_deliveries, NOW, 10)) == [
        "amend",
        "book",
        "cancel",
        "confirm",
        "track",
    ]


def test_later_orders_look_ups_and_other_accounts_keep_their_times(database: Database) -> None:
    later, unknown, other = place(database, "1", "2", "3")
    database.persist(deliveries.update, [later], postpone(Step.BOOK, next_run_at=LATER + timedelta(hours=1)))
    database.persist(deliveries.update, [unknown], postpone(Step.RECONCILE))
    database.persist(deliveries.update, [other], postpone(Step.BOOK))
    database.write(accounts.pause, "cervo", "carrier", "", NOW)
    database.write(accounts.resume, "cervo", "probe", NOW)
    assert database.write(due_work.claim_deliveries, NOW, 10) == []
    database.write(accounts.pause, "borzo", "carrier", "", NOW)
    database.write(accounts.resume, "borzo", "probe", NOW)
    assert [each.id for each in database.write(due_work.claim_deliveries, NOW, 10)] == [other]


def test_a_released_delivery_is_claimed_again_soon_unless_it_has_another_step(database: Database) -> None:
    due, begun = place(database, "1", "2")
    soon = NOW + timedelta(seconds=1)
    database.persist(deliveries.update, [begun], postpone(Step.CONFIRM))
    database.write(due_work.release, [due, begun], NOW, soon)
    claims = [database.write(due_work.claim_deliveries, NOW + timedelta(seconds=seconds), 10) for seconds in (0.5, 1.5)]
    assert [[each.id for each in claim] for claim in claims] == [[], [due]]
