"""The backfill finds the open orders of the platform whose message never came, and stores each of them once."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tests.services.simulation import START, Simulation
from tests.services.test_platform_orders import carriers, make_simulation, seed, send_message
from worker.app import create_app
from worker.database import accounts, deliveries, inbox, leases
from worker.database.search import Filter, search
from worker.http.call import Reply
from worker.http.gateway import Gateway
from worker.services import backfill

__all__ = ["make_simulation"]  # a fixture


def run_backfill(simulation: Simulation) -> None:
    """Run the backfill and the tasks that follow from it."""
    simulation.app.tasks["orders.backfill"]()
    simulation.work()


@pytest.mark.quirk("O-10")
def test_exactly_the_missing_orders_are_stored(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    send_message(simulation, seed(simulation, id=1))
    simulation.work()
    seed(simulation, id=2, status=7)
    seed(simulation, id=3, status=4, delivery_type=2)
    for order_id, status in ((4, 1), (5, 8), (6, 16), (7, 14)):
        seed(simulation, id=order_id, status=status)
    seed(simulation, id=8, status=13, delivery_datetime_utc="2026-11-21 20:00:00")
    run_backfill(simulation)
    for _ in range(3):
        simulation.pass_time()
    assert sorted(each.order.order_id for each in simulation.container.database.read(search, Filter(), 100)) == [
        "1",
        "2",
        "8",
    ]
    simulation.until(lambda it: it.status("2") == "delivered")
    assert carriers(simulation) == ["deliverit", "deliverit"]


def test_repeated_backfills_store_a_missing_order_once(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation)
    for _ in range(3):
        run_backfill(simulation)
        simulation.pass_time()
    assert (simulation.status(), carriers(simulation)) == ("created", ["deliverit"])
    assert [row.order.order_id for row in simulation.container.database.read(search, Filter(), 10)] == ["2011"]


def test_a_missing_order_is_found_behind_pages_of_known_orders(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation, id=1)
    for number in range(2, 64):
        send_message(simulation, seed(simulation, id=number), identity=f"m-{number}")
    assert [each.order_id for each in simulation.container.backfill.find()] == ["1"]


@pytest.mark.quirk("O-02")
@pytest.mark.parametrize("status", [0, 7])
def test_the_late_message_of_a_backfilled_order_counts_as_a_repeat(
    make_simulation: Callable[..., Simulation], status: int
) -> None:
    simulation = make_simulation()
    order = seed(simulation)
    run_backfill(simulation)
    simulation.pass_time()
    before = simulation.delivery()
    send_message(simulation, {**order, "status": status})
    after = simulation.delivery()
    assert (after.attention, after.fingerprint, after.sequence) == (None, before.fingerprint, before.sequence)
    assert carriers(simulation) == ["deliverit"]


def test_a_late_message_in_our_format_counts_as_a_repeat_of_a_backfilled_order_and_its_updates_are_applied(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    order = seed(simulation, delivery_datetime_utc="2026-11-21 20:00:00", comment="ring the bell")
    run_backfill(simulation)
    simulation.pass_time()
    simulation.place(store_id="17", order_id=str(order["id"]))
    assert (simulation.delivery().attention, simulation.delivery().order.notes) == (None, "ring the bell")
    placed = simulation.placed()
    update = {**placed["data"], "revision": 2, "notes": "ring twice", "deliver_at": "2026-11-21T20:00:00Z"}
    simulation.put(json.dumps({**placed, "id": "u-2", "type": "order.updated", "data": update}))
    assert (simulation.delivery().attention, simulation.delivery().order.notes) == (None, "ring twice")


@pytest.mark.fault("F-66")
@pytest.mark.quirk("X-03")
def test_a_message_that_comes_during_the_backfill_of_its_order_makes_one_delivery(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    order = seed(simulation, comment="the text on the platform")
    simulation.container.backfill.store(simulation.container.backfill.find())
    simulation.place(store_id="17", order_id=str(order["id"]))
    simulation.work()
    before = simulation.published()
    simulation.pass_time()
    simulation.pass_time()
    assert (simulation.delivery().attention, simulation.delivery().order.notes) == (None, "sandbox:happy")
    assert (simulation.published()[: len(before)], carriers(simulation)) == (before, ["deliverit"])


def test_an_unreadable_order_becomes_one_dead_letter(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation, paymethod_id=9, paymethod={"id": 9, "gateway": "barter"})
    for _ in range(3):
        run_backfill(simulation)
        simulation.pass_time()
    (letter,) = simulation.container.database.read(inbox.dead_letters, 10)
    assert letter["reason"].startswith("paymethod.gateway: unknown")


@pytest.mark.quirk("O-20")
def test_a_backfilled_order_waits_at_its_gate(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation(ORDERING__GATE="accepted")
    seed(simulation)
    run_backfill(simulation)
    simulation.pass_time()
    assert (simulation.delivery().gate, carriers(simulation)) == ("accepted", [])


@pytest.mark.quirk("O-10")
def test_a_key_that_may_not_list_orders_finds_none_and_changes_nothing(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    send_message(simulation, seed(simulation))
    simulation.work()
    simulation.sandbox.ordering.orders.clear()
    assert simulation.container.backfill.find() == []
    run_backfill(simulation)
    assert simulation.delivery().status == "created"


@pytest.mark.parametrize("kind", ["error_before", "unauthorized", "garbage", "html", "drop_before"])
def test_a_backfill_that_fails_is_repeated_later(make_simulation: Callable[..., Simulation], kind: str) -> None:
    simulation = make_simulation()
    seed(simulation)
    simulation.ask("POST", "/sandbox/faults", {"kind": kind, "api": "ordering", "operation": "list", "times": 1})
    run_backfill(simulation)
    assert simulation.container.database.read(search, Filter(), 10) == []
    run_backfill(simulation)
    simulation.pass_time()
    assert simulation.status() == "created"


def test_an_order_counts_as_missing_two_minutes_after_it_was_placed(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation, created_at="2026-11-21 17:00:00", delivery_datetime_utc="2026-11-21 17:00:00")
    counts = []
    for _ in range(2):
        simulation.pass_time(60)
        run_backfill(simulation)
        simulation.pass_time()
        counts.append(len(simulation.container.database.read(search, Filter(), 10)))
    assert counts == [0, 1]


def test_a_page_waits_for_the_platform_s_rate_limit(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation)
    refused = iter([True, True, False, True, False])
    simulation.container.gateway.close()
    simulation.container.gateway = Gateway(
        simulation.container.api_accounts,
        lambda _account, _rate, _operation, wanted: (0, 0.4) if next(refused) else (wanted, 0.0),
        simulation.container.clock,
        transport=httpx.ASGITransport(simulation.sandbox.app),
    )
    waits: list[float] = []
    assert [each.order_id for each in replace(simulation.container.backfill, sleep=waits.append).find()] == ["2011"]
    assert waits == [0.4, 0.4, 0.4]


def test_a_backfill_that_runs_out_of_time_logs_the_pages_that_it_read(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    seed(simulation)
    times = iter([simulation.now, simulation.now + timedelta(seconds=backfill.LEASE_SECONDS + 1)])
    with capture_logs() as logs:
        replace(simulation.container.backfill, clock=lambda: next(times)).find(since=START)
    assert logs == [{"event": "backfill.too_many", "log_level": "warning", "pages": 1}]


def test_only_one_process_backfills_at_a_time(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    seed(simulation)
    assert simulation.container.database.write(
        leases.take, backfill.LEASE, "another process", simulation.now, backfill.LEASE_SECONDS
    )
    run_backfill(simulation)
    assert simulation.container.database.read(search, Filter(), 10) == []
    simulation.pass_time(backfill.LEASE_SECONDS + 1)
    run_backfill(simulation)
    simulation.pass_time()
    assert simulation.status() == "created"


def test_since_leaves_out_older_orders_and_keeps_those_without_a_time(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    seed(simulation, id=1, created_at="2026-11-21 10:00:00")
    seed(simulation, id=2, created_at="2026-11-21 16:59:59")
    seed(simulation, id=3, created_at=None)
    found = simulation.container.backfill.find(since=START - timedelta(hours=1))
    assert [each.order_id for each in found] == ["2", "3"]


@pytest.mark.fault("F-66")
def test_a_stale_open_order_is_skipped_unless_since_includes_it(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    before = START - timedelta(hours=12)
    seed(simulation, id=1, created_at="2026-08-01 12:00:00", delivery_datetime_utc="2026-08-01 12:45:00")
    seed(simulation, id=2, created_at="2026-08-01 12:00:00", delivery_datetime_utc="2026-11-21 20:00:00")
    seed(simulation, id=3, created_at=f"{before:%Y-%m-%d %H:%M:%S}")
    run_backfill(simulation)
    for _ in range(3):
        simulation.pass_time()
    assert sorted(each.order.order_id for each in simulation.container.database.read(search, Filter(), 9)) == [
        "2",
        "3",
    ]
    found = simulation.container.backfill.find(since=START - timedelta(days=365))
    assert [each.order_id for each in found] == ["1"]


@pytest.mark.fault("F-81")
@pytest.mark.parametrize("wanted", [None, "2026-08-01 12:45:00"])
def test_a_stale_order_that_since_includes_is_not_dispatched(
    make_simulation: Callable[..., Simulation], wanted: str | None
) -> None:
    simulation = make_simulation()
    seed(simulation, id=1, created_at="2026-08-01 12:00:00", delivery_datetime=wanted, delivery_datetime_utc=wanted)
    backfill = simulation.container.backfill
    backfill.store(backfill.find(since=START - timedelta(days=365)))
    simulation.until(lambda it: bool(it.container.database.read(deliveries.find, "1")))
    simulation.until(lambda it: it.published("1")[-1:] == ["delivery.dispatch_failed"])
    found = simulation.delivery("1")
    assert (found.status, found.reason, found.attempts) == ("rejected", "deadline_passed", ())


@pytest.mark.fault("F-66")
def test_orders_listed_before_a_page_failed_are_found(make_simulation: Callable[..., Simulation]) -> None:
    simulation = make_simulation()
    for number in range(1, 64):
        seed(simulation, id=number)
    real, statuses = simulation.container.gateway.send_one, iter([200, 500])

    def interrupted(*call: Any, **how: Any) -> Any:
        return real(*call, **how) if next(statuses, 500) == 200 else Reply(500, b"")

    simulation.container.gateway.send_one = interrupted  # type: ignore[method-assign]
    assert [each.order_id for each in simulation.container.backfill.find()] == [str(each) for each in range(39, 64)]


def test_a_platform_that_an_operator_paused_is_not_called_until_it_is_resumed(
    make_simulation: Callable[..., Simulation],
) -> None:
    simulation = make_simulation()
    for number in (1, 2):
        seed(simulation, id=number)
    simulation.container.database.write(accounts.pause, "ordering", "operator", "maintenance", simulation.now)
    simulation.put_message("order.placed", {"order_id": "1"})
    run_backfill(simulation)
    simulation.pass_time()
    assert simulation.container.database.read(search, Filter(), 9) == []
    simulation.container.database.write(accounts.resume, "ordering", "operator", simulation.now)
    run_backfill(simulation)
    for _ in range(3):
        simulation.pass_time()
    assert sorted(each.order.order_id for each in simulation.container.database.read(search, Filter(), 9)) == [
        "1",
        "2",
    ]


@pytest.mark.parametrize(("enabled", "entries"), [("true", ["backfill"]), ("false", [])])
def test_the_backfill_runs_every_five_minutes_where_it_is_enabled(
    make_simulation: Callable[..., Simulation], enabled: str, entries: list[str]
) -> None:
    schedule = create_app(make_simulation(ORDERING__BACKFILL=enabled).container.settings).conf.beat_schedule
    assert [name for name in schedule if name == "backfill"] == entries
    assert [schedule[name]["schedule"] for name in entries] == [timedelta(minutes=5)] * len(entries)
