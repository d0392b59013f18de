"""The HTTP server limits the time of a request head, its size, and the number of connections."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn import Config
from uvicorn.server import ServerState

from worker.web.server import OPTIONS, IdleTimeoutProtocol

HEAD = b"POST /callbacks/borzo HTTP/1.1\r\nHost: edge.example\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n"


class Impatient(IdleTimeoutProtocol):
    idle_seconds: ClassVar[float] = 0.05


async def _greet(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


@asynccontextmanager
async def _opened(kind: type[IdleTimeoutProtocol], **options: Any) -> Any:
    """Open a connection to a server with this protocol."""
    config = Config(Starlette(routes=[Route("/", _greet)]), **{**OPTIONS, "http": kind, **options})
    made = partial(kind, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def _answer(sent: bytes, kind: type[IdleTimeoutProtocol], **options: Any) -> bytes:
    """Send these bytes and nothing more; return everything that arrives before the connection is closed."""
    async with _opened(kind, **options) as (reader, writer):
        writer.write(sent)
        return bytes(await reader.read())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.fault("F-45")
@pytest.mark.parametrize("sent", [b"", b"P", HEAD, HEAD + b"X-One: 1\r\n"])
def test_a_connection_without_a_complete_request_head_is_closed(sent: bytes, runner: asyncio.Runner) -> None:
    assert runner.run(_answer(sent, Impatient)) == b""


@pytest.mark.parametrize("next_one", [b"", HEAD])
def test_after_an_answer_the_timeout_starts_again(next_one: bytes, runner: asyncio.Runner) -> None:
    answer = runner.run(_answer(REQUEST + next_one, Impatient, timeout_keep_alive=60))
    assert (answer.split(b"\r\n")[0], answer.count(b"HTTP/1.1")) == (b"HTTP/1.1 200 OK", 1)


def test_an_unread_body_keeps_no_connection_open(runner: asyncio.Runner) -> None:
    answer = runner.run(_answer(HEAD + b"Content-Length: 1000000\r\n\r\n{", Impatient, timeout_keep_alive=60))
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 404 Not Found"


def test_a_head_that_is_too_large_is_rejected(runner: asyncio.Runner) -> None:
    answer = runner.run(_answer(HEAD + b"X-Long: " + b"x" * 70_000, IdleTimeoutProtocol))
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"


@pytest.mark.fault("F-45")
def test_a_connection_above_the_limit_gets_a_503(runner: asyncio.Runner) -> None:
    answer = runner.run(_answer(REQUEST, Impatient, limit_concurrency=1))
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 503 Service Unavailable"
