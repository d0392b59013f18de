"""Changes of an order that a carrier has: from the bus to the carrier, or to a person, through the whole house."""

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
    """Give a simulation on which Borzo has an order."""
    simulation.place("happy", store_id="21")
    simulation.until(lambda it: it.status() == "created")
    return simulation


def send_again(simulation: Simulation, notes: str = NOTES) -> None:
    """Let the platform send the order again, with other notes and a higher revision."""
    revision = simulation.delivery().order.revision + 1
    simulation.put_message("order.updated", {**simulation.placed()["data"], "revision": revision, "notes": notes})


def note(simulation: Simulation) -> str:
    """Read what stands at the carrier for its courier to read at the customer's door."""
    order: Any
    (order,) = simulation.sandbox.apis["borzo"].orders.values()
    return str(order.points[-1]["note"])


def break_edits(simulation: Simulation, kind: str, times: int | None = 1, **how: str) -> None:
    simulation.ask(
        "POST", "/sandbox/faults", {"kind": kind, "api": "borzo", "operation": "edit", "times": times, **how}
    )


def edits(simulation: Simulation) -> int:
    return len(simulation.ledger("edit"))


@pytest.mark.quirk("B-95")
def test_a_change_of_the_order_is_carried_to_the_carrier_and_nobody_is_asked(dispatched: Simulation) -> None:
    send_again(dispatched)
    dispatched.work()
    assert "third floor" in note(dispatched)
    assert (edits(dispatched), dispatched.published()[-1], dispatched.delivery().attention) == (
        1,
        "delivery.updated",
        None,
    )
    dispatched.until(lambda it: it.status() == "delivered", step=30)
    assert edits(dispatched) == 1


def test_a_change_whose_hint_was_lost_is_carried_by_the_sweep(dispatched: Simulation) -> None:
    dispatched.lose_wake_ups = True
    send_again(dispatched)
    dispatched.work()
    dispatched.lose_wake_ups = False
    dispatched.until(lambda it: edits(it) == 1, step=1, limit=60)
    assert "third floor" in note(dispatched)


def test_what_no_carrier_is_told_needs_no_call(dispatched: Simulation) -> None:
    data = dispatched.placed()["data"]
    dispatched.put_message("order.updated", {**data, "revision": 2, "carriers": ["borzo", "cervo"]})
    dispatched.work()
    (attempt,) = dispatched.delivery().attempts
    assert (edits(dispatched), attempt.sent_fingerprint) == (0, dispatched.delivery().fingerprint)


@pytest.mark.fault("F-67")
@pytest.mark.parametrize("kind", ["drop_before", "error_after", "garbage", "rate_limited"])
def test_a_change_whose_answer_did_not_come_is_carried_all_the_same(dispatched: Simulation, kind: str) -> None:
    break_edits(dispatched, kind)
    send_again(dispatched)
    dispatched.work()
    dispatched.until(lambda it: it.delivery().attempts[0].sent_fingerprint == it.delivery().fingerprint, step=5)
    assert ("third floor" in note(dispatched), dispatched.delivery().attention) == (True, None)
    assert dispatched.ledger()[0][0] == "borzo"
    assert len(dispatched.ledger()) == 1


@pytest.mark.fault("F-67")
def test_a_change_whose_process_died_is_carried_after_its_lease(dispatched: Simulation) -> None:
    send_again(dispatched)

    def die(it: Delivery) -> Change | None:
        return lifecycle.begin_call(it, Step.AMEND, dispatched.container.terms, dispatched.now)

    dispatched.decide(die)
    dispatched.work()
    assert edits(dispatched) == 0
    dispatched.until(lambda it: edits(it) == 1, step=5)


@pytest.mark.fault("F-67")
@pytest.mark.quirk("B-98")
def test_a_change_that_the_carrier_refuses_is_left_to_a_person_and_the_courier_comes_all_the_same(
    dispatched: Simulation,
) -> None:
    break_edits(dispatched, "refused", body="order_cannot_be_edited")
    send_again(dispatched)
    dispatched.work()
    assert dispatched.events()[-1]["data"]["reason_text"] == "order_changed_after_dispatch"
    dispatched.until(lambda it: it.status() == "delivered", step=30)
    assert edits(dispatched) == 0


def test_a_carrier_that_takes_no_changes_leaves_them_to_a_person(simulation: Simulation) -> None:
    simulation.place("happy", store_id="34")
    simulation.until(lambda it: it.status() == "created")
    send_again(simulation)
    simulation.work()
    assert simulation.delivery().attention == "order_changed_after_dispatch"


def test_an_account_that_shuts_us_out_of_the_read_before_a_change_is_paused(dispatched: Simulation) -> None:
    fault = {"kind": "unauthorized", "api": "borzo", "operation": "orders", "times": None}
    dispatched.ask("POST", "/sandbox/faults", fault)
    send_again(dispatched)
    dispatched.work()
    assert dispatched.container.database.read(accounts.paused)["borzo"].by == "carrier"
    dispatched.sandbox.faults.clear()
    dispatched.container.database.write(accounts.resume, "borzo", "operator", dispatched.now)
    dispatched.until(lambda it: edits(it) == 1)


class Slow:
    """A gateway whose single questions take longer, by the simulation's clock, than there is time for."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self._real = simulation, simulation.container.gateway
        self.asked = 0

    def send_one(self, *what: Any, **how: Any) -> Any:
        self.asked += 1
        self._simulation.now += timedelta(seconds=61)
        return self._real.send_one(*what, **how)

    def send(self, *what: Any, **how: Any) -> Any:
        return self._real.send(*what, **how)

    def close(self) -> None:
        self._real.close()


def test_a_slow_carrier_is_not_asked_about_a_change_whose_call_would_come_too_late(dispatched: Simulation) -> None:
    dispatched.place("happy", store_id="21", order_id="2012")
    dispatched.until(lambda it: it.status("2012") == "created")
    ids = [dispatched.delivery(each).id for each in ("2011", "2012")]
    for order in ("2011", "2012"):
        data = {**dispatched.placed()["data"], "order_id": order, "revision": 2, "notes": NOTES}
        dispatched.put_message("order.updated", data)
    real = dispatched.container.gateway
    dispatched.container.gateway = slow = Slow(dispatched)  # type: ignore[assignment]
    dispatched.app.tasks["deliveries.amend"]("borzo", ids)
    dispatched.container.gateway = real
    assert slow.asked == 1
    dispatched.until(lambda it: edits(it) == 2)
