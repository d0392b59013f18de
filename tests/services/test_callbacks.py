"""Callbacks that come early, late, twice, out of order, or not at all."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.services.gateways import Meanwhile
from tests.services.simulation import START, Simulation
from worker.carriers.borzo import Borzo
from worker.carriers.port import AttemptView, Callback, CallbackKey, Observation, reference_of
from worker.database import callbacks
from worker.domain.delivery import Change, Delivery
from worker.domain.lifecycle import StatusMappings
from worker.enqueue import carrier_queues
from worker.services.accounts import CarrierAccounts
from worker.services.callback_gaps import GAP, SPREAD

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
HAPPY = ["courier_assigned", "pickup_enroute", "pickup_arrived", "picked_up", "dropoff_enroute"]


def borzo_callback(simulation: Simulation, status: str, at: datetime, **changes: Any) -> Callback:
    """Build Borzo's callback about the simulation's order, as it is after its signature was verified."""
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


def store(simulation: Simulation, callback: Callback, carrier: str = "borzo") -> str | None:
    """Store a callback about the simulation's order as the web does, without its wake-up task."""
    key = simulation.container.codecs[carrier].callback_key(callback)
    database, (attempt, *_) = simulation.container.database, simulation.delivery().attempts
    return database.write(callbacks.save, carrier, callback, simulation.now, key, attempt.id)


def receive(simulation: Simulation, callback: Callback) -> str | None:
    """Store a callback and apply it, as the web and the worker do, and return its result."""
    key = simulation.container.codecs["borzo"].callback_key(callback)
    stored = simulation.container.database.write(callbacks.save, "borzo", callback, simulation.now, key)
    if stored is None:
        return "repeated"
    simulation.app.tasks["callbacks.apply"](stored)
    found = simulation.container.database.read(callbacks.load, stored)
    assert found is not None
    return found.result


def _due(delivery: Delivery, at: datetime) -> Change:
    return Change(replace(delivery, next_run_at=at))


def _known_as(delivery: Delivery, ref: str) -> Change:
    (attempt,) = delivery.attempts
    return Change(delivery.with_attempt(replace(attempt, ref=ref)))


@pytest.fixture
def tracked(simulation: Simulation) -> Simulation:
    """Return a simulation whose one order is at Borzo and is tracked."""
    simulation.place(store_id="21")
    simulation.work()
    assert simulation.published() == ["queued", "created"]
    return simulation


# --- out of order ---


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
def test_callbacks_in_any_order_never_move_a_delivery_back(tracked: Simulation) -> None:
    statuses = ("finished", "courier_at_pickup", "courier_assigned", "parcel_picked_up")
    minutes = (40, 10, 5, 20)
    received = [
        borzo_callback(tracked, status, START + minute * 60 * SECOND)
        for status, minute in zip(statuses, minutes, strict=True)
    ]
    results = [receive(tracked, each) for each in received]
    tracked.work()
    assert (results, tracked.published()) == (["applied"] * 4, ["queued", "created", "delivered"])


@pytest.mark.fault("F-78")
@pytest.mark.quirk("B-84")
def test_a_callback_is_applied_after_an_earlier_one_whose_task_was_lost(tracked: Simulation) -> None:
    later = store(tracked, borzo_callback(tracked, "courier_at_pickup", tracked.now + 3 * SECOND))
    for seconds, status in enumerate(("courier_assigned", "courier_departed")):
        store(tracked, borzo_callback(tracked, status, tracked.now + seconds * SECOND))
    tracked.app.tasks["callbacks.apply"](later)
    tracked.work()
    assert tracked.published() == ["queued", "created", "courier_assigned", "pickup_enroute", "pickup_arrived"]


@pytest.mark.fault("F-78")
@pytest.mark.quirk("B-84")
def test_callbacks_that_several_workers_take_at_once_are_applied_in_the_carrier_s_order(tracked: Simulation) -> None:
    statuses = ("courier_assigned", "courier_departed", "courier_at_pickup", "parcel_picked_up", "courier_arrived")
    waiting = [
        store(tracked, borzo_callback(tracked, status, tracked.now + seconds * SECOND))
        for seconds, status in enumerate(statuses)
    ]
    with ThreadPoolExecutor(len(waiting)) as pool:
        list(pool.map(tracked.app.tasks["callbacks.apply"], reversed(waiting)))
    tracked.work()
    assert tracked.published() == ["queued", "created", *HAPPY[:4], "dropoff_arrived"]


