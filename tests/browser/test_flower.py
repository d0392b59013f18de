"""Flower in a browser, while carriers fail: a red row for each task that needs attention, with the reason."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from tests.browser.desk_pages import PATIENCE
from tests.browser.flower_pages import Row, flower_rows
from tests.chaos.proxy import Network
from tests.runtime.machine import Machine
from tests.services.simulation import STORE_OF, order_document
from tests.web.edge import ENVIRONMENT
from worker.database import accounts
from worker.local.supervisor import Supervisor, free_port

GREEN, RED = "text-bg-success", "text-bg-danger"


class Desk:
    """A worker with failing carriers, and Flower in a browser."""

    def __init__(self, machine: Machine, page: Page, flower: str, sandbox: str) -> None:
        self.machine, self.page, self._flower, self._sandbox = machine, page, flower, sandbox
        machine.until(self._shows_the_worker)

    def restart_flower(self) -> None:
        flower = self.machine.supervisor.processes[-1]
        flower.signal(signal.SIGTERM)
        flower.wait(PATIENCE / 1000)
        self.machine.until(self._shows_the_worker)

    def _shows_the_worker(self) -> bool:
        """Return whether Flower receives events: a worker that is online has sent some."""
        try:
            return "flower_worker_online{" in httpx.get(f"{self._flower}/metrics").text
        except httpx.TransportError:
            return False

    def inject_fault(self, kind: str, api: str) -> None:
        httpx.post(f"{self._sandbox}/sandbox/faults", json={"kind": kind, "api": api, "operation": "create"})

    def place(self, carrier: str, order_id: str) -> None:
        self.machine.redis.xadd("orders", {"event": order_document(store_id=STORE_OF[carrier], order_id=order_id)})

    def rows(self, search: str = "") -> list[Row]:
        """Return the tasks that Flower finds."""
        return flower_rows(self.page, self._flower, search)

    def until(self, done: Callable[[], bool]) -> None:
        self.machine.until(done)


@pytest.fixture
def desk(page: Page, sandbox: str, sqlite_url: str, tmp_path: Path) -> Iterator[Desk]:
    settings = {
        **{key: value for key, value in ENVIRONMENT.items() if key.startswith(("CARRIERS", "STORES"))},
        **{f"CARRIERS__{name}__BASE_URL": sandbox for name in ("CERVO", "BORZO", "DELIVERIT")},
        "FLOWER_ADDRESS": f"127.0.0.1:{free_port()}",
        "FLOWER_FOLDER": str(tmp_path / "flower"),
    }
    with Supervisor(dict(os.environ), tmp_path / "log") as supervisor, Network(seed=0) as network:
        machine = Machine(supervisor, network, tmp_path, sqlite_url, **settings)
        try:
            supervisor.start_command("flower", ["order-sync", "flower"])
            yield Desk(machine, page, f"http://{settings['FLOWER_ADDRESS']}", sandbox)
        finally:
            machine.close()


@pytest.mark.long
def test_flower_shows_each_failed_booking_in_red_with_its_order_and_reason_also_after_a_restart(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.machine.store.write(accounts.pause, "cervo", "operator", "x", now)
    desk.place("borzo", "good-1")
    desk.until(lambda: bool(desk.rows("good-1")))
    for kind, order_id in (("error_after", "lost-1"), ("refused", "refused-1")):
        desk.inject_fault(kind, "borzo")
        desk.place("borzo", order_id)
        desk.until(lambda order_id=order_id: bool(desk.rows(f"{order_id} state:FAILURE")))  # type: ignore[misc]
    desk.place("cervo", "paused-1")
    desk.until(lambda: bool(desk.rows("paused-1 state:FAILURE")))
    booked = {row for row in desk.rows("name:deliveries.book") if row[1] != ""}
    assert booked >= {
        ("deliveries.book borzo", "good-1", "SUCCESS", GREEN, ""),
        ("deliveries.book borzo", "lost-1", "FAILURE", RED, "1 outcome unknown"),
        ("deliveries.book borzo", "refused-1", "FAILURE", RED, "1 refused (unknown)"),
        ("deliveries.book cervo", "paused-1", "FAILURE", RED, "1 waiting (account paused)"),
    }
    assert {row[0].split()[0] for row in desk.rows()} <= {"deliveries.book", "deliveries.track", "deliveries.reconcile"}
    assert len(desk.rows("lost-1 name:deliveries.book")) == 1
    desk.page.locator("#tasks-table tbody a[href*='/task/']").click()
    details = desk.page.locator("#task-page").inner_text()
    assert "1 outcome unknown" in details
    assert "TRACEBACK" not in details.upper()
    desk.restart_flower()
    assert set(desk.rows("name:deliveries.book")) >= booked
