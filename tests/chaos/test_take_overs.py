"""The measurement of how long the work of a host that is away waits."""

from datetime import timedelta
from typing import Any

from tests.chaos.clock import START
from tests.chaos.take_overs import TakeOvers

NOW = START + timedelta(seconds=10)


def row(name: str, version: int, second: int | None) -> dict[str, Any]:
    until = None if second is None else START + timedelta(seconds=second)
    return {"id": name, "version": version, "lease_until": until, "next_run_at": START}


def test_a_wait_lasts_from_the_fault_until_the_delivery_is_claimed_again_or_changes() -> None:
    take_overs = TakeOvers()
    take_overs.begin(
        10.0, [row("claimed", 1, 30), row("running", 1, 30), row("free", 1, None), row("lapsed", 1, 5)], NOW
    )
    take_overs.look(11.0, [row("claimed", 1, 30), row("running", 2, None), row("free", 2, None)])
    seen = [take_overs.watching]
    take_overs.look(14.5, [row("claimed", 1, 60), row("running", 3, None)])
    assert (take_overs.waits, [*seen, take_overs.watching]) == ([1.0, 4.5], [True, False])