@pytest.mark.fault("F-76")
@pytest.mark.parametrize("behind", [timedelta(minutes=10), 5 * SECOND, -timedelta(minutes=10)])
def test_a_callback_counts_after_a_read_whatever_the_carrier_s_clock_says(
    simulation: Simulation, behind: timedelta
) -> None:
    simulation.carrier_clock_lag = behind
    simulation.place_at("borzo", "2011")
    simulation.now += 20 * SECOND
    simulation.decide(lambda it: _due(it, simulation.now))
    simulation.container.tracking.track("borzo", [simulation.delivery().id])  # the read has no time of Borzo's
    assert simulation.status() == "created"
    receive(simulation, borzo_callback(simulation, "finished", simulation.now + SECOND - behind))
    assert simulation.status() == "delivered"


@pytest.mark.fault("F-77")
@pytest.mark.quirk("C-53")
def test_an_unsigned_callback_that_equals_an_earlier_one_prompts_a_read(simulation: Simulation) -> None:
    simulation.place(store_id="34")
    simulation.work()
    (attempt,) = simulation.delivery().attempts
    for status in ("2", "5", "2"):
        simulation.now += SECOND
        body = json.dumps({"driver_name": "Ali", "order_status": status}).encode()
        callback = Callback("POST", body, {"content-type": "application/json"}, token=attempt.token)
        simulation.app.tasks["callbacks.apply"](store(simulation, callback, "cervo"))
        assert simulation.delivery().attempts[0].prompted_at == simulation.now


@pytest.mark.fault("F-77")
@pytest.mark.quirk("C-24", "C-53")
def test_without_an_id_to_read_equal_unsigned_callbacks_are_followed(simulation: Simulation) -> None:
    simulation.place(store_id="34")
    simulation.work()
    simulation.decide(lambda it: Change(it.with_attempt(replace(it.attempts[0], ref=None))))
    for status in ("2", "5", "5", "2", "2"):
        body = json.dumps({"driver_name": "Ali", "order_status": status}).encode()
        token = simulation.delivery().attempts[0].token
        callback = Callback("POST", body, {"content-type": "application/json"}, token=token)
        simulation.app.tasks["callbacks.apply"](store(simulation, callback, "cervo"))
    simulation.work()
    statuses = ["queued", "created", "courier_assigned", "courier_withdrawn", "courier_assigned"]
    assert [each for each in simulation.published() if not each.startswith("delivery.")] == statuses


@pytest.mark.fault("F-43")
@pytest.mark.quirk("B-83")
def test_a_repeated_callback_does_nothing_after_ten_days(tracked: Simulation) -> None:
    once = borzo_callback(tracked, "courier_assigned", tracked.now + SECOND)
    receive(tracked, once)
    before = tracked.delivery()
    tracked.now += timedelta(days=10)
    assert (receive(tracked, once), tracked.delivery()) == ("repeated", before)


@pytest.mark.fault("F-43")
@pytest.mark.quirk("B-83")
def test_a_callback_that_is_more_than_a_day_late_only_schedules_a_read(tracked: Simulation) -> None:
    tracked.now += 30 * HOUR
    result = receive(tracked, borzo_callback(tracked, "finished", START + HOUR))
    assert (result, tracked.status(), tracked.delivery().next_run_at) == ("applied", "created", tracked.now)
    receive(tracked, borzo_callback(tracked, "finished", tracked.now - 25 * HOUR))
    assert tracked.status() == "delivered"


# --- before the order is known ---


def callbacks_overtake_replies(simulation: Simulation) -> None:
    """Apply the carriers' callbacks before their replies are read."""

    def receive_callbacks() -> None:
        simulation.call_back()
        for waiting in simulation.container.database.write(callbacks.claim, simulation.now + HOUR, 10):
            simulation.app.tasks["callbacks.apply"](waiting)

    gateway = Meanwhile(simulation.container.gateway, receive_callbacks)
    simulation.container.gateway = gateway  # type: ignore[assignment]


