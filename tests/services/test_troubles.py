"""Whatever is wrong is found as one trouble for each cause, and is gone when its cause is."""

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisUnavailable
from sqlalchemy.exc import OperationalError

from tests.services.simulation import STORE_OF, Simulation, order_document
from worker.bus.port import REDIS
from worker.database import accounts, callback_health
from worker.database.database import Database
from worker.database.tables import DELIVERY
from worker.domain.trouble import Action, Severity, Trouble
from worker.http.call import CallClass
from worker.resilience.circuit_breaker import FAILURES
from worker.services.refused_callbacks import RefusedCallbacks
from worker.services.system_health import SystemHealth
from worker.services.system_troubles import COMMITS_WAIT

SECOND = timedelta(seconds=1)


def find(simulation: Simulation) -> dict[str, Trouble]:
    """Return the troubles by their keys, the worst first."""
    return {each.key: each for each in simulation.container.troubles.find()}


def place_at_unknown_store(simulation: Simulation, order_id: str) -> None:
    document = json.loads(order_document(order_id=order_id))
    document["data"]["store_id"] = "77"
    simulation.put(json.dumps(document))


def keys(simulation: Simulation) -> list[str]:
    return list(find(simulation))


def test_nothing_is_wrong_while_orders_are_delivered(simulation: Simulation) -> None:
    simulation.place()
    simulation.work()
    for _ in range(30):
        simulation.pass_time(60)
        assert keys(simulation) == []
    assert simulation.status() == "delivered"


def test_a_rejected_token_is_one_trouble_with_the_orders_that_wait(simulation: Simulation) -> None:
    simulation.inject_fault("unauthorized", "borzo", times=None)
    simulation.place_at("borzo", "1", "2", "3")
    simulation.pass_time()
    (found,) = find(simulation).values()
    assert (found.key, found.severity, found.count, found.account, found.actions) == (
        "account_paused:borzo",
        Severity.WAITING,
        3,
        "borzo",
        (Action.RESUME,),
    )
    assert found.title == "borzo refuses our credentials"
    assert found.explanation.endswith(
        "Correct its credentials, restart the processes, then resume it. It is also tried again every 5 minutes. "
        "3 orders wait for a courier."
    )
    assert [each.order_id for each in found.orders] == ["1", "2", "3"]
    assert found.deadline == min(each.deadline for each in found.orders if each.deadline)


def test_the_orders_of_a_paused_account_become_late_and_stay_one_trouble(simulation: Simulation) -> None:
    simulation.inject_fault("unauthorized", "borzo", times=None)
    simulation.place_at("borzo", "1", "2")
    simulation.until(lambda it: it.delivery("1").attention is not None)
    (found,) = find(simulation).values()
    assert (found.key, found.severity, found.count) == ("account_paused:borzo", Severity.LATE, 2)


def test_a_trouble_is_gone_when_its_cause_is(simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, "borzo", "operator", "holiday", simulation.now)
    simulation.place_at("borzo", "1")
    simulation.pass_time()
    assert keys(simulation) == ["account_paused:borzo"]
    simulation.container.database.write(accounts.resume, "borzo", "operator", simulation.now)
    simulation.pass_time()
    simulation.pass_time()
    assert keys(simulation) == []


def test_held_creates_are_one_trouble_for_all_accounts(simulation: Simulation) -> None:
    simulation.container.database.write(accounts.pause, accounts.EVERY_ACCOUNT, "database", "lost", simulation.now)
    simulation.place_at("borzo", "1")
    simulation.place_at("cervo", "2")
    simulation.pass_time()
    (found,) = find(simulation).values()
    assert (found.key, found.count, found.actions) == ("creates_held", 2, (Action.RELEASE,))
    assert found.explanation == (
        "The database holds all creates (lost). Reads, cancels and callbacks go on. 2 orders wait for a courier."
    )


def test_an_unknown_store_is_one_trouble_with_its_orders(simulation: Simulation) -> None:
    for order_id in ("1", "2"):
        place_at_unknown_store(simulation, order_id)
    simulation.pass_time()
    (found,) = find(simulation).values()
    assert (found.key, found.count, found.store_id) == ("unknown_store:77", 2, "77")


def test_each_lost_answer_is_a_trouble_with_what_to_ask_the_carrier(simulation: Simulation) -> None:
    simulation.inject_fault("error_before", "cervo", operation="create", times=2)
    simulation.place_at("cervo", "1", "2")
    simulation.until(lambda it: it.delivery("2").attention is not None)
    found = find(simulation)
    assert list(found) == [f"outcome_unknown:{simulation.delivery(each).id}" for each in ("1", "2")]
    assert [each.questions[0].our_id for each in found.values()] == [
        simulation.delivery(each).attempts[0].id for each in ("1", "2")
    ]


def test_a_carrier_that_does_not_answer_is_one_trouble(simulation: Simulation) -> None:
    simulation.place_at("cervo", "1")
    simulation.pass_time()
    simulation.container.breaker.record("cervo", CallClass.READ, good=0, bad=FAILURES)
    (found,) = find(simulation).values()
    assert (found.key, found.title) == ("carrier_unavailable:cervo", "cervo does not answer")
    assert found.explanation.startswith("No reads are sent to it. It is tried again in 30 s.")


