"""A worker whose consumer gives no sign of life for a minute ends itself; any other is left alone."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state

from worker.runtime.watchdog import PATIENCE, WEDGED, HeartbeatCounter, Watchdog


def missed(*counts: tuple[int, int, int]) -> list[int]:
    """Tell how many signs of life a pulse missed in a row, after each count of turns, restarts and tasks."""
    pulse, found = HeartbeatCounter(), []
    for each in counts:
        pulse.record(*each)
        found.append(pulse.missed)
    return found


def test_a_loop_that_turns_lives_even_without_a_task() -> None:
    assert missed((1, 0, 0), (2, 0, 0), (3, 0, 0)) == [0, 0, 0]


def test_a_loop_that_stands_still_is_counted_until_it_turns_again() -> None:
    assert missed((1, 0, 0), (1, 0, 0), (1, 0, 0), (2, 0, 0)) == [0, 1, 2, 0]


def test_a_consumer_that_only_restarts_does_not_live() -> None:
    assert missed((1, 1, 0), (2, 5, 0), (3, 9, 0), (4, 9, 0)) == [1, 2, 3, 0]


def test_a_consumer_that_restarts_and_takes_tasks_lives() -> None:
    assert missed((1, 1, 1), (1, 2, 2), (2, 3, 3)) == [0, 0, 0]


# --- the worker's watch ---


def parent(broker: str = "memory://") -> Any:
    return SimpleNamespace(app=Celery(broker=broker), consumer=SimpleNamespace(restart_count=1), use_eventloop=True)


def looks(worker: Any, count: int = PATIENCE + 1) -> list[bool]:
    watch = Watchdog(worker)
    watch._pulse.record(0, 1, 0)
    watch._pulse.missed = 0
    return [watch.look(worker) for _ in range(count)]


@pytest.fixture(autouse=True)
def _no_task_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "all_total_count", [0])


def test_a_stuck_worker_is_of_no_use_after_its_minute() -> None:
    assert looks(parent()) == [True] * (PATIENCE - 1) + [False] * 2


def test_a_worker_without_a_broker_is_waited_for() -> None:
    assert looks(parent("redis://127.0.0.1:1/0")) == [True] * (PATIENCE + 1)


@pytest.mark.parametrize("ending", ["should_stop", "should_terminate"])
def test_a_worker_that_ends_is_left_to_its_end(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(state, ending, 0)
    assert looks(parent()) == [True] * (PATIENCE + 1)


def test_a_loop_s_turn_keeps_the_worker() -> None:
    worker = parent()
    watch = Watchdog(worker)
    for _ in range(2 * PATIENCE):
        watch._turn()
        watch._pulse._seen = (0, 1, 0)
        assert watch.look(worker)


def test_a_wedged_worker_ends_with_a_status_that_has_it_started_again() -> None:
    script = """
import threading
from types import SimpleNamespace
from celery import Celery
from worker import watch
watch.LOOK_SECONDS = 0
stuck = SimpleNamespace(call_repeatedly=lambda *_: None)
parent = SimpleNamespace(app=Celery(broker="memory://"), consumer=SimpleNamespace(restart_count=1), timer=stuck)
watch.Watch(parent).start(parent)
threading.Event().wait()
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == WEDGED
