"""A task returns its problems in one line, with which Flower shows it as failed."""

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from schemas.json_reader import MalformedError
from schemas.status import Reason
from tests.services.simulation import STORE_OF, Simulation
from worker.carriers.port import Callback, CallbackKey
from worker.database import accounts, callbacks
from worker.database.tables import WRITE_BACK
from worker.errors import Held, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.services import problems

TEXT = "+4566112233"


@pytest.mark.parametrize(
    ("response", "call", "read"),
    [
        ("a value", None, None),
        (Throttled(TEXT), None, None),
        (Held(TEXT), "waiting (creates held)", "waiting (creates held)"),
        (Unavailable(TEXT), "waiting (unavailable)", "waiting (unavailable)"),
        (Unavailable(TEXT, account=True), "waiting (account paused)", "waiting (account paused)"),
        (Uncertain(TEXT), "outcome unknown", "without answer"),
        (Refused(Reason.UNSERVICEABLE, TEXT), "refused (unserviceable)", "refused (unserviceable)"),
        (Unreadable(TEXT), "answer unreadable", "answer unreadable"),
        (MalformedError(TEXT), "answer unreadable", "answer unreadable"),
    ],
)
def test_a_problem_is_a_word_of_ours_and_never_the_carrier_s_text(
    response: object, call: str | None, read: str | None
) -> None:
    assert (problems.of_call(response), problems.of_read(response)) == (call, read)


def test_equal_problems_are_counted() -> None:
    refused = "refused (unserviceable)"
    assert (
        problems.describe([refused, None, "outcome unknown", refused]) == "1 outcome unknown, 2 refused (unserviceable)"
    )
    assert problems.describe([None, None]) == ""


def place(simulation: Simulation, carrier: str = "borzo", *order_ids: str) -> list[Any]:
    """Store orders of a shop whose only carrier this is; return the arguments of the tasks that wait for them."""
    ids = order_ids or ("2011",)
    for each in ids:
        simulation.place(store_id=STORE_OF[carrier], order_id=each)
    return [carrier, [simulation.delivery(each).id for each in ids]]


def in_a_worker(simulation: Simulation, task: str, arguments: list[Any]) -> tuple[str, str, Any]:
    """Run a task as a worker does; return its state and what the event about its end shows."""
    done: Any = simulation.app.tasks[task].apply(tuple(arguments))
    return done.state, repr(done.result), done.traceback


def test_a_task_without_problems_succeeds(simulation: Simulation) -> None:
    assert in_a_worker(simulation, "deliveries.book", place(simulation))[0] == "SUCCESS"
    assert simulation.status() == "created"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("error_after", "2 outcome unknown"),
        ("refused", "2 refused (unknown)"),
        ("unauthorized", "2 waiting (account paused)"),
    ],
)
def test_a_task_with_problems_has_stored_every_outcome_and_failed_because_of_them(
    simulation: Simulation, fault: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = place(simulation, "borzo", "1", "2")
    simulation.inject_fault(fault, "borzo", operation="create", times=2)
    with caplog.at_level(logging.INFO, "celery.app.trace"):
        assert in_a_worker(simulation, "deliveries.book", arguments) == ("FAILURE", why, None)
    assert simulation.status("1") == simulation.status("2") != "created"
    records = [each for each in caplog.records if each.name == "celery.app.trace"]
    assert [(each.levelname, each.exc_info) for each in records] == [("INFO", None)]
    assert why in caplog.text
    assert in_a_worker(simulation, "deliveries.book", arguments)[0] == "SUCCESS"  # nothing is due a second time


def test_a_task_of_a_paused_account_fails_as_long_as_orders_wait_for_the_account(simulation: Simulation) -> None:
    arguments = place(simulation)
    simulation.container.database.write(accounts.pause, "borzo", "operator", "x", simulation.now)
    why = "1 waiting (account paused)"
    assert in_a_worker(simulation, "deliveries.book", arguments) == ("FAILURE", why, None)
    assert in_a_worker(simulation, "deliveries.book", arguments)[0] == "SUCCESS"  # the order is postponed


def test_a_read_that_fails_is_a_problem_of_its_task(simulation: Simulation) -> None:
    arguments = place(simulation)
    simulation.work()
    simulation.now = simulation.delivery().next_run_at or simulation.now
    simulation.inject_fault("garbage", "borzo")
    assert in_a_worker(simulation, "deliveries.track", arguments) == ("FAILURE", "1 answer unreadable", None)


def test_a_create_that_cannot_be_looked_up_stays_a_problem(simulation: Simulation) -> None:
    arguments = place(simulation, "cervo")
    simulation.inject_fault("error_after", "cervo", operation="create")
    simulation.work()
    simulation.now = simulation.delivery().next_run_at or simulation.now
    why = "1 outcome unknown (no look-up)"
    assert in_a_worker(simulation, "deliveries.reconcile", arguments) == ("FAILURE", why, None)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Simulation]:
    """Return a simulation whose order 2011 came from the platform."""
    with closing(Simulation(tmp_path, ORDERING__SOURCE="demo")) as simulated:
        simulated.ask("POST", "/sandbox/ordering/orders", {"id": 2011})
        simulated.place()
        yield simulated


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "error_before"}, "1 waiting (unavailable)"),
        ({"kind": "error_after", "operation": "update"}, "1 outcome unknown"),
        ({"kind": "error_before", "operation": "update", "status": 422}, "1 refused (validation)"),
    ],
)
def test_a_comparison_that_fails_is_a_problem_of_its_task(
    platform: Simulation, fault: dict[str, Any], why: str
) -> None:
    platform.inject_fault(api="ordering", **fault)
    assert in_a_worker(platform, "platform.write_back", [platform.delivery().id]) == ("FAILURE", why, None)


