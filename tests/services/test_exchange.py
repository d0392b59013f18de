"""Answers find the attempt they belong to, and one order that breaks something breaks nothing else."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from schemas.status import Reason
from tests.services.simulation import Simulation
from worker.container import new_attempt
from worker.database import deliveries
from worker.domain import lifecycle
from worker.domain.delivery import Delivery, Step
from worker.errors import Refused
from worker.local.demo.orders import message


class Meanwhile:
    """A gateway behind which something happens between a call's answer and its reading."""

    def __init__(self, real: Any, happens: Callable[[], None]) -> None:
        self._real, self._happens = real, happens

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        groups = list(self._real.send(*what, **how))
        self._happens()
        yield from groups

    def send_one(self, *what: Any, **how: Any) -> Any:
        return self._real.send_one(*what, **how)

    def close(self) -> None:
        self._real.close()


def test_a_late_answer_is_not_taken_for_that_of_the_next_attempt(simulation: Simulation) -> None:
    real, rules = simulation.container.gateway, simulation.container.terms

    def written_off(it: Delivery) -> Any:
        doubt = lifecycle.mark_outcome_unknown(it, rules, simulation.now)
        assert doubt is not None
        first = doubt.delivery.attempts[0].id
        gone = doubt
        for _ in range(3):
            gone = lifecycle.record_not_found(  # type: ignore[assignment]
                gone.delivery, first, gone.delivery.attempts[0].lookups, rules, simulation.now
            )
        return lifecycle.begin_booking(gone.delivery, *new_attempt(), rules, simulation.now)

    def meanwhile() -> None:
        simulation.container.gateway = real
        simulation.decide(written_off)

    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.place(store_id="21")
    simulation.work()
    first, second = simulation.delivery().attempts
    assert (first.ref, first.surplus) == (simulation.ledger()[0][1], True)
    assert (second.state, second.ref) == ("submitting", None)
    assert "delivery.conflict" in simulation.published()


def test_a_late_answer_to_a_change_is_not_taken_for_that_to_the_next_one(simulation: Simulation) -> None:
    """Nobody knows what the next one leads to until its own answer comes."""
    simulation.place(store_id="21")
    simulation.work()
    real, data = simulation.container.gateway, simulation.placed()["data"]

    def change(revision: int) -> None:
        changed = {**data, "revision": revision, "notes": f"sandbox:happy {revision}"}
        simulation.put(message("order.updated", f"revision-{revision}", changed))

    def begun_anew(it: Delivery) -> Any:
        read = lifecycle.record_missing(it, it.attempts[0].id, simulation.container.terms, simulation.now)
        return lifecycle.begin_call(read.delivery, Step.AMEND, simulation.container.terms, simulation.now)

    def meanwhile() -> None:
        simulation.container.gateway = real
        simulation.now += timedelta(minutes=5)
        change(3)
        simulation.decide(begun_anew)

    change(2)
    simulation.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    simulation.app.tasks["deliveries.amend"]("borzo", [simulation.delivery().id])
    (attempt,) = simulation.delivery().attempts
    assert (attempt.sent_fingerprint, attempt.pending_fingerprint) == ("", simulation.delivery().fingerprint)


class Spoiling:
    """Something whose one method goes wrong when `spoilt` says so; all else is that of the real one."""

    def __init__(self, real: Any, method: str, spoilt: Callable[..., Exception | None]) -> None:
        self._real, self._method, self._spoilt = real, method, spoilt

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return partial(self._try, found) if name == self._method else found

    def _try(self, found: Callable[..., Any], *what: Any, **how: Any) -> Any:
        if error := self._spoilt(*what):
            raise error
        return found(*what, **how)


def spoil_codec(simulation: Simulation, carrier: str, method: str, spoilt: Callable[..., Exception | None]) -> None:
    codec = simulation.container.accounts.logged_in(carrier)
    simulation.container.replace_codec(carrier, Spoiling(codec, method, spoilt))


def place_two(simulation: Simulation) -> list[str]:
    for order_id in ("1", "2"):
        simulation.place(store_id="21", order_id=order_id)
    simulation.work()
    return [simulation.status(order_id) for order_id in ("1", "2")]


def of_order_1(booking: Any, *_: Any) -> Exception | None:
    return KeyError("a bug") if booking.order.order_id == "1" else None


@pytest.mark.quirk("X-14")
def test_a_reply_that_breaks_its_codec_leaves_its_neighbours_alone(simulation: Simulation) -> None:
    spoil_codec(simulation, "borzo", "read_booking", of_order_1)
    assert place_two(simulation) == ["submit_unknown", "created"]


@pytest.mark.quirk("X-14")
def test_an_order_that_breaks_its_codec_is_refused_there_and_leaves_its_neighbours_alone(
    simulation: Simulation,
) -> None:
    spoil_codec(simulation, "borzo", "book", of_order_1)
    assert place_two(simulation) == ["rejected", "created"]
    assert simulation.delivery("1").reason is Reason.UNKNOWN


@pytest.mark.quirk("X-14")
def test_an_answer_that_cannot_be_stored_takes_no_other_along(simulation: Simulation) -> None:
    store: Any = simulation.container.database

    def settling_order_1(change: Any, *arguments: Any) -> Exception | None:
        if change is not deliveries.update:
            return None
        loaded = store.read(deliveries.load, list(arguments[0]))
        concerned = [each for each in loaded if each.order.order_id == "1" and each.attempts]
        return ValueError("cannot be stored") if concerned else None

    simulation.container.database = Spoiling(store, "persist", settling_order_1)  # type: ignore[assignment]
    assert place_two(simulation) == ["queued", "created"]


def test_a_look_up_that_cannot_tell_waits_and_never_spins(simulation: Simulation) -> None:
    faults = {"kind": "error_before", "api": "borzo", "times": None}
    simulation.ask("POST", "/sandbox/faults", faults)
    simulation.place(store_id="21")
    simulation.until(lambda it: it.delivery().failures > 0)
    before = simulation.delivery()
    assert before.next_run_at is not None
    assert before.next_run_at > simulation.now
    assert (before.status, simulation.ledger()) == ("submit_unknown", [])


def test_what_cannot_be_asked_at_all_is_not_asked_again_and_again(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.work()
    spoil_codec(simulation, "deliverit", "track", lambda *_: Refused(Reason.CONFIG))
    simulation.until(lambda it: it.delivery().failures > 0)
    assert simulation.delivery().attempts[0].last_error == "config"


class Together:
    """A gateway whose answers all come in one group."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        yield {key: answer for group in self._real.send(*what, **how) for key, answer in group.items()}

    def close(self) -> None:
        self._real.close()


def test_a_batch_of_creates_costs_one_transaction_for_its_intents_and_one_for_a_group_of_answers(
    simulation: Simulation,
) -> None:
    """Also where each answer's id is looked for among those of others: a transaction each is twice the work."""
    simulation.lose_wake_ups = True
    for number in range(5):
        simulation.place(order_id=f"20{number}")
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.container.gateway = Together(simulation.container.gateway)  # type: ignore[assignment]
    written: list[object] = []
    event.listen(simulation.container.database.engine, "commit", written.append)
    ids = [simulation.delivery(f"20{number}").id for number in range(5)]
    simulation.app.tasks["deliveries.book"]("cervo", ids)
    assert len(written) == 2
    assert [simulation.status(f"20{number}") for number in range(5)] == ["created"] * 5
