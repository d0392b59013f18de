"""The database shows what needs an operator and what does not go on."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from schemas.status import AttentionReason
from tests.database.samples import ID, LATER, NOW, begun, changed, place, put_row
from worker.database import callback_health, deliveries, diagnostics, due_work, inbox, leases, outbox
from worker.database.database import Database
from worker.database.diagnostics import Asking, Backlog, DeadLetters, Waiting
from worker.database.due_work import OldestStep
from worker.database.inbox import DeadLetter
from worker.domain.attention import AskingGroup
from worker.domain.delivery import Change, Delivery, Step

SECOND = timedelta(seconds=1)
UNKNOWN_STORE, LATE = AttentionReason.UNKNOWN_STORE, AttentionReason.NOT_DISPATCHED_IN_TIME


def put(database: Database, delivery_id: str, **more: Any) -> None:
    """Write fields of a delivery."""
    changed(database, [delivery_id], lambda each: Change(replace(each, **more)))


def test_deliveries_that_need_an_operator_are_counted_by_what_they_have_in_common(database: Database) -> None:
    first, second, third, _ = place(database, "1", "2", "3", "4")
    put(database, first, attention_reasons=(UNKNOWN_STORE,))
    put(database, second, attention_reasons=(UNKNOWN_STORE,))
    put(database, third, attention_reasons=(UNKNOWN_STORE, LATE))
    found = database.read(diagnostics.asking)
    assert found.counts == {
        AskingGroup((UNKNOWN_STORE,), "platform", "17", "deliverit", "book", "deliverit"): 2,
        AskingGroup((UNKNOWN_STORE, LATE), "platform", "17", "deliverit", "book", "deliverit"): 1,
    }
    assert set(found.ids) == {first, second, third}


def test_no_delivery_needs_an_operator_at_first(database: Database) -> None:
    place(database)
    assert database.read(diagnostics.asking) == Asking({}, [])


def test_no_commit_waits_without_a_standby(database: Database) -> None:
    assert database.read(diagnostics.commit_wait) is None


def test_what_waits_is_due_or_postponed_and_what_is_planned_does_not_wait(database: Database) -> None:
    due, postponed, planned, elsewhere = place(database, "1", "2", "3", "4")
    book = {"step": Step.BOOK}
    put(database, due, **book, next_run_at=NOW, alarm_at=LATER)
    put(database, postponed, **book, next_run_at=LATER, retry_at=LATER, alarm_at=NOW)
    put(database, planned, **book, next_run_at=LATER, retry_at=None)
    put(database, elsewhere, **book, next_run_at=NOW, carrier="borzo")
    steps = [(Step.BOOK, "deliverit"), (Step.TRACK, "deliverit"), (Step.BOOK, None)]
    assert database.read(diagnostics.waiting, steps, NOW) == [Waiting(Step.BOOK, "deliverit", 2, [postponed, due])]


def test_what_waits_without_a_carrier_is_found(database: Database) -> None:
    place(database)
    put(database, ID, step=Step.ROUTE, next_run_at=NOW)
    assert database.read(diagnostics.waiting, [(Step.ROUTE, None)], NOW) == [Waiting(Step.ROUTE, None, 1, [ID])]


def test_the_oldest_step_of_each_carrier_is_found_whether_or_not_it_is_due(database: Database) -> None:
    first, second, third, fourth, _ = place(database, "1", "2", "3", "4", "5")
    put(database, first, step=Step.BOOK, next_run_at=NOW)
    put(database, second, step=Step.BOOK, next_run_at=NOW - SECOND)
    put(database, third, step=Step.BOOK, next_run_at=LATER, carrier="borzo")
    put(database, fourth, step=Step.ROUTE, next_run_at=LATER)
    changed(database, ["5"], lambda each: Change(replace(each, step=None, next_run_at=None)))
    assert sorted(database.read(due_work.oldest_steps), key=str) == [
        OldestStep(Step.BOOK, "borzo", LATER),
        OldestStep(Step.BOOK, "deliverit", NOW - SECOND),
        OldestStep(Step.ROUTE, None, LATER),
    ]


def test_a_live_attempt_with_a_reported_status_is_found(database: Database) -> None:
    live, ended, plain = place(database, "1", "2", "3")

    def begin(delivery: Delivery) -> Change:
        number = {live: 1, ended: 2, plain: 3}[delivery.id]
        anomalies = () if delivery.id == plain else ("order:6",)
        return begun(
            delivery,
            id=number,
            token=str(number),
            reported_anomalies=anomalies,
            ended_at=NOW if delivery.id == ended else None,
        )

    database.persist(deliveries.update, [live, ended, plain], begin)
    assert database.read(diagnostics.reported_statuses) == [live]


def test_the_unpublished_events_are_counted_with_the_time_of_the_first(database: Database) -> None:
    assert database.read(diagnostics.unpublished) == Backlog(0, None)
    place(database, "1", "2")
    assert database.read(diagnostics.unpublished) == Backlog(2, NOW)
    database.write(outbox.mark_published, [(1, "7-0"), (2, "7-1")])
    assert database.read(diagnostics.unpublished) == Backlog(0, None)


def test_waiting_dead_letters_are_counted_by_their_reason(database: Database) -> None:
    for name, reason in (("1", "message: not UTF-8"), ("2", "no field `event`"), ("3", "message: not UTF-8")):
        database.write(inbox.save_dead_letters, [DeadLetter(b"x", reason, name)], NOW + int(name) * SECOND)
    third, second, first = (letter["id"] for letter in database.read(inbox.dead_letters, 10))
    expected = [
        DeadLetters("message: not UTF-8", 2, NOW + SECOND, min(first, third)),
        DeadLetters("no field `event`", 1, NOW + 2 * SECOND, second),
    ]
    assert database.read(diagnostics.dead_letters) == expected
    for letter in database.read(inbox.dead_letters, 10):
        database.write(inbox.settle_dead_letter, letter["id"], NOW)
    assert database.read(diagnostics.dead_letters) == []


def test_failing_fetches_and_write_backs_are_counted(database: Database) -> None:
    for name, failures in (("1", 2), ("2", 3)):
        put_row(
            database,
            "message",
            source="platform",
            message_id=name,
            received_at=NOW,
            order_id=name,
            fetch_at=LATER,
            failures=failures,
        )
        put_row(
            database, "write_back", delivery_id=name, due_at=LATER, written=False, reported=False, failures=failures
        )
    assert database.read(diagnostics.failing_fetches, 3) == Backlog(1, NOW)
    assert database.read(diagnostics.failing_write_backs, 3) == Backlog(1, LATER)
    assert database.read(diagnostics.failing_fetches, 4) == Backlog(0, None)


def test_the_recorded_missing_callbacks_are_listed(database: Database) -> None:
    database.write(callback_health.mark_missing, "borzo.sp", "delivery", NOW)
    database.write(callback_health.heartbeat, NOW)
    assert database.read(callback_health.missing_kinds) == [("borzo.sp", "delivery", NOW)]


def test_the_records_of_refused_callbacks_are_listed_and_the_old_ones_are_deleted(database: Database) -> None:
    database.write(callback_health.record_refused, {"borzo.sp": 3, "cervo": 1}, NOW, NOW)
    assert sorted(database.read(callback_health.refused)) == [("borzo.sp", 3, NOW), ("cervo", 1, NOW)]
    database.write(callback_health.record_refused, {"cervo": 2}, LATER, NOW + SECOND)
    assert database.read(callback_health.refused) == [("cervo", 2, LATER)]


def test_the_last_holder_of_a_lease_is_found_after_its_end(database: Database) -> None:
    assert database.read(leases.find, "sweep") is None
    database.write(leases.take, "sweep", "beat", NOW, 15)
    assert database.read(leases.find, "sweep") == ("beat", NOW + 15 * SECOND)
