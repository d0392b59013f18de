"""A database that was restored from a backup continues beside the bus and the carriers, which know more."""

import pytest

from schemas.events import EventType
from tests.services.simulation import Simulation
from tests.services.test_lost_commits import Failover, holds, release
from tests.services.test_lost_commits import failover as failover  # noqa: PLC0414 - a fixture
from worker.bus.port import EXAMINED
from worker.domain.operator import Operator
from worker.services.restoration import LostDelivery
from worker.services.system_troubles import SystemTrouble

ANN = Operator("ann", "a disk failed")


def restore_an_older_backup(failover: Failover) -> dict[str, str]:
    """Back up, go on for some minutes, and restore; return the carrier's ids of the orders that it then has.

    2010 was created before the backup, 2012 was only stored, and 2011 came after it.
    """
    simulation = failover.simulation
    simulation.place(order_id="2010")
    simulation.work()
    simulation.place(order_id="2012", store_id="21")
    backup = failover.copy()
    simulation.work()
    simulation.place(order_id="2011", store_id="21")
    simulation.until(lambda it: it.status("2010") == "picked_up")
    refs = {each: str(simulation.delivery(each).attempts[0].ref) for each in ("2010", "2011", "2012")}
    failover.promote(backup)
    return refs


def until_read(simulation: Simulation) -> None:
    for _ in range(5):
        simulation.pass_time(30)


def by_order(found: list[LostDelivery]) -> dict[str, tuple[str | None, bool, bool]]:
    return {each.order_id: (each.carrier_ref, each.in_database, each.courier_known) for each in found}


@pytest.mark.fault("F-95")
def test_what_the_bus_knows_and_a_restored_database_does_not_is_listed(failover: Failover) -> None:
    refs = restore_an_older_backup(failover)
    found = failover.simulation.container.restoration.compare()
    assert by_order(found) == {
        "2010": (refs["2010"], True, True),
        "2011": (refs["2011"], False, False),
        "2012": (refs["2012"], True, False),
    }
    assert [each.to_do for each in found] == [
        f"will be read again from the stream: cancel order {refs['2011']} of borzo there, or `order-sync cancel 2011`",
        f"cancel order {refs['2012']} of borzo there, or `order-sync cancel 2012`",
        "nothing: its carrier is read",
    ]
    assert holds(failover.simulation) == []


@pytest.mark.fault("F-95")
def test_an_order_that_is_no_longer_on_the_stream_is_not_placed_again_by_itself(failover: Failover) -> None:
    refs = restore_an_older_backup(failover)
    failover.simulation.redis.xtrim("orders", maxlen=0)
    found = {each.order_id: each.to_do for each in failover.simulation.container.restoration.compare()}
    assert found["2011"] == f"cancel order {refs['2011']} of borzo there, and place it again; or do neither"


@pytest.mark.fault("F-95")
def test_what_is_left_to_do_is_shown_until_creates_are_released(failover: Failover) -> None:
    simulation, restoration = failover.simulation, failover.simulation.container.restoration
    restore_an_older_backup(failover)
    assert restoration.recorded() == []
    left = restoration.apply(ANN)
    assert restoration.recorded() == [(each.order_id, each.to_do) for each in left]
    assert [order_id for order_id, _ in restoration.recorded()] == ["2011", "2012", "2010"]
    (held,) = [each for each in simulation.container.troubles.find() if each.kind == SystemTrouble.CREATES_HELD]
    assert "First work through the list, which `order-sync db restored` shows again." in held.explanation
    release(simulation)
    assert restoration.recorded() == []


@pytest.mark.fault("F-95")
def test_a_restored_database_gets_the_messages_on_the_bus_again_and_sends_no_create(failover: Failover) -> None:
    simulation = failover.simulation
    restore_an_older_backup(failover)
    creates = simulation.ledger()
    left = simulation.container.restoration.apply(ANN)
    until_read(simulation)
    assert [each.in_database for each in left] == [True] * 3
    assert holds(simulation) == [("operator", "the database was restored from a backup: a disk failed")]
    assert simulation.statuses("2011", "2012") == ["queued", "queued"]
    assert simulation.ledger() == creates


@pytest.mark.fault("F-95")
def test_the_sequences_of_a_restored_database_continue_without_a_gap_and_without_a_repeat(failover: Failover) -> None:
    simulation = failover.simulation
    restore_an_older_backup(failover)
    for _ in range(EXAMINED):  # the lost events are no longer among the newest, which the relay compares by itself
        simulation.redis.xadd("deliveries", {"event": '{"subject": null}'})
    simulation.container.restoration.apply(ANN)
    for order_id in ("2011", "2012"):
        simulation.cancel(order_id=order_id, store_id="21")
    simulation.until(lambda it: it.status("2010") == "delivered")
    for order_id in ("2010", "2011", "2012"):
        sequences = [each["data"]["sequence"] for each in simulation.events(order_id)]
        assert sequences == list(range(1, len(sequences) + 1))
    assert simulation.published("2011")[-1] == simulation.published("2012")[-1] == "cancelled"
    assert simulation.published("2010")[-1] == "delivered"


@pytest.mark.fault("F-95")
def test_applying_again_finds_nothing_and_creates_go_on_after_the_release(failover: Failover) -> None:
    simulation = failover.simulation
    restore_an_older_backup(failover)
    simulation.container.restoration.apply(ANN)
    assert simulation.container.restoration.apply(ANN) == []
    for order_id in ("2011", "2012"):
        simulation.cancel(order_id=order_id, store_id="21")
    release(simulation)
    simulation.place(order_id="2013", store_id="21")
    simulation.until(lambda it: it.status("2013") == "created")


def test_a_lost_test_event_is_about_no_courier(failover: Failover) -> None:
    backup, made = failover.copy(), failover.simulation.container
    made.sample_events.send(EventType.STATUS_CHANGED, None, "platform")
    failover.simulation.work()
    failover.promote(backup)
    assert made.restoration.apply(ANN) == []


def test_a_database_that_lost_nothing_has_nothing_to_do(failover: Failover) -> None:
    simulation = failover.simulation
    simulation.place()
    simulation.work()
    assert simulation.container.restoration.apply(ANN) == []
