"""A change that waited for a wish to cancel, and a courier who comes all the same."""

from collections.abc import Callable

import pytest

from schemas.status import Cause, Reason
from tests.domain.scenario import DeliveryScenario, observed
from worker.errors import Refused

Make = Callable[..., DeliveryScenario]


def waiting(created: Make) -> DeliveryScenario:
    """Live until a change waits for a cancel."""
    scenario = created("borzo")
    scenario.change_order(notes="ring twice")
    scenario.request_cancel()
    scenario.new_events()
    return scenario


def test_a_change_that_waits_for_a_cancel_asks_for_an_operator_when_the_cancel_is_refused(created: Make) -> None:
    scenario = waiting(created)
    scenario.cancel(Refused(Reason.UNKNOWN))
    assert scenario.new_events() == [
        "4 cancel_refused queued>created unknown at borzo#1 [response]",
        "5 attention_required queued>created 'order_changed_after_dispatch' at borzo#1 [response]",
    ]
    assert scenario.attempt.amend_refused


@pytest.mark.parametrize("asked", [True, False])
def test_a_change_that_waits_for_a_cancel_asks_for_an_operator_when_the_courier_leaves_with_the_goods(
    created: Make, *, asked: bool
) -> None:
    scenario = waiting(created)
    if asked:
        scenario.cancel()
    scenario.observe(observed("picked_up"), cause=Cause.CALLBACK)
    assert scenario.delivery.attention == "order_changed_after_dispatch"
    assert (scenario.attempt.amend_refused, scenario.attempt.cancel_refused) == (True, not asked)
    scenario.poll("delivered")
    assert scenario.delivery.status == "delivered"
