"""A scenario: an order at each carrier, a worker that is killed or stopped on the way, and the result."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from schemas.status import AttentionReason
from tests.chaos.bus import RedisBus
from tests.chaos.clock import START
from tests.chaos.injection_points import Injection
from tests.chaos.processes import CARRIER_OF, command, platform
from tests.chaos.sandbox import Sandbox, attempt_id
from worker.database import outbox
from worker.database.database import Database
from worker.database.search import Filter, search
from worker.domain.delivery import Delivery
from worker.local.demo.orders import message, order
from worker.local.supervisor import Process, Supervisor, read_tail

ALL = frozenset(CARRIER_OF.values())
STORE_OF = {carrier: store for store, carrier in CARRIER_OF.items()}
READY_AT = START + timedelta(minutes=55)
"""DeliverIt cancels an order until shortly before its pickup."""
PATIENCE = 420.0
"""Real seconds after which a condition counts as never reached, however loaded the machine is."""
INTERVAL = 0.5
TICK = "1.0"
"""Real seconds between two sweeps: several workers sweep at once, and a sweep costs more than all else they do."""
NOTES = "ring twice"
WRITTEN_ONCE = ["status 25, nothing written twice"]


@dataclass(frozen=True)
class Case:
    """What happens to the worker of a scenario, and how its orders end."""

    name: str
    point: str = ""
    """The injection point; without one, the worker gets the signal once the carriers have created the orders."""
    carriers: frozenset[str] = ALL
    fault: str = ""
    """The fault of the carriers' creates."""
    delay: float = 60.0
    signal: int = signal.SIGKILL
    reached_by: frozenset[str] = frozenset()
    """The accounts that must reach the point; by default the carriers."""
    later: str = ""
    """The message that follows for each order once it has a courier: `updated` or `cancelled`."""
    on_platform: bool = False
    """Whether the orders are on the platform too."""
    ends: str = "created"
    unknown: frozenset[str] = frozenset()
    """The carriers whose order ends with an unknown outcome."""
    number: int = field(default=0, compare=False)

    @property
    def expected(self) -> dict[str, Any]:
        """The result that the scenario must have."""
        names = sorted(self.carriers)
        return {
            "ends": {
                name: AttentionReason.OUTCOME_UNKNOWN.value if name in self.unknown else self.ends for name in names
            },
            "couriers": names,
            "edits": names if self.later == "updated" else [],
            "platform": WRITTEN_ONCE * self.on_platform,
            "bus": "in order",
        }


