"""Old rows are deleted a page at a time; what is unfinished, unpublished or needed by the relay stays."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import delete

from schemas.events import CarrierEvent, EventType, carrier_key
from schemas.status import DeliveryStatus
from tests.database.samples import ID, NOW, begun, place, put_row, rows
from tests.database.test_outbox import tell
from worker.carriers.port import Callback
from worker.database import callbacks, deliveries, inbox, outbox, retention
from worker.database.database import Database
from worker.database.inbox import DeadLetter
from worker.database.retention import Page
from worker.database.tables import EVENT
from worker.domain.delivery import Change, Delivery

LATER = NOW + timedelta(seconds=1)


def end(database: Database, **more: object) -> None:
    def decide(delivery: Delivery) -> Change:
        ended = {"status": DeliveryStatus.DELIVERED, "step": None, "next_run_at": None, "alarm_at": None, **more}
        return Change(replace(delivery, **ended))  # type: ignore[arg-type]

    database.write(deliveries.update, [ID], decide)


def publish(database: Database) -> None:
    waiting = database.read(outbox.unpublished, 100)
    database.write(outbox.mark_published, [(each.position, f"{each.position:0>13}-0000000000") for each in waiting])


def test_published_events_of_an_ended_delivery_are_deleted_except_the_newest_of_the_bus(database: Database) -> None:
    place(database)
    database.write(deliveries.update, [ID], tell)
    publish(database)
    assert database.write(retention.delete_events, LATER, 0) == Page(0)
    end(database)
    assert database.write(retention.delete_events, NOW, 0) == Page(0)
    assert database.write(retention.delete_events, LATER, 0) == Page(1)
    assert [row["sequence"] for row in rows(database, "event")] == [2]
    assert len(rows(database, "publication")) == 1
    assert database.read(outbox.newest_stream_id) != ""


def test_unpublished_events_are_kept(database: Database) -> None:
    place(database)
    end(database)
    assert database.write(retention.delete_events, LATER, 0) == Page(0)
    assert len(rows(database, "event")) == 1


def test_the_newest_event_of_an_account_is_kept_for_its_sequence(database: Database) -> None:
    for number in (1, 2):
        data = CarrierEvent(carrier="cervo", by="operator", because="x", since=NOW)
        row = outbox.event_row(EventType.CARRIER_PAUSED, carrier_key("cervo"), number, "cervo", data, NOW)
        database.write(outbox.add, [row])
    place(database)  # its event is the newest of the bus
    publish(database)
    assert database.write(retention.delete_events, LATER, 0) == Page(1)
    assert [row["sequence"] for row in rows(database, "event") if row["subject"] == "cervo"] == [2]


def test_a_delivery_is_deleted_with_all_that_belongs_to_it_once_it_has_no_event(database: Database) -> None:
    place(database, "2011", "2012")
    database.write(deliveries.update, [ID], lambda each: begun(each, ended_at=NOW))
    publish(database)
    end(database, attempts=())
    assert database.write(retention.delete_deliveries, LATER, 0) == Page(0)
    database.write(retention.delete_events, LATER, 0)
    assert database.write(retention.delete_deliveries, NOW, 0) == Page(0)
    assert database.write(retention.delete_deliveries, LATER, 0) == Page(1)
    for table, key in (("delivery", "id"), ("placed_order", "delivery_id"), ("attempt", "delivery_id")):
        assert ID not in {row[key] for row in rows(database, table)}
    assert len(rows(database, "delivery")) == 1


def test_a_delivery_to_which_a_courier_may_come_is_not_deleted(database: Database) -> None:
    place(database)
    database.write(deliveries.update, [ID], lambda each: begun(each, surplus=True))
    end(database)
    with database.engine.begin() as connection:
        connection.execute(delete(EVENT))
    assert database.write(retention.delete_deliveries, LATER, 0) == Page(0)


def test_only_deliveries_that_ended_long_ago_and_need_nobody_are_erasable(database: Database) -> None:
    place(database)
    assert database.read(retention.erasable, LATER) == []
    end(database, changed_at=NOW)
    assert database.read(retention.erasable, NOW) == []
    assert database.read(retention.erasable, LATER) == [ID]
    put_row(database, "operator_action", at=NOW, operator="maria", action="cancel", reason="x", delivery_id=ID)
    end(database, next_run_at=LATER)
    assert database.read(retention.erasable, LATER) == []
    database.write(deliveries.update, [ID], lambda each: begun(each, surplus=True))
    end(database)
    assert database.read(retention.erasable, LATER) == []


def test_only_callbacks_with_a_result_are_deleted(database: Database) -> None:
    for body in (b"1", b"2"):
        database.write(callbacks.save, "borzo", Callback("POST", body, {}, "", None), NOW)
    first, second = rows(database, "callback")
    database.write(callbacks.settle, first["id"], "applied")
    assert database.write(retention.delete_callbacks, NOW, 0) == Page(0)
    assert database.write(retention.delete_callbacks, LATER, 0) == Page(1)
    assert [row["id"] for row in rows(database, "callback")] == [second["id"]]


def test_only_dead_letters_that_an_operator_dealt_with_are_deleted(database: Database) -> None:
    database.write(inbox.save_dead_letters, [DeadLetter(b"{", "x", "1"), DeadLetter(b"{", "x", "2")], NOW)
    first, second = rows(database, "dead_letter")
    database.write(inbox.settle_dead_letter, first["id"], NOW)
    assert database.write(retention.delete_dead_letters, NOW, 0) == Page(0)
    assert database.write(retention.delete_dead_letters, LATER, 0) == Page(1)
    assert [row["id"] for row in rows(database, "dead_letter")] == [second["id"]]


def test_messages_and_cancellations_are_deleted_by_their_age(database: Database) -> None:
    place(database)
    put_row(database, "early_cancellation", delivery_id=ID, body="{}", received_at=NOW)
    for remove in (retention.delete_messages, retention.delete_cancellations):
        assert database.write(remove, NOW, 0) == Page(0)
        assert database.write(remove, LATER, 0) == Page(1)
    assert rows(database, "message") + rows(database, "early_cancellation") == []