@pytest.mark.fault("F-44")
@pytest.mark.quirk("B-86")
def test_a_callback_that_overtakes_its_create_proves_that_the_order_exists(simulation: Simulation) -> None:
    callbacks_overtake_replies(simulation)
    simulation.place(store_id="21")
    simulation.work()
    (attempt,) = simulation.delivery().attempts
    assert (simulation.published(), simulation.ledger()) == (["queued", "created"], [("borzo", attempt.ref)])


@pytest.mark.fault("F-44")
@pytest.mark.quirk("B-86", "B-92")
def test_a_callback_that_precedes_its_order_is_applied_once_the_order_is_known(tracked: Simulation) -> None:
    drop_off = int(tracked.delivery().attempts[0].codec_state["point_id"])
    unknown = {"order_id": 1, "client_order_id": None, "point_id": drop_off}
    early = borzo_callback(tracked, "courier_assigned", tracked.now + SECOND, **unknown)
    assert receive(tracked, early) is None
    tracked.decide(lambda it: _known_as(it, "1"))
    tracked.until(lambda it: it.status() == "courier_assigned", step=1)


@pytest.mark.fault("F-42")
@pytest.mark.quirk("B-92")
def test_a_signed_callback_about_an_unknown_order_is_stored_for_a_day(tracked: Simulation) -> None:
    unknown = borzo_callback(tracked, "finished", tracked.now, order_id=1, client_order_id=None)
    stored = tracked.container.database.write(callbacks.save, "borzo", unknown, tracked.now)
    assert stored is not None
    results = []
    for hours in (0, 23, 2):
        tracked.now += hours * HOUR
        tracked.app.tasks["callbacks.apply"](stored)
        found = tracked.container.database.read(callbacks.load, stored)
        results.append(found.result if found else "gone")
    assert (results, tracked.published()) == ([None, None, "orphaned"], ["queued", "created"])


@pytest.mark.fault("F-42")
def test_a_callback_of_another_account_changes_no_delivery(tracked: Simulation) -> None:
    ours = borzo_callback(tracked, "finished", tracked.now + SECOND)
    stored = tracked.container.database.write(callbacks.save, "cervo", ours, tracked.now)
    tracked.app.tasks["callbacks.apply"](stored)
    assert tracked.published() == ["queued", "created"]


@pytest.mark.quirk("B-60")
def test_a_callback_about_a_second_order_with_our_reference_reveals_a_surplus_courier(tracked: Simulation) -> None:
    second_order = borzo_callback(tracked, "planned", tracked.now, order_id=77)
    later = borzo_callback(tracked, "courier_assigned", tracked.now + SECOND, order_id=77)
    results = [receive(tracked, each) for each in (second_order, later)]
    first, second = tracked.delivery().attempts
    assert (results, tracked.status(), first.live) == (["applied"] * 2, "created", True)
    assert (second.ref, second.surplus, second.carrier, second.live) == ("77", True, "borzo", True)


@pytest.mark.fault("F-73")
def test_a_callback_that_names_the_order_of_another_delivery_changes_nothing(tracked: Simulation) -> None:
    tracked.inject_fault("error_before", "borzo", operation="create")
    tracked.place(store_id="21", order_id="2012")
    tracked.work()
    before = tracked.delivery("2012")
    reference = reference_of(before.attempts[0].id)
    foreign = borzo_callback(tracked, "courier_assigned", tracked.now, client_order_id=reference)
    assert (receive(tracked, foreign), tracked.delivery("2012")) == ("unreadable", before)


@pytest.mark.quirk("B-60")
@pytest.mark.parametrize(("status", "attempts"), [("canceled", 1), ("invalid", 1), ("finished", 2)])
def test_a_second_order_with_our_reference_counts_unless_no_courier_comes(
    tracked: Simulation, status: str, attempts: int
) -> None:
    assert receive(tracked, borzo_callback(tracked, status, tracked.now, order_id=77)) == "applied"
    assert len(tracked.delivery().attempts) == attempts


# --- only a cancel reason ---


