import threading

import pytest

from worker.app import create_app
from worker.config.settings import load
from worker.runtime.steps import ThreadStep, served_accounts


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


@pytest.mark.parametrize(
    ("queues", "served"),
    [
        (None, ["borzo", "cervo"]),
        (["orders", "carrier.borzo"], ["borzo"]),
        (["orders", "carrier.borzo.reads", "timers"], []),
    ],
)
def test_a_worker_books_orders_at_the_accounts_whose_queue_it_serves(
    queues: list[str] | None, served: list[str]
) -> None:
    tokens = {f"ORDER_SYNC_CARRIERS__{name}__TOKEN": "t" for name in ("BORZO", "CERVO")}
    settings = load({"ORDER_SYNC_REDIS_URL": "redis://127.0.0.1:1/0", **tokens})
    app = create_app(settings)
    if queues:
        app.amqp.queues.select(queues)
    assert sorted(served_accounts(app, settings.accounts)) == served
