"""Callbacks that come early, late, twice, in no order, or not at all."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.services.simulation import START, Simulation
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Callback, Observation, reference_of
from worker.database import callbacks
from worker.domain.delivery import Change, Delivery
from worker.enqueue import carrier_queues
from worker.services.callback_gaps import GAP, SPREAD

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HAPPY = ["courier_assigned", "pickup_enroute", "pickup_arrived", "picked_up", "dropoff_enroute"]


def letter(simulation: Simulation, status: str, at: datetime, **changes: Any) -> Callback:
    """Write Borzo's callback about the simulation's order, as it is once its signature has been checked."""
    attempt = simulation.delivery().attempts[0]
    parcel = {
        "delivery_id": 11712,
        "order_id": int(attempt.ref or 0),
        "client_order_id": reference_of(attempt.id),
        "status": status,
        "status_datetime": at.isoformat(),
        **changes,
    }
    body = json.dumps({"event_datetime": at.isoformat(), "event_type": "delivery_changed", "delivery": parcel})
    return Callback("POST", body.encode())


def receive(simulation: Simulation, callback: Callback) -> str | None:
    """Store a callback and read it, as the edge and the worker do; tell what became of it."""
    kept = simulation.container.database.write(callbacks.save, "borzo", callback, simulation.now)
    if kept is None:
        return "known"
    simulation.app.tasks["callbacks.apply"](kept)
    found = simulation.container.database.read(callbacks.load, kept)
    assert found is not None
    return found.result


def _due(delivery: Delivery, at: datetime) -> Change:
    return Change(replace(delivery, next_run_at=at))


def _known_as(delivery: Delivery, ref: str) -> Change:
    (attempt,) = delivery.attempts
    return Change(delivery.with_attempt(replace(attempt, ref=ref)))


@pytest.fixture
def followed(simulation: Simulation) -> Simulation:
    """A simulation whose one order stands at Borzo and is followed."""
    simulation.place(store_id="21")
    simulation.work()
    assert simulation.published() == ["queued", "created"]
    return simulation


# --- in no order ---


@pytest.mark.fault("F-41")
@pytest.mark.quirk("X-01")
@pytest.mark.parametrize("behind", [timedelta(hours=2), -timedelta(hours=2)])
def test_a_carrier_whose_clock_is_wrong_is_tracked_like_any_other(simulation: Simulation, behind: timedelta) -> None:
    simulation.carrier_clock_lag = behind
    simulation.place(store_id="21")
    simulation.until(lambda it: it.status() == "delivered", step=30)
    assert simulation.published() == ["queued", "created", *HAPPY, "dropoff_arrived", "delivered"]


@pytest.mark.fault("F-41")
@pytest.mark.quirk("B-84")
def test_callbacks_in_any_order_never_move_a_delivery_back(followed: Simulation) -> None:
    words = ("finished", "courier_at_pickup", "courier_assigned", "parcel_picked_up")
    minutes = (40, 10, 5, 20)
    letters = [
        letter(followed, word, START + minute * 60 * SECOND) for word, minute in zip(words, minutes, strict=True)
    ]
    results = [receive(followed, each) for each in letters]
    followed.work()
    assert (results, followed.published()) == (["applied"] * 4, ["queued", "created", "delivered"])


@pytest.mark.fault("F-43")
@pytest.mark.quirk("B-83")
def test_a_repeated_callback_does_nothing_after_ten_days(followed: Simulation) -> None:
    once = letter(followed, "courier_assigned", followed.now + SECOND)
    receive(followed, once)
    before = followed.delivery()
    followed.now += timedelta(days=10)
    assert (receive(followed, once), followed.delivery()) == ("known", before)


@pytest.mark.fault("F-43")
@pytest.mark.quirk("B-83")
def test_a_callback_that_is_more_than_a_day_late_only_schedules_a_read(followed: Simulation) -> None:
    followed.now += 30 * HOUR
    result = receive(followed, letter(followed, "finished", START + HOUR))
    assert (result, followed.status(), followed.delivery().next_run_at) == ("applied", "created", followed.now)
    receive(followed, letter(followed, "finished", followed.now - 25 * HOUR))
    assert followed.status() == "delivered"


# --- before its time ---


class CallingBack:
    """A gateway whose carriers send their callbacks before their answers are read."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self._real = simulation, simulation.container.gateway

    def send(self, *what: Any, **how: Any) -> Iterator[Any]:
        groups = list(self._real.send(*what, **how))
        self._simulation.call_back()
        for waiting in self._simulation.container.database.write(callbacks.claim, self._simulation.now + HOUR, 10):
            self._simulation.app.tasks["callbacks.apply"](waiting)
        yield from groups

    def close(self) -> None:
        self._real.close()


@pytest.mark.fault("F-44")
@pytest.mark.quirk("B-86")
def test_a_callback_that_overtakes_its_create_proves_that_the_order_exists(simulation: Simulation) -> None:
    simulation.container.gateway = CallingBack(simulation)  # type: ignore[assignment]
    simulation.place(store_id="21")
    simulation.work()
    (attempt,) = simulation.delivery().attempts
    assert (simulation.published(), simulation.ledger()) == (["queued", "created"], [("borzo", attempt.ref)])


