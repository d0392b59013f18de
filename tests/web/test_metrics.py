"""The metrics: every series exists at zero, and a part that does not answer hides no other part."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.events import EventType
from schemas.status import AttentionReason, Cause, DeliveryStatus, Reason
from tests.database.samples import begun, place
from tests.database.samples import changed as changed_deliveries
from tests.domain.scenario import observed
from tests.web.edge import NOW, Edge, sample
from worker.bus import streams
from worker.bus.streams import Bus
from worker.carriers.port import Callback
from worker.database import accounts, callbacks, carrier_calls, deliveries, leases, retention, subscribers
from worker.database.carrier_calls import RecordedCall
from worker.database.database import Database
from worker.database.search import Filter, search
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery, Event
from worker.domain.lifecycle import snapshot
from worker.domain.subscriber import BlockedKey, Subscriber
from worker.http.call import CallClass, Operation, Verdict
from worker.local.demo.orders import placed
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.rate_limiter import RateLimiter
from worker.web.checks import Check, run_all
from worker.web.counters import OrderCounts

TOKEN = "kEX0u5bq2bBPnlm3cBbLx7jBqD3q8n1A"
EXIST = {
    "order_sync_attention": 16,
    "order_sync_attempts_ended_total": 15,
    "order_sync_breaker_open": 9,
    "order_sync_callback_age_seconds": 2,
    "order_sync_callbacks_total": 12,
    "order_sync_callbacks_waiting": 1,
    "order_sync_carrier_call_seconds_bucket": 858,
    "order_sync_carrier_call_seconds_count": 78,
    "order_sync_carrier_call_seconds_sum": 78,
    "order_sync_carrier_paused": 12,
    "order_sync_dead_letters": 1,
    "order_sync_deliveries": 15,
    "order_sync_events_unsent": 1,
    "order_sync_metrics_up": 5,
    "order_sync_order_requests_total": 26,
    "order_sync_orders_ended_total": 20,
    "order_sync_orders_received_total": 1,
    "order_sync_orders_rejected_total": 23,
    "order_sync_outbox_age_seconds": 1,
    "order_sync_queue_depth": 12,
    "order_sync_queue_wait_seconds": 10,
    "order_sync_rate_left": 3,
    "order_sync_read_age_seconds": 3,
    "order_sync_step_overdue_seconds": 19,
    "order_sync_stream_lag_seconds": 1,
    "order_sync_stream_waiting": 1,
    "order_sync_subscriber_blocked": 1,
    "order_sync_subscriber_disabled": 1,
    "order_sync_subscriber_lag_seconds": 1,
    "order_sync_subscriber_requests_total": 2,
    "order_sync_sweep_age_seconds": 1,
    "order_sync_time_to_door_seconds_bucket": 30,
    "order_sync_time_to_door_seconds_count": 3,
    "order_sync_time_to_door_seconds_sum": 3,
    "order_sync_time_to_pickup_seconds_bucket": 30,
    "order_sync_time_to_pickup_seconds_count": 3,
    "order_sync_time_to_pickup_seconds_sum": 3,
    "order_sync_troubles": 41,
    "order_sync_unknown_outcome_age_seconds": 3,
    "order_sync_workers": 1,
    "order_sync_write_backs_waiting": 1,
}
"""How many series each metric has in an empty deployment with one account of each carrier and one subscriber."""

KITCHEN = Subscriber("kitchen", "https://kitchen.example", (), ("whsec_",), 1000, NOW)
"""A subscriber that gets the events after the thousandth."""


@pytest.fixture
def edge(edge: Edge) -> Edge:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    edge.rebuild(breaker=CircuitBreaker(client), rate_limiter=RateLimiter(client))
    edge.container.database.write(subscribers.add, KITCHEN)
    return edge


def series(edge: Edge, *, zero: bool = False) -> dict[str, float]:
    """Scrape; return the series that are not zero, or all of them."""
    status, text = edge.ask("GET", "/metrics")
    assert status == 200
    return {
        each.name + "".join(f" {key}={value}" for key, value in sorted(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if not each.name.endswith("_created") and (zero or each.value)
    }


def changed(edge: Edge, before: dict[str, float]) -> dict[str, float]:
    """Return the series with another value than before, without the troubles, which follow from them."""
    found = dict(series(edge, zero=True).items() - before.items())
    return {name: value for name, value in found.items() if not name.startswith("order_sync_troubles")}


def test_the_troubles_are_counted_by_kind(edge: Edge) -> None:
    edge.container.database.write(leases.take, "sweep", "sweep", NOW, 15)
    edge.container.database.write(accounts.pause, "borzo", "operator", "rest", NOW)
    edge.container.database.write(accounts.pause, "cervo", "carrier", "token", NOW)
    found = {name: value for name, value in series(edge).items() if "order_sync_troubles" in name}
    assert found == {"order_sync_troubles kind=account_paused": 2}


def test_every_series_exists_before_anything_has_happened(edge: Edge) -> None:
    found = series(edge, zero=True)
    assert Counter(name.partition(" ")[0] for name in found) == EXIST
    assert {name: value for name, value in found.items() if value and "rate_left" not in name} == {
        "order_sync_callback_age_seconds carrier=borzo": inf,
        "order_sync_callback_age_seconds carrier=cervo": inf,
        "order_sync_sweep_age_seconds": inf,
        **{f"order_sync_metrics_up part={part}": 1 for part in ("database", "bus", "limits", "queues", "troubles")},
        "order_sync_troubles kind=no_worker": 1,
    }


def test_an_order_whose_create_is_under_way_is_measured(edge: Edge) -> None:
    before = series(edge, zero=True)
    edge.book(TOKEN)
    edge.rebuild(clock=lambda: NOW + timedelta(seconds=90))
    found = changed(edge, before)
    assert {name: value for name, value in found.items() if "step_overdue" not in name} == {
        "order_sync_deliveries status=queued": 1,
        "order_sync_events_unsent": 1,
        "order_sync_outbox_age_seconds": 90,
        "order_sync_queue_wait_seconds queue=carrier.cervo": 15,
        "order_sync_queue_wait_seconds queue=events": 90,
        "order_sync_unknown_outcome_age_seconds carrier=cervo": 90,
    }


def test_the_last_sweep_and_the_last_callback_have_an_age(edge: Edge) -> None:
    before = series(edge, zero=True)
    edge.container.database.write(leases.take, "sweep", "sweep", NOW - timedelta(seconds=7), 15)
    edge.container.database.write(callbacks.save, "borzo", Callback("POST", b"", {}, "", None), NOW)
    assert changed(edge, before) == {
        "order_sync_sweep_age_seconds": 7,
        "order_sync_callback_age_seconds carrier=borzo": 0,
    }


def test_deliveries_that_need_an_operator_are_counted_by_reason(edge: Edge) -> None:
    edge.book(TOKEN)
    before = series(edge, zero=True)
    (found,) = edge.container.database.read(search, Filter(), 1)
    reasons = (AttentionReason.SURPLUS_COURIER, AttentionReason.OUTCOME_UNKNOWN)
    edge.container.database.persist(
        deliveries.update, [found.id], lambda each: Change(replace(each, attention_reasons=reasons))
    )
    assert changed(edge, before) == {f"order_sync_attention reason={reason}": 1 for reason in reasons}


@pytest.mark.fault("F-81")
def test_received_and_rejected_orders_are_counted_once_when_their_events_are_half_a_minute_old(edge: Edge) -> None:
    now = [NOW]
    edge.rebuild(clock=lambda: now[0])
    series(edge)
    old = json.loads(placed(sample("2012", "34"))) | {"time": "2026-11-01T12:00:00Z"}
    edge.container.ingest.store_documents([("1-0", json.dumps(old).encode())])
    counted = []
    for seconds in (15, 30, 45, 60):
        now[0] = NOW + timedelta(seconds=seconds)
        counted.append({name: value for name, value in series(edge).items() if "_orders_" in name})
    rejected = {
        "order_sync_orders_received_total": 1,
        "order_sync_orders_ended_total carrier= status=rejected": 1,
        "order_sync_orders_rejected_total reason=deadline_passed": 1,
    }
    assert counted == [{}, {}, rejected, rejected]


def test_recorded_calls_are_counted_once_even_if_their_records_are_deleted(edge: Edge) -> None:
    now, database = [NOW], edge.container.database
    edge.rebuild(clock=lambda: now[0])
    before = series(edge, zero=True)
    calls = [
        RecordedCall(7, NOW, "create", "d", "cervo", 300, 200, Verdict.ANSWERED, None, "POST /order", None),
        RecordedCall(8, NOW, "create", "d", "cervo", 45_000, None, Verdict.UNCERTAIN, "no reply", "POST /order", None),
        RecordedCall(9, NOW, "create", "d", "cervo", 1_200, 200, Verdict.ANSWERED, None, "POST /order", None),
    ]
    database.write(carrier_calls.record, calls)
    counted = []
    for seconds in (15, 45, 60):
        now[0] = NOW + timedelta(seconds=seconds)
        counted.append({name: value for name, value in changed(edge, before).items() if "le=" not in name})
    database.write(retention.delete_calls, NOW + timedelta(seconds=1), 0)
    database.write(carrier_calls.record, calls[:1])
    for seconds in (75, 105):
        now[0] = NOW + timedelta(seconds=seconds)
        found = changed(edge, before)
    name, labels = "order_sync_carrier_call_seconds", "carrier=cervo operation=create verdict=answered"
    unanswered = {
        f"{name}_{key} {labels.replace('answered', 'uncertain')}": value for key, value in (("count", 1), ("sum", 45))
    }
    three = {f"{name}_count {labels}": 2, f"{name}_sum {labels}": 1.5, **unanswered}
    assert counted == [{}, three, three]
    assert {key: value for key, value in found.items() if "le=" not in key} == {
        f"{name}_count {labels}": 3,
        f"{name}_sum {labels}": 1.8,
        **unanswered,
    }
    buckets = [
        found.get(f"{name}_bucket carrier=cervo le={le} operation=create verdict=answered", 0.0)
        for le in ("0.25", "0.5", "1.0", "2.5", "+Inf")
    ]
    assert buckets == [0, 2, 2, 3, 3]


def final(status: DeliveryStatus, **more: Any) -> Any:
    """Return the decision that ends a delivery."""

    def decide(delivery: Delivery) -> Change:
        sequence = delivery.sequence + 1
        after = replace(delivery, status=status, previous_status=delivery.status, sequence=sequence, **more)
        data = snapshot(after, delivery.active, Cause.POLL, NOW)
        ended = replace(after, step=None, next_run_at=None)
        return Change(ended, (Event(EventType.STATUS_CHANGED, sequence, NOW, data),))

    return decide


def test_a_delivery_that_ends_again_is_not_counted_again(database: Database) -> None:
    orders = OrderCounts(database)
    orders.update(NOW)
    first, second, third = place(database, "1", "2", "3")
    changed_deliveries(database, [second], begun)
    changed_deliveries(database, [first], final(DeliveryStatus.REJECTED, reason=Reason.NO_COURIER))
    changed_deliveries(database, [second], final(DeliveryStatus.DELIVERED))
    changed_deliveries(database, [second], final(DeliveryStatus.DELIVERED, detail="with_items"))
    changed_deliveries(database, [third], final(DeliveryStatus.CANCELLED, carrier=None))
    for seconds in (1, 31):
        orders.update(NOW + timedelta(seconds=seconds))
    assert (orders.received, orders.ended, orders.rejected) == (
        3,
        Counter(
            {
                (DeliveryStatus.REJECTED, ""): 1,
                (DeliveryStatus.DELIVERED, "deliverit"): 1,
                (DeliveryStatus.CANCELLED, ""): 1,
            }
        ),
        Counter({"no_courier": 1}),
    )


def test_an_order_that_ended_at_a_carrier_is_in_its_histograms(edge: Edge) -> None:
    now = [NOW]
    edge.rebuild(clock=lambda: now[0])
    before = series(edge, zero=True)
    edge.book(TOKEN)
    (delivery,) = edge.container.database.read(search, Filter(), 1)
    for minute, status in ((0, "created"), (12, "picked_up"), (40, "delivered")):
        seen, at = [observed(status, ref="R-1")], NOW + timedelta(minutes=minute)
        edge.container.database.persist(
            deliveries.update,
            [delivery.id],
            lambda each, seen=seen, at=at: lifecycle.apply_observations(  # type: ignore[misc]
                each, each.attempts[0].id, seen, edge.container.terms, at, Cause.POLL
            ),
        )
    for seconds in (1, 31):
        now[0] = NOW + timedelta(seconds=seconds)
        found = changed(edge, before)
    histograms = {name: value for name, value in found.items() if "time_to" in name and "le=" not in name}
    assert found["order_sync_attempts_ended_total carrier=cervo outcome=delivered"] == 1
    assert histograms == {
        "order_sync_time_to_pickup_seconds_count carrier=cervo": 1,
        "order_sync_time_to_pickup_seconds_sum carrier=cervo": 720,
        "order_sync_time_to_door_seconds_count carrier=cervo": 1,
        "order_sync_time_to_door_seconds_sum carrier=cervo": 2400,
    }
    limits = [float(name.rpartition("=")[2]) for name in found if "time_to_door_seconds_bucket" in name]
    assert sorted(limits) == [2700, 3600, 5400, 7200, inf]


@pytest.mark.fault("F-58")
def test_metrics_show_how_late_each_group_is(edge: Edge) -> None:
    before = series(edge, zero=True)
    edge.redis.xadd("deliveries", {"event": "x"}, id=f"{int(NOW.timestamp() - 90) * 1000}-0")
    edge.redis.xgroup_create("deliveries", "kitchen", id="0")
    assert changed(edge, before) == {
        "order_sync_stream_lag_seconds group=kitchen stream=deliveries": 90,
        "order_sync_stream_waiting group=kitchen stream=deliveries": 1,
    }


def test_the_oldest_due_work_of_each_queue_has_an_age(edge: Edge) -> None:
    before = series(edge, zero=True)
    edge.book(TOKEN)
    edge.ask("POST", f"/callbacks/cervo/{TOKEN}", b'{"status": 3}')
    edge.rebuild(clock=lambda: NOW + timedelta(seconds=90))
    edge.container.worker_heartbeats.record("worker")
    found = {name: value for name, value in changed(edge, before).items() if "queue_wait" in name or "workers" in name}
    assert found == {
        "order_sync_queue_wait_seconds queue=callbacks": 90,
        "order_sync_queue_wait_seconds queue=carrier.cervo": 15,
        "order_sync_queue_wait_seconds queue=events": 90,
        "order_sync_workers": 1,
    }


def test_paused_accounts_open_breakers_used_rates_and_refused_callbacks_are_shown(edge: Edge) -> None:
    before = series(edge, zero=True)
    edge.container.breaker.record("cervo", CallClass.READ, good=0, bad=5)
    edge.container.rate_limiter.acquire("borzo", "80/minute;4500/day", Operation.CREATE, 3)
    edge.container.database.write(accounts.pause, "borzo", "carrier", "HTTP 401", NOW)
    edge.ask("POST", "/callbacks/borzo", b"{}")
    found = changed(edge, before)
    assert {name: value for name, value in found.items() if "event" not in name and "outbox" not in name} == {
        "order_sync_breaker_open carrier=cervo kind=read": 1,
        "order_sync_rate_left carrier=borzo window=60s": 77,
        "order_sync_rate_left carrier=borzo window=86400s": 4497,
        "order_sync_carrier_paused by=carrier carrier=borzo": 1,
        "order_sync_callbacks_total answer=401 carrier=borzo": 1,
    }


@pytest.fixture
def empty_database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/empty.db")
    yield made
    made.close()


def test_without_the_database_the_other_parts_are_measured(edge: Edge, empty_database: Database) -> None:
    working = edge.container.database
    edge.rebuild(database=empty_database)
    found = series(edge, zero=True)
    edge.rebuild(database=working)
    up = {name.partition("=")[2]: value for name, value in found.items() if "metrics_up" in name}
    assert up == {"database": 0, "bus": 1, "limits": 1, "queues": 1, "troubles": 1}
    assert found["order_sync_troubles kind=database_unavailable"] == 1
    assert Counter(name.partition(" ")[0] for name in found) == {
        name: EXIST[f"order_sync_{name.removeprefix('order_sync_')}"]
        for name in (
            "order_sync_breaker_open",
            "order_sync_callbacks_total",
            "order_sync_metrics_up",
            "order_sync_order_requests_total",
            "order_sync_queue_depth",
            "order_sync_rate_left",
            "order_sync_stream_lag_seconds",
            "order_sync_stream_waiting",
            "order_sync_troubles",
        )
    }


def test_without_the_bus_the_other_parts_are_measured(edge: Edge) -> None:
    edge.rebuild(bus=Bus(streams.connect("redis://127.0.0.1:1/0"), orders="orders", events="deliveries"))
    found = Counter(name.partition(" ")[0] for name in series(edge, zero=True))
    assert found == {name: count for name, count in EXIST.items() if "_stream_" not in name}


# --- checks ---


def test_a_check_that_hangs_delays_no_other_check_and_is_not_started_again() -> None:
    ended, started = threading.Event(), []

    def hang() -> str:
        started.append(1)
        ended.wait(30)
        return "late"

    checks = {"hangs": Check(hang), "answers": Check(lambda: "in time")}
    found = [run_all(checks, 0.05) for _ in range(3)]
    ended.set()
    assert [(type(each["hangs"]), each["answers"]) for each in found] == [(TimeoutError, "in time")] * 3
    assert (run_all(checks, 30)["hangs"], len(started)) == ("late", 1)


def test_a_subscriber_that_does_not_accept_its_events_is_measured(edge: Edge) -> None:
    before = series(edge, zero=True)
    behind = replace(KITCHEN, accepted=7, failed=3, disabled_at=NOW)
    edge.container.database.write(subscribers.save, behind)
    row = BlockedKey("a delivery", 1, NOW - timedelta(seconds=90), NOW, "HTTP 500")
    edge.container.database.write(subscribers.block, "kitchen", row)
    assert changed(edge, before) == {
        "order_sync_subscriber_blocked subscriber=kitchen": 1,
        "order_sync_subscriber_disabled subscriber=kitchen": 1,
        "order_sync_subscriber_lag_seconds subscriber=kitchen": 90,
        "order_sync_subscriber_requests_total result=accepted subscriber=kitchen": 7,
        "order_sync_subscriber_requests_total result=failed subscriber=kitchen": 3,
    }
