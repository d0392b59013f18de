import threading

import pytest

from worker.runtime.steps import ThreadStep


class Waiting:
    """A loop that waits until it is stopped."""

    def __init__(self) -> None:
        self.thread = ""
        self.started, self.stopped = threading.Event(), threading.Event()

    def run(self) -> None:
        self.thread = threading.current_thread().name
        self.started.set()
        self.stopped.wait()

    def stop(self) -> None:
        self.stopped.set()


class Step(ThreadStep):
    thread_name, join_seconds = "waiting", 10.0
    loop = Waiting()

    def build(self) -> Waiting:
        return self.loop


@pytest.mark.parametrize("end", ["stop", "terminate"])
def test_a_loop_runs_in_its_own_thread_until_the_worker_ends(end: str) -> None:
    Step.loop = loop = Waiting()
    step = Step(None)
    step.start(None)
    assert loop.started.wait(10)
    getattr(step, end)(None)
    running = {thread.name for thread in threading.enumerate()}
    assert (loop.thread, loop.stopped.is_set(), "waiting" in running) == ("waiting", True, False)


def test_a_step_that_was_never_started_can_be_stopped() -> None:
    step = Step(None)
    step.stop(None)
    assert "waiting" not in {thread.name for thread in threading.enumerate()}
