"""Orders that a message only names are claimed for a fetch from the platform, and stored when they are fetched."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from schemas.messages import OrderRef, found_order_message
from tests.database.samples import ID, LATER, NOW, events, fetched, ingest, message, order, rows, store_messages
from worker.database import deliveries, due_work, inbox
from worker.database.database import Database
from worker.database.due_work import Limits
from worker.database.inbox import DeadLetter, Fetch
from worker.domain.delivery import Delivery

NOTHING = Limits(deliveries=0, callbacks=0, comparisons=0)


def is_fetch_due(database: Database) -> bool:
    return database.write(due_work.claim, NOW, NOTHING).fetches


def test_an_order_that_is_only_named_waits_for_its_fetch(database: Database) -> None:
    ref = OrderRef(order_id="2011")
    assert store_messages(database, message(ref, "named")) == []
    assert is_fetch_due(database)
    assert database.write(inbox.claim_fetches, NOW, 10) == [Fetch("platform", "named", "2011", 1)]


def test_a_fetch_is_claimed_again_after_its_lease(database: Database) -> None:
    ref = OrderRef(order_id="2011")
    store_messages(database, message(ref, "named"))
    database.write(inbox.claim_fetches, NOW, 10)
    assert (is_fetch_due(database), database.write(inbox.claim_fetches, NOW, 10)) == (False, [])
    assert database.write(inbox.claim_fetches, LATER, 10) == [Fetch("platform", "named", "2011", 2)]
    assert [row["failures"] for row in rows(database, "message")] == [2]


def test_concurrent_claims_return_every_fetch_once(database: Database) -> None:
    store_messages(database, *(message(OrderRef(order_id=str(number))) for number in range(20)))
    with ThreadPoolExecutor(4) as pool:
        found = [
            each for some in pool.map(lambda _: database.write(inbox.claim_fetches, NOW, 5), range(8)) for each in some
        ]
    assert sorted(int(each.order_id) for each in found) == list(range(20))


def test_a_fetched_order_becomes_a_delivery_and_is_not_fetched_again(database: Database) -> None:
    store_messages(database, message(OrderRef(order_id="2011"), "named"))
    copy = message(order(), "named")
    made = fetched(database, copy)
    assert (database.read(deliveries.load, [ID]), database.write(inbox.claim_fetches, LATER, 10)) == (made, [])
    assert fetched(database, copy, LATER) == []


def test_an_order_that_cannot_be_fetched_becomes_a_dead_letter_and_is_not_fetched_again(database: Database) -> None:
    store_messages(database, message(OrderRef(order_id="2011"), "named"))
    ingest(database).dead_letter_fetch("platform", "named", DeadLetter(b"{}", "404", "platform/named"))
    assert database.write(inbox.claim_fetches, LATER, 10) == []
    assert [letter["reason"] for letter in database.read(inbox.dead_letters, 10)] == ["404"]


def test_a_fetch_that_our_rate_limit_postponed_does_not_count_as_a_failure(database: Database) -> None:
    store_messages(database, message(OrderRef(order_id="2011"), "named"))
    database.write(inbox.claim_fetches, NOW, 10)
    database.write(inbox.postpone_fetch, "platform", "named", 0, NOW)
    assert database.write(inbox.claim_fetches, NOW, 10) == [Fetch("platform", "named", "2011", 1)]


@pytest.mark.quirk("X-03")
def test_an_order_is_unknown_until_it_is_stored_or_found_at_its_own_platform(database: Database) -> None:
    here = order("1")
    elsewhere = replace(message(order("2")), source="elsewhere")
    store_messages(
        database, message(here), elsewhere, found_order_message("platform", "3"), found_order_message("elsewhere", "4")
    )
    assert database.read(inbox.unknown_orders, "platform", ["1", "2", "3", "4", "5"]) == {"4", "5"}
    assert database.read(inbox.unknown_orders, "platform", []) == set()


def found(database: Database, **changes: Any) -> list[Delivery]:
    """Store an order that was found at the platform, as its API shows it."""
    named = found_order_message("platform", "2011")
    store_messages(database, named)
    return fetched(database, replace(named, data=order(**changes)))


def test_a_message_about_an_order_that_was_found_is_a_repeat(database: Database) -> None:
    (made,) = found(database, revision=31, status=0)
    assert made.order.revision == 1
    (known,) = store_messages(database, message(order(notes="another text", status=7)))
    assert (known.order, known.attention, events(database)) == (
        order(status=7),
        None,
        [(1, "delivery.status_changed")],
    )


def test_an_update_of_an_order_that_was_found_is_applied(database: Database) -> None:
    found(database, revision=31)
    update = replace(message(order(notes="ring", revision=2), "two"), type="order.updated")
    (changed,) = store_messages(database, update)
    assert (changed.order.notes, changed.attention) == ("ring", None)


def test_an_order_that_is_found_after_its_message_changes_only_the_status(database: Database) -> None:
    store_messages(database, message(order(notes="as the message said", status=0)))
    (known,) = found(database, revision=31, status=7)
    assert (known.order, known.attention) == (order(notes="as the message said", status=7), None)
