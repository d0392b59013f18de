"""A courier whose pickup no read has shown, and who is gone with the goods when he is seen again."""

from collections.abc import Callable

import pytest

from schemas.status import CancelledBy
from tests.domain.scenario import DeliveryScenario, news

Make = Callable[..., DeliveryScenario]


@pytest.mark.parametrize("reached", ["created", "courier_assigned", "pickup_arrived"])
def test_an_end_that_shows_the_goods_for_the_first_time_sends_nobody_else(created: Make, reached: str) -> None:
    life = created("deliverit", "borzo")
    if reached != "created":
        life.poll(reached)
    life.lines()
    life.see(news("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN))
    assert life.delivery.attention == "goods_with_courier"
    assert (life.delivery.status, life.delivery.detail, life.delivery.carrier) == (
        "cancelled",
        "with_items",
        "deliverit",
    )


def test_a_cancel_that_was_wished_and_came_too_late_for_the_goods_asks_for_a_person(created: Make) -> None:
    life = created("deliverit", "borzo")
    life.ask_cancel()
    life.cancel()
    life.see(news("cancelled", detail="with_items", cancelled_by=CancelledBy.UNKNOWN))
    assert (life.delivery.status, life.delivery.detail) == ("cancelled", "with_items")
    assert life.delivery.attention == "goods_with_courier"
