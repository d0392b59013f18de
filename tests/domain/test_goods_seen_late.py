"""A courier whose pickup no read has shown, and who is gone with the goods when he is seen again."""

from collections.abc import Callable

import pytest

from schemas.status import CancelledBy
from tests.domain.scenario import DeliveryScenario, observed

Make = Callable[..., DeliveryScenario]


@pytest.mark.parametrize("reached", ["created", "courier_assigned", "pickup_arrived"])
def test_an_end_that_first_shows_the_goods_never_falls_back(created: Make, reached: str) -> None:
    scenario = created("deliverit", "borzo")
    if reached != "created":
        scenario.poll(reached)
    scenario.new_events()
    scenario.observe(observed("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN))
    assert scenario.delivery.attention == "goods_with_courier"
    assert (scenario.delivery.status, scenario.delivery.detail, scenario.delivery.carrier) == (
        "cancelled",
        "with_items",
        "deliverit",
    )


def test_a_requested_cancel_that_came_too_late_for_the_goods_asks_for_an_operator(created: Make) -> None:
    scenario = created("deliverit", "borzo")
    scenario.request_cancel()
    scenario.cancel()
    scenario.observe(observed("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN))
    assert (scenario.delivery.status, scenario.delivery.detail) == ("cancelled", "with_items")
    assert scenario.delivery.attention == "goods_with_courier"