class Scenario:
    """A case with a database, a bus and a worker of its own. All scenarios share one sandbox."""

    def __init__(
        self, case: Case, supervisor: Supervisor, folder: Path, environ: dict[str, str], sandbox: Sandbox
    ) -> None:
        self.case, self._supervisor, self.sandbox = case, supervisor, sandbox
        marker = folder / f"{case.number}.triggered"
        self._injection = (
            Injection(case.point, case.reached_by or case.carriers, marker, case.signal) if case.point else None
        )
        ordering = platform(sandbox.port) if case.on_platform else {}
        environ = {**environ, **{f"ORDER_SYNC_{key}": value for key, value in ordering.items()}}
        self._environ = {**environ, **(self._injection.variable if self._injection else {}), "CHAOS_TICK": TICK}
        self.server = redis.Redis.from_url(environ["ORDER_SYNC_REDIS_URL"])
        self.database = Database(environ["ORDER_SYNC_DATABASE_URL"], pool_size=1)
        self.worker: Process
        self._signalled = False

    def close(self) -> None:
        """Close the connections."""
        self.server.close()
        self.database.close()

    # --- what happens ---

    def begin(self) -> None:
        """Place the orders and start the worker."""
        if self.case.fault:
            times, delay = len(self.case.carriers), self.case.delay
            self.sandbox.begin_fault(self.case.fault, operation="create", times=times, match=self._mark, delay=delay)
        for carrier in self.case.carriers:
            if self.case.on_platform:
                self.sandbox.seed({"id": self._id(carrier), "business_id": STORE_OF[carrier]})
            RedisBus(self.server).publish(message("order.placed", self._id(carrier), self._order(carrier)))
        self.worker = self.start("worker")

    def _order(self, carrier: str) -> dict[str, Any]:
        data = order(self._id(carrier), STORE_OF[carrier], f"sandbox:happy {self._mark}")
        return {**data, "ready_at": READY_AT.isoformat()}

    def start(self, kind: str, name: str = "") -> Process:
        """Start a process of this scenario."""
        self._supervisor.environ = self._environ
        return self._supervisor.start(f"{name or kind}-{self.case.number}", command(kind))

    def start_again(self) -> None:
        """Start the worker again, without its injection."""
        self.worker.start()

    def kill(self) -> None:
        """Kill the worker."""
        self.worker.signal(signal.SIGKILL)

    @property
    def _mark(self) -> str:
        return f"case{self.case.number:02}"

    def _id(self, carrier: str) -> str:
        return f"{self._mark}-{carrier}"

    def died(self) -> bool:
        """Return whether the worker has died as its case says; do what the case needs next."""
        assert self.worker.running is not None
        if len(self.couriers()) == len(self.case.carriers):
            self._continue()
        return self.worker.running.poll() is not None and (self._injection is None or self.triggered())

    def _continue(self) -> None:
        """Signal the worker, or change or cancel the orders, once every courier is booked."""
        if self._injection is None:
            if not self._signalled and b" ready." in self.worker.log.read_bytes():  # before, it has no signal handler
                self.worker.signal(self.case.signal)
                self._signalled = True
        elif self.case.later and all(self._takes_messages(each) for each in self.deliveries()):
            for carrier in self.case.carriers:
                identity = f"{self._id(carrier)}-later"
                RedisBus(self.server).publish(message(f"order.{self.case.later}", identity, self._later(carrier)))

    def _takes_messages(self, delivery: Delivery) -> bool:
        return delivery.status == "created" and not delivery.cancel_request

    def _later(self, carrier: str) -> dict[str, Any]:
        if self.case.later == "updated":
            return {**self._order(carrier), "revision": 2, "notes": f"{NOTES} {self._mark}"}
        return {"order_id": self._id(carrier), "reason": "changed my mind", "cancelled_by": "customer"}

    # --- what is seen ---

    def triggered(self) -> bool:
        """Return whether the injection has sent its signal."""
        return self._injection is not None and self._injection.marker.exists()

    def journal_empty(self) -> bool:
        """Return whether every call in the journal has its outcome in the database."""
        return not any(Path(self._environ["ORDER_SYNC_JOURNAL_FOLDER"]).iterdir())

    def deliveries(self) -> list[Delivery]:
        """Return the deliveries in the database."""
        return self.database.read(search, Filter(), 10)

    def events(self) -> list[dict[str, Any]]:
        """Return the events on the bus."""
        return RedisBus(self.server).events()

    def couriers(self, action: str = "create") -> list[str]:
        """Return the carrier of each create, or of each other action, that a carrier carried out for these orders."""
        ours = {attempt.id for each in self.deliveries() for attempt in each.attempts}
        entries = [entry for entry in self.sandbox.ledger() if entry["action"] == action]
        return sorted(entry["carrier"] for entry in entries if attempt_id(entry) in ours)

    def settled(self) -> bool:
        """Return whether every order has come to the end of its case and everything is published."""
        found = self.deliveries()
        ended = len(found) == len(self.case.carriers) and all(map(self._ended, found))
        return (
            ended
            and self.database.read(outbox.count_unpublished) == 0
            and self._written() == WRITTEN_ONCE * self.case.on_platform
        )

    def _ended(self, delivery: Delivery) -> bool:
        if delivery.carrier in self.case.unknown:
            return AttentionReason.OUTCOME_UNKNOWN in delivery.attention_reasons
        if self.case.later == "updated" and not _is_changed(delivery):
            return False
        return delivery.status.value == self.case.ends

    def _written(self) -> list[str]:
        """Return the platform's statuses of these orders, and the statuses that were written twice."""
        if not self.case.on_platform:
            return []
        ours = {self._id(carrier) for carrier in self.case.carriers}
        statuses = {each["status"] for each in self.sandbox.orders("ordering") if each["id"] in ours}
        writes = [each for each in self.sandbox.ledger() if each["action"] == "update" and each["carrier_id"] in ours]
        counts = Counter((write["carrier_id"], write["detail"]["status"]) for write in writes)
        twice = [f"{status} for {order_id}" for (order_id, status), count in counts.items() if count > 1]
        return [f"status {', '.join(sorted(statuses))}, {', '.join(twice) or 'nothing'} written twice"]

    def result(self) -> dict[str, Any]:
        """Return the result, to be compared with that of the case."""
        found = {each.order.order_id.partition("-")[2]: each for each in self.deliveries()}
        return {
            "ends": {carrier: each.attention or each.status.value for carrier, each in sorted(found.items())},
            "couriers": self.couriers(),
            "edits": self.couriers("edit"),
            "platform": self._written(),
            "bus": self._differences() or "in order",
        }

    def _differences(self) -> list[dict[str, Any]]:
        """Return the events on the bus if they are out of order or differ from those of the database."""
        stored = [json.loads(body) for _, body in self.database.read(outbox.events, limit=10_000)]
        events = self.events()
        same = sorted(map(_position, events)) == sorted(map(_position, stored))
        return [] if same and _in_order(events) else events


