"""The answer to a commit is lost, and its transaction is repeated although other processes have gone on meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from schemas.status import AttentionReason, Reason
from tests.database.commits import lose_next_commit
from tests.services.gateways import Meanwhile, ScriptedGateway
from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.database.database import Database
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, OfferDecision, Step
from worker.domain.operator import Operator
from worker.errors import Refused, Unavailable, Uncertain
from worker.http.call import Call, Operation

pytestmark = pytest.mark.fault("F-70")
OPERATOR = Operator("maria")


@pytest.fixture(params=["sqlite", "postgresql"])
def simulation(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """Return a simulation on either database, which repeats a transaction without a pause."""
    more = {} if request.param == "sqlite" else {"DATABASE_URL": request.getfixturevalue("postgres_url")}
    with closing(Simulation(tmp_path, **more)) as running:
        url = running.container.database.engine.url.render_as_string(hide_password=False)
        running.container.database.close()
        running.container.database = Database(url, retry_pauses=(0,))
        yield running


def on_create(gateway: ScriptedGateway, *outcomes: Callable[[], Any]) -> None:
    """Answer the next creates with these outcomes; None is the carrier's own."""
    left = list(outcomes)

    def outcome(_account: str, call: Call) -> Any:
        return left.pop(0)() if call.operation is Operation.CREATE and left else None

    gateway.outcome = outcome


def test_a_create_under_way_is_not_queued_again_by_an_older_outcome(simulation: Simulation) -> None:
    gateway = ScriptedGateway(simulation)
    under_way, first_is_done = Event(), Event()

    def second_process() -> None:
        simulation.app.tasks["deliveries.book"]("cervo", [simulation.delivery().id])

    def meanwhile() -> None:
        simulation.now += timedelta(seconds=7)
        second.append(pool.submit(second_process))
        under_way.wait(10)

    def not_sent() -> Any:
        lose_next_commit(simulation.container.database, meanwhile)
        return Unavailable("not sent: ConnectError")

    def wait_for_first() -> None:
        under_way.set()
        first_is_done.wait(10)

    second: list[Any] = []
    on_create(gateway, not_sent, wait_for_first)
    with ThreadPoolExecutor(1) as pool:
        simulation.place()
        simulation.work()
        (attempt,) = simulation.delivery().attempts
        first_is_done.set()
        second[0].result()
    assert attempt.state == "submitting"
    simulation.until(lambda it: it.status() == "delivered")
    assert (len(simulation.ledger()), len(simulation.delivery().attempts)) == (1, 1)


@pytest.mark.parametrize(
    "outcome",
    [
        Unavailable("not sent"),
        Uncertain("no answer"),
        Refused(Reason.DUPLICATE, "again"),
        Refused(Reason.VALIDATION),
        None,
    ],
    ids=["not sent", "unknown", "duplicate", "refused", "created"],
)
def test_the_outcome_of_a_create_counts_once(simulation: Simulation, outcome: Any) -> None:
    gateway, stored = ScriptedGateway(simulation), list[Delivery]()

    def answer() -> Any:
        lose_next_commit(simulation.container.database, lambda: stored.append(simulation.delivery()))
        return outcome

    on_create(gateway, answer)
    simulation.lose_wake_ups = True
    simulation.place(store_id="21")
    simulation.work()
    simulation.app.tasks["deliveries.book"]("borzo", [simulation.delivery().id])
    assert [simulation.delivery()] == stored


ERRORS = [Unavailable("not sent"), Uncertain("no answer"), Refused(Reason.UNKNOWN)]
CANCELLABLE = {"ready_at": "2026-11-21T18:30:00+00:00"}
"""A pickup so late that every carrier still accepts a cancel."""


@pytest.mark.parametrize("outcome", ERRORS)
def test_the_outcome_of_a_cancel_counts_once(simulation: Simulation, outcome: Any) -> None:
    simulation.place(**CANCELLABLE)
    simulation.work()
    gateway, stored = ScriptedGateway(simulation), list[Delivery]()

    def answer(_account: str, call: Call) -> Any:
        if call.operation is Operation.CANCEL:
            lose_next_commit(simulation.container.database, lambda: stored.append(simulation.delivery()))
            return outcome
        return None

    gateway.outcome = answer
    simulation.lose_wake_ups = True
    simulation.cancel()
    simulation.work()
    simulation.app.tasks["deliveries.cancel"]("cervo", [simulation.delivery().id])
    assert [simulation.delivery()] == stored


