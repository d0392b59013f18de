"""Real processes that are killed at the worst moments: each order still has one courier, and the bus every event."""

import pytest

from tests.chaos import injection_points
from tests.chaos.conftest import BuildScenarios
from tests.chaos.scenario import ALL, Case, Scenario, Stage, run

BORZO = frozenset({"borzo"})
"""The carrier that accepts changes."""
AT_ONCE = 6
"""How many workers run at a time: more would need too many of PostgreSQL's connections."""
CRASHES = (  # those that wait longest come first
    Case("with a look-up answered and not committed", injection_points.FOUND, ALL - {"cervo"}, fault="no_reply"),
    Case("while the carrier holds the call", fault="no_reply", unknown=frozenset({"cervo"})),
    Case("before the intent is committed", injection_points.BOOKING),
    Case("with the intent committed and nothing sent", injection_points.BOOKED),
    Case("with the answer received and not committed", injection_points.ANSWERED),
    Case("with the answer committed and the wake-up task not acknowledged", injection_points.SETTLED),
    Case("with the event on the bus and not marked", injection_points.PUBLISHED),
    Case(
        "with the intent to cancel committed and nothing sent",
        injection_points.CANCELLING,
        later="cancelled",
        ends="cancelled",
    ),
    Case("with the cancel answered and not committed", injection_points.CANCELLED, later="cancelled", ends="cancelled"),
    Case("with the intent to change committed and nothing sent", injection_points.AMENDING, BORZO, later="updated"),
    Case("with the change answered and not committed", injection_points.AMENDED, BORZO, later="updated"),
    Case(
        "with a status written to the platform and not stored",
        injection_points.WRITTEN,
        reached_by=frozenset({"ordering"}),
        on_platform=True,
    ),
)


def created_at_carriers(scenarios: list[Scenario]) -> int:
    """Count the creates that the carriers carried out, also those that belong to no attempt in any database."""
    created = [entry for entry in scenarios[0].sandbox.ledger() if entry["action"] == "create"]
    return sum(entry["carrier"] != "ordering" for entry in created)


def recovered(scenario: Scenario) -> bool:
    """Return whether the journal of the dead worker was replayed and every order has come to its end.

    Until the replay, an order may wait for an operator with an unknown outcome that the journal resolves.
    """
    return scenario.journal_empty() and scenario.settled()


@pytest.mark.long
@pytest.mark.fault("F-01", "F-02", "F-03", "F-04", "F-05", "F-06", "F-07", "F-10", "F-54", "F-65")
@pytest.mark.quirk("X-03", "X-08")
def test_a_worker_that_is_killed_at_any_point_leaves_each_order_one_courier_and_the_bus_whole(
    build_scenarios: BuildScenarios,
) -> None:
    scenarios = build_scenarios(*CRASHES)
    begins = Stage("begins", lambda _: True, then=Scenario.begin)
    dies = Stage("has died", Scenario.died, then=Scenario.start_again)
    run(scenarios, AT_ONCE, begins, dies, Stage("has recovered", recovered, then=Scenario.kill))
    assert created_at_carriers(scenarios) == sum(len(each.couriers()) for each in scenarios)
    assert {each.case.name: each.result() for each in scenarios} == {
        each.case.name: each.case.expected for each in scenarios
    }
