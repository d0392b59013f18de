"""The record of calls, on each database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from worker.database import carrier_calls, retention
from worker.database.carrier_calls import MEASURED, CallTimes, LastCall, RecentCalls, RecordedCall
from worker.database.database import Database
from worker.database.retention import PAGE, Page
from worker.http.call import Verdict

SENT = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CALL = RecordedCall(7, SENT, "create", "d", "cervo", 45_000, None, Verdict.UNCERTAIN, "no answer", "POST /order", None)


def test_calls_are_read_as_they_were_recorded_and_oldest_first(database: Database) -> None:
    read = replace(CALL, sent_at=SENT - SECOND, operation="read", status=200, verdict=Verdict.ANSWERED, reply="order:6")
    of_another = replace(CALL, attempt_id=8)
    database.write(carrier_calls.record, [CALL, read, of_another])
    database.write(carrier_calls.record, [CALL])
    assert database.read(carrier_calls.of_attempts, [7]) == [read, CALL]
    assert database.read(carrier_calls.of_attempts, []) == []


def test_old_calls_are_deleted_in_batches_the_oldest_first(database: Database) -> None:
    calls = [replace(CALL, sent_at=SENT + number * SECOND) for number in range(PAGE + 2)]
    database.write(carrier_calls.record, calls)
    limit = calls[-1].sent_at
    first = database.write(retention.delete_calls, limit, 0)
    assert (first.count, first.after is not None) == (PAGE, True)
    assert database.write(retention.delete_calls, limit, first.after or 0) == Page(1)
    assert database.write(retention.delete_calls, limit, 0) == Page(0)
    assert database.read(carrier_calls.of_attempts, [7]) == calls[-1:]


def test_the_calls_of_an_account_are_measured_since_a_time(database: Database) -> None:
    took = [*range(100, 1100, 100), 9_000]  # the first is too old
    calls = [
        replace(CALL, sent_at=SENT + number * SECOND, milliseconds=each, status=200, verdict=Verdict.ANSWERED)
        for number, each in enumerate(took)
    ]
    of_another = replace(CALL, sent_at=SENT + 60 * SECOND, account="borzo")
    database.write(carrier_calls.record, [*calls, of_another])
    last = LastCall(SENT + 10 * SECOND, "create", 200, Verdict.ANSWERED, "no answer")
    of_borzo = RecentCalls(1, 45_000, 45_000, LastCall(of_another.sent_at, "create", None, CALL.verdict, CALL.reason))
    found = database.read(carrier_calls.recent, SENT + SECOND)
    assert found == {"borzo": of_borzo, "cervo": RecentCalls(10, 650, 9_000, last)}


def test_only_the_newest_calls_are_measured(database: Database) -> None:
    calls = [
        replace(CALL, sent_at=SENT + number * SECOND, milliseconds=number % MEASURED) for number in range(MEASURED + 5)
    ]
    database.write(carrier_calls.record, calls)
    found = database.read(carrier_calls.recent, SENT)["cervo"]
    assert (found.count, found.median, found.p95) == (MEASURED, 2500, 4749)


def test_the_durations_of_calls_are_measured_by_position(database: Database) -> None:
    call = replace(CALL, milliseconds=50, status=200, verdict=Verdict.ANSWERED)
    assert database.read(carrier_calls.newest_position) == 0
    database.write(carrier_calls.record, [call])
    first = database.read(carrier_calls.newest_position)
    more = [replace(call, attempt_id=8, milliseconds=51), replace(call, attempt_id=9, milliseconds=70_000)]
    database.write(carrier_calls.record, [*more, replace(call, attempt_id=10, verdict=Verdict.UNREADABLE)])
    last = database.read(carrier_calls.newest_position)
    assert database.read(carrier_calls.times_between, first, last) == {
        ("cervo", "create", "answered"): CallTimes(2, 70_051, (0, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
        ("cervo", "create", "unreadable"): CallTimes(1, 50, (1,) * 10),
    }
    assert database.read(carrier_calls.times_between, last, last) == {}
