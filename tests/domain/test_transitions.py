"""The table of statuses.md, restated word by word, against the code's."""

import pytest

from schemas.status import DeliveryStatus
from worker.domain.transitions import STICKY, allows, allows_back

OBSERVED = """created courier_withdrawn courier_assigned pickup_enroute pickup_arrived picked_up dropoff_enroute
    dropoff_arrived on_hold delivery_failed reattempting returning delivered returned cancelled rejected failed"""

TABLE = {
    # What we do with a queued attempt (send it, cancel it, let it expire) is no news from a carrier.
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
STATUSES = [status.value for status in DeliveryStatus]
INTERRUPTIBLE = [source for source, row in TABLE.items() if "on_hold" in row.split()]


def onward(source: str) -> set[str]:
    return {word for word in TABLE[source].split() if not word.endswith("*")}


def back(source: str) -> set[str]:
    return {word.removesuffix("*") for word in TABLE[source].split() if word.endswith("*")}


def test_the_restated_table_has_every_status_and_the_one_state_that_is_never_published() -> None:
    assert sorted(TABLE) == sorted([*STATUSES, "submitting"])


@pytest.mark.parametrize("source", TABLE)
def test_exactly_the_listed_statuses_may_follow(source: str) -> None:
    assert {target for target in STATUSES if allows(source, target)} == onward(source)


@pytest.mark.parametrize("source", TABLE)
def test_exactly_the_starred_statuses_may_follow_as_a_reassignment(source: str) -> None:
    assert {target for target in STATUSES if allows_back(source, target)} == back(source)


@pytest.mark.parametrize("interrupted", INTERRUPTIBLE)
def test_a_hold_resumes_to_what_it_interrupted_or_to_what_may_follow_that(interrupted: str) -> None:
    allowed = {target for target in STATUSES if allows("on_hold", target, interrupted)}
    assert allowed == (onward(interrupted) | {interrupted}) & set(STATUSES)


@pytest.mark.parametrize("interrupted", INTERRUPTIBLE)
def test_a_hold_may_end_in_the_reassignments_of_what_it_interrupted(interrupted: str) -> None:
    assert {target for target in STATUSES if allows_back("on_hold", target, interrupted)} == back(interrupted)


@pytest.mark.parametrize("source", sorted(set(TABLE) - {"on_hold"}))
def test_what_is_not_on_hold_has_nothing_to_resume_to(source: str) -> None:
    assert [target for target in STATUSES if allows(source, target, "picked_up")] == [
        target for target in STATUSES if allows(source, target)
    ]
    assert [target for target in STATUSES if allows_back(source, target, "pickup_arrived")] == [
        target for target in STATUSES if allows_back(source, target)
    ]


def test_the_five_final_statuses_are_sticky() -> None:
    assert set(STICKY) == {"delivered", "returned", "cancelled", "rejected", "failed"}