@pytest.mark.parametrize("outcome", ERRORS)
def test_the_outcome_of_an_older_cancel_does_not_count_for_the_next_one(simulation: Simulation, outcome: Any) -> None:
    simulation.place(**CANCELLABLE)
    simulation.work()
    begun = begin_again_during(simulation, Operation.CANCEL, Step.CANCEL, outcome)
    simulation.lose_wake_ups = True
    simulation.cancel()
    simulation.work()
    simulation.app.tasks["deliveries.cancel"]("cervo", [simulation.delivery().id])
    assert [simulation.delivery()] == begun


@pytest.mark.parametrize("outcome", ERRORS)
def test_the_outcome_of_an_older_decision_on_an_offer_does_not_count_for_the_next_one(
    simulation: Simulation, outcome: Any
) -> None:
    simulation.place("offered_late", store_id="17")
    simulation.work()
    begun = begin_again_during(simulation, Operation.CONFIRM, Step.CONFIRM, outcome)
    simulation.lose_wake_ups = True
    assert (
        simulation.container.decisions.decide_offer(simulation.delivery().id, OfferDecision.ACCEPT, OPERATOR)
        is not None
    )
    simulation.app.tasks["deliveries.confirm"]("deliverit", [simulation.delivery().id])
    assert [simulation.delivery()] == begun


def begin_again_during(simulation: Simulation, operation: Operation, step: Step, outcome: Any) -> list[Delivery]:
    """Let another process make the same call again, after the lease of the first one and before its outcome.

    Return the list that will contain the delivery as that process leaves it.
    """
    gateway, terms, begun = ScriptedGateway(simulation), simulation.container.terms, list[Delivery]()

    def answer(_account: str, call: Call) -> Any:
        if call.operation is not operation:
            return None
        simulation.now += timedelta(minutes=5)
        simulation.decide(lambda each: lifecycle.begin_call(each, step, terms, simulation.now))
        begun.append(simulation.delivery())
        return outcome

    gateway.outcome = answer
    return begun


# --- look-ups ---------------------------------------------------------------------------------------------------------


def test_a_look_up_before_a_create_was_sent_again_proves_nothing_about_it(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    real, terms = simulation.container.gateway, simulation.container.terms

    def send_again(delivery: Delivery) -> Change | None:
        (attempt,) = delivery.attempts
        unsent = lifecycle.apply_create_outcome(delivery, attempt.id, Unavailable("not sent"), terms, simulation.now)
        return lifecycle.begin_booking(unsent.delivery, *new_attempt(), terms, simulation.now)

    def meanwhile() -> None:
        simulation.container.gateway = real
        simulation.decide(send_again)

    simulation.now += timedelta(seconds=110)
    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.app.tasks["deliveries.reconcile"]("borzo", [simulation.delivery().id])
    (attempt,) = simulation.delivery().attempts
    assert (attempt.state, attempt.lookups) == ("submitting", 0)


# --- operators --------------------------------------------------------------------------------------------------------


def test_an_operator_s_finding_is_not_applied_to_the_next_create(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create", times=2)
    simulation.place()
    simulation.until(lambda it: it.delivery().attention == "outcome_unknown")
    lose_next_commit(simulation.container.database, simulation.pass_time)
    simulation.container.decisions.resolve(simulation.delivery().id, None, OPERATOR)
    first, second = simulation.delivery().attempts
    assert (first.never_created, second.state, simulation.status()) == (True, "submit_unknown", "submit_unknown")
    assert simulation.ledger() == []


def test_an_operator_s_decision_is_not_applied_to_the_next_offer(simulation: Simulation) -> None:
    simulation.place("offered_late", store_id="17")
    simulation.work()
    before = simulation.delivery()
    (attempt,) = before.attempts
    other = before.with_attempt(replace(attempt, offered_at=attempt.pickup_at + timedelta(hours=1)))
    lose_next_commit(simulation.container.database, lambda: simulation.decide(lambda _: Change(other)))
    simulation.container.decisions.decide_offer(before.id, OfferDecision.ACCEPT, OPERATOR)
    assert simulation.delivery() == other


def test_what_an_operator_attended_to_does_not_end_a_later_alarm(simulation: Simulation) -> None:
    simulation.place()
    simulation.work()

    def need(reason: AttentionReason) -> None:
        simulation.decide(lambda each: Change(replace(each, attention_reasons=(reason,))))

    need(AttentionReason.WENT_BACKWARDS)
    lose_next_commit(simulation.container.database, lambda: need(AttentionReason.SURPLUS_COURIER))
    simulation.container.decisions.resolve_attention(simulation.delivery().id, OPERATOR)
    assert simulation.delivery().attention == "surplus_courier"
