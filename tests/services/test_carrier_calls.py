"""Calls to a carrier: a reply is applied only to the call it answers, and one failure never affects its batch."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from celery.exceptions import QueueNotFound
from sqlalchemy import event

from schemas.status import Reason
from tests.services.gateways import Meanwhile, RepliesInOneGroup
from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.database import deliveries
from worker.domain import lifecycle
from worker.domain.delivery import Delivery, Step
from worker.errors import Refused, Unavailable
from worker.local.demo.orders import message
from worker.services.call_records import PendingCall


def test_a_late_reply_is_not_applied_to_the_next_attempt(simulation: Simulation) -> None:
    real, terms = simulation.container.gateway, simulation.container.terms

    def given_up_and_begun_again(it: Delivery) -> Any:
        unknown = lifecycle.mark_outcome_unknown(it, terms, simulation.now)
        assert unknown is not None
        gone = unknown
        for _ in range(3):
            gone = lifecycle.record_not_found(gone.delivery, gone.delivery.attempts[0], terms, simulation.now)  # type: ignore[assignment]
        return lifecycle.begin_booking(gone.delivery, *new_attempt(), terms, simulation.now)

    def meanwhile() -> None:
        simulation.container.gateway = real
        simulation.decide(given_up_and_begun_again)

    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.place(store_id="21")
    simulation.work()
    first, second = simulation.delivery().attempts
    assert (first.ref, first.surplus) == (simulation.ledger()[0][1], True)
    assert (second.state, second.ref) == ("submitting", None)
    assert "delivery.conflict" in simulation.published()


def test_a_late_reply_to_an_amendment_is_not_applied_to_the_next_one(simulation: Simulation) -> None:
    """The outcome of the next one is unknown until its own reply comes."""
    simulation.place(store_id="21")
    simulation.work()
    real, data = simulation.container.gateway, simulation.placed()["data"]

    def change(revision: int) -> None:
        changed = {**data, "revision": revision, "notes": f"sandbox:happy {revision}"}
        simulation.put(message("order.updated", f"revision-{revision}", changed))

    def begun_again(it: Delivery) -> Any:
        read = lifecycle.record_missing(it, it.attempts[0].id, simulation.container.terms, simulation.now)
        return lifecycle.begin_call(read.delivery, Step.AMEND, simulation.container.terms, simulation.now)

    def meanwhile() -> None:
        simulation.container.gateway = real
        simulation.now += timedelta(minutes=5)
        change(3)
        simulation.decide(begun_again)

    change(2)
    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.app.tasks["deliveries.amend"]("borzo", [simulation.delivery().id])
    (attempt,) = simulation.delivery().attempts
    assert (attempt.sent_fingerprint, attempt.pending_fingerprint) == ("", simulation.delivery().fingerprint)


class Failing:
    """A stand-in whose one method raises what `error_for` returns; everything else is the real object's."""

    def __init__(self, real: Any, method: str, error_for: Callable[..., Exception | None]) -> None:
        self._real, self._method, self._error_for = real, method, error_for

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return partial(self._try, found) if name == self._method else found

    def _try(self, found: Callable[..., Any], *what: Any, **how: Any) -> Any:
        if error := self._error_for(*what):
            raise error
        return found(*what, **how)


def break_codec(simulation: Simulation, carrier: str, method: str, error_for: Callable[..., Exception | None]) -> None:
    codec = simulation.container.accounts.logged_in(carrier)
    simulation.container.replace_codec(carrier, Failing(codec, method, error_for))


def place_two(simulation: Simulation) -> list[str]:
    for order_id in ("1", "2"):
        simulation.place(store_id="21", order_id=order_id)
    simulation.work()
    return [simulation.status(order_id) for order_id in ("1", "2")]


def of_order_1(booking: Any, *_: Any) -> Exception | None:
    return KeyError("a bug") if booking.order.order_id == "1" else None


@pytest.mark.quirk("X-14")
def test_a_reply_that_breaks_the_codec_does_not_affect_its_batch(simulation: Simulation) -> None:
    break_codec(simulation, "borzo", "read_booking", of_order_1)
    assert place_two(simulation) == ["submit_unknown", "created"]


