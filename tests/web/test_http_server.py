"""The HTTP server limits the time of a request head, its size, and the number of connections."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, ClassVar

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn import Config
from uvicorn.server import ServerState

from worker.web.server import OPTIONS, LimitedProtocol

HEAD = b"POST /callbacks/borzo HTTP/1.1\r\nHost: edge.example\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n"


class Impatient(LimitedProtocol):
    idle_seconds: ClassVar[float] = 0.05


async def _greet(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


@asynccontextmanager
async def _opened(kind: type[LimitedProtocol], **options: Any) -> Any:
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


async def _answer(sent: bytes, kind: type[LimitedProtocol], **options: Any) -> bytes:
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
    answer = runner.run(_answer(HEAD + b"X-Long: " + b"x" * 70_000, LimitedProtocol))
    assert answer.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"


# --- too many connections ---


SIGNED = b"GET /signed HTTP/1.1\r\nHost: edge.example\r\n\r\n"
UNFINISHED = HEAD.replace(b"/callbacks/borzo", b"/body") + b"Content-Length: 1000000\r\n\r\n{"


class Busy:
    """A server with three places, whose endpoints answer when they are told to."""

    def __init__(self) -> None:
        self.begun, self.may_answer = asyncio.Semaphore(0), asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/", _greet),
                Route("/signed", self._answer),
                Route("/strange", self._answer),
                Route("/body", self._read_body, methods=["POST"]),
            ]
        )

    async def _answer(self, request: Request) -> PlainTextResponse:
        request.state.authentic = request.url.path == "/signed"
        self.begun.release()
        await self.may_answer.wait()
        return PlainTextResponse("ok")

    async def _read_body(self, request: Request) -> PlainTextResponse:
        self.begun.release()
        await request.body()
        return PlainTextResponse("ok")

    async def fill(self, *sent: bytes) -> tuple[list[bytes], bytes]:
        """Open connections that send these bytes; return their answers and that of one more connection."""
        async with AsyncExitStack() as stack:
            config = Config(self.app, **{**OPTIONS, "limit_concurrency": 3})
            made = partial(LimitedProtocol, config=config, server_state=ServerState(), app_state={})
            server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
            stack.callback(server.close)
            opened = []
            for each in sent:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                stack.callback(writer.close)
                writer.write(each)
                opened.append(reader)
                if b"\r\n\r\n" in each:
                    await self.begun.acquire()
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            stack.callback(writer.close)
            writer.write(REQUEST)
            last = await _first_line(reader)
            self.may_answer.set()
            return [await _first_line(each) for each in opened[: len(sent) - 2]], last


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    """Return the first line of an answer, empty when the connection was closed without one."""
    try:
        async with asyncio.timeout(5):
            return (await reader.readline()).strip()
    except ConnectionResetError:
        return b""


SERVED, CLOSED = b"HTTP/1.1 200 OK", b""


@pytest.mark.fault("F-45", "F-94")
@pytest.mark.parametrize("oldest", [b"", HEAD, UNFINISHED, SIGNED.replace(b"signed", b"strange")])
def test_a_new_connection_takes_the_place_of_the_oldest_stranger(oldest: bytes, runner: asyncio.Runner) -> None:
    async def three_places() -> tuple[list[bytes], bytes]:
        return await Busy().fill(oldest, b"", b"")

    assert runner.run(three_places()) == ([CLOSED], SERVED)


@pytest.mark.fault("F-94")
def test_no_stranger_takes_the_place_of_an_authentic_callback_that_is_being_stored(runner: asyncio.Runner) -> None:
    async def three_places() -> tuple[list[bytes], bytes]:
        return await Busy().fill(SIGNED, b"", b"", b"", b"")

    assert runner.run(three_places()) == ([SERVED, CLOSED, CLOSED], SERVED)


@pytest.mark.fault("F-94")
def test_a_connection_is_closed_at_once_while_every_place_serves_an_authentic_callback(runner: asyncio.Runner) -> None:
    async def three_places() -> tuple[list[bytes], bytes]:
        return await Busy().fill(SIGNED, SIGNED, SIGNED)

    assert runner.run(three_places()) == ([SERVED], CLOSED)


@pytest.mark.fault("F-94")
def test_half_of_the_files_of_a_process_are_left_for_other_things() -> None:
    command = (
        "import resource as r, worker.web.server as s; r.setrlimit(r.RLIMIT_NOFILE, (256, 256)); print(s.limits())"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str({"limit_concurrency": 128, "backlog": 32})
