"""Carrier statuses that no codec knows: an operator maps them, and every process uses the mapping."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.services.simulation import Simulation
from worker.carriers.port import Observation, Raw
from worker.database import accounts
from worker.domain import lifecycle
from worker.domain.operator import Operator

UNKNOWN = {"cervo": ("34", "order:6"), "borzo": ("21", "delivery:left_in_locker")}
OPERATOR = Operator("maria")


def run_until_unknown(simulation: Simulation, order_id: str = "2011") -> None:
    simulation.until(lambda it: "delivery.status_unrecognized" in it.published(order_id))


def map_status(simulation: Simulation, carrier: str, carrier_status: str, status: DeliveryStatus) -> int:
    """Map a carrier's status and return how many deliveries that changes."""
    return len(simulation.container.decisions.map_status(carrier, carrier_status, status, OPERATOR))


@pytest.mark.quirk("C-32", "B-70")
@pytest.mark.parametrize("carrier", UNKNOWN)
def test_a_mapping_of_an_unknown_status_ends_the_delivery_at_once(carrier: str, simulation: Simulation) -> None:
    store_id, carrier_status = UNKNOWN[carrier]
    simulation.place("unknown_word", store_id)
    run_until_unknown(simulation)
    assert simulation.container.database.read(accounts.unmapped_statuses) == {carrier: [carrier_status]}
    assert map_status(simulation, carrier, carrier_status, DeliveryStatus.DELIVERED) == 1
    delivery = simulation.delivery()
    assert (delivery.status, delivery.evidence, delivery.attempts[0].unmapped_status) == ("delivered", "weak", None)
    assert map_status(simulation, carrier, carrier_status, DeliveryStatus.DELIVERED) == 0


@pytest.mark.quirk("C-32", "B-70")
@pytest.mark.parametrize("carrier", UNKNOWN)
def test_a_later_delivery_is_tracked_with_the_status_mapping(carrier: str, simulation: Simulation) -> None:
    store_id, carrier_status = UNKNOWN[carrier]
    assert simulation.container.accounts.status_mappings(carrier) == {}
    map_status(simulation, carrier, carrier_status, DeliveryStatus.DELIVERED)
    simulation.place("unknown_word", store_id)
    simulation.until(lambda it: it.delivery().final, step=30)
    assert [each for each in simulation.published() if each.startswith("delivery.status_un")] == []
    *_, last = simulation.events()
    assert (last["data"]["status"], last["data"]["evidence"], last["data"]["raw"]["code"]) == (
        "delivered",
        "weak",
        carrier_status.partition(":")[2],
    )


def test_every_process_uses_a_changed_status_mapping_within_five_seconds(simulation: Simulation) -> None:
    carriers, database = simulation.container.accounts, simulation.container.database
    seen = []
    changes: list[Callable[[], object]] = [
        lambda: map_status(simulation, "cervo", "order:6", DeliveryStatus.FAILED),
        lambda: map_status(simulation, "cervo", "order:6", DeliveryStatus.DELIVERED),
        lambda: database.write(accounts.drop_mapping, "cervo", "order:6"),
    ]
    for change in changes:
        before = carriers.status_mappings("cervo")
        change()
        soon = carriers.status_mappings("cervo")
        simulation.now += timedelta(seconds=5)
        seen.append((soon == before, carriers.status_mappings("cervo"), carriers.status_mappings("borzo")))
    assert seen == [
        (True, {"order:6": "failed"}, {}),
        (True, {"order:6": "delivered"}, {}),
        (True, {}, {}),
    ]
    assert not database.write(accounts.drop_mapping, "cervo", "order:6")


def test_a_regression_is_not_an_unmapped_status(simulation: Simulation) -> None:
    simulation.place("unknown_word", "34")
    run_until_unknown(simulation)
    regression = Observation(DeliveryStatus.CREATED, Raw("order", "1"))
    container = simulation.container
    simulation.decide(
        lambda each: lifecycle.apply_observations(
            each, each.attempts[0].id, [regression], container.terms, container.clock(), Cause.POLL
        )
    )
    assert simulation.delivery().attempts[0].reported_anomalies == ("order:6", "regression:created")
    assert container.database.read(accounts.unmapped_statuses) == {"cervo": ["order:6"]}


def test_a_status_mapping_applies_to_callbacks(simulation: Simulation) -> None:
    map_status(simulation, "borzo", "delivery:left_in_locker", DeliveryStatus.DROPOFF_ARRIVED)
    simulation.place("unknown_word", "21")
    simulation.until(lambda it: any(each["data"]["cause"] == "callback" for each in it.events()))
    simulation.until(lambda it: it.status() == DeliveryStatus.DROPOFF_ARRIVED)
    causes = [each["data"]["cause"] for each in simulation.events() if each["data"]["status"] == "dropoff_arrived"]
    assert (causes, json.dumps(simulation.published()).count("unrecognized")) == (["callback"], 0)
