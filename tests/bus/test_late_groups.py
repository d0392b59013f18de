from datetime import UTC, datetime
from typing import Any, cast

import pytest
import structlog

from tests.services.simulation import Simulation
from worker.bus.streams import Bus

NOW = datetime.fromtimestamp(10_000, UTC)


def fill(made: Bus, stream: str, *seconds: int) -> None:
    for each in seconds:
        made._redis.xadd(stream, {"event": "x"}, id=f"{each}000-0")


def take(made: Bus, group: str, count: int) -> list[Any]:
    found = cast("list[Any]", made._redis.xreadgroup(group, "reader", {made.events: ">"}, count=count))
    return [identity for identity, _ in found[0][1]]


def test_streams_that_are_not_there_have_no_late_group(made: Bus) -> None:
    assert made.lags(NOW) == {}


def test_a_group_is_as_late_as_the_oldest_entry_that_it_has_not_read(made: Bus) -> None:
    fill(made, made.events, 1000, 4000, 9000)
    for group, start in (("never", "0"), ("slow", "1000000-0"), ("done", "$")):
        made._redis.xgroup_create(made.events, group, id=start)
    assert made.lags(NOW) == {
        (made.events, "never"): 9000.0,
        (made.events, "slow"): 6000.0,
        (made.events, "done"): 0.0,
    }


def test_what_was_read_and_not_acknowledged_makes_a_group_late(made: Bus) -> None:
    fill(made, made.events, 1000, 4000, 9000)
    made._redis.xgroup_create(made.events, "dying", id="0")
    first, _, _ = take(made, "dying", 3)
    made._redis.xack(made.events, "dying", first)
    assert made.lags(NOW) == {(made.events, "dying"): 6000.0}


def test_orders_that_nobody_takes_in_are_late_too(made: Bus) -> None:
    fill(made, made.orders, 9990)
    made._make_group()
    assert made.lags(NOW) == {(made.orders, "order-sync"): 10.0}


def test_a_server_whose_clock_is_ahead_makes_nobody_early(made: Bus) -> None:
    fill(made, made.events, 20_000)
    made._redis.xgroup_create(made.events, "reader", id="0")
    assert made.lags(NOW) == {(made.events, "reader"): 0.0}


@pytest.mark.fault("F-58")
@pytest.mark.parametrize(("hours", "told"), [(0.9, []), (2, [("deliveries", "asleep", 7200)])])
def test_a_group_that_is_more_than_an_hour_late_is_named_in_the_log(
    tmp_path: Any, hours: float, told: list[tuple[str, str, int]]
) -> None:
    street = Simulation(tmp_path)
    try:
        street.redis.xadd("deliveries", {"event": "x"}, id=f"{int((street.now.timestamp() - hours * 3600) * 1000)}-0")
        street.redis.xgroup_create("deliveries", "asleep", id="0")
        with structlog.testing.capture_logs() as lines:
            street.app.tasks["maintenance.purge"]()
        late = [line for line in lines if line["event"] == "group.late"]
        assert [(line["stream"], line["group"], line["seconds"]) for line in late] == told
        assert street.redis.xlen("deliveries") == 1
    finally:
        street.close()
