"""The command line, its settings and one delivery."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import worker.app
from tests.cli.commands import UNAVAILABLE_REDIS, CommandLine, find
from tests.web.edge import ENVIRONMENT, NOW, sample
from worker.config.settings import load
from worker.container import Container
from worker.local.demo.orders import placed


@pytest.fixture
def command_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, sqlite_url: str
) -> CommandLine:
    """Give the command line in an empty folder, with an empty database and no Redis."""
    monkeypatch.chdir(tmp_path)
    created = CommandLine(monkeypatch, capfd)
    created.set(**{**ENVIRONMENT, "DATABASE_URL": sqlite_url, "REDIS_URL": UNAVAILABLE_REDIS})
    return created


@pytest.fixture
def bus_entries(command_line: CommandLine, redis_url: str, prefix: str) -> Iterator[Callable[[], list[Any]]]:
    """Configure a bus, and give a function that reads the entries of its orders stream."""
    stream = f"{prefix}orders"
    command_line.set(REDIS_URL=redis_url, ORDERS_STREAM=stream, EVENTS_STREAM=f"{prefix}deliveries")
    with redis.Redis.from_url(redis_url) as client:
        yield lambda: [(key.decode(), fields) for key, fields in client.xrange(stream)]
        client.delete(stream)


@pytest.fixture
def orders_on_bus(bus_entries: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    """Configure a bus, and give a function that reads the documents of its orders stream."""
    return lambda: [(key, fields[b"event"]) for key, fields in bus_entries()]


@pytest.fixture
def container(command_line: CommandLine) -> Iterator[Container]:  # noqa: ARG001 - it sets the variables
    """Give a container with the settings of the command line and a clock that shows `NOW`."""
    created = Container(load(), clock=lambda: NOW)
    worker.app.create_app(created.settings)
    yield created
    created.database.close()


@pytest.fixture
def delivery(container: Container) -> str:
    """Store an order for Cervo, and give its delivery's id."""
    container.ingest.store_documents([("1-0", placed(sample("2011", "34")).encode())])
    return find(container).id


@pytest.fixture
def carriers(command_line: CommandLine, sandbox: str) -> None:
    """Configure the sandbox as the API of every carrier."""
    command_line.set(**{f"CARRIERS__{name}__BASE_URL": sandbox for name in ("CERVO", "BORZO", "DELIVERIT")})
    command_line.set(CARRIERS__BORZO__RATE="")