@pytest.mark.quirk("C-41", "C-50")
def test_a_cancel_reason_that_only_a_callback_gives_is_published(simulation: Simulation) -> None:
    simulation.place("cancelled")
    simulation.until(lambda it: it.delivery().final)
    ended = next(event["data"] for event in simulation.events() if event["data"]["status"] == "cancelled")
    assert (ended["carrier"], ended["reason_text"], ended["cause"]) == ("cervo", "Canceled by the sandbox", "poll")


@pytest.mark.quirk("C-50")
def test_a_callback_that_only_leaves_a_cancel_reason_still_prompts_a_read_at_once(simulation: Simulation) -> None:
    simulation.place("courier_withdraws")
    simulation.until(lambda it: any("cancel_reason" in each.codec_state for each in it.delivery().attempts), step=1)
    assert simulation.status() == "courier_withdrawn"


# --- not at all ---


def _time_to_next_read(simulation: Simulation) -> timedelta:
    at = simulation.delivery().next_run_at
    assert at is not None
    return at - simulation.now


def test_no_read_is_brought_forward_while_callbacks_are_received(tracked: Simulation) -> None:
    tracked.container.callback_gaps.heartbeat()
    due = tracked.delivery().next_run_at
    tracked.now += GAP
    assert (tracked.container.callback_gaps.heartbeat(), tracked.delivery().next_run_at) == (0, due)


@pytest.mark.quirk("B-85")
def test_a_delivery_that_relies_on_callbacks_is_read_once_soon_after_a_gap(tracked: Simulation) -> None:
    tracked.container.callback_gaps.heartbeat()
    tracked.now += GAP + SECOND
    tracked.decide(lambda it: _due(it, tracked.now + HOUR))
    assert (tracked.container.callback_gaps.heartbeat(), tracked.container.callback_gaps.heartbeat()) == (1, 0)
    assert timedelta(0) <= _time_to_next_read(tracked) <= SPREAD


def test_a_gap_postpones_no_read_that_is_due(tracked: Simulation) -> None:
    tracked.container.callback_gaps.heartbeat()
    tracked.now += GAP + SECOND
    tracked.decide(lambda it: _due(it, tracked.now))
    assert (tracked.container.callback_gaps.heartbeat(), _time_to_next_read(tracked)) == (0, timedelta(0))


def test_a_gap_changes_nothing_for_a_carrier_without_callbacks(simulation: Simulation) -> None:
    simulation.place(store_id="17")
    simulation.work()
    simulation.container.callback_gaps.heartbeat()
    simulation.now += GAP + SECOND
    simulation.decide(lambda it: _due(it, simulation.now + HOUR))
    assert (simulation.container.callback_gaps.heartbeat(), _time_to_next_read(simulation)) == (0, HOUR)


def test_the_first_heartbeat_finds_no_gap(tracked: Simulation) -> None:
    tracked.now += 10 * HOUR
    assert tracked.container.callback_gaps.heartbeat() == 0


@pytest.mark.quirk("B-80")
def test_callbacks_about_deliveries_that_never_come_are_logged_once_although_those_about_orders_do(
    tracked: Simulation,
) -> None:
    database, gaps = tracked.container.database, tracked.container.callback_gaps
    order = CallbackKey(ref="1", entity="order")
    with capture_logs() as logs:
        database.write(callbacks.save, "borzo", Callback("POST", b"1"), tracked.now, order)
        for _ in range(3):  # a delivery's first callback may still be under way in the first hour
            gaps.heartbeat()
            tracked.now += HOUR
    known = [each for each in logs if each["event"] == "callback.kind_missing"]
    assert known == [{"event": "callback.kind_missing", "account": "borzo", "kind": "delivery", "log_level": "warning"}]
    assert gaps.missing("borzo", tracked.now) == ["delivery"]
    database.write(callbacks.save, "borzo", Callback("POST", b"2"), tracked.now, replace(order, entity="delivery"))
    assert gaps.missing("borzo", tracked.now) == []
    assert gaps.missing("borzo", tracked.now + timedelta(days=3)) == []  # no callbacks at all are a matter of gaps


# --- too many ---


