"""A task returns its problems in one line, with which Flower shows it as failed."""

import logging
from typing import Any

import pytest

from schemas.status import Reason
from tests.services.simulation import STORE_OF, Simulation
from worker.database import accounts
from worker.errors import Held, Refused, Throttled, Unavailable, Uncertain, Unreadable
from worker.services import problems

TEXT = "+4566112233"


@pytest.mark.parametrize(
    ("response", "call", "read"),
    [
        ("a value", None, None),
        (Throttled(TEXT), None, None),
        (Held(TEXT), "waiting (creates held)", "waiting (creates held)"),
        (Unavailable(TEXT), "waiting (carrier unavailable)", "waiting (carrier unavailable)"),
        (Unavailable(TEXT, account=True), "waiting (account paused)", "waiting (account paused)"),
        (Uncertain(TEXT), "outcome unknown", "without answer"),
        (Refused(Reason.UNSERVICEABLE, TEXT), "refused (unserviceable)", "refused (unserviceable)"),
        (Unreadable(TEXT), "answer unreadable", "answer unreadable"),
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
    assert [(each.levelname, each.exc_info) for each in caplog.records] == [("INFO", None)]
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
