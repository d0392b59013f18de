"""The sweep enqueues what is due once, with two schedulers, after a time without any, and after an outage."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.services.simulation import Simulation
from worker.carriers.port import Callback, CallbackKey
from worker.database import callbacks
from worker.database.callbacks import WAKE_UP_WAIT
from worker.services.sweep import CALLBACKS_LIMIT

STORE = "21"


def waiting(simulation: Simulation) -> Iterator[tuple[str, int]]:
    """Remove the wake-up tasks from their queues; yield each task's name and how many deliveries it is for."""
    with simulation.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for name in simulation.app.amqp.queues:
            while got := channel.basic_get(name, no_ack=True):
                arguments, _, _ = json.loads(got.body)
                yield got.headers["task"], len(arguments[1]) if len(arguments) > 1 else 0


def tick(simulation: Simulation, *, schedulers: int) -> None:
    """Let every scheduler send its tasks once."""
    for _ in range(schedulers):
        simulation.app.tasks["timers.sweep"]()
        simulation.app.tasks["events.publish"]()


def run_delivery(folder: Path, *, schedulers: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Run a delivery to its end; return the published events and what the carrier really did."""
    simulation = Simulation(folder)
    try:
        simulation.place(store_id=STORE)
        for _ in range(30):
            simulation.now += timedelta(seconds=120)
            simulation.call_back()
            tick(simulation, schedulers=schedulers)
            simulation.work()
        return simulation.published(), simulation.ledger()
    finally:
        simulation.close()


@pytest.mark.fault("F-59")
@pytest.mark.quirk("X-06")
def test_two_schedulers_have_the_same_effect_as_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    one, two = (run_delivery(tmp_path_factory.mktemp("simulation"), schedulers=count) for count in (1, 2))
    assert one == two
    assert one[0][-1] == "delivered"


@pytest.mark.fault("F-59")
@pytest.mark.quirk("X-06")
def test_a_second_sweep_enqueues_no_task_again(simulation: Simulation) -> None:
    for number in range(30):
        simulation.place(store_id=STORE, order_id=str(number))
    list(waiting(simulation))  # every wake-up task is lost
    simulation.now += timedelta(minutes=1)
    tick(simulation, schedulers=1)
    first = [task for task in waiting(simulation) if task[0] != "events.publish"]
    tick(simulation, schedulers=1)
    assert first == [("deliveries.book", 25), ("deliveries.book", 5)]
    assert list(waiting(simulation)) == []


@pytest.mark.fault("F-59")
def test_each_delivery_is_enqueued_once_after_ten_minutes_without_a_scheduler(simulation: Simulation) -> None:
    for number in range(20):
        simulation.place(store_id=STORE, order_id=str(number))
    simulation.work()
    created = simulation.ledger()
    simulation.now += timedelta(minutes=10)
    tick(simulation, schedulers=2)
    tracked = Counter(waiting(simulation))
    assert sum(count * size for (task, size), count in tracked.items() if task == "deliveries.track") == 20
    assert len(tracked) <= 2
    assert (simulation.ledger(), len(created)) == (created, 20)


def test_a_sweep_that_finds_the_database_away_logs_one_line_and_the_next_one_does_its_work(
    simulation: Simulation,
) -> None:
    simulation.place()
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE delivery RENAME TO elsewhere"))
    with capture_logs() as logs:
        simulation.app.tasks["timers.sweep"]()
    assert logs == [
        {"event": "task.postponed", "log_level": "warning", "task": "timers.sweep", "error": "OperationalError"}
    ]
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO delivery"))
    simulation.until(lambda here: here.status() == "delivered")


def test_a_task_raises_its_programming_errors(simulation: Simulation) -> None:
    with pytest.raises(TypeError):
        simulation.app.tasks["callbacks.apply"](1, 2, 3)


@pytest.mark.fault("F-79")
def test_callbacks_of_nobody_fill_their_queue_only_so_far_and_after_ours(simulation: Simulation) -> None:
    database = simulation.container.database
    for number in range(CALLBACKS_LIMIT + 50):
        database.write(callbacks.save, "borzo", Callback("POST", b"%d" % number), simulation.now)
    ours = database.write(callbacks.save, "borzo", Callback("POST", b"ours"), simulation.now, CallbackKey(), 7)
    simulation.now += WAKE_UP_WAIT
    for _ in range(2):
        simulation.app.tasks["timers.sweep"]()
    with simulation.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        first, *others = iter(lambda: channel.basic_get("callbacks", no_ack=True), None)
    assert (json.loads(first.body)[0], len(others)) == ([ours], CALLBACKS_LIMIT - 1)