def _is_changed(delivery: Delivery) -> bool:
    """Return whether the one carrier of a delivery has its second revision."""
    sent = [each.sent_fingerprint for each in delivery.attempts]
    return sent == [delivery.fingerprint] and delivery.order.revision == 2


def _position(event: dict[str, Any]) -> tuple[str, int, str]:
    return event["partitionkey"], int(event["sequence"]), event["id"]


def _in_order(events: list[dict[str, Any]]) -> bool:
    by_key: dict[str, list[int]] = {}
    for event in events:
        by_key.setdefault(event["partitionkey"], []).append(int(event["sequence"]))
    return all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_key.values())


@dataclass(frozen=True)
class Stage:
    """A condition that a scenario comes to, and what happens to the scenario then."""

    name: str
    reached: Callable[[Scenario], bool]
    then: Callable[[Scenario], object] = lambda _: None


def wait(scenario: Scenario, reached: Callable[[Scenario], bool], name: str) -> None:
    """Wait until a condition is true of a scenario. Fails with the scenario's result and log if it never is."""
    run([scenario], 1, Stage(name, reached))


def run(scenarios: Iterable[Scenario], at_once: int, *stages: Stage) -> None:
    """Take each scenario through the stages, at most `at_once` scenarios at a time.

    Fails with the results and logs of the scenarios that never come to a stage.
    """
    waiting, deadline = list(scenarios), time.monotonic() + PATIENCE
    running: dict[Scenario, list[Stage]] = {}
    while running or waiting:
        while waiting and len(running) < at_once:
            running[waiting.pop(0)] = list(stages)
        for scenario, left in list(running.items()):
            if left[0].reached(scenario):
                left.pop(0).then(scenario)
            if not left:
                del running[scenario]
        if time.monotonic() > deadline:
            pytest.fail("\n".join(_describe(each, left[0]) for each, left in running.items()), pytrace=False)
        time.sleep(INTERVAL)


def _describe(scenario: Scenario, stage: Stage) -> str:
    log = read_tail(scenario.worker.log, 2500)
    return f'It never came true that "{scenario.case.name}" {stage.name}: {scenario.result()}\n{log}'
