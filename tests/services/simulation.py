"""A street: the whole house on a clock that stands still until a test moves it, with the sandbox next door.

Real codecs, real tasks, real Celery messages on kombu's memory transport, SQLite, fakeredis for the bus, and the
sandbox as an ASGI app behind the real gateway. Nothing sleeps: a minute passes when a test says so.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fakeredis
import httpx
import pytest
from celery import Celery

from tests.services.containers import ReplaceableContainer
from worker import container
from worker.app import create_app
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.database import deliveries
from worker.database.database import Database
from worker.domain.delivery import Delivery
from worker.http.gateway import Gateway
from worker.local.demo.orders import Sample, cancelled, message, placed
from worker.resilience.circuit_breaker import CircuitBreaker
from worker.resilience.quote_cache import QuoteCache
from worker.resilience.rate_limiter import RateLimiter
from worker.sandbox import Sandbox, SandboxConfig
from worker.services.ingest import OrdersReader
from worker.web import create_web_app

START = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:8100"
PUBLIC = "http://127.0.0.1:8000"
STORES = Path(container.__file__).parent / "local" / "demo" / "stores.toml"
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


class Simulation:
    """What a test holds in its hands."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.now = START
        self.behind = timedelta(0)  # how far the carriers' clocks are behind ours
        database = folder / "street.db"
        if not database.exists():
            database.write_bytes(_new_database())
        wanted = {**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{database}", **environment}
        wanted.setdefault("JOURNAL_FOLDER", f"{folder}/journal")
        settings = load({f"ORDER_SYNC_{key}": value for key, value in wanted.items()})
        self.container = ReplaceableContainer(settings, clock=lambda: self.now)
        self.redis: Any = fakeredis.FakeRedis()
        self.container.bus = Bus(self.redis, orders="orders", events="deliveries")
        self.container.breaker = CircuitBreaker(self.redis, clock=lambda: self.now)
        self.container.rate_limiter = RateLimiter(self.redis)
        self.container.quote_cache = QuoteCache(self.redis)
        config = SandboxConfig(
            step=60, clock=lambda: self.now - self.behind, borzo_callback_url=f"{PUBLIC}/callbacks/borzo"
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
        self.lose_hints = False

    def close(self) -> None:
        self.container.gateway.close()
        self.container.database.close()
        self._loop.close()

    def put(self, document: str | bytes) -> None:
        """Put a message on the bus and let the reader take it."""
        self.container.bus.add_order(document)
        self.read()

    def placed(self) -> dict[str, Any]:
        """Read back the first message that was put on the bus."""
        (_, fields), *_ = self.redis.xrange("orders")
        return dict(json.loads(fields[b"event"]))

    def read(self) -> None:
        """Let the reader take what waits; its first steps make the group and look for what it left behind."""
        reader = self.reader()
        for _ in range(3):
            reader.step(block_ms=1)

    def reader(self) -> OrdersReader:
        """Return a reader of the orders stream."""
        return OrdersReader(self.container.bus, self.container.ingest, "tests")

    def place(self, script: str = "happy", store_id: str = "34", order_id: str = "2011", **more: Any) -> None:
        """Place an order whose life follows a script of the sandbox."""
        document = json.loads(placed(_sample(order_id, store_id, script)))
        document["data"].update(more)
        self.put(json.dumps(document))

    def cancel(self, store_id: str = "34", order_id: str = "2011") -> None:
        """Put the customer's cancellation on the bus."""
        self.put(cancelled(_sample(order_id, store_id, "happy")))

    def put_message(self, kind: str, data: dict[str, Any]) -> None:
        """Put any message on the bus."""
        self.put(message(kind, f"message-{data['order_id']}", data))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the sandbox something, as its operator."""
        return self._loop.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: Any) -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.sandbox.app), base_url=ORIGIN) as client:
            reply = await client.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json()

    def decide(self, decide: Callable[[Delivery], Any], order_id: str = "2011") -> None:
        """Change a delivery as an operator or a dying process would."""
        self.container.database.persist(deliveries.update, [self.delivery(order_id).id], decide)

    def work(self) -> None:
        """Run every task that waits, and those that follow from them."""
        with self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            while found := [got for name in self.app.amqp.queues if (got := channel.basic_get(name, no_ack=True))]:
                for got in found:
                    self._run(got)

    def _run(self, got: Any) -> None:
        if not self.lose_hints:
            arguments, _, _ = json.loads(got.body)
            self.app.tasks[got.headers["task"]](*arguments)

    def pass_time(self, seconds: float = 1.0) -> None:
        """Let time pass: callbacks go out, what is due is swept and worked off."""
        self.now += timedelta(seconds=seconds)
        self.call_back()
        self.app.tasks["timers.sweep"]()
        self.work()

    def call_back(self) -> None:
        """Let the carriers send the callbacks that are due."""
        self._loop.run(self.sandbox.scheduler.run_due())

    def until(self, done: Callable[["Simulation"], bool], *, step: float = 10.0, limit: int = 600) -> None:
        """Let time pass until something is so."""
        for _ in range(limit):
            if done(self):
                return
            self.pass_time(step)
        pytest.fail(f"it never came: {self.told()}")

    def delivery(self, order_id: str = "2011") -> Delivery:
        return self.container.database.read(deliveries.find, order_id)[0]

    def status(self, order_id: str = "2011") -> str:
        return self.delivery(order_id).status.value

    def events(self, order_id: str = "2011") -> list[dict[str, Any]]:
        """Read what the bus was told of one order."""
        found = [json.loads(document) for _, document in self._published()]
        return [event for event in found if event["subject"] == order_id]

    def _published(self) -> Iterator[tuple[str, bytes]]:
        for identity, document in self.container.bus.follow("0-0", block_ms=1):
            if not document:
                return
            yield identity, document

    def told(self, order_id: str = "2011") -> list[str]:
        """Put what the bus was told in words: the status of each change, otherwise the kind of event."""
        return [_word(event) for event in self.events(order_id)]

    def ledger(self, action: str = "create") -> list[tuple[str, str]]:
        """Read what the sandbox really did: carrier and carrier's id."""
        entries = self.sandbox.world.ledger.entries
        return [(entry.carrier, entry.carrier_id) for entry in entries if entry.action == action]


@cache
def _new_database() -> bytes:
    """Make tables once for all streets: to make them anew would take longer than many a test."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "new.db")
        store = Database(f"sqlite:///{path}")
        store.upgrade()
        store.close()
        return path.read_bytes()


def _sample(order_id: str, store_id: str, script: str) -> Sample:
    return Sample(order_id, store_id, script, ends=None, carrier="", description="")  # type: ignore[arg-type]


def _word(event: dict[str, Any]) -> str:
    data = event["data"]
    if event["type"] != "delivery.status_changed":
        return str(event["type"])
    return f"{data['status']} ({data['detail']})" if data["detail"] else str(data["status"])
