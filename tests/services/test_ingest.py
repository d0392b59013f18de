"""Ingest stores a batch of messages in one transaction, and a repeated message changes nothing."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.events import delivery_id
from schemas.messages import Cancellation
from schemas.order import DeliveryType
from schemas.status import DeliveryStatus
from tests.database.samples import (
    ID,
    LATER,
    NOW,
    SHOP,
    begun,
    events,
    ingest,
    message,
    order,
    place,
    put_row,
    rows,
    store_messages,
)
from worker.database import deliveries, due_work, inbox, shops
from worker.database.database import Database
from worker.database.inbox import DeadLetter
from worker.domain.delivery import Gate, Step
from worker.domain.schedule import LEASE

TABLES = (
    "account",
    "attempt",
    "callback",
    "dead_letter",
    "delivery",
    "event",
    "lease",
    "message",
    "shop",
    "early_cancellation",
)
QUEUED = (1, "delivery.status_changed")
CANCELLATION = Cancellation(order_id="2011", reason="sold out")


def all_rows(database: Database) -> dict[str, list[dict[str, object]]]:
    """Return the content of every table."""
    return {name: rows(database, name) for name in TABLES}


def test_a_batch_becomes_deliveries_with_their_first_events(database: Database) -> None:
    created = store_messages(database, message(order("1")), message(order("2")))
    assert [(each.order.order_id, each.status, each.carrier, each.step) for each in created] == [
        ("1", DeliveryStatus.QUEUED, "deliverit", Step.BOOK),
        ("2", DeliveryStatus.QUEUED, "deliverit", Step.BOOK),
    ]
    assert (
        sorted(database.read(deliveries.load, [each.id for each in created]), key=lambda each: each.order.order_id)
        == created
    )
    assert [events(database, each.id) for each in created] == [[QUEUED], [QUEUED]]
    assert sorted(row["message_id"] for row in rows(database, "message")) == ["message 1", "message 2"]


def test_the_first_event_is_the_cloud_event_of_the_queued_delivery(database: Database) -> None:
    (created,) = store_messages(database, message(order()))
    (row,) = rows(database, "event")
    body = json.loads(row["body"])
    assert {name: row[name] for name in ("position", "key", "sequence", "subject", "created_at")} == {
        "position": 1,
        "key": created.id,
        "sequence": 1,
        "subject": "2011",
        "created_at": NOW,
    }
    assert (body["partitionkey"], body["sequence"]) == (created.id, "0000000001")
    assert (body["type"], body["data"]["status"]) == ("delivery.status_changed", "queued")


def test_a_new_delivery_counts_as_claimed_until_its_lease_ends(database: Database) -> None:
    place(database)
    assert database.write(due_work.claim_deliveries, NOW, 10) == []
    assert [due.id for due in database.write(due_work.claim_deliveries, NOW + LEASE + timedelta(seconds=1), 10)] == [ID]


def test_a_batch_that_fails_stores_nothing(database: Database) -> None:
    put_row(database, "event", key=ID, sequence=1, subject="", body="", created_at=NOW)
    before = all_rows(database)
    with pytest.raises(Exception, match=r"(?i)unique"):
        store_messages(database, message(order("1")), message(order("2011")))
    assert all_rows(database) == before


@pytest.mark.quirk("O-02")
def test_a_repeated_message_changes_nothing(database: Database) -> None:
    store_messages(database, message(order()))
    before = all_rows(database)
    assert store_messages(database, message(order()), now=LATER) == []
    assert store_messages(database, message(order(notes="other", revision=9)), now=LATER) == []
    assert all_rows(database) == before


def test_a_message_that_is_twice_in_a_batch_counts_once(database: Database) -> None:
    created = store_messages(database, message(order()), message(order(notes="other")))
    assert [each.order for each in created] == [order()]
    assert events(database) == [QUEUED]


@pytest.mark.quirk("O-02")
def test_the_same_order_in_another_message_changes_nothing(database: Database) -> None:
    place(database)
    before = database.read(deliveries.load, [ID])
    assert store_messages(database, message(order(), "another"), now=LATER) == []
    assert database.read(deliveries.load, [ID]) == before
    assert events(database) == [QUEUED]


def test_the_same_order_twice_in_a_batch_is_one_delivery(database: Database) -> None:
    created = store_messages(database, message(order(), "one"), message(order(), "two"))
    assert [each.id for each in created] == [ID]
    assert events(database) == [QUEUED]


def test_an_order_and_its_update_in_one_batch_are_one_updated_delivery(database: Database) -> None:
    store_messages(database, message(order(), "one"), message(order(notes="ring", revision=2), "two"))
    (delivery,) = database.read(deliveries.load, [ID])
    assert delivery.order == order(notes="ring", revision=2)
    assert events(database) == [QUEUED, (2, "delivery.updated")]


@pytest.mark.quirk("O-02")
def test_other_content_without_a_higher_revision_requests_attention_once(database: Database) -> None:
    place(database)
    changed = store_messages(database, message(order(notes="other"), "two"))
    store_messages(database, message(order(notes="other"), "three"))
    assert [each.attention for each in changed] == ["order_changed_without_revision"]
    assert events(database) == [QUEUED, (2, "delivery.attention_required")]
    (delivery,) = database.read(deliveries.load, [ID])
    assert (delivery.order, delivery.attempts) == (order(), ())
    assert len(rows(database, "delivery")) == 1


def test_a_higher_revision_is_applied_while_the_order_is_queued(database: Database) -> None:
    place(database)
    wanted = order(notes="ring", revision=2)
    changed = store_messages(database, message(wanted, "two"))
    assert [(each.order, each.status) for each in changed] == [(wanted, DeliveryStatus.QUEUED)]
    assert database.read(deliveries.load, [ID]) == changed


def test_a_lower_revision_that_comes_late_changes_nothing(database: Database) -> None:
    store_messages(database, message(order(revision=3)))
    before = database.read(deliveries.load, [ID])
    assert store_messages(database, message(order(notes="old", revision=2), "late")) == []
    assert database.read(deliveries.load, [ID]) == before


def test_the_same_order_id_of_another_platform_is_another_delivery(database: Database) -> None:
    ours, other = message(order()), replace(message(order()), source="elsewhere")
    created = store_messages(database, ours, other)
    assert [each.id for each in created] == [ID, delivery_id("elsewhere", "2011")]
    assert sorted(each.source for each in database.read(deliveries.find, "2011")) == ["elsewhere", "platform"]


@pytest.mark.quirk("O-02")
def test_a_malformed_message_is_stored_and_published_once(database: Database) -> None:
    letter = DeadLetter(b"\x00\xffnot JSON", "message: not JSON", "1-0")
    for now in (NOW, LATER):
        assert ingest(database, now=now).store([], [letter]) == []
    (row,) = rows(database, "dead_letter")
    assert row == {
        "id": row["id"],
        "raw": letter.raw,
        "has_fields": False,
        "reason": letter.reason,
        "received_at": NOW,
        "settled_at": None,
    }
    assert events(database, row["id"]) == [(1, "order.quarantined")]
    assert [dict(each) for each in database.read(inbox.dead_letters, 10)] == [row]


def test_a_settled_dead_letter_can_no_longer_be_read_or_listed(database: Database) -> None:
    ingest(database).store([], [DeadLetter(b"raw", "why", "1-0")])
    (row,) = database.read(inbox.dead_letters, 10)
    assert database.read(inbox.dead_letter, row["id"]) == DeadLetter(b"raw", "why", row["id"])
    database.write(inbox.settle_dead_letter, row["id"], LATER)
    assert (database.read(inbox.dead_letter, row["id"]), database.read(inbox.dead_letter, "no such letter")) == (
        None,
        None,
    )
    assert database.read(inbox.dead_letters, 10) == []


def test_a_valid_message_is_stored_beside_a_malformed_one(database: Database) -> None:
    ingest(database).store([message(order())], [DeadLetter(b"", "why", "1-0")])
    assert (len(rows(database, "delivery")), len(rows(database, "dead_letter"))) == (1, 1)


def test_an_order_of_an_unknown_store_waits_for_an_operator(database: Database) -> None:
    (created,) = store_messages(database, message(order()), shops={})
    assert (created.step, created.attention, created.carrier) == (Step.ROUTE, "unknown_store", None)
    assert events(database) == [QUEUED, (2, "delivery.attention_required")]


def test_orders_are_routed_as_soon_as_their_store_becomes_known(database: Database) -> None:
    store_messages(database, message(order()), message(order("18", store_id="18")), shops={})
    assert database.write(due_work.claim_deliveries, NOW, 10) == []
    assert database.write(shops.save_shops, {"17": SHOP}, NOW) == 1
    assert [(due.id, due.step, due.carrier) for due in database.write(due_work.claim_deliveries, NOW, 10)] == [
        (ID, Step.ROUTE, None)
    ]
    assert database.read(shops.load_shops) == {"17": SHOP}


def test_an_order_that_was_moved_to_an_unknown_store_is_released_with_that_store(database: Database) -> None:
    store_messages(database, message(order()), shops={})
    store_messages(database, message(order(store_id="18", revision=2), "two"), shops={})
    assert database.write(shops.save_shops, {"18": SHOP.model_copy(update={"store_id": "18"})}, NOW) == 1


def test_the_store_directory_in_the_database_wins_over_its_file(database: Database) -> None:
    moved = SHOP.model_copy(update={"street": "Nygade 2"})
    database.write(shops.save_shops, {"17": SHOP}, NOW)
    database.write(shops.save_shops, {"17": moved}, LATER)
    (created,) = store_messages(database, message(order()))
    assert created.store == moved
    assert database.read(shops.load_shops, ["17", "99"]) == {"17": moved}


@pytest.mark.quirk("O-07")
@pytest.mark.parametrize("kind", [each for each in DeliveryType if each is not DeliveryType.DELIVERY])
def test_an_order_that_is_not_delivered_is_skipped_once(database: Database, kind: DeliveryType) -> None:
    assert (
        store_messages(database, message(order(delivery_type=kind), "one"), message(order(delivery_type=kind), "two"))
        == []
    )
    store_messages(database, message(order(delivery_type=kind), "three"))
    (row,) = rows(database, "event")
    body = json.loads(row["body"])
    assert (body["type"], row["subject"], body["data"]["reason"]) == ("order.skipped", "2011", kind)
    assert rows(database, "delivery") == []


def test_a_cancellation_that_comes_before_its_order_cancels_it(database: Database) -> None:
    assert store_messages(database, message(CANCELLATION, "cancel")) == []
    (created,) = store_messages(database, message(order()))
    assert created.status is DeliveryStatus.CANCELLED
    assert events(database) == [QUEUED, (2, "delivery.status_changed")]


def test_a_cancellation_in_the_same_batch_cancels_its_order(database: Database) -> None:
    store_messages(database, message(CANCELLATION, "cancel"), message(order()))
    (delivery,) = database.read(deliveries.load, [ID])
    assert delivery.status is DeliveryStatus.CANCELLED


def test_a_cancellation_after_the_create_is_kept_as_a_cancel_request(database: Database) -> None:
    place(database)
    database.persist(deliveries.update, [ID], begun)
    (changed,) = store_messages(database, message(CANCELLATION, "cancel"))
    assert changed.cancel_request == CANCELLATION
    assert store_messages(database, message(CANCELLATION, "again")) == []


@pytest.mark.quirk("O-20")
def test_a_new_order_is_stored_with_its_closed_gate(database: Database) -> None:
    orders = message(order("1", status=0)), message(order("2", status=7))
    created = store_messages(database, *orders, gate=Gate.ACCEPTED)
    assert [(each.gate, each.detail, each.step) for each in created] == [
        ("accepted", "waiting_for_shop", Step.ROUTE),
        (None, None, Step.BOOK),
    ]
    assert (
        sorted(database.read(deliveries.load, [each.id for each in created]), key=lambda each: each.order.order_id)
        == created
    )


@pytest.mark.quirk("O-20")
def test_the_same_order_with_a_status_that_opens_its_gate_is_released(database: Database) -> None:
    store_messages(database, message(order(status=0)), gate=Gate.ACCEPTED)
    (released,) = store_messages(database, message(order(status=7), "two"))
    assert (released.gate, released.step, database.read(deliveries.load, [ID])) == (None, Step.BOOK, [released])
    assert events(database) == [QUEUED, (2, "delivery.updated")]
