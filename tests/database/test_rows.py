"""A row comes back as it was written: every field, time, text and amount."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from schemas.order import Customer
from schemas.status import AttemptState
from tests.carriers.sample import BROKEN, TEXTS
from tests.database.samples import ID, NOW, ORDER, SHOP, begun, full, message, order, place, rows, store_messages
from worker.carriers.port import Callback
from worker.database import callbacks, deliveries
from worker.database.database import Database
from worker.domain.delivery import Attempt, Change, Delivery, Step

STORABLE = [*TEXTS, BROKEN.replace("\x00", ""), "🍕" * 350]


def change_to(database: Database, wanted: Delivery) -> None:
    database.persist(deliveries.update, [wanted.id], lambda _: Change(wanted))


def test_the_sample_leaves_no_field_at_its_default(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    sample = full(before)
    unchanged = {"id", "source", "order", "store", "fingerprint", "created_at", "version"}
    same = {field.name for field in fields(Delivery) if getattr(sample, field.name) == getattr(before, field.name)}
    assert same <= unchanged | {"carrier", "dispatch_at"}
    assert {name for name in _attempt_defaults() if all(_is_default(each, name) for each in sample.attempts)} == set()


def _attempt_defaults() -> dict[str, object]:
    blank = Attempt(1, "", 1, "", AttemptState.QUEUED, "", NOW, NOW, NOW)
    optional = [field.name for field in fields(Attempt)][9:]
    return {name: getattr(blank, name) for name in optional}


def _is_default(attempt: Attempt, name: str) -> bool:
    return bool(getattr(attempt, name) == _attempt_defaults()[name])


def test_a_delivery_with_every_field_filled_comes_back_as_it_was(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    wanted = full(before)
    change_to(database, wanted)
    assert database.read(deliveries.load, [ID]) == [wanted]


def test_a_delivery_that_loses_every_field_again_comes_back_as_it_was(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    wanted = full(before)
    change_to(database, wanted)
    bare = replace(before, attempts=tuple(replace(each, codec_state={}, carrier_time=None) for each in wanted.attempts))
    change_to(database, bare)
    assert database.read(deliveries.load, [ID]) == [bare]


def test_a_changed_order_and_store_are_written_with_their_columns(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    wanted = replace(
        before,
        order=order(store_id="18", notes="ring", revision=2),
        store=SHOP.model_copy(update={"store_id": "18"}),
        fingerprint="another",
    )
    change_to(database, wanted)
    assert database.read(deliveries.load, [ID]) == [wanted]
    assert [row["store_id"] for row in rows(database, "delivery")] == ["18"]


def test_a_time_of_any_zone_comes_back_as_the_same_instant_in_utc(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    riyadh = datetime(2026, 11, 21, 20, 40, 0, 5, timezone(timedelta(hours=3)))
    change_to(database, replace(before, retry_at=riyadh))
    (after,) = database.read(deliveries.load, [ID])
    assert after.retry_at is not None
    assert after.retry_at.isoformat() == "2026-11-21T17:40:00.000005+00:00"


@pytest.mark.quirk("X-01")
def test_every_time_that_is_read_is_aware_and_in_utc(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    change_to(database, full(before))
    found = [row for name in ("delivery", "attempt", "event", "message") for row in rows(database, name)]
    times = [value for row in found for value in row.values() if isinstance(value, datetime)]
    assert {time.tzinfo for time in times} == {UTC}


def test_money_in_an_order_keeps_its_cents(database: Database) -> None:
    place(database)
    (found,) = database.read(deliveries.load, [ID])
    assert found.order == ORDER
    assert str(found.order.payment.amount) == "125.00"


@pytest.mark.fault("F-49")
@pytest.mark.parametrize("text", STORABLE)
def test_the_text_of_a_customer_is_stored_unchanged(database: Database, text: str) -> None:
    written = order(notes=text, customer=Customer(name=text, phone="+4520304050"))
    store_messages(database, message(written))
    (delivery,) = database.read(deliveries.load, [ID])
    assert delivery.order == written


def test_the_body_and_the_headers_of_a_callback_come_back_as_they_were(database: Database) -> None:
    callback = Callback("POST", b"\x00\xff {}", {"content-type": "application/json"}, "a=1&b=%00", "tøken")
    callback_id = database.write(callbacks.save, "borzo", callback, NOW)
    assert callback_id is not None
    assert database.read(callbacks.load, callback_id) == callbacks.StoredCallback(
        callback_id, "borzo", callback, NOW, None
    )


def test_a_nul_in_a_text_of_a_carrier_is_stored_in_the_document_and_replaced_in_a_column(database: Database) -> None:
    place(database)
    (before,) = database.read(deliveries.load, [ID])
    wanted = replace(full(before), reason_text="closed\x00")
    with_nul = wanted.with_attempt(replace(wanted.attempts[1], reported_anomalies=("gone\x00",)))
    change_to(database, with_nul)
    stored = with_nul.with_attempt(replace(wanted.attempts[1], reported_anomalies=("gone\ufffd",)))
    assert database.read(deliveries.load, [ID]) == [stored]


def test_a_value_of_a_wrong_type_is_not_stored(database: Database) -> None:
    place(database)
    before = database.read(deliveries.load, [ID])
    wrong: Any = 7
    with pytest.raises(ValueError, match="Expected `str`"):
        change_to(database, replace(before[0], reason_text=wrong))
    assert database.read(deliveries.load, [ID]) == before


def test_the_outbox_keeps_the_order_of_events(database: Database) -> None:
    place(database, "1", "2", "3")
    assert [row["position"] for row in rows(database, "event")] == [1, 2, 3]


def test_the_carrier_of_the_next_step_is_stored_with_each_change(database: Database) -> None:
    place(database)
    changes: list[Callable[[Delivery], Delivery]] = [
        lambda it: replace(it, step=Step.ROUTE),
        lambda it: replace(it, step=Step.BOOK),
        lambda it: replace(begun(it, carrier="borzo").delivery, step=Step.TRACK),
        lambda it: begun(it, carrier="cervo", surplus=True).delivery,
        lambda it: replace(it, step=Step.CANCEL, step_attempt_id=it.attempts[1].id),
        lambda it: replace(it, step_attempt_id=it.attempts[0].id),
        lambda it: replace(it, step=None, step_attempt_id=None, next_run_at=None),
    ]
    stored = [rows(database, "delivery")[0]["step_carrier"]]
    for change in changes:
        (delivery,) = database.read(deliveries.load, [ID])
        change_to(database, change(delivery))
        stored.append(rows(database, "delivery")[0]["step_carrier"])
    assert stored == ["deliverit", None, "deliverit", "borzo", "borzo", "cervo", "borzo", None]
