"""Whatever a carrier does late or twice, in the end one courier comes, and nobody is told less than the truth."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.status import CancelledBy, Cause, DeliveryStatus
from tests.services.simulation import Simulation
from worker.carriers.port import Observation, Raw
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Step
from worker.http.call import Call, Operation

FINDABLE = [("21", "borzo"), ("17", "deliverit")]
EARLY = {"ready_at": "2026-11-21T18:30:00+00:00"}
"""A pickup so late that every carrier still lets an order be cancelled."""


@pytest.fixture
def simulation(simulation: Simulation) -> Simulation:
    """A simulation whose couriers take ten minutes for each step, as real ones do."""
    simulation.sandbox.world.config = replace(simulation.sandbox.world.config, step=600)
    return simulation


def spoil(simulation: Simulation, kind: str, api: str, operation: str = "create", **more: object) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": kind, "api": api, "operation": operation, **more})


def conflicts(simulation: Simulation) -> list[str]:
    events = simulation.events()
    return [each["data"]["reason_text"] for each in events if each["type"] == "delivery.conflict"]


def living(simulation: Simulation) -> list[tuple[str, str]]:
    """Name what the sandbox has created and not cancelled since."""
    return sorted(set(simulation.ledger()) - set(simulation.ledger("cancel")))


@pytest.mark.quirk("X-03")
@pytest.mark.parametrize(("store_id", "carrier"), FINDABLE)
def test_a_create_that_comes_true_after_it_was_written_off_is_cancelled_and_one_courier_is_left(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    spoil(simulation, "late", carrier, delay=400)
    simulation.place(store_id=store_id, **EARLY)
    simulation.until(lambda it: bool(it.ledger("cancel")))
    simulation.until(lambda it: not any(each.surplus and each.live for each in it.delivery().attempts))
    first, second = simulation.delivery().attempts
    assert (conflicts(simulation), first.surplus, first.state) == (["orphan_found"], True, "cancelled")
    assert living(simulation) == [(carrier, second.ref)]
    simulation.until(lambda it: it.status() == "delivered", step=300)
    assert len(simulation.ledger()) == 2


class Twice:
    """A gateway whose first create reaches the carrier twice."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self._real = simulation, simulation.container.gateway

    def send(self, carrier: str, calls: Mapping[Any, Call], **how: Any) -> Iterator[Any]:
        groups = list(self._real.send(carrier, calls, **how))
        if any(call.operation is Operation.CREATE for call in calls.values()):
            list(self._real.send(carrier, calls, **how))
            self._simulation.container.gateway = self._real
        yield from groups

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize("store_id", ["21", "17"])
def test_of_two_orders_with_our_tag_one_is_cancelled(simulation: Simulation, store_id: str) -> None:
    simulation.container.gateway = Twice(simulation)  # type: ignore[assignment]
    simulation.place(store_id=store_id, **EARLY)
    simulation.until(lambda it: bool(it.ledger("cancel")))
    simulation.until(lambda it: not any(each.surplus and each.live for each in it.delivery().attempts))
    assert (conflicts(simulation), len(simulation.ledger()), len(living(simulation))) == (["duplicate"], 2, 1)
    simulation.until(lambda it: it.status() == "delivered", step=300)
    assert (simulation.delivery().attention, len(simulation.ledger()), len(living(simulation))) == (None, 2, 1)


@pytest.mark.parametrize(("step", "told"), [(60, "delivery.conflict"), (600, "delivery.reopened")])
def test_a_courier_who_was_cancelled_and_comes_all_the_same_is_noticed(
    simulation: Simulation, step: float, told: str
) -> None:
    simulation.sandbox.world.config = replace(simulation.sandbox.world.config, step=step)
    simulation.place(store_id="17", **EARLY)
    simulation.until(lambda it: it.status() == "created")
    simulation.decide(lambda it: believed_cancelled(simulation, it))
    assert simulation.status() == "cancelled"
    for _ in range(26):
        simulation.pass_time(300)
    assert (simulation.status(), told in simulation.published()) == ("delivered", True)


def believed_cancelled(simulation: Simulation, delivery: Delivery) -> Change:
    """Take a cancel that the carrier shows for a moment, and takes back."""
    (attempt,) = delivery.attempts
    seen = Observation(DeliveryStatus.CANCELLED, Raw("row", "cancelled"), cancelled_by=CancelledBy.CUSTOMER)
    return lifecycle.apply_observations(
        delivery, attempt.id, [seen], simulation.container.terms, simulation.now, Cause.POLL
    )


@pytest.mark.quirk("C-47", "B-99")
@pytest.mark.parametrize(("store_id", "carrier"), [("34", "cervo"), *FINDABLE])
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_a_cancel_whose_answer_is_lost_is_repeated_only_after_a_read_that_shows_the_order_standing(
    simulation: Simulation, store_id: str, carrier: str, kind: str
) -> None:
    simulation.place(store_id=store_id, **EARLY)
    simulation.until(lambda it: it.status() == "created")
    spoil(simulation, kind, carrier, "cancel")
    simulation.cancel(store_id=store_id)
    simulation.until(lambda it: it.delivery().final, step=5)
    asks = simulation.delivery().attempts[0].cancel_requests
    assert (simulation.status(), asks) == ("cancelled", 2 if kind == "error_before" else 1)
    assert [made for made, _ in simulation.ledger("cancel")] == [carrier]


@pytest.mark.quirk("C-47")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_dies_before_its_cancel_is_sent_loses_no_cancel(simulation: Simulation, store_id: str) -> None:
    simulation.place(store_id=store_id, **EARLY)
    simulation.until(lambda it: it.status() == "created")
    simulation.lose_wake_ups = True
    simulation.cancel(store_id=store_id)
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.decide(lambda it: lifecycle.begin_call(it, Step.CANCEL, simulation.container.terms, simulation.now))
    simulation.until(lambda it: it.delivery().final, step=5)
    assert (simulation.status(), simulation.ledger("cancel") != []) == ("cancelled", True)
    assert simulation.delivery().attempts[0].cancel_requests == 2


def test_what_is_over_is_read_again_and_then_left_alone(simulation: Simulation) -> None:
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered", step=300)
    told = simulation.published()
    for _ in range(13):
        simulation.pass_time(600)
    (attempt,) = simulation.delivery().attempts
    assert (attempt.follow_up_reads, simulation.delivery().next_run_at, simulation.published()) == (2, None, told)


def test_an_order_whose_carrier_cannot_be_reached_asks_for_a_person_before_its_pickup_and_is_given_up_after_it(
    simulation: Simulation,
) -> None:
    spoil(simulation, "unauthorized", "cervo", times=None)
    simulation.place()
    simulation.until(lambda it: it.delivery().attention is not None, step=60)
    simulation.until(lambda it: it.delivery().final, step=600)
    asked = [event["time"] for event in simulation.events() if event["type"] == "delivery.attention_required"]
    assert [moment[11:16] for moment in asked] == ["17:10"]
    assert simulation.published()[-2:] == ["rejected", "delivery.dispatch_failed"]
    assert (simulation.events()[-1]["data"]["reason"], simulation.ledger()) == ("deadline_passed", [])
