"""Answers find the attempt they belong to, and one order that breaks something breaks nothing else."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from schemas.status import Reason
from tests.services.simulation import Simulation
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


def test_a_late_answer_is_not_taken_for_that_of_the_next_attempt(street: Simulation) -> None:
    real, rules = street.container.gateway, street.container.terms

    def written_off(it: Delivery) -> Any:
        doubt = lifecycle.mark_outcome_unknown(it, rules, street.now)
        assert doubt is not None
        first = doubt.delivery.attempts[0].id
        gone = doubt
        for _ in range(3):
            gone = lifecycle.record_not_found(  # type: ignore[assignment]
                gone.delivery, first, gone.delivery.attempts[0].lookups, rules, street.now
            )
        return lifecycle.begin_booking(gone.delivery, *street.container.new_attempt(), rules, street.now)

    def meanwhile() -> None:
        street.container.gateway = real
        street.decide(written_off)

    street.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    street.place(store_id="21")
    street.work()
    first, second = street.delivery().attempts
    assert (first.ref, first.surplus) == (street.ledger()[0][1], True)
    assert (second.state, second.ref) == ("submitting", None)
    assert "delivery.conflict" in street.told()


def test_a_late_answer_to_a_change_is_not_taken_for_that_to_the_next_one(street: Simulation) -> None:
    """Nobody knows what the next one leads to until its own answer comes."""
    street.place(store_id="21")
    street.work()
    real, data = street.container.gateway, street.placed()["data"]

    def change(revision: int) -> None:
        changed = {**data, "revision": revision, "notes": f"sandbox:happy {revision}"}
        street.put(message("order.updated", f"revision-{revision}", changed))

    def begun_anew(it: Delivery) -> Any:
        read = lifecycle.record_missing(it, it.attempts[0].id, street.container.terms, street.now)
        return lifecycle.begin_call(read.delivery, Step.AMEND, street.container.terms, street.now)

    def meanwhile() -> None:
        street.container.gateway = real
        street.now += timedelta(minutes=5)
        change(3)
        street.decide(begun_anew)

    change(2)
    street.container.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    street.app.tasks["deliveries.amend"]("borzo", [street.delivery().id])
    (attempt,) = street.delivery().attempts
    assert (attempt.sent_fingerprint, attempt.pending_fingerprint) == ("", street.delivery().fingerprint)


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


def spoil_codec(street: Simulation, carrier: str, method: str, spoilt: Callable[..., Exception | None]) -> None:
    carriers: Any = street.container._carriers
    carriers[carrier] = Spoiling(street.container.carrier(carrier), method, spoilt)


def place_two(street: Simulation) -> list[str]:
    for order_id in ("1", "2"):
        street.place(store_id="21", order_id=order_id)
    street.work()
    return [street.status(order_id) for order_id in ("1", "2")]


def of_order_1(booking: Any, *_: Any) -> Exception | None:
    return KeyError("a bug") if booking.order.order_id == "1" else None


@pytest.mark.trap("X-14")
def test_a_reply_that_breaks_its_codec_leaves_its_neighbours_alone(street: Simulation) -> None:
    spoil_codec(street, "borzo", "read_booking", of_order_1)
    assert place_two(street) == ["submit_unknown", "created"]


@pytest.mark.trap("X-14")
def test_an_order_that_breaks_its_codec_is_refused_there_and_leaves_its_neighbours_alone(street: Simulation) -> None:
    spoil_codec(street, "borzo", "book", of_order_1)
    assert place_two(street) == ["rejected", "created"]
    assert street.delivery("1").reason is Reason.UNKNOWN


@pytest.mark.trap("X-14")
def test_an_answer_that_cannot_be_stored_takes_no_other_along(street: Simulation) -> None:
    store: Any = street.container.database

    def settling_order_1(ids: Any, _decide: Any) -> Exception | None:
        concerned = [each for each in store.load(list(ids)) if each.order.order_id == "1" and each.attempts]
        return ValueError("cannot be stored") if concerned else None

    street.container.database = Spoiling(store, "update", settling_order_1)  # type: ignore[assignment]
    assert place_two(street) == ["queued", "created"]


def test_a_look_up_that_cannot_tell_waits_and_never_spins(street: Simulation) -> None:
    faults = {"kind": "error_before", "api": "borzo", "times": None}
    street.ask("POST", "/sandbox/faults", faults)
    street.place(store_id="21")
    street.until(lambda it: it.delivery().failures > 0)
    before = street.delivery()
    assert before.next_run_at is not None
    assert before.next_run_at > street.now
    assert (before.status, street.ledger()) == ("submit_unknown", [])


def test_what_cannot_be_asked_at_all_is_not_asked_again_and_again(street: Simulation) -> None:
    street.place(store_id="17")
    street.work()
    spoil_codec(street, "deliverit", "track", lambda *_: Refused(Reason.CONFIG))
    street.until(lambda it: it.delivery().failures > 0)
    assert street.delivery().attempts[0].last_error == "config"


class Together:
    """A gateway whose answers all come in one group."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        yield {key: answer for group in self._real.send(*what, **how) for key, answer in group.items()}

    def close(self) -> None:
        self._real.close()


def test_a_batch_of_creates_costs_one_transaction_for_its_intents_and_one_for_a_group_of_answers(
    street: Simulation,
) -> None:
    """Also where each answer's id is looked for among those of others: a transaction each is twice the work."""
    street.lose_hints = True
    for number in range(5):
        street.place(order_id=f"20{number}")
    street.work()
    street.lose_hints = False
    street.container.gateway = Together(street.container.gateway)  # type: ignore[assignment]
    written: list[object] = []
    event.listen(street.container.database.engine, "commit", written.append)
    ids = [street.delivery(f"20{number}").id for number in range(5)]
    street.app.tasks["deliveries.book"]("cervo", ids)
    assert len(written) == 2
    assert [street.status(f"20{number}") for number in range(5)] == ["created"] * 5
