import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import state

from worker.runtime import broker
from worker.runtime.watchdog import PATIENCE, WEDGED, HeartbeatCounter, Watchdog


def missed(*counts: tuple[int, int, int]) -> list[int]:
    """Return the heartbeats missed in a row after each count of turns, restarts and tasks."""
    heartbeats, found = HeartbeatCounter(), []
    for each in counts:
        heartbeats.record(*each)
        found.append(heartbeats.missed)
    return found


def test_a_turning_event_loop_is_a_heartbeat_without_any_task() -> None:
    assert missed((1, 0, 0), (2, 0, 0), (3, 0, 0)) == [0, 0, 0]


def test_checks_of_a_stuck_event_loop_are_counted_until_it_turns_again() -> None:
    assert missed((1, 0, 0), (1, 0, 0), (1, 0, 0), (2, 0, 0)) == [0, 1, 2, 0]


def test_a_consumer_that_only_restarts_gives_no_heartbeat() -> None:
    assert missed((1, 1, 0), (2, 5, 0), (3, 9, 0), (4, 9, 0)) == [1, 2, 3, 0]


def test_a_consumer_that_restarts_and_receives_tasks_gives_a_heartbeat() -> None:
    assert missed((1, 1, 1), (1, 2, 2), (2, 3, 3)) == [0, 0, 0]


# --- the worker's watchdog ---


def parent(broker_url: str = "memory://") -> Any:
    broker.install()  # as the app does: kombu keeps the transport of a scheme that it has seen
    return SimpleNamespace(app=Celery(broker=broker_url), consumer=SimpleNamespace(restart_count=1), use_eventloop=True)


def checks(worker: Any, count: int = PATIENCE + 1) -> list[bool]:
    watchdog = Watchdog(worker)
    return [watchdog.check(worker) for _ in range(count)]


@pytest.fixture(autouse=True)
def _no_task_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "all_total_count", [0])


def test_a_stuck_worker_fails_the_check_after_a_minute() -> None:
    assert checks(parent()) == [True] * (PATIENCE - 1) + [False] * 2


def test_a_worker_without_a_broker_passes_the_check() -> None:
    assert checks(parent("redis://127.0.0.1:1/0")) == [True] * (PATIENCE + 1)


@pytest.mark.parametrize("ending", ["should_stop", "should_terminate"])
def test_a_worker_that_is_ending_passes_the_check(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(state, ending, 0)
    assert checks(parent()) == [True] * (PATIENCE + 1)


def test_a_worker_whose_event_loop_turns_passes_the_check() -> None:
    worker = parent()
    watchdog = Watchdog(worker)
    for _ in range(2 * PATIENCE):
        watchdog.turn()
        assert watchdog.check(worker)


def test_the_heartbeat_path_is_touched_only_while_the_event_loop_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heartbeat = tmp_path / "worker.alive"
    monkeypatch.setenv("ORDER_SYNC_HEARTBEAT_PATH", str(heartbeat))
    worker = parent()
    watchdog = Watchdog(worker)
    watchdog.check(worker)  # the first check sees the start of the consumer
    touched = []
    for turns in (1, 0, 1):
        heartbeat.unlink(missing_ok=True)
        for _ in range(turns):
            watchdog.turn()
        watchdog.check(worker)
        touched.append(heartbeat.exists())
    assert touched == [True, False, True]


def test_a_heartbeat_path_that_cannot_be_written_does_not_end_the_worker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORDER_SYNC_HEARTBEAT_PATH", str(tmp_path / "missing" / "worker.alive"))
    worker = parent()
    watchdog = Watchdog(worker)
    watchdog.turn()
    assert watchdog.check(worker)


def test_a_wedged_worker_ends_with_a_failure() -> None:
    script = """
import threading
from types import SimpleNamespace
from celery import Celery
from worker.runtime import watchdog
watchdog.CHECK_SECONDS = 0
stuck = SimpleNamespace(call_repeatedly=lambda *_: None)
parent = SimpleNamespace(app=Celery(broker="memory://"), consumer=SimpleNamespace(restart_count=1), timer=stuck)
watchdog.Watchdog(parent).start(parent)
threading.Event().wait()
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == WEDGED
