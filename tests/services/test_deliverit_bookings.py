"""Drivers who are booked at DeliverIt, end to end: its day list and its two cut-offs."""

from typing import Any

import pytest

from tests.services.simulation import Simulation


def cancel_order(simulation: Simulation, **more: Any) -> None:
    data = {"order_id": "2011", "reason": "changed my mind", "cancelled_by": "customer", **more}
    simulation.put_message("order.cancelled", data)
    simulation.work()


@pytest.mark.quirk("D-63")
def test_a_trip_that_is_only_done_is_delivered_on_weak_evidence(simulation: Simulation) -> None:
    simulation.place("weak_done", store_id="17")
    simulation.until(lambda it: it.delivery().final, step=30)
    data = simulation.events()[-1]["data"]
    assert (data["status"], data["evidence"], data["raw"]["code"]) == ("delivered", "weak", "done")


@pytest.mark.quirk("D-40")
@pytest.mark.parametrize(
    ("ready_at", "allow_paid", "ends"),
    [
        ("2026-11-21T17:25:00+00:00", False, "cancelled"),
        ("2026-11-21T17:18:00+00:00", False, "delivered"),
        ("2026-11-21T17:18:00+00:00", True, "cancelled"),
        ("2026-11-21T17:15:30+00:00", True, "delivered"),
    ],
    ids=["free", "charged-and-not-allowed", "charged-and-allowed", "impossible"],
)
def test_a_driver_is_cancelled_as_far_as_the_cut_offs_and_the_request_allow(
    simulation: Simulation, ready_at: str, ends: str, *, allow_paid: bool
) -> None:
    simulation.place(store_id="17", ready_at=ready_at)
    simulation.work()
    cancel_order(simulation, allow_paid=allow_paid)
    simulation.until(lambda it: it.delivery().final, step=30)
    refused = [event["data"]["reason"] for event in simulation.events() if event["type"] == "delivery.cancel_refused"]
    assert (simulation.status(), refused) == (ends, [] if ends == "cancelled" else ["deadline_passed"])
    assert len(simulation.ledger("cancel")) == (ends == "cancelled")


@pytest.mark.quirk("D-61")
def test_nothing_about_other_customers_of_the_day_is_stored_or_published(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    stored = repr(simulation.delivery()) + repr(simulation.events())
    assert [each for each in ("Customer 1", "45123456789", "Hovedgaden", "neighbour") if each in stored] == []
