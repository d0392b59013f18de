"""The quote before a create, at the sandbox's Borzo."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.simulation import Simulation
from worker.domain import lifecycle

UNSERVED: dict[str, Any] = {
    "street": "Av. Paulista, 1439 sandbox:refused=invalid_region",
    "postal_code": "01310-100",
    "city": "São Paulo",
}


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    """Return a simulation in which Borzo is asked for a quote first."""
    simulated = Simulation(tmp_path, CARRIERS__BORZO__QUOTE_FIRST="true")
    yield simulated
    simulated.close()


@pytest.mark.quirk("B-21")
def test_an_order_whose_quote_borzo_refuses_is_never_created_there(simulation: Simulation) -> None:
    simulation.place(store_id="21", dropoff=UNSERVED)
    simulation.until(lambda it: it.delivery().final)
    ended = next(event["data"] for event in simulation.events() if event["type"] == "delivery.attempt_ended")
    assert (ended["reason"], simulation.published()[-2:]) == ("unserviceable", ["rejected", "delivery.dispatch_failed"])
    assert simulation.ledger() == []


@pytest.mark.quirk("B-20")
def test_a_quote_creates_no_order(simulation: Simulation) -> None:
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1


@pytest.mark.fault("F-69")
@pytest.mark.quirk("B-22")
@pytest.mark.parametrize("kind", ["drop_before", "html", "garbage", "rate_limited", "error_before"])
def test_a_quote_that_fails_does_not_delay_the_create(simulation: Simulation, kind: str) -> None:
    simulation.ask("POST", "/sandbox/faults", {"kind": kind, "api": "borzo", "operation": "calculate", "times": None})
    simulation.place(store_id="21")
    simulation.until(lambda it: bool(it.ledger()), limit=2)
    assert simulation.status() == "created"


def test_a_refused_quote_is_asked_for_again_when_an_operator_retries(simulation: Simulation) -> None:
    fault = {"kind": "refused", "api": "borzo", "operation": "calculate", "body": "insufficient_balance"}
    simulation.ask("POST", "/sandbox/faults", fault)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.delivery().final)
    simulation.decide(lambda it: lifecycle.retry(it, simulation.container.terms, simulation.now))
    simulation.until(lambda it: bool(it.ledger()), limit=3)
    assert simulation.status() == "created"
