"""Two beats do what one does, and after a time without any the work is taken up in order, not all at once twice."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.services.simulation import Simulation

STORE = "21"


def waiting(simulation: Simulation) -> Iterator[tuple[str, int]]:
    """Take the hints that wait off their queues; tell each task and how many deliveries it is for."""

    with simulation.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for name in simulation.app.amqp.queues:
            while got := channel.basic_get(name, no_ack=True):
                arguments, _, _ = json.loads(got.body)
                yield got.headers["task"], len(arguments[1]) if len(arguments) > 1 else 0


def tick(simulation: Simulation, *, beats: int) -> None:
    """Let every beat tick once, and all that comes of it be done together."""
    for _ in range(beats):
        simulation.app.tasks["timers.sweep"]()
        simulation.app.tasks["events.publish"]()


def live(folder: Path, *, beats: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Let an order live to its end; tell what was told and what the carrier really did."""
    simulation = Simulation(folder)
    try:
        simulation.place(store_id=STORE)
        for _ in range(30):
            simulation.now += timedelta(seconds=120)
            simulation.call_back()
            tick(simulation, beats=beats)
            simulation.work()
        return simulation.published(), simulation.ledger()
    finally:
        simulation.close()


@pytest.mark.fault("F-59")
@pytest.mark.quirk("X-06")
def test_two_beats_do_what_one_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    one, two = (live(tmp_path_factory.mktemp("street"), beats=beats) for beats in (1, 2))
    assert one == two
    assert one[0][-1] == "delivered"


@pytest.mark.fault("F-59")
@pytest.mark.quirk("X-06")
def test_a_second_sweep_hands_nothing_out_again(simulation: Simulation) -> None:
    for number in range(30):
        simulation.place(store_id=STORE, order_id=str(number))
    list(waiting(simulation))  # every hint is lost
    simulation.now += timedelta(minutes=1)
    tick(simulation, beats=1)
    first = [hint for hint in waiting(simulation) if hint[0] != "events.publish"]
    tick(simulation, beats=1)
    assert first == [("deliveries.book", 25), ("deliveries.book", 5)]
    assert list(waiting(simulation)) == []


@pytest.mark.fault("F-59")
def test_after_ten_minutes_without_a_beat_each_delivery_is_handed_out_once(simulation: Simulation) -> None:
    for number in range(20):
        simulation.place(store_id=STORE, order_id=str(number))
    simulation.work()
    created = simulation.ledger()
    simulation.now += timedelta(minutes=10)
    tick(simulation, beats=2)
    tracked = Counter(waiting(simulation))
    assert sum(count * size for (task, size), count in tracked.items() if task == "deliveries.track") == 20
    assert len(tracked) <= 2
    assert (simulation.ledger(), len(created)) == (created, 20)