def test_a_carrier_that_asks_for_fewer_calls_is_another_trouble(simulation: Simulation) -> None:
    simulation.pass_time()
    simulation.container.breaker.throttle("cervo", CallClass.CREATE, None)
    assert keys(simulation) == ["carrier_throttled:cervo"]


def test_a_stopped_worker_is_a_trouble_with_everything_that_is_due(simulation: Simulation) -> None:
    assert keys(simulation) == ["no_worker"]
    simulation.place()
    simulation.pass_time()
    assert keys(simulation) == []
    simulation.now += simulation.container.terms["cervo"].capabilities.cadence.shortest * 10 * SECOND
    (found,) = find(simulation).values()
    assert (found.key, found.count, found.severity) == ("no_worker", 1, Severity.WAITING)


def test_commits_that_wait_for_a_standby_are_one_trouble_in_place_of_all_that_is_late(simulation: Simulation) -> None:
    simulation.place()
    simulation.pass_time()
    simulation.container.callback_gaps.heartbeat()
    simulation.now += 600 * SECOND
    assert keys(simulation) == ["no_worker", "callbacks_not_stored"]
    state = simulation.container.system_health.measure()
    assert state.stored is not None
    waiting = replace(state, stored=replace(state.stored, commit_wait=COMMITS_WAIT + SECOND))
    (found,) = simulation.container.troubles.find(waiting)
    assert (found.key, found.count, found.severity, found.since) == (
        "commits_wait_for_standby",
        1,
        Severity.LATE,
        simulation.now - COMMITS_WAIT - SECOND,
    )
    briefly = replace(state, stored=replace(state.stored, commit_wait=COMMITS_WAIT))
    assert [each.key for each in simulation.container.troubles.find(briefly)] == keys(simulation)


def test_workers_that_sweep_by_themselves_show_that_beat_is_away(simulation: Simulation) -> None:
    simulation.pass_time()
    simulation.now += 20 * SECOND
    assert simulation.container.sweep.run_if_late(simulation.container.queue)
    assert keys(simulation) == ["no_beat"]


def test_a_queue_that_no_worker_serves_is_a_trouble(simulation: Simulation) -> None:
    simulation.unserved = frozenset({"carrier.cervo"})
    simulation.place_at("cervo", "1")
    for _ in range(5):
        simulation.pass_time(30)
    (found,) = find(simulation).values()
    assert (found.key, found.count, found.account) == ("queue_not_served:carrier.cervo", 1, "cervo")


def test_a_step_that_only_a_newer_version_runs_is_a_trouble_once_none_does(simulation: Simulation) -> None:
    simulation.place_at("cervo", "1")
    with simulation.container.database.engine.begin() as connection:
        connection.execute(DELIVERY.update().values(step="weigh", next_run_at=simulation.now))
    simulation.pass_time(60)
    assert keys(simulation) == []
    simulation.pass_time(90)
    assert keys(simulation) == ["newer_version_needed:weigh"]


def test_deliveries_of_a_removed_account_are_a_trouble(simulation: Simulation) -> None:
    simulation.place_at("cervo", "1")
    simulation.pass_time()
    simulation.unserved = frozenset({"carrier.cervo.reads"})
    terms = dict(simulation.container.terms)
    del terms["cervo"]
    simulation.container.terms = terms
    for _ in range(3):
        simulation.pass_time(60)
    (found,) = find(simulation).values()
    assert (found.key, found.count) == ("account_missing:cervo", 1)


def test_messages_that_cannot_be_read_are_one_trouble_for_each_reason(simulation: Simulation) -> None:
    simulation.pass_time()
    for document in (b"\xff", b"\xfe", b"[]"):
        simulation.put(document)
    simulation.pass_time()
    assert [(each.title, each.subject, each.severity) for each in find(simulation).values()] == [
        ("2 messages could not be read", "message: not UTF-8", Severity.WAITING),
        ("1 message could not be read", "message: not a JSON object", Severity.WAITING),
    ]


def test_messages_that_nobody_reads_are_a_trouble(simulation: Simulation) -> None:
    simulation.add(b"{}")
    simulation.bus.create_group()
    simulation.pass_time(61)
    assert keys(simulation) == ["orders_unread:orders:order-sync"]


def test_a_subscriber_that_is_behind_is_a_trouble(simulation: Simulation) -> None:
    simulation.redis.xadd("deliveries", {"event": "x"}, id=f"{int(simulation.now.timestamp() * 1000)}-0")
    simulation.redis.xgroup_create("deliveries", "kitchen", id="0")
    simulation.pass_time(901)
    assert keys(simulation) == ["subscriber_behind:deliveries:kitchen"]


def test_events_that_are_not_published_are_a_trouble(simulation: Simulation) -> None:
    simulation.unserved = frozenset({"events"})
    simulation.place()
    simulation.pass_time(61)
    found = find(simulation)["events_unpublished"]
    assert found.severity is Severity.SYSTEM


