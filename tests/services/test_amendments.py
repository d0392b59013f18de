"""Amendments: changes of an order that a carrier already has, from the bus to the carrier or to an operator."""

from datetime import timedelta
from typing import Any

import pytest

from tests.services.simulation import Simulation
from worker.database import accounts
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Step

NOTES = "sandbox:happy third floor"


@pytest.fixture
def dispatched(simulation: Simulation) -> Simulation:
    """Return a simulation in which Borzo has an order."""
    simulation.place("happy", store_id="21")
    simulation.until(lambda it: it.status() == "created")
    return simulation


def change_notes(simulation: Simulation, notes: str = NOTES) -> None:
    """Put the order on the bus again, with other notes and the next revision."""
    revision = simulation.delivery().order.revision + 1
    simulation.put_message("order.updated", {**simulation.placed()["data"], "revision": revision, "notes": notes})


def note(simulation: Simulation) -> str:
    """Return the note that the carrier has for its courier at the customer's door."""
    order: Any
    (order,) = simulation.sandbox.apis["borzo"].orders.values()
    return str(order.points[-1]["note"])


def edits(simulation: Simulation) -> int:
    return len(simulation.ledger("edit"))


@pytest.mark.quirk("B-95")
def test_a_changed_order_is_amended_at_the_carrier_without_an_operator(dispatched: Simulation) -> None:
    change_notes(dispatched)
    dispatched.work()
    assert "third floor" in note(dispatched)
    assert (edits(dispatched), dispatched.published()[-1], dispatched.delivery().attention) == (
        1,
        "delivery.updated",
        None,
    )
    dispatched.until(lambda it: it.status() == "delivered", step=30)
    assert edits(dispatched) == 1


def test_an_amendment_whose_wake_up_task_was_lost_is_sent_by_the_sweep(dispatched: Simulation) -> None:
    dispatched.lose_wake_ups = True
    change_notes(dispatched)
    dispatched.work()
    dispatched.lose_wake_ups = False
    dispatched.until(lambda it: edits(it) == 1, step=1, limit=60)
    assert "third floor" in note(dispatched)


def test_a_change_of_fields_that_no_carrier_receives_needs_no_call(dispatched: Simulation) -> None:
    data = dispatched.placed()["data"]
    dispatched.put_message("order.updated", {**data, "revision": 2, "carriers": ["borzo", "cervo"]})
    dispatched.work()
    (attempt,) = dispatched.delivery().attempts
    assert (edits(dispatched), attempt.sent_fingerprint) == (0, dispatched.delivery().fingerprint)


@pytest.mark.fault("F-67")
@pytest.mark.parametrize("kind", ["drop_before", "error_after", "garbage", "rate_limited"])
def test_an_amendment_whose_reply_was_lost_still_reaches_the_carrier(dispatched: Simulation, kind: str) -> None:
    dispatched.inject_fault(kind, "borzo", operation="edit")
    change_notes(dispatched)
    dispatched.work()
    dispatched.until(lambda it: it.delivery().attempts[0].sent_fingerprint == it.delivery().fingerprint, step=5)
    assert ("third floor" in note(dispatched), dispatched.delivery().attention) == (True, None)
    assert dispatched.ledger()[0][0] == "borzo"
    assert len(dispatched.ledger()) == 1


@pytest.mark.fault("F-67")
def test_an_amendment_whose_process_died_is_sent_after_its_lease(dispatched: Simulation) -> None:
    change_notes(dispatched)

    def begin_amendment(it: Delivery) -> Change | None:
        return lifecycle.begin_call(it, Step.AMEND, dispatched.container.terms, dispatched.now)

    dispatched.decide(begin_amendment)
    dispatched.work()
    assert edits(dispatched) == 0
    dispatched.until(lambda it: edits(it) == 1, step=5)


@pytest.mark.fault("F-67")
@pytest.mark.quirk("B-98")
def test_a_refused_amendment_is_left_to_an_operator_and_the_courier_still_comes(
    dispatched: Simulation,
) -> None:
    dispatched.inject_fault("refused", "borzo", operation="edit", body="order_cannot_be_edited")
    change_notes(dispatched)
    dispatched.work()
    assert dispatched.events()[-1]["data"]["reason_text"] == "order_changed_after_dispatch"
    dispatched.until(lambda it: it.status() == "delivered", step=30)
    assert edits(dispatched) == 0


def test_a_change_at_a_carrier_without_amendments_is_left_to_an_operator(simulation: Simulation) -> None:
    simulation.place("happy", store_id="34")
    simulation.until(lambda it: it.status() == "created")
    change_notes(simulation)
    simulation.work()
    assert simulation.delivery().attention == "order_changed_after_dispatch"


def test_an_account_that_rejects_our_token_before_an_amendment_is_paused(dispatched: Simulation) -> None:
    dispatched.inject_fault("unauthorized", "borzo", operation="orders", times=None)
    change_notes(dispatched)
    dispatched.work()
    assert dispatched.container.database.read(accounts.paused)["borzo"].by == "carrier"
    dispatched.sandbox.faults.clear()
    dispatched.container.database.write(accounts.resume, "borzo", "operator", dispatched.now)
    dispatched.until(lambda it: edits(it) == 1)


class SlowReads:
    """A gateway whose single reads take longer, by the simulation's clock, than a batch has time."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self._real = simulation, simulation.container.gateway
        self.reads = 0

    def send_one(self, *what: Any, **how: Any) -> Any:
        self.reads += 1
        self._simulation.now += timedelta(seconds=61)
        return self._real.send_one(*what, **how)

    def send(self, *what: Any, **how: Any) -> Any:
        return self._real.send(*what, **how)

    def close(self) -> None:
        self._real.close()


def test_no_amendment_is_prepared_once_its_batch_has_run_out_of_time(dispatched: Simulation) -> None:
    dispatched.place("happy", store_id="21", order_id="2012")
    dispatched.until(lambda it: it.status("2012") == "created")
    ids = [dispatched.delivery(each).id for each in ("2011", "2012")]
    for order in ("2011", "2012"):
        data = {**dispatched.placed()["data"], "order_id": order, "revision": 2, "notes": NOTES}
        dispatched.put_message("order.updated", data)
    real = dispatched.container.gateway
    dispatched.container.gateway = slow = SlowReads(dispatched)  # type: ignore[assignment]
    dispatched.app.tasks["deliveries.amend"]("borzo", ids)
    dispatched.container.gateway = real
    assert slow.reads == 1
    dispatched.until(lambda it: edits(it) == 2)
