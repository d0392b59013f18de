"""A case on a stage: an order at each carrier, a worker that comes to grief with them, and what comes of it."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.chaos.clock import START
from tests.chaos.injection_points import Trap
from tests.chaos.processes import CARRIER_OF, Carriers, attempt_id, command, events_on, place, platform
from worker.database import deliveries, outbox
from worker.database.database import Database
from worker.domain.delivery import Delivery
from worker.local.demo.orders import message, order
from worker.local.supervisor import Process, Supervisor, read_tail

ALL = frozenset(CARRIER_OF.values())
STORE_OF = {carrier: store for store, carrier in CARRIER_OF.items()}
PATIENCE = 150.0
NOTES = "ring twice"
SHOWN = ["25 stands, nothing twice"]


@dataclass(frozen=True)
class Case:
    """One moment of grief for an order at each of these carriers, and how they end.

    `point` is where the worker's trap waits, and `waits` for whom if not for all carriers; `fault` is what the carriers
    do wrong with the creates. `later` is what becomes of each order once it has its courier. With `platform` the orders
    stand there too.
    """

    name: str
    point: str = ""
    carriers: frozenset[str] = ALL
    fault: str = ""
    delay: float = 60.0
    signal: int = signal.SIGKILL
    waits: frozenset[str] = frozenset()
    later: str = ""
    platform: bool = False
    ends: str = "created"
    parked: frozenset[str] = frozenset()
    number: int = field(default=0, compare=False)

    @property
    def wanted(self) -> dict[str, Any]:
        """What must come of it."""
        names = sorted(self.carriers)
        ends = {name: "outcome_unknown" if name in self.parked else self.ends for name in names}
        edits = names if self.later == "updated" else []
        return {"ends": ends, "couriers": names, "edits": edits, "platform": SHOWN * self.platform, "bus": "in order"}


class Scene:
    """A case on its own database, its own part of the bus and with its own worker; the sandbox is everybody's."""

    def __init__(self, case: Case, fleet: Supervisor, folder: Path, environ: dict[str, str], sandbox: Carriers) -> None:
        self.case, self._fleet, self.sandbox = case, fleet, sandbox
        self._trap = (
            Trap(case.point, case.waits or case.carriers, folder / f"{case.number}.sprung", case.signal)
            if case.point
            else None
        )
        ordering = platform(sandbox.origin) if case.platform else {}
        environ = {**environ, **{f"ORDER_SYNC_{key}": value for key, value in ordering.items()}}
        self._environ = {**environ, **(self._trap.variable if self._trap else {}), "CHAOS_TICK": "1"}
        self.server = redis.Redis.from_url(environ["ORDER_SYNC_REDIS_URL"])
        self.store = Database(environ["ORDER_SYNC_DATABASE_URL"])
        self.worker: Process
        self._signalled = False

    def close(self) -> None:
        """Close the connections."""
        self.server.close()
        self.store.close()

    def begin(self) -> None:
        """Place the orders and start the worker."""
        if self.case.fault:
            times, delay = len(self.case.carriers), self.case.delay
            self.sandbox.fault(self.case.fault, operation="create", times=times, match=self._mark, delay=delay)
        for carrier in self.case.carriers:
            data = self._order(carrier)
            if self.case.platform:
                self.sandbox.seed({"id": self._id(carrier), "business_id": STORE_OF[carrier]})
            place(self.server, message("order.placed", self._id(carrier), data))
        self.worker = self.start("worker")

    def _order(self, carrier: str) -> dict[str, Any]:
        data = order(self._id(carrier), STORE_OF[carrier], f"sandbox:happy {self._mark}")
        # DeliverIt cancels until shortly before.
        return {**data, "ready_at": (START + timedelta(minutes=50)).isoformat()}

    def start(self, kind: str, name: str = "") -> Process:
        """Start a process of this scene."""
        self._fleet.environ = self._environ
        return self._fleet.start(f"{name or kind}-{self.case.number}", command(kind))

    @property
    def _mark(self) -> str:
        return f"case{self.case.number}"

    def _id(self, carrier: str) -> str:
        return f"{self._mark}-{carrier}"

    def died(self) -> bool:
        """Tell whether the worker is dead; lead it to its end where it does not find it alone."""
        assert self.worker.running is not None
        if len(self.couriers()) == len(self.case.carriers):
            self._lead_on()
        return self.worker.running.poll() is not None and (self._trap is None or self.sprung())

    def _lead_on(self) -> None:
        """Go on once every courier is ordered: kill the worker from outside, or take the orders back or change them."""
        if self._trap is None:
            if not self._signalled and b" ready." in self.worker.log.read_bytes():  # before, it would not know how
                self.worker.signal(self.case.signal)
                self._signalled = True
        elif self.case.later and all(
            each.status == "created" and not each.cancel_request for each in self.deliveries()
        ):
            for carrier in self.case.carriers:
                place(
                    self.server, message(f"order.{self.case.later}", f"{self._id(carrier)}-later", self._later(carrier))
                )

    def _later(self, carrier: str) -> dict[str, Any]:
        if self.case.later == "updated":
            return {**self._order(carrier), "revision": 2, "notes": f"{NOTES} {self._mark}"}
        return {"order_id": self._id(carrier), "reason": "changed my mind", "cancelled_by": "customer"}

    def sprung(self) -> bool:
        """Tell whether the trap has sprung."""
        return self._trap is not None and self._trap.mark.exists()

    def again(self) -> None:
        """Start a clean worker."""
        self.worker.start()

    @property
    def journal(self) -> Path:
        """The folder of its journal."""
        return Path(self._environ["ORDER_SYNC_JOURNAL_FOLDER"])

    def deliveries(self) -> list[Delivery]:
        """Read what the database has."""
        return self.store.read(deliveries.recent, 10)

    def events(self) -> list[dict[str, Any]]:
        """Read what the bus was told."""
        return events_on(self.server)

    def couriers(self, action: str = "create") -> list[str]:
        """Name the carriers that created a courier of ours, or cancelled one: once for each courier."""
        mine = {attempt.id for each in self.deliveries() for attempt in each.attempts}
        made = [entry for entry in self.sandbox.ledger() if entry["action"] == action]
        return sorted(entry["carrier"] for entry in made if attempt_id(entry["reference"]) in mine)

    def settled(self) -> bool:
        """Tell whether every order has come to an end of its doubts, and everything is told."""
        found = self.deliveries()
        known = len(found) == len(self.case.carriers) and all(map(self._settled, found))
        return known and self.store.read(outbox.count_unpublished) == 0 and self._shown() == SHOWN * self.case.platform

    def _settled(self, delivery: Delivery) -> bool:
        if self.case.later == "updated":
            return [each.sent_fingerprint for each in delivery.attempts] == [
                delivery.fingerprint
            ] and delivery.order.revision == 2
        return delivery.attention is not None or delivery.status.value == self.case.ends

    def _shown(self) -> list[str]:
        """Tell what stands of these orders on the platform, and what was written there again."""
        if not self.case.platform:
            return []
        mine = {self._id(carrier) for carrier in self.case.carriers}
        stands = {each["status"] for each in self.sandbox.orders("ordering") if each["id"] in mine}
        puts = [entry for entry in self.sandbox.ledger() if entry["action"] == "update" and entry["carrier_id"] in mine]
        counts = Counter((put["carrier_id"], put["detail"]["status"]) for put in puts)
        twice = [f"{code} for {order_id}" for (order_id, code), count in counts.items() if count > 1]
        return [f"{', '.join(sorted(stands))} stands, {', '.join(twice) or 'nothing'} twice"]

    def result(self) -> dict[str, Any]:
        """Tell what came of it."""
        found = {each.order.order_id.partition("-")[2]: each for each in self.deliveries()}
        return {
            "ends": {carrier: each.attention or each.status.value for carrier, each in sorted(found.items())},
            "couriers": self.couriers(),
            "edits": self.couriers("edit"),
            "platform": self._shown(),
            "bus": self._told() or "in order",
        }

    def _told(self) -> dict[str, Any]:
        """Tell where the bus and the database disagree."""
        stored = [json.loads(body) for _, body in self.store.read(outbox.events, limit=10_000)]
        told = self.events()
        return {} if sorted(map(_place, told)) == sorted(map(_place, stored)) and _in_order(told) else {"told": told}


def _place(event: dict[str, Any]) -> tuple[str, int, str]:
    return event["partitionkey"], int(event["sequence"]), event["id"]


def _in_order(told: list[dict[str, Any]]) -> bool:
    by_key: dict[str, list[int]] = {}
    for event in told:
        by_key.setdefault(event["partitionkey"], []).append(int(event["sequence"]))
    return all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_key.values())


def wait(scenes: Sequence[Scene], reached: Callable[[Scene], bool], what: str) -> None:
    """Wait until something is so of every scene; fail with the last words of those of which it is not."""
    late, deadline = list(scenes), time.monotonic() + PATIENCE
    while late := [scene for scene in late if not reached(scene)]:
        if time.monotonic() > deadline:
            told = [f"{each.case.name}: {each.result()}\n{read_tail(each.worker.log, 2500)}" for each in late]
            pytest.fail("\n".join([f"no scene of these {what}:", *told]), pytrace=False)
        time.sleep(0.2)
