"""Run a day in fast motion: the product's own engine in one process, on a clock that jumps to what is due next.

Real: settings, budgets, circuit breakers, codecs, decisions, tasks, database, bus and events. Simulated: the clock, the
carriers, their couriers, the operators, and the workers, of which there is one that needs no time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from schemas.stores import Store
from worker.app import create_app
from worker.bus import streams
from worker.bus.streams import Bus
from worker.config.settings import Settings
from worker.container import ATTEMPT_BITS, Container, override
from worker.database import due_work
from worker.enqueue import NO_ORDER_IDS, OrderIds, TaskQueue, WakeUp, publish_task
from worker.local.rehearsal.carriers import Carriers, Conditions, simulated
from worker.local.rehearsal.clock import VirtualClock
from worker.local.rehearsal.meter import Meter, MeteredGateway
from worker.local.rehearsal.observer import Observer
from worker.local.rehearsal.operator import SimulatedOperator
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.quote_cache import QuoteCache
from worker.resilience.rate_limiter import RateLimiter
from worker.sandbox.in_process import InProcess
from worker.services.ingest import OrdersReader

PUBLIC_HOST = "callbacks.rehearsal.invalid"
PUBLISHED_EVERY = timedelta(seconds=60)
"""How often the events are published and read. No decision waits for it."""
RUNS_OUT = timedelta(hours=3)
"""How long the day continues after its last order."""
SWEEP = "timers.sweep"
Edge = Callable[[Container], Any]
"""Builds the ASGI app that receives callbacks."""


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """A message that an order was placed, and when it comes."""

    at: datetime
    document: str


@dataclass(frozen=True)
class OwnQueue(TaskQueue):
    """A queue in this process, in place of the broker."""

    waiting: deque[WakeUp] = field(default_factory=deque)

    def send(self, tasks: Iterable[WakeUp], orders: OrderIds = NO_ORDER_IDS) -> bool:  # noqa: ARG002 - for Flower
        """Enqueue tasks."""
        self.waiting.extend(tasks)
        return True

    def depths(self, queues: Iterable[str]) -> dict[str, int]:
        """Return how many tasks wait in each queue: none, because every task runs at once."""
        return dict.fromkeys(queues, 0)


@dataclass
class Day:
    """One rehearsal, with everything that it has counted."""

    services: Container
    clock: VirtualClock
    carriers: Carriers
    meter: Meter
    observer: Observer
    operator: SimulatedOperator
    queue: OwnQueue
    reader: OrdersReader
    start: datetime
    ticks: int = 0
    tasks: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    _unpublished: bool = False
    """Whether there may be events since the last publication."""

    def run(self, orders: Iterable[PlacedOrder], progress: Callable[[datetime, int], None]) -> None:
        """Place the orders at their times, and let everything happen that follows.

        The orders come in the order of their times. `progress` is called with the time and the number of placed orders.
        """
        cpu, began = time.process_time(), time.monotonic()
        with asyncio.Runner() as loop:
            waiting = deque(orders)
            observed = until = self.clock.now
            while waiting or self.clock.now < until:
                until = self.clock.now + RUNS_OUT if waiting else until
                self._place(waiting)
                loop.run(self.carriers.run_due())
                self.operator.answer_due()
                self._work()
                if self._unpublished and self.clock.now - observed >= PUBLISHED_EVERY:
                    observed = self.clock.now
                    self._publish()
                    progress(observed, len(self.observer.orders))
                self.clock.advance(self._next_due(waiting, observed) or until)
                self.ticks += 1
        self._publish()
        self.cpu_seconds, self.seconds = time.process_time() - cpu, time.monotonic() - began

    def _place(self, waiting: deque[PlacedOrder]) -> None:
        """Put the orders that are due on the bus, and store them."""
        placed = 0
        while waiting and waiting[0].at <= self.clock.now:
            self.services.bus.add_order(waiting.popleft().document)
            placed += 1
            self._unpublished = True
        while placed > 0:
            placed -= self.reader.step(block_ms=1)

    def _work(self) -> None:
        """Sweep if anything is due, and run every task except the relay's."""
        due = self.services.database.read(due_work.next_due)
        if due is not None and due <= self.clock.now:
            self._run(SWEEP, [])
        while self.queue.waiting:
            name, arguments = self.queue.waiting.popleft()
            if (name, arguments) != publish_task():
                self._run(name, arguments)

    def _run(self, name: str, arguments: list[object]) -> None:
        self.tasks += 1
        self._unpublished = True
        self.services.app.tasks[name](*arguments)

    def _publish(self) -> None:
        """Publish the events, and let the subscriber read them."""
        self._unpublished = False
        self.services.relay.publish()
        self.operator.take(self.observer.read())

    def _next_due(self, waiting: deque[PlacedOrder], observed: datetime) -> datetime | None:
        """Return when something is due next; the time may have passed already. None if nothing is."""
        times = (
            waiting[0].at if waiting else None,
            self.carriers.next_due(),
            self.operator.next_due,
            self.services.database.read(due_work.next_due),
            observed + PUBLISHED_EVERY if self._unpublished else None,
        )
        return min((each for each in times if each is not None), default=None)