def test_an_order_whose_status_differs_on_the_platform_is_a_problem_once(platform: Simulation) -> None:
    platform.until(lambda it: it.status() == "delivered")
    platform.ask("POST", "/sandbox/orders/ordering/2011/step", {"state": 2})
    arguments = [platform.delivery().id]
    platform.container.database.write(lambda it: it.execute(update(WRITE_BACK).values(due_at=platform.now)))
    assert in_a_worker(platform, "platform.write_back", arguments) == ("FAILURE", "1 platform differs", None)
    platform.container.database.write(lambda it: it.execute(update(WRITE_BACK).values(due_at=platform.now)))
    assert in_a_worker(platform, "platform.write_back", arguments)[0] == "SUCCESS"


def test_an_order_that_cannot_be_fetched_is_a_problem_of_the_task_until_it_is_a_dead_letter(
    simulation: Simulation,
) -> None:
    simulation.put_message("order.placed", {"order_id": "404404"})
    found = []
    for _ in range(3):
        found.append(in_a_worker(simulation, "orders.fetch", []))
        simulation.now += timedelta(hours=1)
    assert [why for _, why, _ in found] == [*["1 refused (validation)"] * 2, "1 dead letter"]
    assert in_a_worker(simulation, "orders.fetch", [])[0] == "SUCCESS"


def test_a_callback_that_cannot_be_read_is_a_problem_of_its_task(simulation: Simulation) -> None:
    simulation.place_at("borzo", "2011")
    (attempt,) = simulation.delivery().attempts
    stored = simulation.container.database.write(
        callbacks.save, "borzo", Callback("POST", b"{}"), simulation.now, CallbackKey(), attempt.id
    )
    why = "1 callback unreadable"
    assert in_a_worker(simulation, "callbacks.apply", [stored]) == ("FAILURE", why, None)
    assert in_a_worker(simulation, "callbacks.apply", [stored])[0] == "SUCCESS"


def test_flower_shows_the_order_of_a_comparison_and_of_a_callback(platform: Simulation) -> None:
    platform.work()
    platform.place(order_id="2011", status=1)
    (attempt,) = platform.delivery().attempts
    platform.container.database.write(
        callbacks.save, attempt.carrier, Callback("POST", b"{}", token="t"), platform.now, CallbackKey(), attempt.id
    )
    list(sent(platform))
    platform.now += timedelta(seconds=5)
    platform.app.tasks["timers.sweep"]()
    shown = {
        name: arguments for name, arguments in sent(platform) if name in {"platform.write_back", "callbacks.apply"}
    }
    assert shown == {"platform.write_back": "2011", "callbacks.apply": "2011"}


def sent(simulation: Simulation) -> Iterator[tuple[str, str]]:
    """Remove the messages that wait; yield the name and the shown arguments of each task."""
    with simulation.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for queue in simulation.app.amqp.queues:
            for got in iter(partial(channel.basic_get, queue, no_ack=True), None):
                yield got.headers["task"], got.headers["argsrepr"]


def test_a_task_that_is_called_directly_returns_its_problems(simulation: Simulation) -> None:
    arguments = place(simulation)
    simulation.inject_fault("error_after", "borzo", operation="create")
    assert simulation.app.tasks["deliveries.book"](*arguments) == "1 outcome unknown"


def test_monitors_see_only_the_kind_of_an_error_and_the_log_has_the_traceback(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> str:
        raise ValueError(f"<b>{TEXT}</b>")

    arguments = place(simulation)
    monkeypatch.setattr(type(simulation.container.carrier_calls), "execute", fail)
    assert in_a_worker(simulation, "deliveries.book", arguments) == ("FAILURE", "ValueError", None)
    (record,) = caplog.records
    assert (record.levelname, bool(record.exc_info)) == ("ERROR", True)
    assert "in fail" in caplog.text
