from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from schemas.messages import OrderRef, found_order_message
from tests.database.samples import ID, LATER, NOW, events, fetched, ingest, message, order, rows, take_in
from worker.database import deliveries, inbox
from worker.database.database import Database
from worker.database.inbox import DeadLetter
from worker.domain.delivery import Delivery


def test_an_order_named_by_its_id_alone_waits_to_be_fetched(store: Database) -> None:
    ref = OrderRef(order_id="2011")
    assert take_in(store, message(ref, "named")) == []
    assert store.read(inbox.has_due_fetch, NOW)
    assert store.write(inbox.claim_fetches, NOW, 10) == [("platform", "named", "2011", 1)]


def test_an_order_to_fetch_is_handed_out_again_after_its_lease(store: Database) -> None:
    ref = OrderRef(order_id="2011")
    take_in(store, message(ref, "named"))
    store.write(inbox.claim_fetches, NOW, 10)
    assert (store.read(inbox.has_due_fetch, NOW), store.write(inbox.claim_fetches, NOW, 10)) == (False, [])
    assert store.write(inbox.claim_fetches, LATER, 10) == [("platform", "named", "2011", 2)]
    assert [row["failures"] for row in rows(store, "message")] == [2]


def test_the_orders_to_fetch_are_handed_out_once_to_many(store: Database) -> None:
    take_in(store, *(message(OrderRef(order_id=str(number))) for number in range(20)))
    with ThreadPoolExecutor(4) as pool:
        found = [
            each for some in pool.map(lambda _: store.write(inbox.claim_fetches, NOW, 5), range(8)) for each in some
        ]
    assert sorted(int(order_id) for _, _, order_id, _ in found) == list(range(20))


def test_a_fetched_order_becomes_a_delivery_and_is_fetched_no_more(store: Database) -> None:
    take_in(store, message(OrderRef(order_id="2011"), "named"))
    copy = message(order(), "named")
    made = fetched(store, copy)
    assert (store.read(deliveries.load, [ID]), store.write(inbox.claim_fetches, LATER, 10)) == (made, [])
    assert fetched(store, copy, LATER) == []


def test_an_order_that_cannot_be_fetched_is_buried_and_fetched_no_more(store: Database) -> None:
    take_in(store, message(OrderRef(order_id="2011"), "named"))
    ingest(store).bury_fetch("platform", "named", DeadLetter(b"{}", "404", "platform/named"))
    assert store.write(inbox.claim_fetches, LATER, 10) == []
    assert [letter["reason"] for letter in store.read(inbox.dead_letters, 10)] == ["404"]


def test_what_our_own_budget_held_back_is_handed_out_again_without_a_try_less(store: Database) -> None:
    take_in(store, message(OrderRef(order_id="2011"), "named"))
    store.write(inbox.claim_fetches, NOW, 10)
    store.write(inbox.postpone_fetch, "platform", "named", 0, NOW)
    assert store.write(inbox.claim_fetches, NOW, 10) == [("platform", "named", "2011", 1)]


@pytest.mark.quirk("X-03")
def test_an_order_is_missing_while_nobody_has_it_and_it_was_never_found_before(store: Database) -> None:
    here = order("1")
    elsewhere = replace(message(order("2")), source="elsewhere")
    take_in(
        store, message(here), elsewhere, found_order_message("platform", "3"), found_order_message("elsewhere", "4")
    )
    assert store.read(inbox.unknown_orders, "platform", ["1", "2", "3", "4", "5"]) == {"4", "5"}
    assert store.read(inbox.unknown_orders, "platform", []) == set()


def found(store: Database, **changes: Any) -> list[Delivery]:
    """Take in an order that was found at the platform, as its API shows it."""
    named = found_order_message("platform", "2011")
    take_in(store, named)
    return fetched(store, replace(named, data=order(**changes)))


def test_a_message_that_differs_from_the_copy_that_was_found_is_a_repeat(store: Database) -> None:
    (made,) = found(store, revision=31, status=0)
    assert made.order.revision == 1
    (heard,) = take_in(store, message(order(notes="in other words", status=7)))
    assert (heard.order, heard.attention, events(store)) == (
        order(status=7),
        None,
        [(1, "delivery.status_changed")],
    )


def test_an_update_of_an_order_that_was_found_is_applied(store: Database) -> None:
    found(store, revision=31)
    update = replace(message(order(notes="ring", revision=2), "two"), type="order.updated")
    (changed,) = take_in(store, update)
    assert (changed.order.notes, changed.attention) == ("ring", None)


def test_a_copy_that_is_found_after_the_message_changes_nothing_but_the_status(store: Database) -> None:
    take_in(store, message(order(notes="as it was told", status=0)))
    (heard,) = found(store, revision=31, status=7)
    assert (heard.order, heard.attention) == (order(notes="as it was told", status=7), None)
