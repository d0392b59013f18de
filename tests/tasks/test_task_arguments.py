"""What tasks carry: Flower and the broker show it to whoever looks."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from celery.signals import before_task_publish
from kombu import Message
from kombu.utils.imports import symbol_by_name

from tests.services.simulation import Simulation

STORES = {"1": "34", "2": "21", "3": "17"}
NAMES = re.compile(r"cervo|borzo|deliverit|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An account's name, or an id of ours."""
Sent = dict[str, list[tuple[Any, Any]]]


@pytest.fixture
def sent(simulation: Simulation) -> Iterator[Sent]:
    """Everything that is sent while the simulation lives: arguments with and without a name, by task."""
    seen: Sent = {name: [] for name in simulation.app.tasks}

    def note(sender: str, body: Any, **_more: Any) -> None:
        seen[sender].append(body[:2])

    before_task_publish.connect(note)
    yield seen
    before_task_publish.disconnect(note)


def words(arguments: list[Any]) -> list[str]:
    return [str(word) for each in arguments for word in (each if isinstance(each, list) else [each])]


@pytest.mark.quirk("X-07")
def test_a_task_names_accounts_and_ids_and_nothing_else(simulation: Simulation, sent: Sent) -> None:
    for order_id, store_id in STORES.items():
        simulation.place(order_id=order_id, store_id=store_id)
    simulation.until(lambda it: {it.status(order_id) for order_id in STORES} == {"delivered"})
    assert {"deliveries.book", "deliveries.track", "callbacks.apply", "events.publish"} <= {
        name for name, bodies in sent.items() if bodies
    }
    arguments, named = zip(*(body for bodies in sent.values() for body in bodies), strict=True)
    assert [word for each in arguments for word in words(each) if not NAMES.fullmatch(word)] == []
    assert not any(named)


@pytest.mark.quirk("X-07")
def test_the_one_task_that_carries_an_order_shows_nothing_of_it(simulation: Simulation) -> None:
    task = simulation.app.tasks["orders.receive"]
    asked = simulation.app.amqp.as_task_v2("id", task.name, args=({"data": {"phone": "+4566112233"}},))
    message = Message(json.dumps(asked.body), headers=asked.headers, content_type="application/json")
    request = symbol_by_name(task.Request)(
        message, app=simulation.app, task=task, body=asked.body, headers=asked.headers, decoded=True
    )
    assert "66112233" in str(asked.headers["argsrepr"])
    assert "66112233" not in f"{request.argsrepr} {request.kwargsrepr} {request!r} {request.info()}"
