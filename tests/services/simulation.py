"""A simulation: the whole product beside the sandbox, on a clock that only a test moves.

Codecs, tasks and gateway are the real ones. Celery's messages go over kombu's memory transport, the database is SQLite,
the bus is fakeredis and the sandbox is an ASGI app. Nothing sleeps: a minute passes when a test says so.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fakeredis
import httpx
import pytest
from celery import Celery
from sqlalchemy import func, select

from tests.services.containers import ReplaceableContainer
from worker import container
from worker.app import create_app
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.database import deliveries
from worker.database.database import Database
from worker.database.tables import ACCOUNT, CALLBACK, DELIVERY, EVENT, MESSAGE, PUBLICATION, WRITE_BACK
from worker.domain.delivery import Delivery
from worker.http.gateway import Gateway
from worker.local.demo.orders import Sample, cancelled, message, placed
from worker.local.samples import sample_file
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.quote_cache import QuoteCache
from worker.resilience.rate_limiter import RateLimiter
from worker.sandbox import Sandbox, SandboxConfig
from worker.services.direct_booking import DirectBooking
from worker.services.ingest import OrdersReader
from worker.web import create_web_app

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:8100"
PUBLIC = "http://127.0.0.1:8000"
STORES = sample_file("stores.toml")
STORE_OF = {"cervo": "34", "borzo": "21"}
"""Shops of the demonstration that have this carrier alone."""
ENVIRONMENT = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "BROKER_URL": "memory://",
    "PUBLIC_URL": PUBLIC,
    "STORES_FILE": str(STORES),
    "CARRIERS__CERVO__BASE_URL": ORIGIN,
    "CARRIERS__CERVO__TOKEN": "sandbox-cervo-token",
    "CARRIERS__CERVO__RATE": "1000/second",
    "CARRIERS__BORZO__BASE_URL": ORIGIN,
    "CARRIERS__BORZO__TOKEN": "sandbox-borzo-token",
    "CARRIERS__BORZO__CALLBACK_SECRET": "sandbox-borzo-secret",
    "CARRIERS__BORZO__RATE": "1000/second",
    "CARRIERS__DELIVERIT__BASE_URL": ORIGIN,
    "CARRIERS__DELIVERIT__USERNAME": "sandbox@deliverit.example",
    "CARRIERS__DELIVERIT__PASSWORD": "sandbox-deliverit-password",
    "ORDERING__BASE_URL": ORIGIN,
    "ORDERING__API_KEY": "sandbox-ordering-key",
}

DUE = select(
    select(func.min(DELIVERY.c.next_run_at)).scalar_subquery(),
    select(func.min(DELIVERY.c.alarm_at)).scalar_subquery(),
    select(func.min(WRITE_BACK.c.due_at)).scalar_subquery(),
    select(func.min(WRITE_BACK.c.lease_until)).scalar_subquery(),
    select(func.min(CALLBACK.c.try_at)).where(CALLBACK.c.result.is_(None)).scalar_subquery(),
    select(func.min(MESSAGE.c.fetch_at)).scalar_subquery(),
    select(func.min(ACCOUNT.c.paused_at)).scalar_subquery(),
    select(func.min(EVENT.c.created_at))
    .join(PUBLICATION, PUBLICATION.c.position == EVENT.c.position)
    .where(PUBLICATION.c.stream_id.is_(None))
    .scalar_subquery(),
)


def order_document(script: str = "happy", store_id: str = "34", order_id: str = "2011", **more: Any) -> str:
    """Return the message of an order that follows a script of the sandbox."""
    document = json.loads(placed(_sample(order_id, store_id, script)))
    document["data"].update(more)
    return json.dumps(document)


class Simulation:
    """One container, one sandbox and one clock, with what a test does to them and reads from them."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.now = START
        self.carrier_clock_lag = timedelta(0)
        """How far the carriers' clocks are behind ours."""
        database = folder / "simulation.db"
        if not database.exists():
            database.write_bytes(_new_database())
        wanted = {**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{database}", **environment}
        wanted.setdefault("JOURNAL_FOLDER", f"{folder}/journal")
        settings = load({f"ORDER_SYNC_{key}": value for key, value in wanted.items()})
        self.container = ReplaceableContainer(settings, clock=lambda: self.now)
        self.redis: Any = fakeredis.FakeRedis()
        self.container.bus = self.bus = Bus(self.redis, orders="orders", events="deliveries")
        self.container.breaker = CircuitBreaker(self.redis, clock=lambda: self.now)
        self.container.rate_limiter = RateLimiter(self.redis)
        self.container.quote_cache = QuoteCache(self.redis)
        config = SandboxConfig(
            step=60, clock=lambda: self.now - self.carrier_clock_lag, borzo_callback_url=f"{PUBLIC}/callbacks/borzo"
        )
        web = create_web_app(self.container)
        self.sandbox = Sandbox(config, httpx.ASGITransport(web))
        self.container.gateway = Gateway(
            self.container.api_accounts,
            lambda _account, _rate, _operation, wanted: (wanted, 0.0),
            self.container.clock,
            transport=httpx.ASGITransport(self.sandbox.app),
        )
        container.override(self.container)
        self.app: Celery = create_app(settings)
        self.app.loader.import_default_modules()
        self._loop = asyncio.Runner()
        self.lose_wake_ups = False
        self.direct_booking: Callable[[], DirectBooking | None] = lambda: None
        """Returns what books new orders without a task; by default, tasks book all orders."""
        self.unserved: frozenset[str] = frozenset()
        """The queues that no worker serves."""

    def close(self) -> None:
        self.container.gateway.close()
        self.container.database.close()
        self._loop.close()

    def let_clock_run(self) -> None:
        """Advance the clock by a millisecond at each reading, as a real clock does."""

        def read() -> datetime:
            self.now += timedelta(milliseconds=1)
            return self.now

        self.container.clock = read

    def add(self, document: str | bytes) -> None:
        """Put a message on the bus, at the time of the simulation."""
        self.redis.xadd("orders", {"event": document}, id=f"{int(self.now.timestamp() * 1000)}-*")

    def put(self, document: str | bytes) -> None:
        """Put a message on the bus and read it."""
        self.add(document)
        self.read()

    def placed(self) -> dict[str, Any]:
        """Return the first message that was put on the bus."""
        (_, fields), *_ = self.redis.xrange("orders")
        return dict(json.loads(fields[b"event"]))

    def read(self) -> None:
        """Read the messages that wait; a reader's first steps create its group and look for unfinished entries."""
        reader = self.reader()
        for _ in range(3):
            reader.step(block_ms=1)

    def reader(self) -> OrdersReader:
        """Return a reader of the orders stream."""
        return OrdersReader(self.container.bus, self.container.ingest, "tests", self.direct_booking())

    def place(self, script: str = "happy", store_id: str = "34", order_id: str = "2011", **more: Any) -> None:
        """Place an order that follows a script of the sandbox."""
        self.put(order_document(script, store_id, order_id, **more))

    def place_at(self, carrier: str, *order_ids: str) -> None:
        """Place orders of a shop whose only carrier this is, and run the tasks that follow."""
        for order_id in order_ids:
            self.place(store_id=STORE_OF[carrier], order_id=order_id)
        self.work()

    def cancel(self, store_id: str = "34", order_id: str = "2011") -> None:
        """Put the customer's cancellation on the bus and read it."""
        self.put(cancelled(_sample(order_id, store_id, "happy")))

    def put_message(self, kind: str, data: dict[str, Any]) -> None:
        """Put a message of any type on the bus and read it."""
        self.put(message(kind, f"message-{data['order_id']}", data))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox as its operator and return its reply."""
        return self._loop.run(self._ask(method, path, body))

    def inject_fault(self, kind: str, api: str, **more: Any) -> None:
        """Make calls to an API of the sandbox fail: the next one, `times` of them, or all when `times` is None."""
        self.ask("POST", "/sandbox/faults", {"kind": kind, "api": api, **more})

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.sandbox.app), base_url=ORIGIN) as client:
            reply = await client.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json()

    def decide(self, decide: Callable[[Delivery], Any], order_id: str = "2011") -> None:
        """Apply a decision to a delivery, as an operator or a process that crashes would."""
        self.container.database.persist(deliveries.update, [self.delivery(order_id).id], decide)

    def work(self) -> None:
        """Run every task that waits, and the tasks that they send."""
        with self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            served = [name for name in self.app.amqp.queues if name not in self.unserved]
            while found := [got for name in served if (got := channel.basic_get(name, no_ack=True))]:
                for got in found:
                    self._run(got)

    def _run(self, got: Any) -> None:
        if not self.lose_wake_ups:
            arguments, _, _ = json.loads(got.body)
            self.app.tasks[got.headers["task"]](*arguments)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Advance the clock, send the callbacks that are due, and run the tasks that are due."""
        self.now += timedelta(seconds=seconds)
        self.call_back()
        self.app.tasks["timers.sweep"]()
        self.work()

    def call_back(self) -> None:
        """Send the carriers' callbacks that are due."""
        self._loop.run(self.sandbox.scheduler.run_due())

    def until(self, done: Callable[["Simulation"], bool], *, step: float = 10.0, limit: int = 600) -> None:
        """Let time pass in steps of that many seconds until a condition holds; skip steps in which nothing is due."""
        for _ in range(limit):
            if done(self):
                return
            idle = ceil((self._next_due() - self.now).total_seconds() / step)
            self.pass_time(step * max(1, idle))
        pytest.fail(f"the condition never held: {self.published()}")

    def _next_due(self) -> datetime:
        """Return when something is due next: now while an account is paused or an event is unpublished."""
        found = self.container.database.read(lambda connection: connection.execute(DUE).one())
        event = self.sandbox.scheduler.next_due
        times = [*found, event + self.carrier_clock_lag if event else None]
        return min((each for each in times if each is not None), default=self.now)

    def delivery(self, order_id: str = "2011") -> Delivery:
        return self.container.database.read(deliveries.find, order_id)[0]

    def status(self, order_id: str = "2011") -> str:
        return self.delivery(order_id).status.value

    def statuses(self, *order_ids: str) -> list[str]:
        return [self.status(order_id) for order_id in order_ids]

    def events(self, order_id: str = "2011") -> list[dict[str, Any]]:
        """Return the events that were published about one order."""
        found = [json.loads(document) for _, document in self._bus_entries()]
        return [event for event in found if event["subject"] == order_id]

    def _bus_entries(self) -> Iterator[tuple[str, bytes]]:
        for identity, document in self.bus.follow("0-0", block_ms=1):
            if not document:
                return
            yield identity, document

    def published(self, order_id: str = "2011") -> list[str]:
        """Return the published events as words: the status of each change, the type of any other event."""
        return [_summary(event) for event in self.events(order_id)]

    def ledger(self, action: str = "create") -> list[tuple[str, str]]:
        """Return what the sandbox really did: pairs of a carrier and its order's id."""
        entries = self.sandbox.world.ledger.entries
        return [(entry.carrier, entry.carrier_id) for entry in entries if entry.action == action]


@cache
def _new_database() -> bytes:
    """Return an empty database with its tables, created once because that takes longer than many a test."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "new.db")
        database = Database(f"sqlite:///{path}")
        database.upgrade()
        database.close()
        return path.read_bytes()


def _sample(order_id: str, store_id: str, script: str) -> Sample:
    return Sample(order_id, store_id, script, ends=None, carrier="", description="")  # type: ignore[arg-type]


def _summary(event: dict[str, Any]) -> str:
    data = event["data"]
    if event["type"] != "delivery.status_changed":
        return str(event["type"])
    return f"{data['status']} ({data['detail']})" if data["detail"] else str(data["status"])
