"""An older and a newer version run side by side under load, and then the newer one is stopped: nothing is lost."""

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import text

from tests.chaos.proxy import Network
from tests.conftest import new_database
from tests.runtime.machine import EXAMPLE, Machine
from tests.runtime.newer_version import write_newer_version
from worker.bus.streams import Bus
from worker.database import leases
from worker.local.supervisor import Process, Supervisor
from worker.services.worker_heartbeats import PREFIX

WORKER = ["celery", "--app", "worker.app", "worker", "--without-gossip", "--without-mingle", "--hostname", "newer@%h"]


class Upgrade(Machine):
    """A machine on which a newer worker runs beside the older one."""

    def start_newer(self, folder: Path) -> Process:
        """Upgrade the database, as the newer version does, and start its worker."""
        older = self.supervisor.environ
        self.supervisor.environ = {**older, "PYTHONPATH": str(folder)}
        self.supervisor.run_command(["order-sync", "db", "upgrade"])
        self.supervisor.start_command("newer", WORKER)
        self.supervisor.environ = older
        return self.supervisor.processes[-1]

    def end(self, process: Process) -> int | None:
        """Ask a process to end, and return its exit status; it is not started again."""
        assert process.running is not None
        process.running.send_signal(signal.SIGTERM)
        process.wait(60)
        self.supervisor.processes.remove(process)
        return process.running.returncode

    def send(self, name: str, revision: int) -> None:
        """Put a revision of an order on the bus."""
        document = json.loads(EXAMPLE.read_text())
        document["type"] = "order.placed" if revision == 1 else "order.updated"
        document["id"] = f"{name} {revision}"
        document["data"] |= {"order_id": name, "revision": revision, "notes": f"revision {revision}"}
        self.redis.xadd("orders", {"event": json.dumps(document)})

    def stored(self) -> list[tuple[str | None, int, int]]:
        """Return for each delivery its new column, how often the newer version has stored it, and its revision."""
        query = """SELECT scale, document, "order" FROM delivery JOIN placed_order ON delivery_id = id"""
        with self.store.engine.connect() as connection:
            rows = connection.execute(text(query)).all()
        documents = ((row.scale, json.loads(row.document), json.loads(row.order)) for row in rows)
        return [(scale, state.get("weighed", 0), order["revision"]) for scale, state, order in documents]

    def settles(self, *names: str) -> bool:
        """Return whether these orders are stored, and every event is on the bus once, in the order of its delivery."""
        events = [json.loads(fields["event"]) for _, fields in cast("list[Any]", self.redis.xrange("deliveries"))]
        numbers: dict[str, list[int]] = {}
        for event in events:
            numbers.setdefault(event["partitionkey"], []).append(int(event["sequence"]))
        in_order = all(found == list(range(1, len(found) + 1)) for found in numbers.values())
        all_once = sorted(event["id"] for event in events) == sorted(self.recorded())
        return len(self.stored()) == len(names) and all_once and in_order

    def both_have_stored(self) -> bool:
        """Place more orders; return whether each version has stored one."""
        for name in (self.new() for _ in range(5)):
            self.send(name, 1)
            self.send(name, 2)
        scales = {scale for scale, _, revision in self.stored() if revision == 2}
        return scales == {None, "newer"}


@pytest.fixture
def machine(tmp_path: Path, postgres_server: str) -> Iterator[Upgrade]:
    with (
        new_database(postgres_server) as url,
        Supervisor(dict(os.environ), tmp_path / "log") as supervisor,
        Network(seed=0) as network,
    ):
        supervisor.environ = {**os.environ, "ORDER_SYNC_DATABASE_URL": url, "ORDER_SYNC_CONFIG": os.devnull}
        supervisor.run_command(["order-sync", "db", "upgrade"])
        made = Upgrade(supervisor, network, tmp_path, url)
        yield made
        made.close()


@pytest.mark.long
@pytest.mark.fault("F-11", "F-60", "F-88")
def test_two_versions_share_the_work_and_the_older_one_goes_on_alone_after_a_roll_back(
    machine: Upgrade, tmp_path: Path
) -> None:
    newer = machine.start_newer(write_newer_version(tmp_path / "newer"))
    machine.until(machine.both_have_stored)
    assert machine.end(newer) == 0
    bus = Bus(machine.redis, orders="orders", events="deliveries")
    readers = [each.name for group in bus.groups(datetime.now(UTC)) for each in group.consumers]
    assert len(readers) == len(machine.store.read(leases.find_all, PREFIX)) == 1
    assert machine.store.upgrade() is False  # as the older version does when one of its processes starts again
    names = [f"order-{number}" for number in range(1, int(machine.new().partition("-")[2]))]
    for name in names:
        machine.send(name, 3)
    machine.until(lambda: machine.settles(*names) and {each for *_, each in machine.stored()} == {3})
    assert {(scale, count > 0) for scale, count, _ in machine.stored()} == {(None, False), ("newer", True)}
