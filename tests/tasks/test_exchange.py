"""Answers find the attempt they belong to, and one order that breaks something breaks nothing else."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from schemas.status import Reason
from tests.tasks.street import Street
from worker import lifecycle
from worker.carriers.port import Call, Reply
from worker.delivery import Delivery
from worker.errors import Refused


class Meanwhile:
    """A gateway behind which something happens between a call's answer and its reading."""

    def __init__(self, real: Any, happens: Callable[[], None]) -> None:
        self._real, self._happens = real, happens

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        groups = list(self._real.send(*what, **how))
        self._happens()
        yield from groups

    def close(self) -> None:
        self._real.close()


def test_a_late_answer_is_not_taken_for_that_of_the_next_attempt(street: Street) -> None:
    real, rules = street.house.gateway, street.house.rules

    def written_off(it: Delivery) -> Any:
        doubt = lifecycle.lost(it, rules, street.now)
        assert doubt is not None
        first = doubt.delivery.attempts[0].id
        gone = doubt
        for _ in range(3):
            gone = lifecycle.absent(gone.delivery, first, rules, street.now)
        return lifecycle.begin_booking(gone.delivery, *street.house.new_attempt(), rules, street.now)

    def meanwhile() -> None:
        street.house.gateway = real
        street.decide(written_off)

    street.house.gateway = Meanwhile(real, meanwhile)  # type: ignore[assignment]
    street.place(store_id="21")
    street.work()
    first, second = street.delivery().attempts
    assert (first.ref, first.surplus) == (street.ledger()[0][1], True)
    assert (second.state, second.ref) == ("submitting", None)
    assert "delivery.conflict" in street.told()


def test_a_reply_that_breaks_its_codec_leaves_its_neighbours_alone(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec: Any = street.house.carrier("borzo")
    read = codec.read_booking

    def broken(booking: Any, reply: Reply, now: Any) -> Any:
        if booking.order.order_id == "1":
            raise KeyError("a bug")
        return read(booking, reply, now)

    monkeypatch.setattr(codec, "read_booking", broken)
    for order_id in ("1", "2"):
        street.place(store_id="21", order_id=order_id)
    street.work()
    assert [street.status(order_id) for order_id in ("1", "2")] == ["submit_unknown", "created"]


def test_an_order_that_breaks_its_codec_is_refused_there_and_leaves_its_neighbours_alone(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec: Any = street.house.carrier("borzo")
    book = codec.book

    def broken(booking: Any, now: Any) -> Call:
        if booking.order.order_id == "1":
            raise KeyError("a bug")
        made: Call = book(booking, now)
        return made

    monkeypatch.setattr(codec, "book", broken)
    for order_id in ("1", "2"):
        street.place(store_id="21", order_id=order_id)
    street.work()
    assert [street.status(order_id) for order_id in ("1", "2")] == ["rejected", "created"]
    assert street.delivery("1").reason is Reason.UNKNOWN


def test_an_answer_that_cannot_be_stored_takes_no_other_along(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    update = street.house.store.update

    def failing(ids: Any, decide: Any) -> Any:
        wanted = list(ids)
        settling = any(each.attempts for each in street.house.store.load(wanted))
        if settling and any(each.order.order_id == "1" for each in street.house.store.load(wanted)):
            raise ValueError("cannot be stored")
        return update(wanted, decide)

    monkeypatch.setattr(street.house.store, "update", failing)
    for order_id in ("1", "2"):
        street.place(store_id="21", order_id=order_id)
    street.work()
    assert [street.status(order_id) for order_id in ("1", "2")] == ["queued", "created"]


def test_a_look_up_that_cannot_tell_waits_and_never_spins(street: Street) -> None:
    faults = {"kind": "error_before", "api": "borzo", "times": None}
    street.ask("POST", "/sandbox/faults", faults)
    street.place(store_id="21")
    street.until(lambda it: it.delivery().failures > 0)
    before = street.delivery()
    assert before.next_run_at is not None
    assert before.next_run_at > street.now
    assert (before.status, street.ledger()) == ("submit_unknown", [])


def test_what_cannot_be_asked_at_all_is_not_asked_again_and_again(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec: Any = street.house.carrier("deliverit")

    def broken(_attempts: Any, _now: Any) -> Any:
        raise Refused(Reason.CONFIG)

    street.place(store_id="17")
    street.work()
    monkeypatch.setattr(codec, "track", broken)
    street.until(lambda it: it.delivery().failures > 0)
    assert street.delivery().attempts[0].last_error == "config"


def test_a_database_that_restarts_costs_no_answer(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    street.place(store_id="21")
    update: Any = street.house.store._update
    troubles = [OperationalError("UPDATE", {}, Exception("the server closed the connection"))] * 2

    def troubled(wanted: Any, decide: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return update(wanted, decide)

    monkeypatch.setattr("worker.store.store.PATIENCE", (0.0, 0.0, 0.0))
    monkeypatch.setattr(street.house.store, "_update", troubled)
    street.work()
    assert (street.status(), len(street.ledger())) == ("created", 1)
