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


def waiting(street: Simulation) -> Iterator[tuple[str, int]]:
    """Take the hints that wait off their queues; tell each task and how many deliveries it is for."""

    with street.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for name in street.app.amqp.queues:
            while got := channel.basic_get(name, no_ack=True):
                arguments, _, _ = json.loads(got.body)
                yield got.headers["task"], len(arguments[1]) if len(arguments) > 1 else 0


def tick(street: Simulation, *, beats: int) -> None:
    """Let every beat tick once, and all that comes of it be done together."""
    for _ in range(beats):
        street.app.tasks["timers.sweep"]()
        street.app.tasks["events.publish"]()


def live(folder: Path, *, beats: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Let an order live to its end; tell what was told and what the carrier really did."""
    street = Simulation(folder)
    try:
        street.place(store_id=STORE)
        for _ in range(30):
            street.now += timedelta(seconds=120)
            street.call_back()
            tick(street, beats=beats)
            street.work()
        return street.told(), street.ledger()
    finally:
        street.close()


@pytest.mark.fault("F-59")
@pytest.mark.quirk("X-06")
def test_two_beats_do_what_one_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    one, two = (live(tmp_path_factory.mktemp("street"), beats=beats) for beats in (1, 2))
    assert one == two
    assert one[0][-1] == "delivered"


@pytest.mark.fault("F-59")
@pytest.mark.quirk("X-06")
def test_a_second_sweep_hands_nothing_out_again(street: Simulation) -> None:
    for number in range(30):
        street.place(store_id=STORE, order_id=str(number))
    list(waiting(street))  # every hint is lost
    street.now += timedelta(minutes=1)
    tick(street, beats=1)
    first = [hint for hint in waiting(street) if hint[0] != "events.publish"]
    tick(street, beats=1)
    assert first == [("deliveries.book", 25), ("deliveries.book", 5)]
    assert list(waiting(street)) == []


@pytest.mark.fault("F-59")
def test_after_ten_minutes_without_a_beat_each_delivery_is_handed_out_once(street: Simulation) -> None:
    for number in range(20):
        street.place(store_id=STORE, order_id=str(number))
    street.work()
    created = street.ledger()
    street.now += timedelta(minutes=10)
    tick(street, beats=2)
    tracked = Counter(waiting(street))
    assert sum(count * size for (task, size), count in tracked.items() if task == "deliveries.track") == 20
    assert len(tracked) <= 2
    assert (street.ledger(), len(created)) == (created, 20)
