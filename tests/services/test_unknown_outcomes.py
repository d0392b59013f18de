"""Creates with an unknown outcome: they never lead to a second courier, and never silently to none."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any

import pytest

from tests.services.simulation import Simulation
from worker.carriers.port import Booked
from worker.container import new_attempt
from worker.database import deliveries
from worker.domain import lifecycle
from worker.domain.delivery import Step

WITH_LOOK_UP = [("21", "borzo"), ("17", "deliverit")]


@pytest.mark.fault("F-27", "F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), WITH_LOOK_UP)
def test_an_order_that_was_created_behind_an_error_is_found_and_tracked(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.inject_fault("error_after", carrier, operation="create")
    simulation.place(store_id=store_id)
    simulation.work()
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "delivered")
    assert [each for each, _ in simulation.ledger()] == [carrier]
    assert simulation.published()[:2] == ["queued", "submit_unknown"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("D-60", "B-60")
@pytest.mark.parametrize(("store_id", "carrier"), WITH_LOOK_UP)
def test_an_order_that_was_never_created_is_sent_again_only_after_proof_of_absence(
    simulation: Simulation, store_id: str, carrier: str
) -> None:
    simulation.inject_fault("error_before", carrier, operation="create")
    simulation.place(store_id=store_id)
    simulation.until(lambda it: bool(it.ledger()))
    assert (simulation.now - simulation.delivery().attempts[0].submitted_at).total_seconds() >= 45 + 120
    simulation.until(lambda it: it.status() == "delivered")
    assert [each for each, _ in simulation.ledger()] == [carrier]
    assert simulation.published()[:4] == ["queued", "submit_unknown", "queued (resubmit)", "created"]


@pytest.mark.fault("F-29")
@pytest.mark.quirk("X-03")
def test_an_unknown_outcome_at_the_first_carrier_blocks_the_second(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "deliverit", operation="create", times=2)
    simulation.place(store_id="17")
    for _ in range(120):
        simulation.pass_time(10)
    assert simulation.ledger() == []
    assert (simulation.status(), simulation.delivery().attention) == ("submit_unknown", "outcome_unknown")


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-23")
def test_an_unknown_outcome_at_cervo_waits_for_an_operator_when_no_callback_comes(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create")
    simulation.place()
    for _ in range(60):
        simulation.pass_time(10)
    assert simulation.published() == ["queued", "submit_unknown", "delivery.attention_required"]
    assert simulation.ledger() == []
    simulation.decide(
        lambda it: lifecycle.resolve_unknown_outcome(it, None, simulation.container.terms, simulation.now)
    )
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1


@pytest.mark.fault("F-27")
@pytest.mark.quirk("C-17", "C-23", "C-24")
def test_cervos_callback_proves_that_the_order_exists(simulation: Simulation) -> None:
    simulation.inject_fault("error_after", "cervo", operation="create")
    simulation.place()
    simulation.work()
    assert simulation.status() == "submit_unknown"
    simulation.until(lambda it: it.status() == "delivered")
    assert len(simulation.ledger()) == 1
    assert [each for each in simulation.published() if each.startswith("delivery.attention")] == [
        "delivery.attention_required"
    ]
    changes = [event for event in simulation.events()[2:] if event["type"] == "delivery.status_changed"]
    assert {event["data"]["cause"] for event in changes} == {"callback"}


@pytest.mark.fault("F-02")
@pytest.mark.quirk("X-03")
@pytest.mark.parametrize("store_id", ["34", "21", "17"])
def test_a_process_that_died_during_its_create_leaves_an_unknown_outcome_and_no_second_courier(
    simulation: Simulation, store_id: str
) -> None:
    simulation.lose_wake_ups = True
    simulation.place(store_id=store_id)
    simulation.work()
    simulation.lose_wake_ups = False
    simulation.decide(
        lambda it: lifecycle.begin_booking(it, *new_attempt(), simulation.container.terms, simulation.now)
    )
    simulation.until(lambda it: it.status() == "submit_unknown")
    assert simulation.ledger() == []
    assert simulation.delivery().step is Step.RECONCILE


def test_an_order_that_moves_to_an_unknown_store_is_still_looked_for_where_it_may_have_been_created(
    simulation: Simulation,
) -> None:
    simulation.inject_fault("error_before", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    simulation.inject_fault("unauthorized", "borzo", operation="create")
    simulation.until(lambda it: it.delivery().attempts[0].ended_at is not None)
    moved = simulation.placed()
    simulation.put(json.dumps({**moved, "id": "2", "data": {**moved["data"], "revision": 2, "store_id": "999"}}))
    for _ in range(20):
        simulation.pass_time(30)
    assert (simulation.delivery().attention, simulation.delivery().attempts[0].follow_up_reads) == ("unknown_store", 3)
    simulation.put(json.dumps({**moved, "id": "3", "data": {**moved["data"], "revision": 3}}))
    simulation.until(lambda it: it.status() == "delivered")


@pytest.mark.fault("F-54")
@pytest.mark.quirk("X-04")
def test_a_cancel_during_an_unknown_outcome_is_executed_once_the_order_is_found(simulation: Simulation) -> None:
    simulation.inject_fault("error_after", "borzo", operation="create")
    simulation.place(store_id="21")
    simulation.work()
    simulation.cancel(store_id="21")
    simulation.until(lambda it: it.delivery().final)
    assert simulation.status() == "cancelled"
    assert [each for each, _ in simulation.ledger("cancel")] == ["borzo"]


@pytest.mark.quirk("C-21")
@pytest.mark.parametrize("reached", ["created", "delivered"])
def test_an_id_that_another_order_has_or_had_is_an_unknown_outcome(simulation: Simulation, reached: str) -> None:
    simulation.place()
    simulation.work()
    simulation.until(lambda it: it.status() == reached)
    known = simulation.delivery().attempts[0].ref
    simulation.inject_fault("html", "cervo", operation="create", body=known)
    simulation.place(order_id="2012")
    simulation.work()
    assert (simulation.status("2012"), simulation.delivery("2012").attempts[0].ref) == ("submit_unknown", None)
    assert simulation.published("2012") == ["queued", "submit_unknown"]


@pytest.mark.fault("F-73")
@pytest.mark.quirk("C-21")
@pytest.mark.parametrize("store_id", ["34", "21"])
def test_one_of_two_processes_that_get_the_same_id_at_once_has_an_unknown_outcome(
    tmp_path: Path, postgres_url: str, store_id: str
) -> None:
    """Each looks for the id before the other has stored it."""
    with closing(Simulation(tmp_path, DATABASE_URL=postgres_url)) as simulation:
        carrier = {"34": "cervo", "21": "borzo"}[store_id]
        simulation.lose_wake_ups = True
        for order_id in ("1", "2"):
            simulation.place(order_id=order_id, store_id=store_id)
        simulation.work()
        simulation.lose_wake_ups = False
        meet = Barrier(2)
        real = simulation.container.database
        simulation.container.database = StoresOutcomesAtOnce(real, meet)  # type: ignore[assignment]
        simulation.container.replace_codec(carrier, SameId(simulation.container.accounts.logged_in(carrier)))
        book = simulation.app.tasks["deliveries.book"]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda order_id: book(carrier, [simulation.delivery(order_id).id]), ("1", "2")))
        simulation.container.database = real
        assert sorted(simulation.statuses("1", "2")) == ["created", "submit_unknown"]
        (loser,) = (each for each in ("1", "2") if simulation.status(each) == "submit_unknown")
        (attempt,) = simulation.delivery(loser).attempts
        assert (attempt.ref, attempt.last_error) == (None, "the carrier's id belongs to another order")
        simulation.pass_time()
        assert simulation.published(loser)[:2] == ["queued", "submit_unknown"]


class SameId:
    """A codec that reads the same id in each answer to a create."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def read_booking(self, *what: Any) -> Booked:
        booked: Booked = self._real.read_booking(*what)
        return replace(booked, observation=replace(booked.observation, ref="99999"))


