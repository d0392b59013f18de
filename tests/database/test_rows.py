from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas.status import AttemptState
from tests.database.samples import ID, NOW, ORDER, SHOP, full, order, place, rows
from worker.carriers.port import Callback
from worker.database import callbacks, deliveries
from worker.database.database import Database
from worker.domain.delivery import Attempt, Change, Delivery


def change_to(store: Database, wanted: Delivery) -> None:
    store.persist(deliveries.update, [wanted.id], lambda _: Change(wanted))


def test_the_sample_leaves_no_field_at_its_default(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    sample = full(before)
    kept = {"id", "source", "order", "store", "fingerprint", "created_at"}
    same = {field.name for field in fields(Delivery) if getattr(sample, field.name) == getattr(before, field.name)}
    assert same <= kept | {"carrier", "dispatch_at"}
    assert {name for name in _attempt_defaults() if all(_is_default(each, name) for each in sample.attempts)} == set()


def _attempt_defaults() -> dict[str, object]:
    blank = Attempt(1, "", 1, "", AttemptState.QUEUED, "", NOW, NOW, NOW)
    optional = [field.name for field in fields(Attempt)][9:]
    return {name: getattr(blank, name) for name in optional}


def _is_default(attempt: Attempt, name: str) -> bool:
    return bool(getattr(attempt, name) == _attempt_defaults()[name])


def test_a_delivery_with_every_field_filled_comes_back_as_it_was(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    wanted = full(before)
    change_to(store, wanted)
    assert store.read(deliveries.load, [ID]) == [wanted]


def test_a_delivery_that_loses_every_field_again_comes_back_as_it_was(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    wanted = full(before)
    change_to(store, wanted)
    bare = replace(before, attempts=tuple(replace(each, codec_state={}, carrier_time=None) for each in wanted.attempts))
    change_to(store, bare)
    assert store.read(deliveries.load, [ID]) == [bare]


def test_a_changed_order_and_store_are_written_with_the_columns_that_name_them(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    wanted = replace(
        before,
        order=order(store_id="18", notes="ring", revision=2),
        store=SHOP.model_copy(update={"store_id": "18"}),
        fingerprint="another",
    )
    change_to(store, wanted)
    assert store.read(deliveries.load, [ID]) == [wanted]
    assert [row["store_id"] for row in rows(store, "delivery")] == ["18"]


def test_a_time_of_any_zone_comes_back_as_the_same_instant_in_utc(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    riyadh = datetime(2026, 11, 21, 20, 40, 0, 5, timezone(timedelta(hours=3)))
    change_to(store, replace(before, retry_at=riyadh))
    (after,) = store.read(deliveries.load, [ID])
    assert after.retry_at is not None
    assert after.retry_at.isoformat() == "2026-11-21T17:40:00.000005+00:00"


@pytest.mark.quirk("X-01")
def test_every_time_that_is_read_is_aware_and_in_utc(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    change_to(store, full(before))
    found = [row for name in ("delivery", "attempt", "event", "message") for row in rows(store, name)]
    times = [value for row in found for value in row.values() if isinstance(value, datetime)]
    assert {time.tzinfo for time in times} == {UTC}


def test_money_in_an_order_keeps_its_cents(store: Database) -> None:
    place(store)
    (found,) = store.read(deliveries.load, [ID])
    assert found.order == ORDER
    assert str(found.order.payment.amount) == "125.00"


def test_a_callbacks_bytes_and_headers_come_back_as_they_were(store: Database) -> None:
    callback = Callback("POST", b"\x00\xff {}", {"content-type": "application/json"}, "a=1&b=%00", "tøken")
    kept = store.write(callbacks.save, "borzo", callback, NOW)
    assert kept is not None
    assert store.read(callbacks.load, kept) == callbacks.StoredCallback(kept, "borzo", callback, NOW, None)


def test_a_nul_in_a_carriers_words_does_not_keep_its_delivery_from_being_written(store: Database) -> None:
    place(store)
    (before,) = store.read(deliveries.load, [ID])
    wanted = full(before)
    odd = replace(wanted, reason_text="closed\x00", attempts=())
    change_to(store, odd)
    assert store.read(deliveries.load, [ID]) == [replace(odd, reason_text="closed\ufffd")]


def test_the_outbox_keeps_the_order_in_which_events_were_told(store: Database) -> None:
    place(store, "1", "2", "3")
    assert [row["position"] for row in rows(store, "event")] == [1, 2, 3]
