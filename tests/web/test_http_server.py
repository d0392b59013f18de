"""The server under the edge: who holds a connection without asking anything is cut off."""

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

from worker.web.server import OPTIONS, Patient

HEAD = b"POST /callbacks/borzo HTTP/1.1\r\nHost: edge.example\r\n"
ASKED = b"GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n"


class Hurried(Patient):
    patience: ClassVar[float] = 0.05


async def _greet(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


@asynccontextmanager
async def _opened(kind: type[Patient], **options: Any) -> Any:
    """Open a connection to a server of this kind."""
    config = Config(Starlette(routes=[Route("/", _greet)]), **{**OPTIONS, "http": kind, **options})
    made = partial(kind, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def _said(sent: bytes, kind: type[Patient], **options: Any) -> bytes:
    """Send this and nothing more; give all that was answered before the connection was closed."""
    async with _opened(kind, **options) as (reader, writer):
        writer.write(sent)
        return bytes(await reader.read())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.parametrize("sent", [b"", b"P", HEAD, HEAD + b"X-One: 1\r\n"])
def test_a_connection_without_a_complete_request_head_is_closed(sent: bytes, runner: asyncio.Runner) -> None:
    assert runner.run(_said(sent, Hurried)) == b""


@pytest.mark.parametrize("next_one", [b"", HEAD])
def test_after_an_answer_the_timeout_starts_again(next_one: bytes, runner: asyncio.Runner) -> None:
    said = runner.run(_said(ASKED + next_one, Hurried, timeout_keep_alive=60))
    assert (said.split(b"\r\n")[0], said.count(b"HTTP/1.1")) == (b"HTTP/1.1 200 OK", 1)


def test_an_unread_body_keeps_no_connection_open(runner: asyncio.Runner) -> None:
    said = runner.run(_said(HEAD + b"Content-Length: 1000000\r\n\r\n{", Hurried, timeout_keep_alive=60))
    assert said.split(b"\r\n")[0] == b"HTTP/1.1 404 Not Found"


def test_a_head_that_is_too_large_is_rejected(runner: asyncio.Runner) -> None:
    said = runner.run(_said(HEAD + b"X-Long: " + b"x" * 70_000, Patient))
    assert said.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"


def test_a_connection_above_the_limit_gets_a_503(runner: asyncio.Runner) -> None:
    said = runner.run(_said(ASKED, Hurried, limit_concurrency=1))
    assert said.split(b"\r\n")[0] == b"HTTP/1.1 503 Service Unavailable"
