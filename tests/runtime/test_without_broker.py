"""While Redis is stopped, a real worker does from the database what is due: couriers come, and alarms ring."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.proxy import Network
from tests.runtime.machine import Machine
from tests.web.edge import sample
from worker.app import create_app
from worker.config.settings import load
from worker.container import Container
from worker.database import accounts, deliveries, leases
from worker.database.search import Filter, search
from worker.local.demo.orders import placed
from worker.local.samples import sample_file
from worker.local.supervisor import Supervisor
from worker.services import sweep

CARRIERS = {
    "STORES_FILE": str(sample_file("stores.toml")),
    "CARRIERS__CERVO__TOKEN": "sandbox-cervo-token",
    "CARRIERS__BORZO__TOKEN": "sandbox-borzo-token",
    "CARRIERS__BORZO__CALLBACK_SECRET": "sandbox-borzo-secret",
    "CARRIERS__BORZO__RATE": "",  # without Redis, reads with a rate limit stop
    "CARRIERS__BORZO__POLL_INTERVAL": "1",
}
BORZO, CERVO = "21", "34"
"""Shops of the demonstration that have this carrier alone."""


@pytest.fixture
def machine(tmp_path: Path, sandbox: str, _sqlite_with_tables: Path) -> Iterator[Machine]:
    database = tmp_path / "order-sync.db"
    database.write_bytes(_sqlite_with_tables.read_bytes())
    settings = {**CARRIERS, **{f"CARRIERS__{name}__BASE_URL": sandbox for name in ("CERVO", "BORZO")}}
    with Supervisor(dict(os.environ), tmp_path / "log") as supervisor, Network(seed=0) as network:
        made = Machine(supervisor, network, tmp_path, f"sqlite:///{database}", **settings)
        made.check()
        yield made
        made.close()


def accept(machine: Machine, store_id: str, order_id: str, at: datetime) -> None:
    """Store an order of one of the demonstration's shops, as it was accepted at that time."""
    settings = load({name: value for name, value in machine.supervisor.environ.items() if "ORDER_SYNC" in name})
    services = Container(settings, clock=lambda: at, app=create_app(settings))
    services.ingest.store_documents([(order_id, placed(sample(order_id, store_id)).encode())])
    services.database.close()


def status(machine: Machine, order_id: str) -> str:
    return machine.store.read(deliveries.find, order_id)[0].status.value


def attention(machine: Machine, order_id: str) -> str | None:
    return machine.store.read(deliveries.find, order_id)[0].attention


def couriers(sandbox: str) -> list[tuple[str, str]]:
    """Return the orders that were created at the carriers."""
    ledger: list[dict[str, Any]] = httpx.get(f"{sandbox}/sandbox/ledger").json()["ledger"]
    return sorted((each["carrier"], each["carrier_id"]) for each in ledger if each["action"] == "create")


def attempts(machine: Machine) -> list[tuple[str, str]]:
    """Return the orders at the carriers as we know them."""
    found = machine.store.read(search, Filter(), 100)
    return sorted((attempt.carrier, attempt.ref or "") for delivery in found for attempt in delivery.attempts)


@pytest.mark.long
@pytest.mark.fault("F-93")
def test_without_redis_orders_get_their_couriers_are_followed_and_raise_alarms(machine: Machine, sandbox: str) -> None:
    now = datetime.now(UTC)
    machine.supervisor.processes.remove(machine.server)
    machine.server.signal(signal.SIGKILL)
    machine.server.wait(10)
    machine.store.write(accounts.pause, "cervo", "operator", "a holiday", now)
    accept(machine, BORZO, "2011", now - timedelta(minutes=1))
    accept(machine, CERVO, "2012", now - timedelta(minutes=30))
    machine.store.write(leases.drop, sweep.LEASE, sweep.LEASE)  # as if the last sweep was long ago
    machine.until(lambda: attention(machine, "2012") == "not_dispatched_in_time")
    machine.until(lambda: status(machine, "2011") not in {"queued", "created"})
    machine.until(lambda: couriers(sandbox) == attempts(machine))

    machine.server.start()
    machine.supervisor.processes.append(machine.server)
    machine.check()
    machine.until(lambda: machine.settles("2011", "2012"))
