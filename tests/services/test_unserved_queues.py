"""A queue of one carrier that no worker serves delays nothing at another carrier, and an operator hears of it."""

from typing import Any

import pytest

from schemas.status import Cause
from tests.services.gateways import ScriptedGateway
from tests.services.simulation import Simulation
from worker.domain import lifecycle
from worker.domain.delivery import Step
from worker.errors import Unavailable

pytestmark = pytest.mark.fault("F-98")
BOTH: dict[str, Any] = {"carriers": ["cervo", "borzo"], "ready_at": "2026-11-21T18:30:00+00:00"}


def test_a_follow_up_read_at_one_carrier_delays_no_cancel_at_another(simulation: Simulation) -> None:
    simulation.place("cervo=cancelled sandbox:borzo=withdrawn_for_good", **BOTH)
    simulation.until(lambda it: [carrier for carrier, _ in it.ledger()] == ["cervo", "borzo"])
    simulation.unserved = frozenset({"carrier.cervo.reads"})
    for _ in range(12):
        simulation.pass_time(60)
    simulation.cancel()
    asked_at = simulation.now
    simulation.until(lambda it: "delivery.cancel_refused" in it.published())
    assert simulation.delivery().attempts[1].cancel_requests == 1
    assert (simulation.now - asked_at).total_seconds() <= 60


def test_a_follow_up_read_at_one_carrier_delays_no_create_at_another(simulation: Simulation) -> None:
    gateway, down = ScriptedGateway(simulation), True
    gateway.outcome = lambda account, _call: Unavailable("down") if account == "borzo" and down else None
    simulation.place("cervo=cancelled", **BOTH)
    simulation.until(lambda it: it.status() == "queued" and len(it.delivery().attempts) == 2)
    simulation.unserved = frozenset({"carrier.cervo.reads"})
    for _ in range(12):
        simulation.pass_time(60)
    down = False
    simulation.until(lambda it: it.status() == "created")
    assert [carrier for carrier, _ in simulation.ledger()] == ["cervo", "borzo"]


@pytest.mark.parametrize("final", [False, True])
def test_a_surplus_courier_whose_cancel_nobody_sends_asks_for_an_operator(
    simulation: Simulation, *, final: bool
) -> None:
    simulation.place("cervo=happy", **BOTH)
    if final:
        simulation.until(lambda it: it.delivery().final)
    else:
        simulation.until(lambda it: it.status() == "created")
    simulation.unserved = frozenset({"carrier.cervo"})
    simulation.decide(
        lambda it: lifecycle.record_duplicates(
            it, it.attempts[0].id, ["777"], simulation.container.terms, simulation.now, Cause.POLL
        )
    )
    assert (simulation.delivery().step, simulation.delivery().step_carrier) == (Step.CANCEL, "cervo")
    for _ in range(6):
        simulation.pass_time(60)
    assert simulation.delivery().attention == "surplus_courier"