@pytest.mark.fault("F-44")
@pytest.mark.quirk("B-86", "B-92")
def test_a_callback_that_precedes_its_order_is_applied_once_the_order_is_known(followed: Simulation) -> None:
    at_the_door = int(followed.delivery().attempts[0].codec_state["point_id"])
    unknown = {"order_id": 1, "client_order_id": None, "point_id": at_the_door}
    early = letter(followed, "courier_assigned", followed.now + SECOND, **unknown)
    assert receive(followed, early) is None
    followed.decide(lambda it: _known_as(it, "1"))
    followed.until(lambda it: it.status() == "courier_assigned", step=1)


@pytest.mark.fault("F-42")
@pytest.mark.quirk("B-92")
def test_a_signed_callback_about_an_unknown_order_is_kept_for_a_day(followed: Simulation) -> None:
    strange = letter(followed, "finished", followed.now, order_id=1, client_order_id=None)
    kept = followed.container.database.write(callbacks.save, "borzo", strange, followed.now)
    assert kept is not None
    results = []
    for hours in (0, 23, 2):
        followed.now += hours * HOUR
        followed.app.tasks["callbacks.apply"](kept)
        found = followed.container.database.read(callbacks.load, kept)
        results.append(found.result if found else "gone")
    assert (results, followed.published()) == ([None, None, "orphaned"], ["queued", "created"])


@pytest.mark.fault("F-42")
def test_a_callback_of_another_account_changes_no_delivery(followed: Simulation) -> None:
    ours = letter(followed, "finished", followed.now + SECOND)
    kept = followed.container.database.write(callbacks.save, "cervo", ours, followed.now)
    followed.app.tasks["callbacks.apply"](kept)
    assert followed.published() == ["queued", "created"]


@pytest.mark.quirk("B-60")
def test_a_callback_about_a_second_order_with_our_reference_reveals_a_surplus_courier(followed: Simulation) -> None:
    twin = letter(followed, "planned", followed.now, order_id=77)
    later = letter(followed, "courier_assigned", followed.now + SECOND, order_id=77)
    results = [receive(followed, each) for each in (twin, later)]
    first, second = followed.delivery().attempts
    assert (results, followed.status(), first.live) == (["applied"] * 2, "created", True)
    assert (second.ref, second.surplus, second.carrier, second.live) == ("77", True, "borzo", True)


@pytest.mark.quirk("B-60")
@pytest.mark.parametrize(("word", "attempts"), [("canceled", 1), ("invalid", 1), ("finished", 2)])
def test_a_second_order_with_our_reference_counts_unless_no_courier_comes(
    followed: Simulation, word: str, attempts: int
) -> None:
    assert receive(followed, letter(followed, word, followed.now, order_id=77)) == "applied"
    assert len(followed.delivery().attempts) == attempts


# --- not at all ---


def _looks(simulation: Simulation) -> timedelta:
    at = simulation.delivery().next_run_at
    assert at is not None
    return at - simulation.now


def test_no_read_is_brought_forward_while_callbacks_are_received(followed: Simulation) -> None:
    followed.container.callback_gaps.heartbeat()
    due = followed.delivery().next_run_at
    followed.now += GAP
    assert (followed.container.callback_gaps.heartbeat(), followed.delivery().next_run_at) == (0, due)


@pytest.mark.quirk("B-85")
def test_a_delivery_that_relies_on_callbacks_is_read_once_soon_after_a_gap(followed: Simulation) -> None:
    followed.container.callback_gaps.heartbeat()
    followed.now += GAP + SECOND
    followed.decide(lambda it: _due(it, followed.now + HOUR))
    assert (followed.container.callback_gaps.heartbeat(), followed.container.callback_gaps.heartbeat()) == (1, 0)
    assert timedelta(0) <= _looks(followed) <= SPREAD


def test_a_gap_postpones_no_read_that_is_due(followed: Simulation) -> None:
    followed.container.callback_gaps.heartbeat()
    followed.now += GAP + SECOND
    followed.decide(lambda it: _due(it, followed.now))
    assert (followed.container.callback_gaps.heartbeat(), _looks(followed)) == (0, timedelta(0))


def test_a_gap_changes_nothing_for_a_carrier_without_callbacks(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.work()
    simulation.container.callback_gaps.heartbeat()
    simulation.now += GAP + SECOND
    simulation.decide(lambda it: _due(it, simulation.now + HOUR))
    assert (simulation.container.callback_gaps.heartbeat(), _looks(simulation)) == (0, HOUR)


def test_the_first_heartbeat_finds_no_gap(followed: Simulation) -> None:
    followed.now += 10 * HOUR
    assert followed.container.callback_gaps.heartbeat() == 0


# --- too many ---


@pytest.mark.fault("F-45")
def test_callbacks_wait_in_another_queue_than_calls_that_cost_money(simulation: Simulation) -> None:
    route: Callable[..., dict[str, str]] = simulation.app.conf.task_routes[0]
    money = {
        route(f"deliveries.{verb}", ["borzo", []], {}, {})["queue"]
        for verb in ("book", "confirm", "cancel", "reconcile")
    }
    callbacks = route("callbacks.apply", ["id"], {}, {})["queue"]
    assert (money, callbacks) == ({carrier_queues("borzo")[0]}, "callbacks")


class _Broken(Borzo):
    """A codec with a bug in it."""

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
        raise IndexError(callback, attempt, now)


def test_a_callback_that_breaks_the_codec_is_recorded_as_unreadable(followed: Simulation) -> None:
    account = followed.container.settings.accounts["borzo"]
    followed.container.replace_codec("borzo", _Broken(account, {}))
    assert receive(followed, letter(followed, "courier_assigned", followed.now)) == "unreadable"
    assert followed.published() == ["queued", "created"]
