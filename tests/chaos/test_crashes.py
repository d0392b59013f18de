"""Real processes that are killed at the worst moments. Whatever the moment, each order has one courier, and the bus
knows.
"""

import pytest

from tests.chaos import injection_points
from tests.chaos.conftest import Stage
from tests.chaos.scenario import ALL, Case, Scene, wait

BORZO = frozenset({"borzo"})
"""Who takes changes."""
KILLS = (
    Case("before the intent is committed", injection_points.BOOKING),
    Case("with the intent committed and nothing sent", injection_points.BOOKED),
    Case("while the carrier holds the call", fault="no_reply", parked=frozenset({"cervo"})),
    Case("with the answer received and not committed", injection_points.ANSWERED),
    Case("with the answer committed and the hint not acknowledged", injection_points.SETTLED),
    Case("with the event on the bus and not marked", injection_points.PUBLISHED),
    Case("with a look-up answered and not committed", injection_points.FOUND, ALL - {"cervo"}, fault="no_reply"),
    Case(
        "with the intent to cancel committed and nothing sent",
        injection_points.CANCELLING,
        later="cancelled",
        ends="cancelled",
    ),
    Case("with the cancel answered and not committed", injection_points.CANCELLED, later="cancelled", ends="cancelled"),
    Case("with the intent to change committed and nothing sent", injection_points.AMENDING, BORZO, later="updated"),
    Case("with the change answered and not committed", injection_points.AMENDED, BORZO, later="updated"),
    Case("with a status written and not noted", injection_points.WRITTEN, waits=frozenset({"ordering"}), platform=True),
)


def created_in_all(scenes: list[Scene]) -> int:
    """Count what the carriers created, also what no attempt in any database tells of."""
    made = [entry for entry in scenes[0].sandbox.ledger() if entry["action"] == "create"]
    return sum(entry["carrier"] != "ordering" for entry in made)


@pytest.mark.fault("F-01", "F-02", "F-03", "F-04", "F-05", "F-06", "F-07", "F-10", "F-54", "F-65")
@pytest.mark.quirk("X-03", "X-08")
def test_a_worker_that_is_killed_at_any_point_leaves_each_order_one_courier_and_the_bus_whole(stage: Stage) -> None:
    scenes = stage(*KILLS)
    for scene in scenes:
        scene.begin()
    wait(scenes, lambda scene: scene.died(), "dies")
    for scene in scenes:
        scene.again()
    wait(scenes, lambda scene: scene.settled(), "settles")
    assert created_in_all(scenes) == sum(len(each.couriers()) for each in scenes)
    assert {each.case.name: each.result() for each in scenes} == {each.case.name: each.case.wanted for each in scenes}
