"""A due delivery is claimed by one process at a time, and a claim reads only what it claims."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from schemas.status import DeliveryStatus
from tests.database.samples import ID, LATER, NOW, begun, place
from tests.database.samples import changed as update
from worker.carriers.port import Callback, CallbackKey
from worker.database import callbacks, deliveries, due_work
from worker.database.database import Database
from worker.database.due_work import Due, Limits
from worker.domain.delivery import Change, Delivery, Step
from worker.domain.schedule import LEASE, OVERDUE

SECOND = timedelta(seconds=1)
LATE = timedelta(minutes=10)


def due(database: Database, *order_ids: str, at: int = 0, **more: Any) -> list[str]:
    """Place orders that are due in so many seconds and not claimed."""
    ids = place(database, *order_ids)
    run_at = NOW + timedelta(seconds=at)
    database.persist(
        deliveries.update, ids, lambda each: Change(replace(each, **{"next_run_at": run_at, "step": Step.BOOK, **more}))
    )
    return ids


@pytest.mark.quirk("X-06")
def test_a_due_delivery_is_claimed_once_while_its_lease_lasts(database: Database) -> None:
    due(database)
    assert database.write(due_work.claim_deliveries, NOW, 10) == [Due(ID, Step.BOOK, "deliverit", "2011")]
    assert database.write(due_work.claim_deliveries, NOW + LEASE, 10) == []
    later = NOW + LEASE + SECOND
    assert database.write(due_work.claim_deliveries, later, 10) == [Due(ID, Step.BOOK, "deliverit", "2011")]


def test_a_delivery_that_is_not_due_is_not_claimed(database: Database) -> None:
    due(database, at=1)
    assert database.write(due_work.claim_deliveries, NOW, 10) == []
    assert [each.id for each in database.write(due_work.claim_deliveries, NOW + SECOND, 10)] == [ID]


def test_the_next_due_time_is_that_of_the_first_step_alarm_or_callback(database: Database) -> None:
    assert database.read(due_work.next_due) is None
    (first,) = due(database, at=30, alarm_at=None)
    assert database.read(due_work.next_due) == NOW + timedelta(seconds=30)
    update(database, [first], lambda each: Change(replace(each, alarm_at=NOW + SECOND)))
    assert database.read(due_work.next_due) == NOW + SECOND
    unknown = CallbackKey(ref="of nobody")
    database.write(callbacks.save, "borzo", Callback("POST", b"{}", {}), NOW - LATE, unknown, None)
    assert database.read(due_work.next_due) == NOW - LATE + callbacks.WAKE_UP_WAIT


def test_a_delivery_without_a_next_step_is_never_claimed(database: Database) -> None:
    due(database, step=None, next_run_at=None)
    assert database.write(due_work.claim_deliveries, LATER, 10) == []


def test_a_change_ends_the_lease(database: Database) -> None:
    due(database)
    database.write(due_work.claim_deliveries, NOW, 10)
    update(database, [ID], lambda each: Change(replace(each, next_run_at=NOW + SECOND)))
    assert [each.id for each in database.write(due_work.claim_deliveries, NOW + SECOND, 10)] == [ID]


@pytest.mark.fault("F-62")
def test_the_oldest_due_deliveries_are_claimed_first_and_no_more_than_requested(database: Database) -> None:
    late, early = due(database, "1", at=-1)[0], due(database, "2", at=-2)[0]
    assert [[each.id for each in database.write(due_work.claim_deliveries, NOW, 1)] for _ in range(3)] == [
        [early],
        [late],
        [],
    ]


@pytest.mark.fault("F-62")
def test_deliveries_of_a_busy_carrier_are_not_claimed(database: Database) -> None:
    due(database, "1", carrier="deliverit")
    (borzo,) = due(database, "2", carrier="borzo")
    (nobody,) = due(database, "3", carrier=None)
    assert {each.id for each in database.write(due_work.claim_deliveries, NOW, 10, except_carriers=["deliverit"])} == {
        borzo,
        nobody,
    }
    assert [each.carrier for each in database.write(due_work.claim_deliveries, NOW, 10)] == ["deliverit"]


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
    found = database.write(due_work.claim_deliveries, NOW, 10, except_reads=except_reads)
    assert {each.step for each in found} == claimed
    left = database.write(due_work.claim_deliveries, NOW, 10)
    assert {each.step for each in found + left} == at_carrier


def test_a_carrier_that_is_busy_with_calls_is_still_read(database: Database) -> None:
    due(database, "1", carrier="borzo")
    (read,) = due(database, "2", carrier="borzo", step=Step.TRACK)
    assert database.write(due_work.claim_deliveries, NOW, 10, except_carriers=["borzo"]) == [
        Due(read, Step.TRACK, "borzo", "2")
    ]


@pytest.mark.fault("F-91")
def test_however_many_reads_are_overdue_other_steps_are_claimed_before_them(database: Database) -> None:
    reads = due(database, *"123456", at=-600, carrier="borzo", step=Step.TRACK)
    (create,) = due(database, "7", carrier="borzo")
    found = database.write(due_work.claim_deliveries, NOW, 3)
    assert (found[0], {each.step for each in found[1:]}, len(found)) == (
        Due(create, Step.BOOK, "borzo", "7"),
        {Step.TRACK},
        4,
    )
    assert {each.id for each in found[1:]} < set(reads)


def test_a_step_about_a_surplus_courier_is_claimed_for_their_own_carrier(database: Database) -> None:
    due(database, carrier="borzo")
    (started,) = update(database, [ID], begun)
    (attempt,) = started.attempts
    surplus = replace(attempt, id=attempt.id + 1, number=2, token="another", carrier="deliverit", surplus=True)

    def cancel(each: Delivery) -> Change:
        added = each.with_attempt(surplus)
        return Change(replace(added, step=Step.CANCEL, step_attempt_id=surplus.id, next_run_at=NOW))

    update(database, [ID], cancel)
    assert database.write(due_work.claim_deliveries, NOW, 10, except_carriers=["deliverit"]) == []
    assert database.write(due_work.claim_deliveries, NOW, 10, except_carriers=["borzo"]) == [
        Due(ID, Step.CANCEL, "deliverit", "2011")
    ]


def test_a_delivery_is_routed_while_its_carrier_is_busy(database: Database) -> None:
    due(database, carrier="borzo", step=Step.ROUTE)
    assert database.write(due_work.claim_deliveries, NOW, 10, except_carriers=["borzo"]) == [
        Due(ID, Step.ROUTE, None, "2011")
    ]


def test_due_alarms_are_decided_about_oldest_first_and_leave_leases_alone(database: Database) -> None:
    due(database, "1", alarm_at=NOW + SECOND)
    late, early = (due(database, each, alarm_at=NOW - int(each) * SECOND)[0] for each in ("2", "3"))
    database.write(due_work.claim_deliveries, NOW, 10)

    def decide(delivery: Delivery) -> Change:
        return Change(replace(delivery, alarm_at=None))

    for fired in ([early], [late], []):
        changes = database.write(deliveries.update_alarmed, NOW, 1, decide)
        assert [each.delivery.id for each in changes] == fired
    assert database.write(due_work.claim_deliveries, NOW, 10) == []


@pytest.mark.fault("F-62")
@pytest.mark.quirk("X-06")
def test_concurrent_claims_return_every_delivery_once(database: Database) -> None:
    ids = due(database, *(str(number) for number in range(40)))
    with ThreadPoolExecutor(4) as pool:
        claimed = Counter(
            each.id
            for some in pool.map(lambda _: database.write(due_work.claim_deliveries, NOW, 7), range(12))
            for each in some
        )
    assert claimed == Counter(ids)


@pytest.mark.fault("F-62")
def test_a_backlog_of_one_step_at_one_carrier_delays_no_other_step_and_no_other_carrier(database: Database) -> None:
    due(database, *"12345", at=-600, carrier="borzo")
    due(database, "6", carrier="borzo", step=Step.CANCEL)
    due(database, "7", carrier="cervo")
    found = database.write(due_work.claim_deliveries, NOW, 2)
    assert Counter((each.step, each.carrier) for each in found) == {
        (Step.BOOK, "borzo"): 2,
        (Step.CANCEL, "borzo"): 1,
        (Step.BOOK, "cervo"): 1,
    }


ENDED: dict[str, Any] = {"ended_at": NOW}
SURPLUS: dict[str, Any] = {"surplus": True}
ACTIVE: dict[str, Any] = {}


@pytest.mark.fault("F-98")
@pytest.mark.parametrize(
    ("status", "attempts", "overdue"),
    [
        (DeliveryStatus.QUEUED, [], False),
        (DeliveryStatus.CREATED, [ACTIVE], False),
        (DeliveryStatus.QUEUED, [ENDED], True),
        (DeliveryStatus.CREATED, [ENDED, ACTIVE], True),
        (DeliveryStatus.CREATED, [SURPLUS, ACTIVE], True),
        (DeliveryStatus.DELIVERED, [ENDED], False),
        (DeliveryStatus.DELIVERED, [ENDED, ENDED], True),
        (DeliveryStatus.DELIVERED, [SURPLUS], True),
    ],
)
def test_a_delivery_is_overdue_after_half_a_minute_if_another_step_may_be_due(
    database: Database, status: DeliveryStatus, attempts: list[dict[str, Any]], *, overdue: bool
) -> None:
    due(database)
    for each in attempts:
        update(database, [ID], partial(begun, **each))
    update(database, [ID], lambda each: Change(replace(each, status=status)))
    found = [database.read(due_work.overdue, NOW + wait, 10) for wait in (OVERDUE - SECOND, OVERDUE)]
    assert found == [[], [ID] if overdue else []]


COPIES = """
INSERT INTO delivery
SELECT copy.* FROM delivery, generate_series(1, 5000) AS number, jsonb_populate_record(delivery, jsonb_build_object(
    'id', number, 'step_carrier', 'carrier ' || number % 3, 'may_give_way', number % 7 = 0,
    'next_run_at', delivery.created_at + number % 20 * interval '1 minute'
)) AS copy
"""
SCANS = (
    "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname IN ('attempt', 'delivery') ORDER BY relname"
)


def test_a_claim_never_reads_the_whole_table_of_deliveries_or_attempts(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        due(database, step=Step.TRACK, carrier="borzo", at=3600)
        with database.engine.connect() as connection:
            connection.execute(text(COPIES))
            connection.execute(text("ANALYZE"))
            before = connection.execute(text(SCANS)).all()
            # PostgreSQL may choose another plan when it has run a statement some ten times.
            claims = [due_work.claim(connection, NOW + LATE, Limits(500, 10, 10)) for _ in range(15)]
            after = connection.execute(text(SCANS)).all()
    assert after == before
    assert [len(each.deliveries) for each in claims[:3]] == [1500, 1250, 0]