def test_a_web_process_that_stopped_is_a_trouble(simulation: Simulation) -> None:
    simulation.container.callback_gaps.heartbeat()
    simulation.pass_time(301)
    assert keys(simulation) == ["callbacks_not_stored"]
    simulation.container.callback_gaps.heartbeat()
    assert keys(simulation) == []


def test_a_missing_kind_of_callback_is_a_trouble(simulation: Simulation) -> None:
    simulation.container.database.write(callback_health.mark_missing, "borzo", "delivery", simulation.now)
    simulation.pass_time()
    assert [each.title for each in find(simulation).values()] == ["borzo sends no callbacks about a delivery"]


def test_refused_callbacks_are_counted_over_all_web_processes_and_over_a_quarter_of_an_hour_after_the_last(
    simulation: Simulation,
) -> None:
    made = simulation.container
    simulation.pass_time()
    for process in (RefusedCallbacks(made.database, made.clock), RefusedCallbacks(made.database, made.clock)):
        for _ in range(10):
            process.count("borzo")
        process.count("cervo")
        process.record()
        process.record()
    assert keys(simulation) == []
    began = simulation.now
    simulation.pass_time(60)
    made.refused_callbacks.count("borzo")
    made.refused_callbacks.record()
    (found,) = find(simulation).values()
    assert (found.title, found.account, found.severity, found.since) == (
        "Callbacks of borzo are refused",
        "borzo",
        Severity.SYSTEM,
        began,
    )
    assert found.explanation.startswith("21 were not authentic within 15 minutes.")
    simulation.pass_time(14 * 60)
    assert keys(simulation) == []


def test_an_unavailable_redis_hides_nothing_else(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    place_at_unknown_store(simulation, "1")
    simulation.pass_time()

    def refuse(*_: object, **__: object) -> None:
        raise RedisUnavailable

    monkeypatch.setattr(simulation.redis, "execute_command", refuse)
    assert keys(simulation) == ["unknown_store:77", "redis_unavailable"]


def test_an_unavailable_database_is_the_only_trouble_that_can_be_shown(simulation: Simulation, tmp_path: Path) -> None:
    full = simulation.container.database
    with closing(Database(f"sqlite:///{tmp_path}/empty.db")) as empty:
        simulation.container.database = empty
        assert keys(simulation) == ["database_unavailable"]
    simulation.container.database = full


def test_a_shared_clock_that_cannot_be_read_shows_the_database_as_unavailable(simulation: Simulation) -> None:
    def unreadable() -> datetime:
        raise OperationalError("SELECT", {}, Exception())

    health = replace(simulation.container.system_health, clock=unreadable)
    assert [each.key for each in replace(simulation.container.troubles, health=health).find()] == [
        "database_unavailable"
    ]


def test_a_redis_that_hangs_is_waited_for_once(simulation: Simulation) -> None:
    both = Barrier(2, timeout=60)

    class Hanging:
        server = REDIS

        def lags(self, _: datetime) -> None:
            both.wait()
            raise ConnectionError

        def statuses(self, _: str) -> None:
            both.wait()

    container, hanging = simulation.container, cast("Any", Hanging())
    health = SystemHealth(container.database, hanging, hanging, ("cervo",), container.clock)
    state = health.measure()
    assert (state.lags, state.breakers, state.stored is None) == (None, {"cervo": None}, False)


def test_a_final_delivery_needs_nobody_although_its_carrier_is_paused(simulation: Simulation) -> None:
    simulation.place(store_id=STORE_OF["cervo"])
    simulation.until(lambda it: it.status() == "delivered", step=60)
    simulation.container.database.write(accounts.pause, "cervo", "operator", "", simulation.now)
    found = find(simulation)["account_paused:cervo"]
    assert (found.severity, found.count) == (Severity.SYSTEM, 0)


def test_the_workers_that_run_are_listed_and_so_are_those_that_vanished(simulation: Simulation) -> None:
    heartbeats, health = simulation.container.worker_heartbeats, simulation.container.system_health
    for worker in ("host.1", "host.2", "host.3"):
        heartbeats.record(worker)
    heartbeats.end("host.3")
    vanished_at = simulation.now
    simulation.now += 30 * SECOND
    heartbeats.record("host.1")
    state = health.measure()
    assert (state.running_workers, state.vanished_workers) == (["host.1"], {"host.2": vanished_at})
    simulation.now += 3600 * SECOND
    heartbeats.record("host.1")
    assert health.measure().vanished_workers == {}


def test_old_records_that_no_purge_has_removed_for_two_days_are_a_trouble(simulation: Simulation) -> None:
    simulation.now += timedelta(days=3)
    assert "records_not_removed" not in find(simulation)  # there is nothing to remove
    simulation.place_at("cervo", "1")
    placed = simulation.delivery("1").created_at
    simulation.now = placed + timedelta(days=2)
    assert "records_not_removed" not in find(simulation)
    simulation.now += timedelta(hours=1)
    assert find(simulation)["records_not_removed"].since == placed
    simulation.container.retention.purge()
    assert "records_not_removed" not in find(simulation)
    purged = simulation.now
    simulation.now += timedelta(days=2, seconds=1)
    assert find(simulation)["records_not_removed"].since == purged
