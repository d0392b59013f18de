import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.services.simulation import Simulation, order_document
from worker.app import create_app
from worker.config.settings import load
from worker.runtime.steps import OrdersReader, ThreadStep, served_accounts


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
    app.amqp.queues.select(["carrier.borzo", "carrier.cervo"])
    app.amqp.queues.deselect(["carrier.borzo"])  # as the command cancel_consumer does
    assert served_accounts(app, settings.accounts) == ["cervo"]


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    with closing(Simulation(tmp_path)) as running:
        yield running


class SlowDatabase:
    """A database whose transaction of new orders waits until a test goes on."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.reached, self.released = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, change: Any, *arguments: Any) -> Any:
        if change.__name__ == "store_in":
            self.reached.set()
            assert self.released.wait(20)
        return self._real.write(change, *arguments)


def join(prefix: str) -> None:
    """Wait for the end of the threads whose name begins with this."""
    for thread in threading.enumerate():
        if thread.name.startswith(prefix):
            thread.join(20)


def test_orders_that_are_stored_after_the_worker_stopped_waiting_are_booked(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation.container.accounts.logged_in("cervo")
    monkeypatch.setattr(OrdersReader, "join_seconds", 0.0)
    real = simulation.container.database
    simulation.container.database = slow = SlowDatabase(real)  # type: ignore[assignment]
    simulation.add(order_document())
    step, worker = OrdersReader(None), SimpleNamespace(hostname="worker@here")
    step.start(worker)
    assert slow.reached.wait(20)
    step.stop(worker)
    slow.released.set()
    join("orders")
    step.stop(worker)
    join("booking")
    simulation.container.database = real
    assert (simulation.status(), len(simulation.ledger())) == ("created", 1)
