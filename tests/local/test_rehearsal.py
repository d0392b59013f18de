"""A day in fast motion: invented orders and a deployment's own orders, through the product's own engine."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from benchmarks import day as invented_day
from schemas.order import Order
from tests.services.simulation import Simulation, order_document
from worker.errors import SettingsError
from worker.local.rehearsal import Conditions, Outage, outages_between, rehearsal, write_report
from worker.local.rehearsal.carriers import simulated
from worker.local.rehearsal.clock import VirtualClock
from worker.local.rehearsal.figures import figures_of
from worker.local.rehearsal.own_orders import own_orders, stores_of
from worker.local.rehearsal.page import page
from worker.web import create_web_app

pytestmark = pytest.mark.long

ORDERS = 20
NOTHING_BROKEN: dict[str, list[str]] = {
    "orders_without_an_event": [],
    "events_out_of_sequence": [],
    "delivered_without_exactly_one_courier": [],
    "two_couriers": [],
    "not_ended": [],
}
PHONES = {"17": "+4553111222", "21": "+5511987654321", "34": "+966557654321"}
"""The customer's number, by store."""
NO_REDIS = "redis://127.0.0.1:1/0"


def run_day(folder: Path, orders: int, seed: int) -> dict[str, Any]:
    settings, stores, kinds = invented_day.deployment(orders)
    conditions = Conditions(seed, lost_replies=0.2, outages=invented_day.outages(kinds))
    placed = invented_day.invent(orders, stores, kinds, conditions)
    client = fakeredis.FakeRedis()
    with rehearsal(settings, stores, invented_day.START, folder, NO_REDIS, create_web_app, conditions, client) as day:
        day.run(placed, lambda _now, _placed: None)
        return figures_of(day, len(placed))


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_day(tmp_path_factory.mktemp("day"), ORDERS, seed=1)


def test_in_a_day_with_outages_and_lost_replies_every_order_gets_exactly_one_courier(figures: dict[str, Any]) -> None:
    assert (figures["orders"], figures["checks"], figures["correct"]) == (ORDERS, NOTHING_BROKEN, True)
    assert sum(figures["ends"].values()) == ORDERS


def test_every_unknown_outcome_of_the_day_is_settled_and_counted(figures: dict[str, Any]) -> None:
    assert figures["unknown"]["outcomes"] > 0
    assert sum(figures["unknown"]["settled"].values()) == figures["unknown"]["outcomes"]


def test_no_account_uses_more_than_its_budget(figures: dict[str, Any]) -> None:
    windows = [(each["account"], window) for each in figures["accounts"] for window in each["windows"]]
    assert [name for name, _ in windows] == ["borzo-1", "borzo-1", "cervo-1"]
    assert [each for each in windows if each[1]["most"] > each[1]["limit"]] == []


def test_the_report_draws_a_chart_for_every_carrier_and_loads_nothing(figures: dict[str, Any]) -> None:
    html = page(json.loads(json.dumps(figures)))
    assert [kind for kind in ("cervo", "borzo", "deliverit") if f"{kind}: requests a minute" not in html] == []
    assert [each for each in ("http:", "https:", "src=", "<script") if each in html] == []


def personal(order: Order) -> set[str]:
    """Return what an order tells about its customer."""
    to = order.dropoff
    return {order.customer.name, order.customer.phone[-8:], to.street, str(to.latitude), str(to.longitude)}


def test_no_file_of_a_rehearsal_has_anything_personal_of_the_orders_that_it_repeats(tmp_path: Path) -> None:
    real, work, output = tmp_path / "real", tmp_path / "work", tmp_path / "output"
    for folder in (real, work):
        folder.mkdir()
    with closing(Simulation(real)) as deployment:
        for number, (store, phone) in enumerate(PHONES.items()):
            customer = {"name": f"Anna Berg-{store}", "phone": phone}
            notes = "ring at Anna Berg's, code 4711"
            deployment.put(order_document("happy", store, f"20{number}", customer=customer, notes=notes))
        services, start = deployment.container, deployment.now
        known = [deployment.delivery(f"20{number}").order for number in range(len(PHONES))]
        conditions = Conditions()
        orders = list(own_orders(services, start, start + timedelta(days=1), conditions))
        settings, stores = services.settings, stores_of(services)
    client = fakeredis.FakeRedis()
    with rehearsal(settings, stores, start, work, NO_REDIS, create_web_app, conditions, client) as day:
        day.run(orders, lambda _now, _placed: None)
        figures = figures_of(day, len(orders))
        write_report(figures, output)
        bus = [str(each) for key in client.scan_iter() for each in _values(client, key)]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and real not in path.parents]
    texts = [*(each.encode() for each in bus), *written, *(each.document.encode() for each in orders)]
    secrets = {each for order in known for each in personal(order)} | {"Anna Berg", "4711", "01310-100"}
    assert (figures["ends"], figures["checks"]) == ({"delivered": len(PHONES)}, NOTHING_BROKEN)
    assert {each for each in secrets if any(each.encode() in text for text in texts)} == set()


def _values(client: Any, key: bytes) -> list[Any]:
    return list(client.xrange(key)) if client.type(key) == b"stream" else []


def test_a_simulated_account_keeps_its_budget_but_neither_its_address_nor_its_credentials() -> None:
    settings, _, _ = invented_day.deployment(1)
    real = settings.accounts["borzo-1"].model_copy(update={"base_url": "https://real.example", "rate": "7/minute"})
    account = simulated(real)
    assert (account.base_url, account.rate) == ("http://borzo-1.rehearsal.invalid", "7/minute")
    assert "sandbox-borzo-token" in account.token.get_secret_value()  # type: ignore[attr-defined]


def test_a_carrier_without_a_simulation_cannot_be_rehearsed() -> None:
    settings, _, _ = invented_day.deployment(1)
    own = settings.accounts["borzo-1"].model_copy(update={"kind": "own"})
    with pytest.raises(SettingsError, match="there is no simulation of the carrier own"):
        simulated(own)


def test_the_virtual_clock_moves_by_whole_seconds_and_never_back() -> None:
    clock = VirtualClock(datetime(2026, 11, 21, tzinfo=UTC))
    clock.advance(clock.now + timedelta(seconds=2.5))
    assert clock() == datetime(2026, 11, 21, 0, 0, 3, tzinfo=UTC)
    clock.advance(clock.now - timedelta(hours=1))
    assert clock() == datetime(2026, 11, 21, 0, 0, 4, tzinfo=UTC)


def test_a_rehearsal_has_one_outage_of_each_account_spread_over_the_day() -> None:
    begin = datetime(2026, 11, 21, tzinfo=UTC)
    ten_minutes = timedelta(minutes=10)
    assert outages_between(["b", "a"], begin, begin + timedelta(hours=3)) == (
        Outage("a", begin + timedelta(hours=1), ten_minutes),
        Outage("b", begin + timedelta(hours=2), ten_minutes),
    )
