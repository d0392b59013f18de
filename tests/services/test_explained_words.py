"""Words that no codec knows: an operator says what they mean, and every process goes by it."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from schemas.status import Cause, DeliveryStatus
from tests.services.simulation import Simulation
from worker.carriers.port import Observation, Raw
from worker.database import accounts
from worker.domain import lifecycle

UNKNOWN = {"cervo": ("34", "order:6"), "borzo": ("21", "delivery:left_in_locker")}


def until_unknown(simulation: Simulation, order_id: str = "2011") -> None:
    simulation.until(lambda it: "delivery.status_unrecognized" in it.published(order_id))


def explain(simulation: Simulation, carrier: str, word: str, status: DeliveryStatus) -> int:
    return len(simulation.container.decisions.map_status(carrier, word, status))


@pytest.mark.quirk("C-32", "B-70")
@pytest.mark.parametrize("carrier", UNKNOWN)
def test_an_unknown_word_that_is_explained_ends_the_delivery_at_once(carrier: str, simulation: Simulation) -> None:
    store_id, word = UNKNOWN[carrier]
    simulation.place("unknown_word", store_id)
    until_unknown(simulation)
    assert simulation.container.database.read(accounts.unmapped_statuses) == {carrier: [word]}
    assert explain(simulation, carrier, word, DeliveryStatus.DELIVERED) == 1
    delivery = simulation.delivery()
    assert (delivery.status, delivery.evidence, delivery.attempts[0].unmapped_status) == ("delivered", "weak", None)
    assert explain(simulation, carrier, word, DeliveryStatus.DELIVERED) == 0


@pytest.mark.quirk("C-32", "B-70")
@pytest.mark.parametrize("carrier", UNKNOWN)
def test_whoever_is_followed_later_is_told_by_the_explained_word(carrier: str, simulation: Simulation) -> None:
    store_id, word = UNKNOWN[carrier]
    assert simulation.container.accounts.status_mappings(carrier) == {}
    explain(simulation, carrier, word, DeliveryStatus.DELIVERED)
    simulation.place("unknown_word", store_id)
    simulation.until(lambda it: it.delivery().final, step=30)
    assert [each for each in simulation.published() if each.startswith("delivery.status_un")] == []
    *_, last = simulation.events()
    assert (last["data"]["status"], last["data"]["evidence"], last["data"]["raw"]["code"]) == (
        "delivered",
        "weak",
        word.partition(":")[2],
    )


def test_every_process_knows_an_explained_word_and_one_that_is_taken_back_within_five_seconds(
    simulation: Simulation,
) -> None:
    house, store = simulation.container.accounts, simulation.container.database
    known = []
    changes: list[Callable[[], object]] = [
        lambda: explain(simulation, "cervo", "order:6", DeliveryStatus.FAILED),
        lambda: explain(simulation, "cervo", "order:6", DeliveryStatus.DELIVERED),
        lambda: store.write(accounts.drop_mapping, "cervo", "order:6"),
    ]
    for change in changes:
        before = house.status_mappings("cervo")
        change()
        soon = house.status_mappings("cervo")
        simulation.now += timedelta(seconds=5)
        known.append((soon == before, house.status_mappings("cervo"), house.status_mappings("borzo")))
    assert known == [
        (True, {"order:6": "failed"}, {}),
        (True, {"order:6": "delivered"}, {}),
        (True, {}, {}),
    ]
    assert not store.write(accounts.drop_mapping, "cervo", "order:6")


def test_a_step_back_is_no_unknown_word(simulation: Simulation) -> None:
    simulation.place("unknown_word", "34")
    until_unknown(simulation)
    back = Observation(DeliveryStatus.CREATED, Raw("order", "1"))
    house = simulation.container
    simulation.decide(
        lambda each: lifecycle.apply_observations(
            each, each.attempts[0].id, [back], house.terms, house.clock(), Cause.CALLBACK
        )
    )
    assert simulation.delivery().attempts[0].reported_anomalies == ("order:6", "regression:created")
    assert house.database.read(accounts.unmapped_statuses) == {"cervo": ["order:6"]}


def test_an_explained_word_of_a_callback_counts_too(simulation: Simulation) -> None:
    explain(simulation, "borzo", "delivery:left_in_locker", DeliveryStatus.DROPOFF_ARRIVED)
    simulation.place("unknown_word", "21")
    simulation.until(lambda it: any(each["data"]["cause"] == "callback" for each in it.events()))
    simulation.until(lambda it: it.status() == DeliveryStatus.DROPOFF_ARRIVED)
    told = [each["data"]["cause"] for each in simulation.events() if each["data"]["status"] == "dropoff_arrived"]
    assert (told, json.dumps(simulation.published()).count("unrecognized")) == (["callback"], 0)
