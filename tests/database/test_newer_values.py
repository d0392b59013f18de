"""A value that only a newer version knows stops nothing: its row is left alone, and logged once."""

import json
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from schemas.status import DeliveryStatus
from tests.database.samples import LATER, NOW, SHOPS, begun, place, rows
from worker.database import accounts, attempt_events, carrier_calls, deliveries, due_work, shops
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.database.due_work import Limits
from worker.database.search import Filter, search
from worker.database.tables import CARRIER_CALL, DELIVERY
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
    "a field of the cancel request": """UPDATE delivery SET
        document = replace(document, '{', '{"cancel_request":{"order_id":"2011","urgent": true},') WHERE id = :id""",
    "a field of the courier": """UPDATE delivery SET
        document = replace(document, '{', '{"courier":{"name":"Bo","vehicle":"bicycle"},') WHERE id = :id""",
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
    assert list(database.read(due_work.unknown_steps)) == ["weigh"]
    swept = [database.write(due_work.claim, now, Limits(9, 9, 9)) for now in (NOW.replace(year=2020), LATER)]
    assert [each.unknown_steps for each in swept] == [[], ["weigh"]]


@pytest.mark.fault("F-88")
def test_alarms_of_deliveries_with_newer_values_delay_no_other_alarm(database: Database) -> None:
    placed = place(database, *(uuid4().hex for _ in range(4)))
    with database.engine.begin() as connection:
        rows = DELIVERY.update().values(alarm_at=NOW)
        connection.execute(rows.where(DELIVERY.c.id.in_(placed[:3])).values(status="weighed"))
        connection.execute(rows.where(DELIVERY.c.id == placed[3]).values(alarm_at=NOW + timedelta(seconds=1)))
    changed = database.write(deliveries.update_alarmed, LATER, 2, note)
    assert [each.delivery.id for each in changed] == [placed[3]]


@pytest.mark.fault("F-88")
def test_newer_fields_of_an_order_survive_what_changes_only_its_state(database: Database) -> None:
    (placed,) = place(database)
    with database.engine.begin() as connection:
        newer = '"dock": 7,"customer":{"vip": true,'
        statement = f"""UPDATE placed_order SET "order" = replace("order", '"customer":{{', '{newer}')"""
        connection.execute(text(statement))
    accepted = {"status": 7, "revision": 2}

    def accept(delivery: Delivery) -> Change:
        return Change(replace(delivery, order=delivery.order.model_copy(update=accepted)))

    database.persist(deliveries.update, [placed], accept)
    document = json.loads(rows(database, "placed_order")[0]["order"])
    assert (document["dock"], document["customer"]["vip"], {name: document[name] for name in accepted}) == (
        7,
        True,
        accepted,
    )


@pytest.mark.fault("F-88")
def test_newer_fields_of_a_store_hide_no_store_and_survive_a_change_of_the_order(database: Database) -> None:
    (placed,) = place(database)
    database.write(shops.save_shops, SHOPS, NOW)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE shop SET body = replace(body, '{', '{\"dock\": 7,')"))
        connection.execute(text("UPDATE placed_order SET store = replace(store, '{', '{\"dock\": 7,')"))
    assert database.read(shops.load_shops) == SHOPS

    def erase(delivery: Delivery) -> Change:
        order = delivery.order.model_copy(update={"notes": ""})
        return Change(replace(delivery, order=order, fingerprint="another"))

    database.persist(deliveries.update, [placed], erase)
    (row,) = rows(database, "placed_order")
    assert (json.loads(row["store"])["dock"], json.loads(row["order"])["notes"]) == (7, "")


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
