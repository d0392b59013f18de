"""A value that only a newer version knows stops nothing: its row is left alone, and logged once."""

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from schemas.status import DeliveryStatus
from tests.database.samples import LATER, NOW, begun, place
from worker.database import accounts, attempt_events, carrier_calls, deliveries, due_work
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.database.search import Filter, search
from worker.database.tables import CARRIER_CALL
from worker.domain.delivery import Change, Delivery
from worker.http.call import Verdict

NEWER = {
    "a step": "UPDATE delivery SET step = 'weigh' WHERE id = :id",
    "a status": "UPDATE delivery SET status = 'weighed' WHERE id = :id",
    "a reason": "UPDATE delivery SET reason = 'too_heavy' WHERE id = :id",
    "an attention reason": "UPDATE delivery SET attention_reasons = 'too_heavy' WHERE id = :id",
    "a field": """UPDATE delivery SET document = replace(document, '{', '{"evidence":"weighed",') WHERE id = :id""",
    "a field of an attempt": """UPDATE attempt SET document = replace(document, '{', '{"offer_decision":"wait",')
        WHERE delivery_id = :id""",
    "the state of an attempt": "UPDATE attempt SET state = 'weighed' WHERE delivery_id = :id",
}


def store(database: Database, newer: str) -> tuple[str, str]:
    """Store an order with a newer value and an ordinary one; return their ids."""
    changed, other = place(database, uuid4().hex, uuid4().hex)
    database.persist(deliveries.update, [changed], begun)
    with database.engine.begin() as connection:
        connection.execute(text(NEWER[newer]), {"id": changed})
    return changed, other


def note(delivery: Delivery) -> Change:
    return Change(replace(delivery, detail="noted"))


@pytest.mark.fault("F-88")
@pytest.mark.parametrize("newer", NEWER)
def test_a_delivery_with_a_newer_value_is_left_out_and_logged_once(database: Database, newer: str) -> None:
    changed, other = store(database, newer)
    with capture_logs() as logs:
        found = [database.read(deliveries.load, [changed, other]), database.read(search, Filter(), 10)]
        found.append([each.delivery for each in database.write(deliveries.update, [changed, other], note)])
    assert [[each.id for each in each_time] for each_time in found] == [[other]] * 3
    assert logs == [{"event": "delivery.unreadable", "log_level": "error", "delivery_id": changed}]


@pytest.mark.fault("F-88")
def test_a_step_of_a_newer_version_is_not_claimed(database: Database) -> None:
    _, other = store(database, "a step")
    claimed = [database.write(due_work.claim_deliveries, LATER, 1) for _ in range(2)]
    assert [[due.id for due in each] for each in claimed] == [[other], []]
    steps = [database.read(due_work.unknown_steps, now) for now in (NOW.replace(year=2020), LATER)]
    assert steps == [[], ["weigh"]]


@pytest.mark.fault("F-88")
def test_a_mapping_to_a_newer_status_is_left_out(database: Database) -> None:
    for word in ("order:new", "order:newer"):
        database.write(accounts.put_mapping, "borzo", word, DeliveryStatus.DELIVERED, NOW)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE status_mapping SET status = 'weighed' WHERE carrier_status = 'order:newer'"))
    assert database.read(accounts.status_mappings) == {"borzo": {"order:new": DeliveryStatus.DELIVERED}}


@pytest.mark.fault("F-88")
def test_an_event_with_a_newer_value_is_not_counted(database: Database) -> None:
    changed, other = place(database, uuid4().hex, uuid4().hex)
    newer = """UPDATE event SET body = replace(body, '"status":"queued"', '"status":"weighed"') WHERE key = :id"""
    with database.engine.begin() as connection:
        assert connection.execute(text(newer), {"id": changed}).rowcount == 1
    found = database.read(attempt_events.between, 0, database.read(attempt_events.newest_position))
    assert [each.delivery_id for each in found] == [other]


@pytest.mark.fault("F-88")
def test_a_call_with_a_newer_verdict_is_left_out(database: Database) -> None:
    call = RecordedCall(7, NOW, "create", "d", "cervo", 45, 200, Verdict.ANSWERED, None, "POST /order", None)
    database.write(carrier_calls.record, [call, replace(call, sent_at=LATER)])
    with database.engine.begin() as connection:
        connection.execute(
            CARRIER_CALL.update().where(CARRIER_CALL.c.sent_at == LATER).values(verdict="weighed", account="borzo")
        )
    assert database.read(carrier_calls.of_attempts, [7]) == [call]
    assert list(database.read(carrier_calls.recent, NOW)) == ["cervo"]
