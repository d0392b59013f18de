"""The metrics measure the open work, and do not read old deliveries."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from schemas.status import AttemptState
from tests.database.samples import ID, LATER, NOW, begun, changed, place
from worker.carriers.port import Callback, CallbackKey
from worker.database import callbacks, carrier_calls, measurements
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.database.due_work import OldestStep
from worker.database.measurements import CallTimes, Measurements
from worker.domain.delivery import Change, Step
from worker.http.call import Verdict
from worker.services.system_health import stored_state

NOTHING = Measurements({}, {}, {}, {}, 0, 0, {})
MINUTE = timedelta(minutes=1)


def measure(database: Database) -> Measurements:
    return database.read(measurements.measure, ["borzo", "cervo"], LATER)


def test_an_empty_database_has_no_open_work(database: Database) -> None:
    assert measure(database) == NOTHING


def test_live_attempts_are_measured_by_carrier(database: Database) -> None:
    ids = place(database, "1", "2", "3", "4", "5")
    attempts: list[dict[str, Any]] = [
        {"state": AttemptState.SUBMIT_UNKNOWN, "submitted_at": NOW + MINUTE},
        {"state": AttemptState.SUBMITTING, "submitted_at": NOW},
        {"state": AttemptState.CREATED, "heard_at": NOW + 2 * MINUTE},
        {"state": AttemptState.CREATED, "carrier": "borzo", "submitted_at": NOW + 3 * MINUTE},
        {"state": AttemptState.DELIVERED, "heard_at": NOW, "ended_at": NOW},
    ]
    for number, (delivery_id, values) in enumerate(zip(ids, attempts, strict=True), 1):
        more = {"id": number, "token": str(number), **values}
        changed(database, [delivery_id], lambda each, more=more: begun(each, **more))  # type: ignore[misc]
    found = measure(database)
    assert (found.unknown_since, found.read_at) == (
        {"deliverit": NOW},
        {"deliverit": NOW + 2 * MINUTE, "borzo": NOW + 3 * MINUTE},
    )


def test_the_earliest_time_of_each_step_is_measured_by_carrier(database: Database) -> None:
    ids = place(database, "1", "2", "3", "4")
    steps: list[dict[str, Any]] = [
        {"step": Step.BOOK, "next_run_at": NOW + MINUTE},
        {"step": Step.BOOK, "next_run_at": NOW},
        {"step": Step.BOOK, "next_run_at": LATER, "carrier": "borzo"},
        {"step": Step.ROUTE, "next_run_at": NOW},
    ]
    for delivery_id, values in zip(ids, steps, strict=True):
        changed(database, [delivery_id], lambda each, values=values: Change(replace(each, **values)))  # type: ignore[misc]
    assert sorted(database.read(stored_state).oldest_steps, key=lambda each: (each.at, each.step)) == [
        OldestStep(Step.BOOK, "deliverit", NOW),
        OldestStep(Step.ROUTE, None, NOW),
        OldestStep(Step.BOOK, "borzo", LATER),
    ]


def test_the_callbacks_that_wait_are_measured(database: Database) -> None:
    place(database)
    changed(database, [ID], lambda each: begun(each, carrier="borzo", ref="25"))
    for seconds, attempt_id in enumerate((2**53 - 1, None)):
        sent = Callback("POST", b"%d" % seconds, {}, "", None)
        database.write(callbacks.save, "borzo", sent, NOW + seconds * MINUTE, CallbackKey(), attempt_id)
    found = replace(measure(database), read_at={}, unknown_since={}, deliveries={})
    assert found == replace(NOTHING, waiting_callbacks=1, callbacks_at={"borzo": NOW + MINUTE})


COPIES = """
INSERT INTO delivery
SELECT copy.* FROM delivery, generate_series(1, 5000) AS n, jsonb_populate_record(delivery, jsonb_build_object(
    'id', n, 'status', 'delivered', 'step', null, 'step_carrier', null, 'next_run_at', null
)) AS copy;
INSERT INTO attempt
SELECT copy.* FROM attempt, generate_series(1, 5000) AS n, jsonb_populate_record(attempt, jsonb_build_object(
    'id', n, 'delivery_id', n, 'token', n, 'state', 'delivered', 'ended_at', now()
)) AS copy;
INSERT INTO callback (id, carrier, digest, method, query, body, received_at, try_at, result)
SELECT n, 'deliverit', n, 'POST', '', '', now(), now(), 'applied' FROM generate_series(1, 5000) AS n
"""
SCANS = """
SELECT relname, seq_scan FROM pg_stat_xact_user_tables
WHERE relname IN ('attempt', 'callback', 'delivery') ORDER BY relname
"""


def test_a_measurement_never_reads_the_whole_table_of_deliveries_attempts_or_callbacks(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        place(database)
        changed(database, [ID], begun)
        with database.engine.connect() as connection:
            for statement in COPIES.split(";"):
                connection.execute(text(statement))
            connection.execute(text("ANALYZE"))
            before = connection.execute(text(SCANS)).all()
            # PostgreSQL may choose another plan when it has run a statement some ten times.
            for _ in range(15):
                measurements.measure(connection, ["borzo", "deliverit"], LATER)
                stored_state(connection)
            assert connection.execute(text(SCANS)).all() == before


def test_the_durations_of_calls_are_measured_by_position(database: Database) -> None:
    call = RecordedCall(7, NOW, "create", "d", "cervo", 50, 200, Verdict.ANSWERED, None, "POST /order", None)
    assert database.read(measurements.newest_call) == 0
    database.write(carrier_calls.record, [call])
    first = database.read(measurements.newest_call)
    more = [replace(call, attempt_id=8, milliseconds=51), replace(call, attempt_id=9, milliseconds=70_000)]
    database.write(carrier_calls.record, [*more, replace(call, attempt_id=10, verdict=Verdict.UNREADABLE)])
    last = database.read(measurements.newest_call)
    assert database.read(measurements.call_times, first, last) == {
        ("cervo", "create", "answered"): CallTimes(2, 70_051, (0, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
        ("cervo", "create", "unreadable"): CallTimes(1, 50, (1,) * 10),
    }
    assert database.read(measurements.call_times, last, last) == {}
