"""The trace of the message that placed an order is on all its events, and on the records of its calls."""

import json
from typing import Any

from tests.services.simulation import Simulation, order_document
from worker.database import carrier_calls, deliveries, inbox
from worker.services.timeline import Kind

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "tracestate": "shop=17"}
NONE = (None, None)


def traced(document: str, **trace: Any) -> str:
    return json.dumps(json.loads(document) | (trace or TRACE))


def traces(simulation: Simulation, order_id: str = "2011") -> set[tuple[str | None, str | None]]:
    return {(event["traceparent"], event["tracestate"]) for event in simulation.events(order_id)}


def test_every_event_of_an_order_has_the_trace_of_the_message_that_placed_it(simulation: Simulation) -> None:
    simulation.put(traced(order_document(store_id="21")))
    simulation.until(lambda it: it.status() == "delivered")
    assert traces(simulation) == {tuple(TRACE.values())}


def test_the_events_of_an_order_without_a_trace_have_none(simulation: Simulation) -> None:
    simulation.put(traced(order_document(), traceparent="00-zz"))
    simulation.work()
    assert traces(simulation) == {NONE}
    assert "trace" not in (simulation.container.timelines.of(simulation.delivery())[2].detail or "")


def test_a_later_message_does_not_replace_the_trace_of_an_order(simulation: Simulation) -> None:
    simulation.put(traced(order_document()))
    later = json.loads(order_document(revision=2, notes="ring twice")) | {"id": "later"}
    simulation.put(json.dumps(later | {"traceparent": TRACE["traceparent"].replace("b7", "c8")}))
    simulation.work()
    assert simulation.delivery().order.notes == "ring twice"
    assert traces(simulation) == {tuple(TRACE.values())}


def test_an_order_that_is_fetched_has_the_trace_of_the_message_that_named_it(simulation: Simulation) -> None:
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 5150, "business_id": 17})
    message = {"specversion": "1.0", "id": "named", "type": "order.placed", "data": {"order_id": "5150"}}
    simulation.put(json.dumps(message | TRACE))
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "5150")))
    simulation.work()
    assert traces(simulation, "5150") == {tuple(TRACE.values())}


def test_a_dead_letter_of_an_order_that_cannot_be_fetched_keeps_the_trace(simulation: Simulation) -> None:
    message = {"specversion": "1.0", "id": "named", "type": "order.placed", "data": {"order_id": "404404"}}
    simulation.put(json.dumps(message | TRACE))
    simulation.until(lambda it: bool(it.container.database.read(inbox.dead_letters, 1)), step=60)
    (letter,) = simulation.container.database.read(inbox.dead_letters, 5)
    assert json.loads(letter["raw"]).items() >= TRACE.items()


def test_the_event_of_a_skipped_order_has_the_trace_of_its_message(simulation: Simulation) -> None:
    simulation.put(traced(order_document(delivery_type="pickup")))
    simulation.work()
    assert (simulation.published(), traces(simulation)) == (["order.skipped"], {tuple(TRACE.values())})


def test_the_record_of_a_call_has_the_trace_of_its_order(simulation: Simulation) -> None:
    simulation.put(traced(order_document(store_id="21")))
    simulation.work()
    delivery = simulation.delivery()
    (call,) = simulation.container.database.read(carrier_calls.of_attempts, [delivery.attempts[0].id])
    (shown,) = [each for each in simulation.container.timelines.of(delivery) if each.kind is Kind.CALL]
    assert (call.trace_id, (shown.detail or "").splitlines()[-1]) == (TRACE_ID, f"trace {TRACE_ID}")
