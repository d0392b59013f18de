"""What carriers' odd words mean: who said so, to whom it matters, and what is read again."""

from dataclasses import replace

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.database.samples import LATER, NOW, RULES, begun, place, updates
from tests.database.samples import changed as update
from worker.carriers.port import Booked, Observation, Raw
from worker.database import accounts, deliveries
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery
from worker.services.decisions import Decisions

DELIVERED, FAILED = DeliveryStatus.DELIVERED, DeliveryStatus.FAILED


def follow(store: Database, delivery_id: str, *codes: str) -> Delivery:
    """Let a carrier have made an order and say these words of it."""

    def say(delivery: Delivery) -> Change:
        begun_ = begun(delivery, carrier="borzo", id=int(delivery.order.order_id)).delivery
        attempt = begun_.attempts[-1].id
        made = Booked(Observation(DeliveryStatus.CREATED, None, ref=f"R-{delivery.id}"))
        followed = lifecycle.apply_create_outcome(begun_, attempt, made, RULES, NOW)
        words = [Observation(None, Raw("delivery", code)) for code in codes]
        seen = lifecycle.apply_observations(followed.delivery, attempt, words, RULES, NOW, Cause.POLL)
        return Change(seen.delivery, (*followed.events, *seen.events))

    return update(store, [delivery_id], say)[0]


def explain(store: Database, word: str, status: DeliveryStatus, account: str = "borzo") -> list[str]:
    made = Decisions(updates(store), RULES, lambda: LATER)
    return sorted(change.delivery.id for change in made.map_status(account, word, status))


def test_words_are_kept_for_each_account_until_they_are_taken_back(store: Database) -> None:
    explain(store, "order:6", FAILED, "cervo")
    for status in (FAILED, DELIVERED):
        explain(store, "delivery:locker", status)
    assert store.read(accounts.status_mappings) == {
        "borzo": {"delivery:locker": DELIVERED},
        "cervo": {"order:6": FAILED},
    }
    assert [store.write(accounts.drop_mapping, "cervo", "order:6") for _ in range(2)] == [True, False]
    assert store.read(accounts.status_mappings) == {"borzo": {"delivery:locker": DELIVERED}}


@pytest.mark.quirk("C-32")
def test_only_whoever_a_word_was_said_of_last_is_read_again(store: Database) -> None:
    last, before, other, longer = place(store, "1", "2", "3", "4")
    follow(store, last, "locker")
    follow(store, before, "locker", "shelf")
    follow(store, other, "shelf")
    follow(store, longer, "locker_2")
    assert explain(store, "delivery:locker", DELIVERED) == [last]
    assert {each.id: each.status for each in store.read(deliveries.load, [last, before, other, longer])} == {
        last: "delivered",
        before: "created",
        other: "created",
        longer: "created",
    }


def test_a_word_with_signs_that_mean_something_to_a_database_is_found_as_it_is(store: Database) -> None:
    odd, plain = place(store, "1", "2")
    follow(store, odd, "50%_\x00/'")
    follow(store, plain, "50 percent")
    assert store.read(accounts.unmapped_statuses) == {"borzo": ["delivery:50 percent", "delivery:50%_\ufffd/'"]}
    assert explain(store, "delivery:50%_\ufffd/'", DELIVERED) == [odd]


def test_odd_words_are_listed_one_by_one_and_steps_back_are_none_of_them(store: Database) -> None:
    one, two, three = place(store, "1", "2", "3")
    follow(store, one, "locker", "shelf")
    follow(store, two, "shelf")
    follow(store, three)
    for delivery_id, words in ((two, ("regression:created", "delivery:shelf")), (three, ("regression:created",))):
        store.persist(deliveries.update, [delivery_id], lambda each, words=words: _oddly(each, words))  # type: ignore[misc]
    assert store.read(accounts.unmapped_statuses) == {"borzo": ["delivery:locker", "delivery:shelf"]}


def _oddly(delivery: Delivery, words: tuple[str, ...]) -> Change:
    return Change(delivery.with_attempt(replace(delivery.attempts[0], reported_anomalies=words)))
