"""A callback that is only a hint, and what it leaves behind for the read that it prompts."""

import pytest

from tests.services.simulation import Simulation


@pytest.mark.quirk("C-41", "C-50")
def test_a_cancel_reason_that_only_a_callback_gives_is_published(simulation: Simulation) -> None:
    simulation.place("cancelled")
    simulation.until(lambda it: it.delivery().final)
    ended = next(event["data"] for event in simulation.events() if event["data"]["status"] == "cancelled")
    assert (ended["carrier"], ended["reason_text"], ended["cause"]) == ("cervo", "Canceled by the sandbox", "poll")


@pytest.mark.quirk("C-50")
def test_a_callback_that_only_leaves_a_cancel_reason_still_prompts_a_read_at_once(simulation: Simulation) -> None:
    simulation.place("courier_withdraws")
    simulation.until(lambda it: any("cancel_reason" in each.codec_state for each in it.delivery().attempts), step=1)
    assert simulation.status() == "courier_withdrawn"