@pytest.mark.quirk("X-14")
def test_an_order_that_breaks_the_codec_is_rejected_and_does_not_affect_its_batch(simulation: Simulation) -> None:
    break_codec(simulation, "borzo", "book", of_order_1)
    assert place_two(simulation) == ["rejected", "created"]
    assert simulation.delivery("1").reason is Reason.UNKNOWN


def test_an_outcome_is_stored_once_even_if_nothing_can_be_enqueued_after_it(simulation: Simulation) -> None:
    assert place_two(simulation) == ["created", "created"]
    queue = Failing(simulation.container.queue, "enqueue_next_steps", lambda *_: QueueNotFound("carrier.borzo"))
    simulation.container.queue = queue  # type: ignore[assignment]
    failed = partial(lifecycle.record_read_failure, error=Unavailable("the carrier does not answer"))
    found = [simulation.delivery(order_id) for order_id in ("1", "2")]

    def meaning(delivery: Delivery, attempt_id: int, terms: Any, now: datetime) -> Any:
        return failed(delivery, attempt_id, terms=terms, now=now)

    with pytest.raises(QueueNotFound):
        simulation.container.outcomes.record([(PendingCall(each, each.attempts[0]), meaning) for each in found])
    assert [simulation.delivery(order_id).failures for order_id in ("1", "2")] == [1, 1]


@pytest.mark.quirk("X-14")
def test_an_outcome_that_cannot_be_stored_does_not_affect_its_batch(simulation: Simulation) -> None:
    database: Any = simulation.container.database

    def storing_order_1(change: Any, *arguments: Any) -> Exception | None:
        if change is not deliveries.update:
            return None
        loaded = database.read(deliveries.load, list(arguments[0]))
        concerned = [each for each in loaded if each.order.order_id == "1" and each.attempts]
        return ValueError("cannot be stored") if concerned else None

    simulation.container.database = Failing(database, "persist", storing_order_1)  # type: ignore[assignment]
    assert place_two(simulation) == ["queued", "created"]


def test_a_look_up_that_fails_backs_off(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "borzo", times=None)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.delivery().failures > 0)
    before = simulation.delivery()
    assert before.next_run_at is not None
    assert before.next_run_at > simulation.now
    assert (before.status, simulation.ledger()) == ("submit_unknown", [])


def test_a_read_that_the_codec_refuses_to_build_counts_as_a_failure(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.work()
    break_codec(simulation, "deliverit", "track", lambda *_: Refused(Reason.CONFIG))
    simulation.until(lambda it: it.delivery().failures > 0)
    assert simulation.delivery().attempts[0].last_error == "config"


def test_a_batch_of_creates_costs_one_transaction_for_its_intents_and_one_for_a_group_of_replies(
    simulation: Simulation,
) -> None:
    """That holds although each reply's id is looked up among those of other orders."""
    simulation.lose_wake_ups = True
    for number in range(5):
        simulation.place(order_id=f"20{number}")
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.container.gateway = RepliesInOneGroup(simulation.container.gateway)  # type: ignore[assignment]
    assert simulation.container.database.identity  # created once for a database
    commits: list[object] = []
    event.listen(simulation.container.database.engine, "commit", commits.append)
    ids = [simulation.delivery(f"20{number}").id for number in range(5)]
    simulation.app.tasks["deliveries.book"]("cervo", ids)
    assert len(commits) == 2
    assert [simulation.status(f"20{number}") for number in range(5)] == ["created"] * 5


def test_a_delivery_is_read_once_for_a_create_and_its_outcome(simulation: Simulation) -> None:
    simulation.lose_wake_ups = True
    simulation.place()
    simulation.work()
    delivery_id = simulation.delivery().id
    statements: list[str] = []
    engine = simulation.container.database.engine
    event.listen(engine, "before_cursor_execute", lambda _connection, _cursor, sql, *_: statements.append(sql))
    simulation.app.tasks["deliveries.book"]("cervo", [delivery_id])
    reads = [each for each in statements if each.startswith("SELECT") and "delivery.document" in each]
    assert (len(reads), simulation.status()) == (1, "created")
