"""Real processes that stand still at the worst moments, or are asked to end: what they do late does no harm."""

import signal

import pytest

from tests.chaos import injection_points
from tests.chaos.conftest import Stage
from tests.chaos.scenario import Case, Scene, wait

BEFORE = Case("stopped between the intent and the call", injection_points.BOOKED, signal=signal.SIGSTOP)
AFTER = Case("stopped with the first byte to go", injection_points.SENDING, frozenset({"borzo"}), signal=signal.SIGSTOP)
ENDED = Case("asked to end in mid-create", fault="slow", delay=1.0, signal=signal.SIGTERM)


def left_the_journal(scene: Scene) -> bool:
    return not any(scene.journal.iterdir())


@pytest.mark.fault("F-08")
def test_a_worker_that_stood_still_past_its_lease_sends_nothing_any_more(stage: Stage) -> None:
    (scene,) = stage(BEFORE)
    scene.begin()
    wait([scene], Scene.sprung, "stops")
    scene.start("worker", "other")
    wait([scene], lambda scene: all(each.status != "queued" for each in scene.deliveries()), "is given up")
    scene.worker.signal(signal.SIGCONT)
    wait([scene], lambda scene: left_the_journal(scene) and scene.settled(), "settles")
    assert scene.result() == scene.case.wanted


@pytest.mark.fault("F-09")
def test_a_courier_that_came_too_late_is_announced_and_called_off(stage: Stage) -> None:
    (scene,) = stage(AFTER)
    scene.start("web")
    scene.begin()
    wait([scene], Scene.sprung, "stops")
    scene.start("worker", "other")
    wait([scene], Scene.settled, "gets another courier")
    scene.worker.signal(signal.SIGCONT)
    wait([scene], lambda scene: scene.couriers("cancel") == ["borzo"] and scene.settled(), "calls one off")
    assert scene.couriers() == ["borzo", "borzo"]
    assert [event["type"] for event in scene.events() if event["type"] == "delivery.conflict"] == ["delivery.conflict"]


@pytest.mark.fault("F-11")
def test_a_worker_that_is_asked_to_end_waits_for_its_calls(stage: Stage) -> None:
    (scene,) = stage(ENDED)
    scene.begin()
    wait([scene], Scene.died, "ends")
    assert scene.worker.running is not None
    assert scene.worker.running.returncode == 0
    assert [each.status.value for each in scene.deliveries()] == ["created"] * 3
    scene.again()
    wait([scene], Scene.settled, "settles")
    assert scene.result() == scene.case.wanted
