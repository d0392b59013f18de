"""A worker that is asked to stop hands over at once what others can do, before Celery stops its threads."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.runtime.test_steps import Waiting
from tests.services.simulation import Simulation
from worker.runtime import early_stop
from worker.runtime.steps import Notifier, Sweeper, ThreadStep, process_name
from worker.services.worker_heartbeats import last_seen


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path)) as running:
        yield running


@contextmanager
def handlers() -> Iterator[list[int]]:
    """Replace the handlers of the signals by one that records them; yield the record."""
    seen: list[int] = []
    before = {number: signal.signal(number, lambda received, _: seen.append(received)) for number in early_stop.SIGNALS}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def running(kind: type[ThreadStep]) -> tuple[ThreadStep, Waiting]:
    """Start a step of this kind with a loop that waits until it is stopped."""
    loop = Waiting()
    step = type(kind.__name__, (kind,), {"build": lambda _: loop})(None)
    step.start(None)
    assert loop.started.wait(10)
    return step, loop


@pytest.mark.fault("F-11")
@pytest.mark.parametrize("number", early_stop.SIGNALS)
def test_at_the_first_signal_a_worker_hands_over_and_goes_on_with_its_calls(
    simulation: Simulation, number: signal.Signals
) -> None:
    (notifier, stopped), (sweeper, goes_on) = running(Notifier), running(Sweeper)
    relay, database = simulation.container.queue.relay, simulation.container.database
    simulation.container.worker_heartbeats.record(process_name())
    with handlers() as seen:
        controller = SimpleNamespace(steps=[notifier, sweeper], app=simulation.app)
        early_stop.install(SimpleNamespace(controller=controller))
        signal.raise_signal(number)
        assert stopped.stopped.wait(10)
        while database.read(last_seen):
            stopped.stopped.wait(10)
    assert (seen, relay.stopped, goes_on.stopped.is_set()) == ([number], True, False)
    for loop in (stopped, goes_on):
        loop.stop()
    for thread in threading.enumerate():
        if thread.name in {"notifier", "sweeper"}:
            thread.join(10)


@pytest.mark.fault("F-11")
def test_a_soft_shutdown_ends_when_the_tasks_have_ended_and_waits_no_longer_than_it_may() -> None:
    running, pauses = {"create", "read"}, list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        running.discard("read" if len(pauses) == 1 else "create")

    early_stop.wait_for_tasks(running, 50, pause)
    early_stop.wait_for_tasks(running, 50, pause)
    assert (pauses, running) == ([0.1, 0.1], set())
    hanging = list[float]()
    early_stop.wait_for_tasks({"hangs"}, 0.5, hanging.append)
    assert hanging == [0.1] * 5
