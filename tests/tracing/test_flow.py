"""The spans of orders, from the message to the events: in the trace of the order, or linked to it."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from structlog.testing import capture_logs

from tests.services.simulation import Simulation, order_document
from tests.tracing.conftest import Recorded
from worker import tracing
from worker.database import carrier_calls

TRACE_ID, OTHER_ID = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"
MESSAGE = "b7ad6b7169203331"
"""The id of the span that sent the message."""
HOST = {"server.address": "127.0.0.1", "server.port": 8100}


def traced(trace_id: str = TRACE_ID, **order: Any) -> str:
    trace = {"traceparent": f"00-{trace_id}-{MESSAGE}-01", "tracestate": "shop=17"}
    return json.dumps(json.loads(order_document(**order)) | trace)


def described(spans: Sequence[ReadableSpan]) -> list[tuple[str, str, str | None, tuple[str, ...], dict[str, Any]]]:
    """Return the name, kind, parent, links and attributes of each span, without those of the database.

    Spans that are not recorded are named by their ids.
    """
    names = {f"{each.context.span_id:016x}": each.name for each in spans if each.context}
    ids = [
        (each, f"{each.parent.span_id:016x}" if each.parent else None, [link.context for link in each.links])
        for each in spans
        if not is_transaction(each)
    ]
    return [
        (
            each.name,
            each.kind.name,
            names.get(parent, parent) if parent else None,
            tuple(names.get(f"{link.span_id:016x}", f"{link.trace_id:032x}") for link in links),
            dict(each.attributes or {}),
        )
        for each, parent, links in ids
    ]


def is_transaction(span: ReadableSpan) -> bool:
    return "db.system.name" in (span.attributes or {})


def trace_ids(spans: Iterable[ReadableSpan]) -> list[str]:
    return [f"{each.context.trace_id:032x}" for each in spans if each.context]


def of(spans: Iterable[ReadableSpan], start: str) -> list[ReadableSpan]:
    return [each for each in spans if each.name.startswith(start)]


def test_an_order_is_traced_from_its_message_to_its_events(simulation: Simulation, recorded: Recorded) -> None:
    simulation.put(traced(store_id="21"))
    simulation.work()
    spans = recorded.take()
    delivery = simulation.delivery()
    queued, created = simulation.events()
    about_message = {
        "messaging.operation.type": "process",
        "messaging.message.id": "demo-2011",
        "cloudevents.event_source": "demo",
        "order_sync.order_id": "2011",
        "order_sync.delivery_id": delivery.id,
    }
    about_task = {"order_sync.account": "borzo", "order_sync.delivery_id": delivery.id}
    about_call = {
        "order_sync.account": "borzo",
        **HOST,
        "http.request.method": "POST",
        "url.template": "/api/business/1.6/create-order",
        "http.response.status_code": 200,
    }
    assert described(spans) == [
        ("process order.placed", "CONSUMER", MESSAGE, ("receive orders",), about_message),
        ("receive orders", "CONSUMER", None, (), {"messaging.operation.type": "receive"}),
        ("send delivery.status_changed", "PRODUCER", MESSAGE, ("events.publish",), about_event(queued)),
        ("events.publish", "CONSUMER", None, (), {}),
        ("POST /api/business/1.6/create-order", "CLIENT", MESSAGE, ("deliveries.book",), about_call),
        ("deliveries.book", "CONSUMER", None, (), about_task),
        ("send delivery.status_changed", "PRODUCER", MESSAGE, ("events.publish",), about_event(created)),
        ("events.publish", "CONSUMER", None, (), {}),
    ]
    in_the_trace = [each.name for each in spans if each.context and f"{each.context.trace_id:032x}" == TRACE_ID]
    assert in_the_trace == [
        "process order.placed",
        "send delivery.status_changed",
        "POST /api/business/1.6/create-order",
        "send delivery.status_changed",
    ]


def about_event(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "messaging.operation.type": "send",
        "messaging.message.id": event["id"],
        "cloudevents.event_type": event["type"],
        "order_sync.key": event["partitionkey"],
    }


def test_each_transaction_of_a_task_is_a_span_named_after_its_function(
    simulation: Simulation, recorded: Recorded
) -> None:
    simulation.put(traced(store_id="21"))
    spans = recorded.take()
    names = {each.context.span_id: each.name for each in spans if each.context}
    found = [(each.name, names[each.parent.span_id]) for each in spans if is_transaction(each) and each.parent]
    assert found == [("db ingest.store_in", "receive orders")]
    assert {frozenset((each.attributes or {}).items()) for each in spans if is_transaction(each)} == {
        frozenset({("db.system.name", "sqlite")})
    }


def test_a_create_without_a_task_of_the_queue_is_traced_as_one_with_a_task(
    simulation: Simulation, recorded: Recorded
) -> None:
    problems: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        simulation.direct_booking = lambda: simulation.container.direct_booking(
            lambda: ["borzo"], threads, lambda _name, _arguments, work: problems.append(work())
        )
        simulation.put(traced(store_id="21"))
    spans = recorded.take()
    shown = [each[:4] for each in described([*of(spans, "POST"), *of(spans, "deliveries.book")])]
    assert problems == [""]
    assert shown == [
        ("POST /api/business/1.6/create-order", "CLIENT", MESSAGE, ("deliveries.book",)),
        ("deliveries.book", "CONSUMER", None, ()),
    ]


def test_a_callback_is_received_in_a_trace_of_its_own_and_applied_in_that_of_its_order(
    simulation: Simulation, recorded: Recorded
) -> None:
    simulation.put(traced(store_id="21"))
    simulation.work()
    recorded.take()
    simulation.until(lambda it: it.status() != "created")
    spans = recorded.take()
    received, applied = of(spans, "POST /callbacks")[0], of(spans, "apply callback")
    assert described([received]) == [
        (
            "POST /callbacks/{carrier}",
            "SERVER",
            None,
            (),
            {
                "http.request.method": "POST",
                "http.route": "/callbacks/{carrier}",
                "order_sync.account": "borzo",
                "http.response.status_code": 200,
            },
        )
    ]
    assert set(trace_ids(applied)) == {TRACE_ID}
    assert TRACE_ID not in trace_ids([received, *of(spans, "callbacks.apply")])


def test_a_read_of_several_orders_is_in_the_task_and_links_to_the_trace_of_each(
    simulation: Simulation, recorded: Recorded
) -> None:
    simulation.put(traced(store_id="17", order_id="1"))
    simulation.put(traced(OTHER_ID, store_id="17", order_id="2"))
    simulation.work()
    recorded.take()
    simulation.until(lambda it: it.statuses("1", "2") != ["created", "created"])
    (call, *_) = of(recorded.take(), "GET /api/v1/order/{id}")
    ((name, kind, parent, links, attributes),) = described([call])
    assert (name, kind, sorted(links)) == ("GET /api/v1/order/{id}/{id}/{id}", "CLIENT", [TRACE_ID, OTHER_ID])
    assert parent is not None
    assert attributes["order_sync.account"] == "deliverit"


def test_an_order_without_a_trace_gets_that_of_its_message(simulation: Simulation, recorded: Recorded) -> None:
    simulation.place(store_id="21")
    simulation.work()
    (message,) = of(recorded.take(), "process")
    assert message.context is not None
    expected = f"00-{message.context.trace_id:032x}-{message.context.span_id:016x}-{message.context.trace_flags:02x}"
    assert {event["traceparent"] for event in simulation.events()} == {expected}
    (call,) = simulation.container.database.read(carrier_calls.of_attempts, [simulation.delivery().attempts[0].id])
    assert call.trace_id == f"{message.context.trace_id:032x}"


def test_a_call_without_a_reply_is_an_error_without_its_text(simulation: Simulation, recorded: Recorded) -> None:
    simulation.inject_fault("error_after", "borzo", operation="create")
    simulation.put(traced(store_id="21"))
    simulation.work()
    (call,) = of(recorded.take(), "POST")
    assert call.attributes is not None
    assert (call.status.status_code.name, call.status.description) == ("ERROR", None)
    assert call.attributes["error.type"] == str(call.attributes["http.response.status_code"])


def test_a_task_that_fails_is_an_error_without_the_text_of_its_error(
    simulation: Simulation, recorded: Recorded
) -> None:
    with pytest.raises(TypeError):
        simulation.app.tasks["callbacks.apply"](1, 2, 3)
    (task,) = recorded.take()
    assert (task.name, task.attributes, task.events) == ("callbacks.apply", {"error.type": "TypeError"}, ())


def test_log_lines_have_the_ids_of_the_present_span(simulation: Simulation, recorded: Recorded) -> None:
    codec = simulation.container.codecs["borzo"]
    with capture_logs([tracing.add_ids]) as lines:
        simulation.place_at("borzo", "1")
    (task,) = of(recorded.take(), "deliveries.book")
    (line,) = [each for each in lines if each["event"] == "delivery.outcomes_recorded"]
    assert task.context is not None
    ids = (line["trace_id"], line["span_id"])
    assert (ids, codec.account.name) == ((f"{task.context.trace_id:032x}", f"{task.context.span_id:016x}"), "borzo")


@pytest.mark.quirk("X-15")
@pytest.mark.parametrize("store", ["34", "21", "17"])
def test_no_span_contains_the_customer_or_a_credential(store: str, simulation: Simulation, recorded: Recorded) -> None:
    simulation.ask("POST", "/sandbox/ordering/orders", {"id": 2011})
    simulation.put(traced(store_id=store))
    simulation.until(lambda it: it.status() == "delivered")
    order, attempt = simulation.delivery().order, simulation.delivery().attempts[0]
    text = " ".join(each.to_json() for each in recorded.take())
    secrets = [order.customer.name, order.customer.phone, order.dropoff.street, attempt.token, "sandbox-"]
    assert [each for each in secrets if each in text] == []
    assert "deliveries.book" in text
