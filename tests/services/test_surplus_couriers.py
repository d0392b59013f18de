"""A carrier that acts late or twice: one courier remains, and each surplus one is published and cancelled."""

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

WITH_LOOK_UP = [("21", "borzo"), ("17", "deliverit")]
CANCELLABLE = {"ready_at": "2026-11-21T18:30:00+00:00"}
"""A pickup so late that every carrier still accepts a cancel."""


@pytest.fixture
def simulation(simulation: Simulation) -> Simulation:
    """Return a simulation whose couriers take ten minutes for each step, as real ones do."""
    simulation.sandbox.world.config = replace(simulation.sandbox.world.config, step=600)
    return simulation


def conflicts(simulation: Simulation) -> list[str]:
    events = simulation.events()
    return [each["data"]["reason_text"] for each in events if each["type"] == "delivery.conflict"]


def open_orders(simulation: Simulation) -> list[tuple[str, str]]:
    """Return what the sandbox has created and not cancelled."""
    return sorted(set(simulation.ledger()) - set(simulation.ledger("cancel")))


@pytest.mark.quirk("X-03")
@pytest.mark.parametrize(("store_id", "carrier"), WITH_LOOK_UP)
def test_an_order_that_appears_after_its_create_was_given_up_is_cancelled_and_one_courier_remains(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.inject_fault("late", carrier, operation="create", delay=400)
    simulation.place(store_id=store_id, **CANCELLABLE)
    simulation.until(lambda it: bool(it.ledger("cancel")))
    simulation.until(lambda it: not any(each.surplus and each.live for each in it.delivery().attempts))
    first, second = simulation.delivery().attempts
    assert (conflicts(simulation), first.surplus, first.state) == (["orphan_found"], True, "cancelled")
    assert open_orders(simulation) == [(carrier, second.ref)]
    simulation.until(lambda it: it.status() == "delivered", step=300)
    assert len(simulation.ledger()) == 2


class SendsTwice:
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
def test_one_of_two_orders_with_our_reference_is_cancelled(simulation: Simulation, store_id: str) -> None:
    simulation.container.gateway = SendsTwice(simulation)  # type: ignore[assignment]
    simulation.place(store_id=store_id, **CANCELLABLE)
    simulation.until(lambda it: bool(it.ledger("cancel")))
    simulation.until(lambda it: not any(each.surplus and each.live for each in it.delivery().attempts))
    assert (conflicts(simulation), len(simulation.ledger()), len(open_orders(simulation))) == (["duplicate"], 2, 1)
    simulation.until(lambda it: it.status() == "delivered", step=300)
    assert (simulation.delivery().attention, len(simulation.ledger()), len(open_orders(simulation))) == (None, 2, 1)


@pytest.mark.parametrize(("step", "event_type"), [(60, "delivery.conflict"), (600, "delivery.reopened")])
def test_a_cancelled_courier_who_still_comes_is_published(simulation: Simulation, step: float, event_type: str) -> None:
    simulation.sandbox.world.config = replace(simulation.sandbox.world.config, step=step)
    simulation.place(store_id="17", **CANCELLABLE)
    simulation.until(lambda it: it.status() == "created")
    simulation.decide(lambda it: believed_cancelled(simulation, it))
    assert simulation.status() == "cancelled"
    for _ in range(26):
        simulation.pass_time(300)
    assert (simulation.status(), event_type in simulation.published()) == ("delivered", True)


def believed_cancelled(simulation: Simulation, delivery: Delivery) -> Change:
    """Apply a cancel that the carrier shows only for a moment."""
    (attempt,) = delivery.attempts
    seen = Observation(DeliveryStatus.CANCELLED, Raw("row", "cancelled"), cancelled_by=CancelledBy.CUSTOMER)
    return lifecycle.apply_observations(
        delivery, attempt.id, [seen], simulation.container.terms, simulation.now, Cause.POLL
    )


@pytest.mark.quirk("C-47", "B-99")
@pytest.mark.parametrize(("store_id", "carrier"), [("34", "cervo"), *WITH_LOOK_UP])
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_a_cancel_whose_reply_is_lost_is_repeated_only_after_a_read_that_shows_an_open_order(
    simulation: Simulation, store_id: str, carrier: str, kind: str
) -> None:
    simulation.place(store_id=store_id, **CANCELLABLE)
    simulation.until(lambda it: it.status() == "created")
    simulation.inject_fault(kind, carrier, operation="cancel")
    simulation.cancel(store_id=store_id)
    simulation.until(lambda it: it.delivery().final, step=5)
    requests = simulation.delivery().attempts[0].cancel_requests
    assert (simulation.status(), requests) == ("cancelled", 2 if kind == "error_before" else 1)
    assert [each for each, _ in simulation.ledger("cancel")] == [carrier]


@pytest.mark.quirk("C-47")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_dies_before_its_cancel_is_sent_loses_no_cancel(simulation: Simulation, store_id: str) -> None:
    simulation.place(store_id=store_id, **CANCELLABLE)
    simulation.until(lambda it: it.status() == "created")
    simulation.lose_wake_ups = True
    simulation.cancel(store_id=store_id)
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.decide(lambda it: lifecycle.begin_call(it, Step.CANCEL, simulation.container.terms, simulation.now))
    simulation.until(lambda it: it.delivery().final, step=5)
    assert (simulation.status(), simulation.ledger("cancel") != []) == ("cancelled", True)
    assert simulation.delivery().attempts[0].cancel_requests == 2


def test_a_final_delivery_is_read_twice_more_and_then_left_alone(simulation: Simulation) -> None:
    simulation.place()
    simulation.until(lambda it: it.status() == "delivered", step=300)
    published = simulation.published()
    for _ in range(13):
        simulation.pass_time(600)
    (attempt,) = simulation.delivery().attempts
    assert (attempt.follow_up_reads, simulation.delivery().next_run_at, simulation.published()) == (2, None, published)
