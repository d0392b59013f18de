"""A change that waited for a wish to cancel, and a courier who comes all the same."""

from collections.abc import Callable

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, news
from worker.errors import Refused

Make = Callable[..., DeliveryScenario]


def waiting(created: Make) -> DeliveryScenario:
    """Live until a change waits for a cancel."""
    life = created("borzo")
    life.change(notes="ring twice")
    life.ask_cancel()
    life.lines()
    return life


def test_a_change_that_waited_for_a_cancel_that_is_refused_asks_for_a_person(created: Make) -> None:
    life = waiting(created)
    life.cancel(Refused(Reason.UNKNOWN))
    assert life.lines() == [
        "4 cancel_refused queued>created unknown at borzo#1 [response]",
        "5 attention_required queued>created 'order_changed_after_dispatch' at borzo#1 [response]",
    ]
    assert life.attempt.amend_refused


@pytest.mark.parametrize("asked", [True, False])
def test_a_courier_who_leaves_with_the_goods_while_he_is_called_off_was_not_told_of_the_change(
    created: Make, *, asked: bool
) -> None:
    life = waiting(created)
    if asked:
        life.cancel()
    life.see(news("picked_up"), cause=Cause.CALLBACK)
    assert life.delivery.attention == "order_changed_after_dispatch"
    assert (life.attempt.amend_refused, life.attempt.cancel_refused) == (True, not asked)
    life.poll("delivered")
    assert life.delivery.status == "delivered"