@pytest.mark.fault("F-45")
def test_callbacks_wait_in_another_queue_than_calls_that_cost_money(simulation: Simulation) -> None:
    route: Callable[..., dict[str, str]] = simulation.app.conf.task_routes[0]
    costly = {
        route(f"deliveries.{action}", ["borzo", []], {}, {})["queue"]
        for action in ("book", "confirm", "cancel", "reconcile")
    }
    callbacks = route("callbacks.apply", ["id"], {}, {})["queue"]
    assert (costly, callbacks) == ({carrier_queues("borzo")[0]}, "callbacks")


class _Broken(Borzo):
    """A codec with a bug in it."""

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
        raise IndexError(callback, attempt, now)


def test_a_callback_that_breaks_the_codec_is_recorded_as_unreadable(tracked: Simulation) -> None:
    account = tracked.container.settings.accounts["borzo"]
    tracked.container.replace_codec("borzo", _Broken(account, {}))
    assert receive(tracked, borzo_callback(tracked, "courier_assigned", tracked.now)) == "unreadable"
    assert tracked.published() == ["queued", "created"]


# --- while something else happens ---


class _Meanwhile(Borzo):
    """A codec during whose parsing something happens."""

    happens: Callable[[], None]

    def read_callback(self, callback: Callback, attempt: AttemptView, now: datetime) -> tuple[Observation, ...]:
        self.happens()
        return super().read_callback(callback, attempt, now)


def postpone_while_parsing(simulation: Simulation, times: int) -> list[datetime]:
    """Postpone the next read during each of the next `times` parses; return the list that the times are added to."""
    postponed: list[datetime] = []

    def postpone() -> None:
        if len(postponed) < times:
            postponed.append(simulation.now + (1 + len(postponed)) * HOUR)
            simulation.decide(lambda it: _due(it, postponed[-1]))

    codec = _Meanwhile(simulation.container.settings.accounts["borzo"], {})
    codec.happens = postpone
    simulation.container.replace_codec("borzo", codec)
    return postponed


def test_a_callback_is_parsed_again_when_its_delivery_changed_meanwhile(tracked: Simulation) -> None:
    postponed = postpone_while_parsing(tracked, 3)
    assert receive(tracked, borzo_callback(tracked, "courier_assigned", tracked.now + SECOND)) == "applied"
    tracked.work()
    assert (len(postponed), tracked.published()) == (3, ["queued", "created", "courier_assigned"])


def test_a_callback_whose_delivery_keeps_changing_is_applied_by_a_later_sweep(tracked: Simulation) -> None:
    postponed = postpone_while_parsing(tracked, 7)
    assert receive(tracked, borzo_callback(tracked, "courier_assigned", tracked.now + SECOND)) is None
    tracked.until(lambda it: it.status() == "courier_assigned", step=1, limit=10)
    assert len(postponed) == 7


@pytest.mark.fault("F-88")
def test_a_callback_of_a_delivery_that_only_a_newer_version_can_read_waits_for_that_version(
    tracked: Simulation,
) -> None:
    callback = borzo_callback(tracked, "courier_assigned", tracked.now + SECOND)
    with tracked.container.database.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET step = 'weigh'"))
    assert receive(tracked, callback) is None
    with tracked.container.database.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET step = 'track'"))
    tracked.until(lambda it: it.status() == "courier_assigned", step=1, limit=10)


class _Unlucky(CarrierAccounts):
    """Accounts whose mappings cannot be looked up because of a bug."""

    def status_mappings(self, account: str) -> StatusMappings:
        raise KeyError(account)


def test_a_callback_that_meets_a_bug_of_ours_is_not_lost(tracked: Simulation) -> None:
    real = tracked.container.accounts
    tracked.container.accounts = _Unlucky(real.codecs, real.bind, real.database, real.gateway, real.clock)
    with pytest.raises(KeyError):
        receive(tracked, borzo_callback(tracked, "courier_assigned", tracked.now + SECOND))
    tracked.container.forget_services()
    tracked.until(lambda it: it.status() == "courier_assigned", step=1, limit=10)


def test_a_callback_of_an_account_that_left_the_settings_is_unreadable(tracked: Simulation) -> None:
    database = tracked.container.database
    stored = database.write(callbacks.save, "gone", Callback("POST", b"{}"), tracked.now)
    assert stored is not None
    tracked.app.tasks["callbacks.apply"](stored)
    found = database.read(callbacks.load, stored)
    assert found is not None
    assert found.result == "unreadable"
