"""A carrier refuses a cancel: the order is read at once, and an operator is asked if it has not ended."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.services.simulation import Simulation

pytestmark = pytest.mark.fault("F-55")
AHEAD: dict[str, Any] = {"ready_at": "2026-11-21T18:30:00+00:00"}
"""A pickup so late that every carrier would still accept a cancel."""
REFUSALS: dict[tuple[str, str], dict[str, Any]] = {
    ("34", "cervo"): {"status": 400, "body": {"error": "A driver has accepted the order"}},
    ("21", "borzo"): {
        "status": 400,
        "body": {"is_successful": False, "errors": ["order_cannot_be_canceled"], "parameter_errors": None},
    },
    ("17", "deliverit"): {
        "status": 400,
        "body": {"error": True, "message": "You cannot cancel this order. The driver is on the way."},
    },
}
ENDED = {"cervo": "0", "borzo": "canceled/canceled", "deliverit": "cancelled"}
"""The status of a cancelled order in the sandbox of each carrier."""
each_carrier = pytest.mark.parametrize(("shop", "carrier"), REFUSALS)


def place_and_refuse(simulation: Simulation, shop: str, carrier: str) -> None:
    """Place an order at a carrier that will refuse its cancel."""
    simulation.sandbox.world.config = replace(simulation.sandbox.world.config, step=600)
    simulation.place(store_id=shop, **AHEAD)
    simulation.until(lambda it: it.status() == "created")
    simulation.pass_time(120)
    simulation.inject_fault("refused", carrier, operation="cancel", **REFUSALS[shop, carrier])


@each_carrier
def test_a_refused_cancel_is_followed_by_a_read_and_a_question_to_an_operator(
    simulation: Simulation, shop: str, carrier: str
) -> None:
    place_and_refuse(simulation, shop, carrier)
    simulation.cancel(shop)
    simulation.work()
    assert simulation.published()[-2:] == ["delivery.cancel_refused", "delivery.attention_required"]
    assert (simulation.delivery().attention, simulation.ledger("cancel")) == ("cancel_refused", [])


@each_carrier
def test_no_operator_is_asked_when_the_read_shows_that_the_order_has_ended(
    simulation: Simulation, shop: str, carrier: str
) -> None:
    place_and_refuse(simulation, shop, carrier)
    ref = simulation.delivery().attempts[0].ref
    simulation.ask("POST", f"/sandbox/orders/{carrier}/{ref}/step", {"state": ENDED[carrier]})
    simulation.cancel(shop)
    simulation.work()
    assert (simulation.status(), simulation.delivery().attention) == ("cancelled", None)
    assert "delivery.attention_required" not in simulation.published()


@each_carrier
def test_an_operator_is_asked_after_a_minute_when_the_order_cannot_be_read(
    simulation: Simulation, shop: str, carrier: str
) -> None:
    place_and_refuse(simulation, shop, carrier)
    for operation in ("get", "orders", "list"):
        simulation.inject_fault("error_before", carrier, operation=operation, times=None, status=500)
    simulation.cancel(shop)
    asked_at = simulation.now
    simulation.until(lambda it: it.delivery().attention is not None, step=5)
    assert simulation.delivery().attention == "cancel_refused"
    assert simulation.now - asked_at <= timedelta(minutes=2)
