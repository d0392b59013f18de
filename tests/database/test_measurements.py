"""The metrics measure the open work, and do not read old deliveries."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from schemas.events import EventType
from schemas.status import AttemptState, Cause, DeliveryStatus
from tests.database.samples import ID, LATER, NOW, begun, changed, place
from worker.carriers.port import Callback, CallbackKey
from worker.database import callbacks, measurements
from worker.database.database import Database
from worker.database.due_work import OldestStep
from worker.database.measurements import Measurements, Overview
from worker.domain.delivery import Change, Delivery, Event, Step
from worker.domain.lifecycle import snapshot
from worker.services.system_health import stored_state

NOTHING = Measurements({}, {}, {}, {}, 0, 0, None, None, {})
MINUTE = timedelta(minutes=1)


def measure(database: Database) -> Measurements:
    return database.read(measurements.measure, ["borzo", "cervo"], LATER)


def ended(status: DeliveryStatus) -> Any:
    """Return the decision that ends a delivery."""

    def decide(delivery: Delivery) -> Change:
        after = replace(
            delivery,
            status=status,
            previous_status=delivery.status,
            sequence=delivery.sequence + 1,
            step=None,
            next_run_at=None,
        )
        data = snapshot(after, delivery.active, Cause.POLL, NOW)
        return Change(after, (Event(EventType.STATUS_CHANGED, after.sequence, NOW, data),))

    return decide


def test_an_empty_database_has_no_open_work(database: Database) -> None:
    assert measure(database) == NOTHING


def test_live_attempts_are_measured_by_carrier(database: Database) -> None:
    ids = place(database, "1", "2", "3", "4", "5")
    attempts: list[dict[str, Any]] = [
        {"state": AttemptState.SUBMIT_UNKNOWN, "submitted_at": NOW + MINUTE},
        {"state": AttemptState.SUBMITTING, "submitted_at": NOW},
        {"state": AttemptState.CREATED, "last_report_at": NOW + 2 * MINUTE},
        {"state": AttemptState.CREATED, "carrier": "borzo", "submitted_at": NOW + 3 * MINUTE},
        {"state": AttemptState.DELIVERED, "last_report_at": NOW, "ended_at": NOW},
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
    assert found == replace(NOTHING, waiting_callbacks=1, callback_since=NOW, callbacks_at={"borzo": NOW + MINUTE})


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


def test_the_overview_counts_open_orders_and_how_those_of_a_time_ended(database: Database) -> None:
    ids = place(database, "1", "2", "3", "4", "5")
    for delivery_id, status in zip(ids, ("delivered", "cancelled", "returned"), strict=False):
        changed(database, [delivery_id], ended(DeliveryStatus(status)))
    changed(database, [ids[3]], lambda each: begun(each, state=AttemptState.CREATED, last_report_at=NOW))
    assert [database.read(measurements.overview, since) for since in (NOW, NOW + MINUTE)] == [
        Overview(open=2, delivered=1, undelivered=2, oldest_read=("deliverit", NOW)),
        Overview(open=2, delivered=0, undelivered=0, oldest_read=("deliverit", NOW)),
    ]
