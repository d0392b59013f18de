from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.sandbox.client import SandboxClient, cervo_order
from worker.sandbox import scenarios
from worker.sandbox.scenarios import Scenario, StatusChange

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
STEP = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", "happy"),
        (None, "happy"),
        ("#AB12 sandbox:returned, 2nd floor", "returned"),
        ("sandbox:nonsense", "happy"),
        ("sandbox:offered_late", "offered_late"),
        ("sandbox:deliverit=closed sandbox:cervo=returned", "returned"),
        ("sandbox:deliverit=closed", "happy"),
    ],
)
def test_a_script_is_found_anywhere_in_the_text(text: str | None, script: str) -> None:
    assert scenarios.find_script("cervo", "notes", text) == script


@pytest.mark.parametrize(
    ("seconds", "status"), [(-1, "1"), (0, "1"), (4.9, "1"), (5, "2"), (10, "3"), (15, "4"), (1e6, "4")]
)
def test_the_status_depends_only_on_the_time(seconds: float, status: str) -> None:
    assert scenarios.start(scenarios.CERVO, "happy", START, 5).status(at(seconds)) == status


def test_a_scenario_with_steps_of_no_length_is_complete_at_once() -> None:
    scenario = scenarios.start(scenarios.CERVO, "happy", START, 0)
    assert scenario.history(START) == tuple(StatusChange(status, START) for status in "1234")


def test_the_next_change_is_known_until_the_last_status() -> None:
    scenario = scenarios.start(scenarios.CERVO, "cancelled", START, 5)
    assert [scenario.next_change(at(seconds)) for seconds in (0, 5, 9, 10)] == [at(5), at(10), at(10), None]


def test_a_held_status_keeps_the_history_and_stops_the_script() -> None:
    scenario = scenarios.start(scenarios.CERVO, "happy", START, 5)
    scenario.hold(at(6), "0")
    expected = (StatusChange("1", START), StatusChange("2", at(5)), StatusChange("0", at(6)))
    assert (scenario.history(at(100)), scenario.next_change(at(6))) == (expected, None)


def test_an_advanced_scenario_continues_from_now() -> None:
    scenario = Scenario(("a", "b", "c"), START, STEP)
    scenario.advance(at(1))
    assert scenario.history(at(6)) == (StatusChange("a", START), StatusChange("b", at(1)), StatusChange("c", at(6)))


def test_a_complete_scenario_does_not_advance() -> None:
    scenario = Scenario(("a",), START, STEP)
    scenario.advance(at(1))
    assert (scenario.status(at(2)), scenario.next_change(at(2))) == ("a", None)


def test_a_later_change_does_not_alter_the_status_at_an_earlier_time() -> None:
    scenario = scenarios.start(scenarios.CERVO, "happy", START, 5)
    scenario.hold(at(6), "0")
    scenario.restart(at(8), ("1", "2"), STEP)
    assert [scenario.status(at(seconds)) for seconds in (-1, 0, 5, 6, 7, 8, 13)] == ["1", "1", "2", "0", "0", "1", "2"]
    assert scenario.history(at(5)) == (StatusChange("1", START), StatusChange("2", at(5)))


def test_each_order_can_have_a_pace_of_its_own(make_client: Callable[..., SandboxClient]) -> None:
    paces = iter([1.0, 3.0])
    client = make_client(pace=lambda _created: next(paces))
    quick, slow = (client.post("/apis/v2/order", cervo_order(id=number)).text for number in (1, 2))
    client.advance(5)
    assert [client.get("/apis/v2/order", params={"id": ref}).json()["Status"] for ref in (quick, slow)] == [2, 1]
