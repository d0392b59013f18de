"""Operators map unmapped carrier statuses: by account, and for the deliveries that still report them."""

from dataclasses import replace
from functools import partial

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.database.samples import LATER, NOW, RULES, begun, place, updates
from tests.database.samples import changed as update
from worker.carriers.port import Booked, Observation, Raw
from worker.database import accounts, deliveries
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery
from worker.domain.operator import Operator
from worker.services.decisions import Decisions

DELIVERED, FAILED = DeliveryStatus.DELIVERED, DeliveryStatus.FAILED
OPERATOR = Operator("maria")


def follow(database: Database, delivery_id: str, *codes: str) -> Delivery:
    """Let a carrier create an order and report these statuses of it."""

    def report(delivery: Delivery) -> Change:
        begun_ = begun(delivery, carrier="borzo", id=int(delivery.order.order_id)).delivery
        attempt = begun_.attempts[-1].id
        booked = Booked(Observation(DeliveryStatus.CREATED, None, ref=f"R-{delivery.id}"))
        followed = lifecycle.apply_create_outcome(begun_, attempt, booked, RULES, NOW)
        unmapped = [Observation(None, Raw("delivery", code)) for code in codes]
        seen = lifecycle.apply_observations(followed.delivery, attempt, unmapped, RULES, NOW, Cause.POLL)
        return Change(seen.delivery, (*followed.events, *seen.events))

    return update(database, [delivery_id], report)[0]


def map_status(database: Database, carrier_status: str, status: DeliveryStatus, account: str = "borzo") -> list[str]:
    decisions = Decisions(updates(database), RULES, lambda: LATER)
    return sorted(change.delivery.id for change in decisions.map_status(account, carrier_status, status, OPERATOR))


def test_mappings_are_stored_by_account_until_they_are_removed(database: Database) -> None:
    map_status(database, "order:6", FAILED, "cervo")
    for status in (FAILED, DELIVERED):
        map_status(database, "delivery:locker", status)
    assert database.read(accounts.status_mappings) == {
        "borzo": {"delivery:locker": DELIVERED},
        "cervo": {"order:6": FAILED},
    }
    assert [database.write(accounts.drop_mapping, "cervo", "order:6") for _ in range(2)] == [True, False]
    assert database.read(accounts.status_mappings) == {"borzo": {"delivery:locker": DELIVERED}}


@pytest.mark.quirk("C-32")
def test_only_deliveries_whose_last_status_is_mapped_are_changed(database: Database) -> None:
    last, before, other, longer = place(database, "1", "2", "3", "4")
    follow(database, last, "locker")
    follow(database, before, "locker", "shelf")
    follow(database, other, "shelf")
    follow(database, longer, "locker_2")
    assert map_status(database, "delivery:locker", DELIVERED) == [last]
    assert {each.id: each.status for each in database.read(deliveries.load, [last, before, other, longer])} == {
        last: "delivered",
        before: "created",
        other: "created",
        longer: "created",
    }


def test_a_status_with_characters_that_are_special_to_a_database_is_found(database: Database) -> None:
    special, plain = place(database, "1", "2")
    follow(database, special, "50%_\x00/'")
    follow(database, plain, "50 percent")
    assert database.read(accounts.unmapped_statuses) == {"borzo": ["delivery:50 percent", "delivery:50%_\ufffd/'"]}
    assert map_status(database, "delivery:50%_\ufffd/'", DELIVERED) == [special]


def test_unmapped_statuses_are_listed_once_and_without_regressions(database: Database) -> None:
    one, two, three = place(database, "1", "2", "3")
    follow(database, one, "locker", "shelf")
    follow(database, two, "shelf")
    follow(database, three)
    for delivery_id, anomalies in ((two, ("regression:created", "delivery:shelf")), (three, ("regression:created",))):
        update(database, [delivery_id], partial(_with_anomalies, anomalies=anomalies))
    assert database.read(accounts.unmapped_statuses) == {"borzo": ["delivery:locker", "delivery:shelf"]}


def _with_anomalies(delivery: Delivery, anomalies: tuple[str, ...]) -> Change:
    return Change(delivery.with_attempt(replace(delivery.attempts[0], reported_anomalies=anomalies)))