class StoresOutcomesAtOnce:
    """A database with which two processes store their outcomes at the same time."""

    def __init__(self, real: Any, meet: Barrier) -> None:
        self._real, self._meet, self._calls = real, meet, Counter[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def persist(self, change: Any, *what: Any) -> Any:
        if change is deliveries.update:
            self._calls[get_ident()] += 1
            if self._calls[get_ident()] == OUTCOME:
                self._meet.wait(10)
        return self._real.persist(change, *what)


OUTCOME = 2
"""The first transaction of a create stores its intent, and the second its outcome."""


@pytest.mark.quirk("C-21")
def test_one_id_for_two_orders_that_were_created_together_counts_once(simulation: Simulation) -> None:
    simulation.inject_fault("html", "cervo", operation="create", body="99999", times=2)
    for order_id in ("1", "2"):
        simulation.place(order_id=order_id)
    simulation.app.tasks["deliveries.book"]("cervo", [simulation.delivery(order_id).id for order_id in ("1", "2")])
    assert sorted(simulation.status(order_id) for order_id in ("1", "2")) == ["created", "submit_unknown"]


# --- a create that is sent again under the same id ---


@pytest.fixture
def resubmitting(tmp_path: Path) -> Iterator[Simulation]:
    """Return a simulation of a Cervo that refuses a repeated id and sends no callbacks."""
    with closing(Simulation(tmp_path, CARRIERS__CERVO__RESUBMIT_IN_DOUBT="true", PUBLIC_URL="")) as simulation:
        simulation.sandbox.world.config = replace(simulation.sandbox.world.config, cervo_refuses_repeats=True)
        yield simulation


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23", "C-24")
def test_a_resubmitted_create_that_is_refused_proves_the_first_order(resubmitting: Simulation) -> None:
    resubmitting.inject_fault("error_after", "cervo", operation="create")
    resubmitting.place(carriers=["cervo", "borzo"])
    resubmitting.until(lambda it: it.status() == "created")
    assert resubmitting.published() == ["queued", "submit_unknown", "created", "delivery.attention_required"]
    assert (resubmitting.delivery().attention, len(resubmitting.delivery().attempts)) == ("reference_missing", 1)
    assert len(resubmitting.ledger()) == 1


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23")
def test_a_resubmitted_create_whose_first_never_arrived_is_accepted(resubmitting: Simulation) -> None:
    resubmitting.inject_fault("error_before", "cervo", operation="create")
    resubmitting.place(carriers=["cervo", "borzo"])
    resubmitting.until(lambda it: it.status() == "delivered")
    assert resubmitting.published()[:3] == ["queued", "submit_unknown", "created"]
    assert (len(resubmitting.ledger()), len(resubmitting.delivery().attempts)) == (1, 1)


@pytest.mark.fault("F-72")
@pytest.mark.quirk("C-23")
def test_a_resubmitted_create_is_not_moved_to_another_carrier_while_its_own_cannot_be_called(
    resubmitting: Simulation,
) -> None:
    resubmitting.inject_fault("error_after", "cervo", operation="create")
    resubmitting.place(carriers=["cervo", "borzo"])
    resubmitting.work()
    resubmitting.inject_fault("unauthorized", "cervo", times=None)
    for _ in range(120):
        resubmitting.pass_time(10)
    assert (resubmitting.status(), resubmitting.delivery().attention) == ("submit_unknown", "outcome_unknown")
    assert [carrier for carrier, _ in resubmitting.ledger()] == ["cervo"]
