from concurrent.futures import ThreadPoolExecutor

from schemas.orders import OrderRef
from tests.store.samples import (
    ID,
    LATER,
    NOW,
    RULES,
    SHOPS,
    message,
    order,
    rows,
    take_in,
)
from worker.store import Dead, Intake, Store


def test_an_order_named_by_its_id_alone_waits_to_be_fetched(store: Store) -> None:
    ref = OrderRef(order_id="2011")
    assert take_in(store, message(ref, "named")) == []
    assert store.awaits_fetch(NOW)
    assert store.to_fetch(NOW, 10) == [("platform", "named", "2011", 1)]


def test_an_order_to_fetch_is_handed_out_again_after_its_lease(store: Store) -> None:
    ref = OrderRef(order_id="2011")
    take_in(store, message(ref, "named"))
    store.to_fetch(NOW, 10)
    assert (store.awaits_fetch(NOW), store.to_fetch(NOW, 10)) == (False, [])
    assert store.to_fetch(LATER, 10) == [("platform", "named", "2011", 2)]
    assert [row["failures"] for row in rows(store, "message")] == [2]


def test_the_orders_to_fetch_are_handed_out_once_to_many(store: Store) -> None:
    take_in(store, *(message(OrderRef(order_id=str(number))) for number in range(20)))
    with ThreadPoolExecutor(4) as pool:
        found = [each for some in pool.map(lambda _: store.to_fetch(NOW, 5), range(8)) for each in some]
    assert sorted(int(order_id) for _, _, order_id, _ in found) == list(range(20))


def test_a_fetched_order_becomes_a_delivery_and_is_fetched_no_more(store: Store) -> None:
    take_in(store, message(OrderRef(order_id="2011"), "named"))
    batch = Intake([message(order(), "named")], file_stores=SHOPS, fetched=True)
    made = store.fetched("platform", "named", batch, RULES, NOW)
    assert (store.load([ID]), store.to_fetch(LATER, 10)) == (made, [])
    assert store.fetched("platform", "named", batch, RULES, LATER) == []


def test_an_order_that_cannot_be_fetched_is_buried_and_fetched_no_more(store: Store) -> None:
    take_in(store, message(OrderRef(order_id="2011"), "named"))
    store.fetched("platform", "named", Intake(dead=[Dead(b"{}", "404", "platform/named")]), RULES, NOW)
    assert store.to_fetch(LATER, 10) == []
    assert [letter["reason"] for letter in store.dead_letters(10)] == ["404"]
