"""The HTTP edge under test: a container on SQLite, fakeredis for the bus, Celery on its memory transport."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import fakeredis
import httpx
import pytest

from tests.services.containers import ReplaceableContainer
from worker import container
from worker.app import create_app
from worker.bus.streams import Bus
from worker.config.settings import load
from worker.database import callbacks, deliveries
from worker.database.callbacks import StoredCallback
from worker.domain import lifecycle
from worker.domain.delivery import Change, Delivery
from worker.local.demo.orders import Sample, placed
from worker.local.samples import sample_file
from worker.web import count_answers, create_web_app
from worker.web.operators import create_desk_app

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
SECRET = "sandbox-borzo-secret"
DESK = {"/livez", "/readyz", "/metrics"}
Content = bytes | AsyncIterator[bytes]
T = TypeVar("T")
ENVIRONMENT = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "BROKER_URL": "memory://",
    "STORES_FILE": str(sample_file("stores.toml")),
    "CARRIERS__CERVO__TOKEN": "sandbox-cervo-token",
    "CARRIERS__BORZO__TOKEN": "sandbox-borzo-token",
    "CARRIERS__BORZO__CALLBACK_SECRET": SECRET,
    "CARRIERS__DELIVERIT__USERNAME": "sandbox@deliverit.example",
    "CARRIERS__DELIVERIT__PASSWORD": "sandbox-deliverit-password",
}


def sample(order_id: str, store_id: str) -> Sample:
    return Sample(order_id, store_id, "happy", ends=None, carrier="", description="")  # type: ignore[arg-type]


class Edge:
    """A web app and its container."""

    def __init__(self, database_url: str, **environment: str) -> None:
        # Not the settings of a user who works in the repository.
        wanted = {"CONFIG": os.devnull, **ENVIRONMENT, "DATABASE_URL": database_url, **environment}
        settings = load({f"ORDER_SYNC_{key}": value for key, value in wanted.items()})
        self.app = create_app(settings)
        self.redis: Any = fakeredis.FakeRedis()
        self.container = ReplaceableContainer(settings, clock=lambda: NOW, app=self.app)
        container.override(self.container)
        self.rebuild(bus=Bus(self.redis, orders="orders", events="deliveries"))
        self._loop = asyncio.Runner()
        if settings.broker.startswith("memory"):
            self.tasks()  # kombu's memory belongs to the process, and holds the messages of other tests

    def rebuild(self, **parts: Any) -> None:
        """Put other parts into the container, and build the web app again."""
        for name, part in parts.items():
            setattr(self.container, name, part)
        answers = count_answers(self.container)
        self.web, self.desk = create_web_app(self.container, answers), create_desk_app(self.container, answers)

    def close(self) -> None:
        """Close everything that is open."""
        self.container.database.close()
        self._loop.close()

    def ask(self, method: str, path: str, content: Content = b"", **headers: Any) -> tuple[int, str]:
        """Send a request; return the status and the text of the answer."""
        reply = self.request(method, path, content, headers)
        return reply.status_code, reply.text

    def request(self, method: str, path: str, content: Content, headers: Any) -> httpx.Response:
        """Send a request; return the answer."""
        return self.run(self.send(method, path, content, headers))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop of this edge."""
        return self._loop.run(work)

    def ask_at_once(self, path: str, callbacks: Iterable[tuple[bytes, dict[str, str]]]) -> list[int]:
        """Post many bodies with their headers at the same time; return the statuses in this order."""
        return [reply.status_code for reply in self._loop.run(self._ask_all(path, callbacks))]

    async def _ask_all(self, path: str, callbacks: Iterable[tuple[bytes, dict[str, str]]]) -> list[httpx.Response]:
        return await asyncio.gather(*(self.send("POST", path, body, headers) for body, headers in callbacks))

    async def send(self, method: str, path: str, content: Content, headers: Any) -> httpx.Response:
        """Send a request in the running loop, to the operators' address if its path is there."""
        transport = httpx.ASGITransport(self.desk if path in DESK else self.web)
        async with httpx.AsyncClient(transport=transport, base_url="http://edge.example") as client:
            return await client.request(method, path, content=content, headers=headers)

    def book(self, token: str, order_id: str = "2011", store_id: str = "34", ref: str | None = None) -> None:
        """Accept an order, and begin a create whose callback address has this token; `ref` is the carrier's id."""

        def begin(delivery: Delivery) -> Change | None:
            change = lifecycle.begin_booking(delivery, 7, token, made.terms, NOW)
            (attempt,) = change.delivery.attempts if change else ()
            return Change(change.delivery.with_attempt(replace(attempt, ref=ref))) if change else None

        made = self.container
        made.ingest.store_documents([("1-0", placed(sample(order_id, store_id)).encode())])
        made.database.persist(
            deliveries.update,
            [made.database.read(deliveries.find, order_id)[0].id],
            begin,
        )
        self.tasks()

    def stored(self) -> list[StoredCallback]:
        """Return the stored callbacks that wait."""
        ids = self.container.database.write(callbacks.claim, NOW + timedelta(hours=1), 1000)
        return [found for each in ids if (found := self.container.database.read(callbacks.load, each))]

    def tasks(self) -> list[tuple[str, list[Any]]]:
        """Remove the Celery messages that wait; return the name and the arguments of each task."""
        found: list[Any] = []
        with self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            for name in self.app.amqp.queues:
                found += iter(partial(channel.basic_get, name, no_ack=True), None)
        return [(got.headers["task"], json.loads(got.body)[0]) for got in found]


@pytest.fixture
def make_edge(sqlite_url: str) -> Iterator[Callable[..., Edge]]:
    made: list[Edge] = []

    def make(database_url: str = sqlite_url, **environment: str) -> Edge:
        made.append(Edge(database_url, **environment))
        return made[-1]

    yield make
    for edge in made:
        edge.close()


@pytest.fixture
def edge(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge()
