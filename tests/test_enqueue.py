import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from structlog.testing import capture_logs

from tests.domain.scenario import START, a_blank, an_order
from worker.domain.delivery import Delivery, Step
from worker.enqueue import BATCH, TaskQueue, WakeUp, join_tasks, publish_task, step_tasks

SECOND = timedelta(seconds=1)
DUE = replace(a_blank(an_order()), step=Step.BOOK, carrier="cervo", next_run_at=START)


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery(broker="memory://") as app:
        sent(app)  # the memory belongs to the process, and may hold messages of other tests
        yield app


def sent(app: Celery) -> list[tuple[str, Any]]:
    """Remove the messages on the queue; return the name and the arguments of each task."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        messages = list(iter(partial(channel.basic_get, "celery", no_ack=True), None))
    return [(each.headers["task"], json.loads(each.body)[0]) for each in messages]


def due(*ids: str, **changes: Any) -> list[Delivery]:
    return [replace(DUE, id=each, **changes) for each in ids]


def test_deliveries_with_the_same_next_step_share_a_task(app: Celery) -> None:
    changed = [*due("a", "b"), *due("c", carrier="borzo"), *due("d", step=Step.ROUTE)]
    TaskQueue(app).enqueue_next_steps(changed, START)
    assert sent(app) == [
        ("deliveries.book", ["cervo", ["a", "b"]]),
        ("deliveries.book", ["borzo", ["c"]]),
        ("events.publish", []),
    ]


def shown(app: Celery) -> list[tuple[str, str]]:
    """Remove the messages on the queue; return the name and the arguments of each task as Flower shows them."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        messages = list(iter(partial(channel.basic_get, "celery", no_ack=True), None))
    return [(each.headers["shadow"], each.headers["argsrepr"]) for each in messages]


def test_flower_shows_the_account_and_the_orders_of_a_task(app: Celery) -> None:
    other = DUE.order.model_copy(update={"order_id": "77"})
    TaskQueue(app).enqueue_next_steps([*due("a"), *due("b", order=other), *due("c", carrier="borzo")], START)
    assert shown(app) == [
        ("deliveries.book cervo", "2011, 77"),
        ("deliveries.book borzo", "2011"),
        ("events.publish", ""),
    ]


def test_flower_shows_the_id_of_a_delivery_whose_order_is_not_known(app: Celery) -> None:
    tasks: list[WakeUp] = [("deliveries.track", ["borzo", ["a", "b"]]), ("callbacks.apply", ["c"])]
    TaskQueue(app).send([*tasks, ("carriers.probe", ["borzo"])], {"b": "2011"})
    assert shown(app) == [
        ("deliveries.track borzo", "a, 2011"),
        ("callbacks.apply", "c"),
        ("carriers.probe borzo", "borzo"),
    ]


def test_flower_shows_the_order_of_a_task_that_is_sent_again(app: Celery) -> None:
    queue = TaskQueue(app)
    queue.enqueue_next_steps(due("a"), START)
    shown(app)
    queue.send([("deliveries.book", ["cervo", ["a"]])])
    assert shown(app) == [("deliveries.book cervo", "2011")]


def test_flower_shows_only_the_first_ids_of_a_large_task(app: Celery) -> None:
    ids = [f"{number:08}" for number in range(50)]
    TaskQueue(app).send([("deliveries.track", ["borzo", ids])])
    assert shown(app) == [("deliveries.track borzo", f"{', '.join(ids[:20])}, ... (50 ids)")]


def test_a_step_that_is_not_due_yet_is_left_to_the_sweep(app: Celery) -> None:
    TaskQueue(app).enqueue_next_steps(due("a", next_run_at=START + SECOND), START)
    assert sent(app) == [("events.publish", [])]


@pytest.mark.parametrize(("events", "tasks"), [(False, []), (True, [("events.publish", [])])])
def test_without_a_change_the_relay_is_needed_only_for_other_events(
    app: Celery, *, events: bool, tasks: list[tuple[str, Any]]
) -> None:
    TaskQueue(app).enqueue_next_steps([], START, events=events)
    assert sent(app) == tasks


def test_a_task_has_a_limited_number_of_deliveries() -> None:
    assert step_tasks(Step.TRACK, "cervo", ["a", "b", "c"], 2) == [
        ("deliveries.track", ["cervo", ["a", "b"]]),
        ("deliveries.track", ["cervo", ["c"]]),
    ]


def test_while_a_relay_runs_no_task_to_publish_is_sent(app: Celery) -> None:
    queue = TaskQueue(app)
    found: list[list[tuple[str, Any]]] = []

    def send() -> bool:
        queue.send([publish_task(), ("other", [])])
        found.append(sent(app))
        return len(found) < 3

    send()
    queue.relay.run(send)
    assert found == [[("events.publish", []), ("other", [])], [("other", [])], [("other", [])]]


class Unreachable(Celery):
    """An app whose broker cannot be reached."""

    def producer_or_acquire(self, _producer: Any = None) -> Any:
        raise OperationalError


def test_an_unreachable_broker_is_only_logged() -> None:
    with Unreachable() as app, capture_logs() as logged:
        TaskQueue(app).send([publish_task(), ("orders.fetch", [])])
    assert logged == [{"event": "task.left_to_sweep", "error": "OperationalError", "count": 2, "log_level": "warning"}]


def book(account: str, *ids: object) -> WakeUp:
    return "deliveries.book", [account, list(ids)]


@pytest.mark.fault("F-92")
@pytest.mark.parametrize(
    ("task", "other", "joined"),
    [
        (book("a", "1"), book("a", "2", "3"), book("a", "1", "2", "3")),
        (book("a", "1", "2"), book("a", "2"), book("a", "1", "2")),
        (book("a", *range(BATCH - 1)), book("a", "last"), book("a", *range(BATCH - 1), "last")),
        (book("a", *range(BATCH)), book("a", "one more"), None),
        (book("a", *range(2 * BATCH)), book("a", 0), book("a", *range(2 * BATCH))),
        (book("a", "1"), book("b", "2"), None),
        (book("a", "1"), ("deliveries.cancel", ["a", ["2"]]), None),
        (("platform.write_back", ["1"]), ("platform.write_back", ["2"]), None),
        (("orders.fetch", []), ("orders.fetch", []), None),
    ],
)
def test_only_tasks_of_the_same_step_and_account_are_joined_up_to_a_batch(
    task: WakeUp, other: WakeUp, joined: WakeUp | None
) -> None:
    assert join_tasks(task, other) == joined
