"""Test events reach the subscribers, and real events are as without them."""

import json
from typing import Any

from schemas.events import EventType
from tests.services.simulation import Simulation
from worker.database import attempt_events


def on_the_stream(simulation: Simulation) -> list[dict[str, Any]]:
    return [json.loads(fields[b"event"]) for _, fields in simulation.redis.xrange("deliveries")]


def send(simulation: Simulation, kind: EventType = EventType.STATUS_CHANGED) -> str:
    return simulation.container.sample_events.send(kind, None, "platform")


def test_each_test_event_is_published_once_and_is_the_first_of_its_key(simulation: Simulation) -> None:
    sent = [send(simulation), send(simulation)]
    simulation.work()
    simulation.container.relay.publish()
    published = on_the_stream(simulation)
    assert [event["id"] for event in published] == sent
    assert len({event["partitionkey"] for event in published}) == 2
    assert {(event["source"], event["sequence"]) for event in published} == {("/order-sync/test", "0000000001")}


def test_a_delivery_has_the_same_events_with_test_events_between_them(simulation: Simulation) -> None:
    simulation.place()
    while not simulation.delivery().final:
        for kind in (EventType.STATUS_CHANGED, EventType.CARRIER_PAUSED, EventType.SKIPPED):
            send(simulation, kind)
        simulation.pass_time(30)
    real = [event for event in on_the_stream(simulation) if event["source"] == "/order-sync"]
    assert [event["data"]["sequence"] for event in real] == list(range(1, len(real) + 1))
    assert real == simulation.events()
    assert simulation.published() == ["queued", "created", "courier_assigned", "picked_up", "delivered"]


def test_the_reports_and_metrics_count_no_test_event(simulation: Simulation) -> None:
    simulation.place()
    read = simulation.container.database.read
    before = read(attempt_events.between, 0, 1000)
    for kind in attempt_events.KINDS:
        send(simulation, kind)
    assert len(before) == 1
    assert read(attempt_events.between, 0, 1000) == before


def test_a_test_event_needs_no_broker(simulation: Simulation) -> None:
    simulation.lose_wake_ups = True
    identity = send(simulation)
    simulation.work()
    assert on_the_stream(simulation) == []
    simulation.lose_wake_ups = False
    simulation.pass_time(60)
    assert [event["id"] for event in on_the_stream(simulation)] == [identity]