@contextmanager
def rehearsal(
    settings: Settings,
    stores: Mapping[str, Store],
    start: datetime,
    folder: Path,
    redis_url: str,
    edge: Edge,
    conditions: Conditions | None = None,
    client: Any = None,
) -> Iterator[Day]:
    """Build a rehearsal of these settings and stores. `folder` gets the database and the call journal.

    `redis_url` is a Redis of its own, whose contents nobody else needs; `client` replaces a client of it.
    """
    conditions = conditions or Conditions()
    own = _settings(settings, folder, redis_url)
    clock, dice = VirtualClock(start), Random(conditions.seed)  # noqa: S311 - repeatable on purpose

    def new_attempt() -> tuple[int, str]:
        return dice.getrandbits(ATTEMPT_BITS - 1) + 1, f"{dice.getrandbits(190):048x}"

    services = Container(own, clock, create_app(own), new_attempt)
    connected = client or streams.connect(redis_url)
    services.bus = Bus(connected, orders=own.orders_stream, events=own.events_stream)
    services.rate_limiter = RateLimiter(connected, now=clock)
    services.breaker = CircuitBreaker(connected, clock=clock)
    services.quote_cache = QuoteCache(connected)
    services.file_shops = stores
    services.queue = queue = OwnQueue(services.app)
    callbacks = InProcess()  # it gets its app below, because the app needs the container
    carriers = Carriers(own.accounts, clock, conditions, own.public_url, callbacks)
    services.gateway = gateway = MeteredGateway(
        services.api_accounts, services.rate_limiter.acquire, clock, transport=carriers.transport()
    )
    gateway.meter = meter = Meter({name: account.rate for name, account in own.accounts.items()}, start)
    services.database.create()
    override(services)
    services.app.loader.import_default_modules()
    callbacks.add(PUBLIC_HOST, edge(services))
    observer = Observer(services.bus)
    reader = OrdersReader(services.bus, services.ingest, "rehearsal")
    services.bus.create_group()
    try:
        yield Day(
            services,
            clock,
            carriers,
            meter,
            observer,
            SimulatedOperator(services, carriers),
            queue,
            reader,
            start,
        )
    finally:
        services.close()


def _settings(settings: Settings, folder: Path, redis_url: str) -> Settings:
    """Return the settings with simulated carriers and with servers of their own; nothing real can be reached."""
    return settings.model_copy(
        update={
            "carriers": {name: simulated(account) for name, account in settings.accounts.items()},
            "database_url": f"sqlite:///{folder / 'rehearsal.db'}",
            "journal_folder": folder / "journal",
            "archive_folder": None,
            "redis_url": redis_url,
            "bus_url": "",
            "broker_url": "memory://localhost",
            "orders_stream": "orders",
            "events_stream": "deliveries",
            "public_url": f"http://{PUBLIC_HOST}" if settings.public_url else "",
            "ordering": type(settings.ordering)(),
            "notify": {},
            "api_keys": {},
        }
    )
