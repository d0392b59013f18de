"""The arguments of tasks, which the broker and Flower show to everybody who may look at them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.signals import before_task_publish
from kombu import Message
from kombu.utils.imports import symbol_by_name

from tests.services.simulation import Simulation

STORES = {"1": "34", "2": "21", "3": "17"}
ACCOUNT_OR_ID = re.compile(r"cervo|borzo|deliverit|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Sent = dict[str, list[tuple[Any, Any]]]
SHOWN = re.compile(rf"(({ACCOUNT_OR_ID.pattern}|[123])(, |$))*")
UNSEEN = {"timers.sweep", "events.publish", "maintenance.purge", "webhooks.deliver"}


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    started = Simulation(tmp_path)
    yield started
    started.close()


@pytest.fixture
def sent(simulation: Simulation) -> Iterator[Sent]:
    """Record the positional and the keyword arguments of every task that is sent."""
    seen: Sent = {name: [] for name in simulation.app.tasks}

    def record(sender: str, body: Any, **_more: Any) -> None:
        seen[sender].append(body[:2])

    before_task_publish.connect(record)
    yield seen
    before_task_publish.disconnect(record)


def texts(arguments: list[Any]) -> list[str]:
    return [str(text) for each in arguments for text in (each if isinstance(each, list) else [each])]


@pytest.mark.quirk("X-07")
def test_the_arguments_of_tasks_are_accounts_and_ids_only(simulation: Simulation, sent: Sent) -> None:
    for order_id, store_id in STORES.items():
        simulation.place(order_id=order_id, store_id=store_id)
    simulation.until(lambda it: {it.status(order_id) for order_id in STORES} == {"delivered"})
    assert {"deliveries.book", "deliveries.track", "callbacks.apply", "events.publish"} <= {
        name for name, bodies in sent.items() if bodies
    }
    positional, keywords = zip(*(body for bodies in sent.values() for body in bodies), strict=True)
    assert [text for each in positional for text in texts(each) if not ACCOUNT_OR_ID.fullmatch(text)] == []
    assert not any(keywords)


@pytest.fixture
def shown() -> Iterator[set[str]]:
    """Record what Flower shows as the arguments of the tasks that are sent."""
    seen: set[str] = set()

    def record(sender: str, headers: Any, **_more: Any) -> None:  # noqa: ARG001 - as Celery calls it
        seen.add(headers["argsrepr"])

    before_task_publish.connect(record)
    yield seen
    before_task_publish.disconnect(record)


@pytest.mark.quirk("X-07")
def test_flower_shows_only_accounts_and_ids_as_arguments(simulation: Simulation, shown: set[str]) -> None:
    for order_id, store_id in STORES.items():
        simulation.place(order_id=order_id, store_id=store_id)
    simulation.until(lambda it: {it.status(order_id) for order_id in STORES} == {"delivered"})
    assert shown >= {"", "1", "2", "3"}
    assert [text for text in shown if not SHOWN.fullmatch(text)] == []


def test_the_tasks_that_belong_to_no_order_send_no_events_to_flower(simulation: Simulation) -> None:
    ours = [task for name, task in simulation.app.tasks.items() if not name.startswith("celery.")]
    assert {task.name for task in ours if not task.send_events} == UNSEEN


@pytest.mark.quirk("X-07")
def test_the_request_of_the_one_task_that_carries_an_order_shows_nothing_of_it(simulation: Simulation) -> None:
    task = simulation.app.tasks["orders.receive"]
    sent = simulation.app.amqp.as_task_v2("id", task.name, args=({"data": {"phone": "+4566112233"}},))
    message = Message(json.dumps(sent.body), headers=sent.headers, content_type="application/json")
    request = symbol_by_name(task.Request)(
        message, app=simulation.app, task=task, body=sent.body, headers=sent.headers, decoded=True
    )
    assert "66112233" in str(sent.headers["argsrepr"])
    assert "66112233" not in f"{request.argsrepr} {request.kwargsrepr} {request!r} {request.info()}"
