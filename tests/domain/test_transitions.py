"""The transition table of docs/statuses.md, restated and compared with the code's."""

import pytest

from schemas.status import AttemptState, DeliveryStatus
from worker.domain.transitions import FINAL_STATES, TRANSITIONS, allows, allows_reassignment

OBSERVED = """created courier_withdrawn courier_assigned pickup_enroute pickup_arrived picked_up dropoff_enroute
    dropoff_arrived on_hold delivery_failed reattempting returning delivered returned cancelled rejected failed"""

TABLE = {
    # What we do with a queued attempt (send it, cancel it, give it up) is no news from a carrier.
    "queued": "",
    "submitting": f"awaiting_confirmation submit_unknown {OBSERVED}",
    "submit_unknown": f"awaiting_confirmation {OBSERVED}",
    "awaiting_confirmation": OBSERVED,
    "created": """courier_assigned pickup_enroute pickup_arrived picked_up dropoff_enroute dropoff_arrived delivered
        courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed""",
    "courier_assigned": """created* pickup_enroute pickup_arrived picked_up dropoff_enroute dropoff_arrived delivered
        courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed""",
    "pickup_enroute": """created* courier_assigned* pickup_arrived picked_up dropoff_enroute dropoff_arrived delivered
        courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed""",
    "pickup_arrived": """created* courier_assigned* pickup_enroute* picked_up dropoff_enroute dropoff_arrived
        delivered courier_withdrawn on_hold delivery_failed reattempting returning returned cancelled failed""",
    "courier_withdrawn": """created courier_assigned pickup_enroute pickup_arrived picked_up dropoff_enroute
        dropoff_arrived delivered on_hold cancelled failed""",
    "picked_up": """dropoff_enroute dropoff_arrived delivered on_hold delivery_failed reattempting returning returned
        cancelled failed""",
    "dropoff_enroute": """dropoff_arrived delivered on_hold delivery_failed reattempting returning returned cancelled
        failed""",
    "dropoff_arrived": "delivered on_hold delivery_failed reattempting returning returned cancelled failed",
    "on_hold": "",
    "delivery_failed": "reattempting returning returned delivered on_hold cancelled failed",
    "reattempting": "delivered delivery_failed returning returned on_hold cancelled failed",
    "returning": "returned reattempting delivered on_hold cancelled failed",
    "delivered": "",
    "returned": "",
    "cancelled": "",
    "rejected": "",
    "failed": "",
}
STATUSES = [AttemptState(status) for status in DeliveryStatus]
STATES = list(AttemptState)
INTERRUPTIBLE = [AttemptState(source) for source, row in TABLE.items() if "on_hold" in row.split()]


def forward(source: AttemptState) -> set[AttemptState]:
    return {AttemptState(word) for word in TABLE[source].split() if not word.endswith("*")}


def reassigned(source: AttemptState) -> set[AttemptState]:
    return {AttemptState(word.removesuffix("*")) for word in TABLE[source].split() if word.endswith("*")}


def test_attempt_states_are_the_statuses_and_submitting() -> None:
    assert sorted(AttemptState) == sorted([*DeliveryStatus, "submitting"])


def test_every_state_has_a_row() -> None:
    assert sorted(TRANSITIONS) == sorted(TABLE) == sorted(AttemptState)


@pytest.mark.parametrize("source", STATES)
def test_exactly_the_listed_statuses_may_follow(source: AttemptState) -> None:
    assert {target for target in STATUSES if allows(source, target)} == forward(source)


@pytest.mark.parametrize("source", STATES)
def test_exactly_the_starred_statuses_may_follow_as_a_reassignment(source: AttemptState) -> None:
    assert {target for target in STATUSES if allows_reassignment(source, target)} == reassigned(source)


@pytest.mark.parametrize("interrupted", INTERRUPTIBLE)
def test_an_on_hold_resumes_to_the_interrupted_state_or_one_that_may_follow_it(interrupted: AttemptState) -> None:
    allowed = {target for target in STATUSES if allows(AttemptState.ON_HOLD, target, interrupted)}
    assert allowed == (forward(interrupted) | {interrupted}) & set(STATUSES)


@pytest.mark.parametrize("interrupted", INTERRUPTIBLE)
def test_an_on_hold_may_end_in_a_reassignment_of_the_interrupted_state(interrupted: AttemptState) -> None:
    allowed = {target for target in STATUSES if allows_reassignment(AttemptState.ON_HOLD, target, interrupted)}
    assert allowed == reassigned(interrupted)


@pytest.mark.parametrize("source", [state for state in STATES if state != AttemptState.ON_HOLD])
def test_only_an_on_hold_has_an_interrupted_state_to_resume_to(source: AttemptState) -> None:
    assert [target for target in STATUSES if allows(source, target, AttemptState.PICKED_UP)] == [
        target for target in STATUSES if allows(source, target)
    ]
    assert [target for target in STATUSES if allows_reassignment(source, target, AttemptState.PICKUP_ARRIVED)] == [
        target for target in STATUSES if allows_reassignment(source, target)
    ]


def test_five_states_are_final() -> None:
    assert set(FINAL_STATES) == {"delivered", "returned", "cancelled", "rejected", "failed"}
