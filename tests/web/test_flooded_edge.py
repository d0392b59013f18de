"""A real web process is flooded by clients that never finish a request, and carriers are answered all the same."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tests.web.edge import ENVIRONMENT
from tests.web.test_web import ORDER_CHANGED, sign
from worker.database import callbacks
from worker.database.database import Database
from worker.local.supervisor import free_port
from worker.web.bodies import RequestBodies

NEXT_CENTURY = datetime(2101, 1, 1, tzinfo=UTC)
FILES = 512
"""The files that the web process may open, fewer than the connections that it gets."""
STRANGERS = 3 * FILES
BACKLOG = 16
"""The connections to both ports that may wait to be accepted. Beyond that, the kernel delays each one by seconds."""
WEB = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
from worker.cli import main
main(["web"])
"""
HEAD = b"POST /callbacks/borzo HTTP/1.1\r\nHost: edge.example\r\n"
UNFINISHED = (b"", HEAD, HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 40_000)


@pytest.fixture
def _may_open_many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * STRANGERS:
        pytest.skip(f"this process may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * STRANGERS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def web_process(database_url: str, log: Path) -> Iterator[tuple[int, int]]:
    """Run the web process of a deployment; yield the ports of the callbacks and of the desk."""
    port = free_port()
    desk = free_port(port + 1)
    addresses = {"WEB_ADDRESS": f"127.0.0.1:{port}", "DESK_ADDRESS": f"127.0.0.1:{desk}"}
    settings = {**ENVIRONMENT, "DATABASE_URL": database_url, **addresses}
    environment = os.environ | {f"ORDER_SYNC_{key}": value for key, value in settings.items()}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", WEB], env=environment, stdout=output, stderr=output)
    try:
        transport = httpx.HTTPTransport(retries=12)  # until the process listens
        with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/").status_code == 404
        yield port, desk
    finally:
        process.terminate()
        process.wait()


async def _post(port: int) -> int:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.post("/callbacks/borzo", content=ORDER_CHANGED, headers=sign(ORDER_CHANGED))
        return answer.status_code


async def _be_accepted(port: int) -> None:
    """Wait until the process has accepted the connections to a port so far."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n")
    with suppress(OSError):
        await reader.read()
    writer.close()


async def _flood(ports: tuple[int, int]) -> int:
    """Open the connections of strangers to both ports; return the status of a carrier's callback meanwhile."""
    opened = []
    for number in range(STRANGERS):
        _, writer = await asyncio.open_connection("127.0.0.1", ports[number % 2])
        writer.write(UNFINISHED[number % len(UNFINISHED)])
        opened.append(writer)
        if number % BACKLOG >= BACKLOG - 2:
            await _be_accepted(ports[number % 2])
    status = await _post(ports[0])
    for writer in opened:
        writer.transport.abort()
    return status


@pytest.mark.fault("F-94")
@pytest.mark.usefixtures("_may_open_many_files")
def test_a_carrier_is_answered_while_strangers_hold_more_connections_than_files(
    sqlite_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "web.log"
    with web_process(sqlite_url, log) as ports:
        assert asyncio.run(_flood(ports)) == 200
    assert "Traceback" not in log.read_text()
    database = Database(sqlite_url)
    (stored,) = database.write(callbacks.claim, NEXT_CENTURY, 10)
    found = database.read(callbacks.load, stored)
    database.close()
    assert found is not None
    assert found.callback.body == ORDER_CHANGED


class Sender:
    """A request whose body comes when the test says so."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self.request = Request({"type": "http", "method": "POST", "headers": []}, self._chunks.get)

    async def send(self, size: int, *, more: bool = True) -> None:
        """Send a part of the body and let its reader take it."""
        self._chunks.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": more})
        for _ in range(5):
            await asyncio.sleep(0)


async def _receive(bodies: RequestBodies, sender: Sender, limit: int = 1000) -> int | str:
    """Return the length of a body, or why it was not accepted."""
    try:
        async with bodies.receive(sender.request, limit) as body:
            return len(body)
    except HTTPException as error:
        return error.detail


@pytest.mark.fault("F-97")
def test_the_largest_unfinished_body_makes_room_for_the_others() -> None:
    async def three() -> None:
        bodies, senders = RequestBodies(100), [Sender(), Sender(), Sender()]
        received = [asyncio.create_task(_receive(bodies, each)) for each in senders]
        held = []
        for sender, size in zip(senders, (30, 60, 33), strict=True):
            await sender.send(size)
            held.append(bodies.held)
        for sender in senders:
            await sender.send(1, more=False)
        assert (held, await asyncio.gather(*received)) == ([30, 90, 63], [31, "try again later", 34])
        assert bodies.held == 0

    asyncio.run(three())


@pytest.mark.fault("F-97")
def test_a_complete_body_counts_until_its_request_is_answered_and_is_never_dropped() -> None:
    async def two() -> None:
        bodies, complete, unfinished = RequestBodies(100), Sender(), Sender()
        sending = asyncio.create_task(complete.send(80, more=False))
        async with bodies.receive(complete.request, 1000) as body:
            await sending
            received = asyncio.create_task(_receive(bodies, unfinished))
            await unfinished.send(21)
            assert (len(body), bodies.held, await received) == (80, 80, "try again later")
        assert bodies.held == 0

    asyncio.run(two())
