"""The sweep enqueues what is due once, with two schedulers, after a time without any, and after an outage."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import OperationalError
from sqlalchemy import text
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.services.simulation import START, Simulation
from worker.carriers.port import Callback, CallbackKey
from worker.database import callbacks
from worker.database.callbacks import WAKE_UP_WAIT
from worker.enqueue import WakeUp
from worker.services.sweep import CALLBACKS_LIMIT, FULL

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


def fill(simulation: Simulation, queue: str, task: str, *arguments: object, count: int = FULL + 1) -> None:
    """Put so many tasks on a queue, which are for nothing."""
    simulation.container.queue.send([(task, list(arguments))] * count)
    assert simulation.container.queue.depths([queue]) == {queue: count}


def a_read_and_a_later_order(simulation: Simulation) -> None:
    """Let a read of one order and the create of another one be due at Cervo, and a create at Borzo."""
    simulation.place_at("cervo", "followed")
    later = {"deliver_at": "2026-11-21T18:00:00Z"}
    simulation.place(order_id="later", **later)
    simulation.place(store_id=STORE, order_id="elsewhere", **later)
    list(waiting(simulation))
    simulation.now += timedelta(minutes=40)


ALL_DUE = {"deliveries.track": 1, "deliveries.book": 2}


@pytest.mark.fault("F-91")
@pytest.mark.parametrize(
    ("queue", "task", "count", "due"),
    [
        ("carrier.cervo.reads", "deliveries.track", FULL, ALL_DUE),
        ("carrier.cervo.reads", "deliveries.track", FULL + 1, {"deliveries.book": 2}),
        ("carrier.cervo", "deliveries.cancel", FULL, ALL_DUE),
        ("carrier.cervo", "deliveries.cancel", FULL + 1, {"deliveries.track": 1, "deliveries.book": 1}),
    ],
)
def test_a_full_queue_holds_back_its_own_steps_and_no_others(
    simulation: Simulation, queue: str, task: str, count: int, due: dict[str, int]
) -> None:
    a_read_and_a_later_order(simulation)
    fill(simulation, queue, task, "cervo", [], count=count)
    tick(simulation, schedulers=1)
    found = Counter(name for name, deliveries in waiting(simulation) if deliveries)
    assert found == due
    tick(simulation, schedulers=1)
    assert found + Counter(name for name, deliveries in waiting(simulation) if deliveries) == ALL_DUE


@pytest.mark.fault("F-98")
@pytest.mark.parametrize("others", [0, FULL + 1])
def test_an_order_that_no_worker_books_has_its_alarm_and_its_end_in_time(simulation: Simulation, others: int) -> None:
    simulation.place(store_id=STORE)
    list(waiting(simulation))
    fill(simulation, "carrier.borzo", "deliveries.cancel", "borzo", [], count=others)
    published = {}
    for minutes in (0, 9, 10, 11, 194, 195, 196):
        simulation.now = START + timedelta(minutes=minutes)
        tick(simulation, schedulers=1)
        published[minutes] = simulation.published()
    asked = ["queued", "delivery.attention_required"]
    ended = [*asked, "rejected", "delivery.dispatch_failed"]
    assert published == {0: ["queued"], 9: ["queued"], 10: asked, 11: asked, 194: asked, 195: ended, 196: ended}
    _, alarm, end, _ = simulation.events()
    assert (alarm["data"]["reason_text"], end["data"]["reason"]) == ("not_dispatched_in_time", "deadline_passed")


def write_backs(simulation: Simulation) -> int:
    return sum(name == "platform.write_back" for name, _ in waiting(simulation))


@pytest.mark.fault("F-11")
def test_what_a_process_hands_over_is_enqueued_again_by_the_next_sweep(tmp_path: Path) -> None:
    with closing(Simulation(tmp_path, ORDERING__SOURCE="demo")) as simulation:
        simulation.place(store_id=STORE)
        attempt_of_nobody = 7
        simulation.container.database.write(
            callbacks.save, "borzo", Callback("POST", b"ours"), simulation.now, CallbackKey(), attempt_of_nobody
        )
        list(waiting(simulation))
        simulation.now += timedelta(minutes=1)
        tick(simulation, schedulers=1)
        swept = sorted(claimed(simulation))
        assert [name for name, _ in swept] == ["callbacks.apply", "deliveries.book", "platform.write_back"]
        simulation.now += timedelta(milliseconds=1)
        tick(simulation, schedulers=1)
        assert claimed(simulation) == []
        simulation.container.sweep.hand_over(swept)
        simulation.now += timedelta(milliseconds=1)
        tick(simulation, schedulers=1)
        assert sorted(claimed(simulation)) == swept


def claimed(simulation: Simulation) -> list[WakeUp]:
    """Remove the wake-up tasks from their queues; return those for claimed work, with their arguments."""
    with simulation.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        gets = (partial(channel.basic_get, name, no_ack=True) for name in simulation.app.amqp.queues)
        found = [got for get in gets for got in iter(get, None)]
    tasks = [(got.headers["task"], json.loads(got.body)[0]) for got in found]
    return [(name, arguments) for name, arguments in tasks if name.startswith(("call", "deliv", "platform."))]


def test_a_full_queue_of_the_platform_gets_no_more_comparisons(tmp_path: Path) -> None:
    with closing(Simulation(tmp_path, ORDERING__SOURCE="demo")) as simulation:
        simulation.place()
        list(waiting(simulation))
        fill(simulation, "platform", "orders.fetch")
        tick(simulation, schedulers=1)
        held_back = write_backs(simulation)
        tick(simulation, schedulers=1)
        assert (held_back, write_backs(simulation)) == (0, 1)


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


@pytest.mark.fault("F-59", "F-93")
def test_a_worker_sweeps_by_itself_only_while_no_other_sweep_runs(simulation: Simulation) -> None:
    def late(seconds: float) -> bool:
        simulation.now += timedelta(seconds=seconds)
        sweep = simulation.container.sweep
        return sweep.run_if_late(simulation.container.queue)

    assert late(0)  # nothing has ever swept
    tick(simulation, schedulers=1)
    assert [late(seconds) for seconds in (1, 3.5)] == [False, True]
    simulation.now += timedelta(seconds=5)
    tick(simulation, schedulers=1)
    assert [late(seconds) for seconds in (14, 2, 1, 4)] == [False, True, False, True]


@pytest.mark.fault("F-93")
def test_a_sweep_that_cannot_enqueue_anything_counts_as_none(simulation: Simulation) -> None:
    class Away:
        def depths(self, _queues: object) -> dict[str, int]:
            raise OperationalError

    tick(simulation, schedulers=1)
    simulation.now += timedelta(minutes=1)
    simulation.container.queue, queue = Away(), simulation.container.queue  # type: ignore[assignment]
    simulation.app.tasks["timers.sweep"]()
    assert simulation.container.sweep.run_if_late(queue)


def test_a_sweep_that_finds_the_database_away_logs_one_line_and_the_next_one_does_its_work(
    simulation: Simulation,
) -> None:
    simulation.place()
    with simulation.container.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE delivery RENAME TO elsewhere"))
    with capture_logs([merge_contextvars]) as logs:
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


@pytest.mark.fault("F-88")
def test_a_step_of_a_newer_version_is_told_once_and_stops_no_sweep(simulation: Simulation) -> None:
    simulation.place(store_id=STORE, order_id="newer")
    simulation.place(store_id=STORE, order_id="2")
    newer = simulation.delivery("newer").id
    list(waiting(simulation))
    with simulation.container.database.engine.begin() as connection:
        connection.execute(
            text("UPDATE delivery SET step = 'weigh_once', alarm_at = created_at WHERE order_id = 'newer'")
        )
    simulation.now += timedelta(minutes=1)
    with capture_logs() as logs:
        for _ in range(3):
            simulation.app.tasks["timers.sweep"]()
    assert [task for task in waiting(simulation) if task[0] != "events.publish"] == [("deliveries.book", 1)]
    assert [each for each in logs if each["event"].startswith("delivery.")] == [
        {"event": "delivery.step_unknown", "log_level": "warning", "step": "weigh_once"},
        {"event": "delivery.unreadable", "log_level": "error", "delivery_id": newer},  # its alarm is due
    ]


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
