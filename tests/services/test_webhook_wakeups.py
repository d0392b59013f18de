"""What wakes up the deliverer of a subscriber: the relay, the sweep, and a worker without Redis."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from tests.services.simulation import START, Simulation
from tests.services.webhook_receivers import BROKEN, SECRET, ScriptedSender
from worker.bus import streams
from worker.bus.streams import Bus
from worker.database import subscribers
from worker.database.outbox import events
from worker.domain.subscriber import Subscriber
from worker.enqueue import NO_ORDER_IDS, OrderIds, WakeUp
from worker.services.sweep import FULL, LATE_SECONDS
from worker.services.troubles import Troubles
from worker.services.webhooks import TASK

UNAVAILABLE_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def sender(simulation: Simulation) -> ScriptedSender:
    created = ScriptedSender()
    simulation.container.webhook_sender = created
    return created


def add(simulation: Simulation) -> None:
    kitchen = Subscriber("kitchen", "https://kitchen.example/", (), (SECRET,), 0, START)
    simulation.container.database.write(subscribers.add, kitchen)


def recorded(simulation: Simulation) -> list[str]:
    return [body for _, body in simulation.container.database.read(events)]


def got(sender: ScriptedSender) -> list[str]:
    return [each.body.decode() for each in sender.posts]


class QueueInThisThread:
    """A queue that runs each task at once, in place of the threads of a worker."""

    def __init__(self, simulation: Simulation) -> None:
        self._tasks = simulation.app.tasks

    def send(self, tasks: Iterable[WakeUp], _orders: OrderIds = NO_ORDER_IDS) -> None:
        for name, arguments in tasks:
            self._tasks[name](*arguments)

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(queues, 0)


def test_a_subscriber_gets_the_events_of_an_order_while_they_come_up(
    simulation: Simulation, sender: ScriptedSender
) -> None:
    add(simulation)
    simulation.place()
    simulation.work()
    assert got(sender) == recorded(simulation)
    simulation.until(lambda it: it.status() == "delivered")
    assert got(sender) == recorded(simulation)


def test_the_sweep_wakes_up_the_deliverer_of_a_subscriber_that_the_relay_does_not_know(
    simulation: Simulation, sender: ScriptedSender
) -> None:
    simulation.place()
    simulation.work()
    add(simulation)
    simulation.place(order_id="2012")
    simulation.work()
    assert got(sender) == []
    simulation.pass_time(1)
    assert sorted(got(sender)) == sorted(recorded(simulation))


def test_the_sweep_sends_no_task_to_a_queue_that_nobody_serves(simulation: Simulation, sender: ScriptedSender) -> None:
    add(simulation)
    simulation.place()
    simulation.unserved = frozenset({"webhooks"})
    simulation.container.queue.send([(TASK, ["kitchen"])] * (FULL + 1))
    simulation.app.tasks["timers.sweep"]()
    assert simulation.container.queue.depths(["webhooks"]) == {"webhooks": FULL + 1}
    assert got(sender) == []


def test_an_event_that_failed_is_sent_again_when_its_time_has_come(
    simulation: Simulation, sender: ScriptedSender
) -> None:
    sender.answer = lambda _key, _sequence: BROKEN
    add(simulation)
    simulation.place()
    simulation.work()
    (first, *_) = recorded(simulation)
    assert got(sender) == [first]
    simulation.pass_time(4)
    assert got(sender) == [first]
    simulation.pass_time(2)
    assert got(sender) == [first] * 2


def test_without_redis_a_worker_sends_the_events_from_the_database(
    simulation: Simulation, sender: ScriptedSender
) -> None:
    add(simulation)
    simulation.place()
    simulation.container.bus = Bus(streams.connect(UNAVAILABLE_REDIS), orders="orders", events="deliveries")
    simulation.now += timedelta(seconds=LATE_SECONDS + 1)
    assert simulation.container.sweep.run_if_late(QueueInThisThread(simulation))
    assert got(sender) == recorded(simulation) != []


def test_a_subscriber_that_does_not_accept_its_events_is_a_trouble(
    simulation: Simulation, sender: ScriptedSender
) -> None:
    def titles() -> list[str]:
        troubles: Troubles = simulation.container.troubles
        return [each.title for each in troubles.find() if each.kind.startswith("subscriber")]

    sender.answer = lambda _key, _sequence: BROKEN
    add(simulation)
    simulation.place()
    simulation.work()
    assert titles() == []
    simulation.now += timedelta(minutes=16)
    assert titles() == ["The subscriber kitchen is behind"]
    simulation.now += timedelta(days=1)
    simulation.container.webhooks.deliver("kitchen")
    assert titles() == ["The subscriber kitchen is disabled"]
