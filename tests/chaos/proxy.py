"""A TCP proxy that disturbs: the traffic between a process and a server is forwarded, lost, reset or slowed down."""

import asyncio
import random
import threading
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

CHUNK = 65_536
SLOW = 0.2
"""The longest delay of each chunk on a slow link, in seconds."""
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""PostgreSQL's answer to a COMMIT: its type, its length and its text. No text in a row of results contains a NUL."""
UNCONFIRMED = 0.3
"""The share of answers to a COMMIT that an unconfirming link loses."""


class Mode(StrEnum):
    """What a link does with its traffic."""

    PASS = "pass"
    REFUSE = "refuse"
    """Every connection is reset."""
    SILENT = "silent"
    """Half-open: connections stay open, and nothing arrives on either side."""
    MUTE = "mute"
    """Requests arrive, replies are lost."""
    SLOW = "slow"
    UNCONFIRMED = "unconfirmed"
    """PostgreSQL commits, but the answer to some of the COMMITs is lost, and their connections are reset."""


class Link:
    """One port in front of one server (a port of this machine, or a Unix socket)."""

    def __init__(
        self, server: int | Path, seed: int, unconfirmed: float = UNCONFIRMED, address: str = "127.0.0.1"
    ) -> None:
        self.address = address
        self._server, self._random, self._share = server, random.Random(seed), unconfirmed
        self._mode = Mode.PASS
        self._open: dict[asyncio.StreamWriter, bool] = {}  # with whether the connection has lost something
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def has_lost(self) -> bool:
        """Whether an open connection has lost something."""
        return any(self._open.values())

    async def listen(self) -> None:
        """Open the port."""
        self._listener = await asyncio.start_server(self._accept, self.address, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    def turn(self, mode: Mode) -> None:
        """Change the mode. A connection that has lost something is reset, so that nothing lost arrives late."""
        self._mode = mode
        for writer, lossy in list(self._open.items()):
            if mode is Mode.REFUSE or (mode is Mode.PASS and lossy):
                writer.transport.abort()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in list(self._open):
            writer.transport.abort()

    def silence(self) -> None:
        """Make every open connection half-open; later connections work."""
        self._open = dict.fromkeys(self._open, True)

    async def close(self) -> None:
        """Close the port and every connection."""
        self._listener.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.REFUSE:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._open[writer] = self._open[far_writer] = False
        try:
            await asyncio.gather(self._pump(reader, far_writer, to_server=True), self._pump(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                self._open.pop(each, None)
                each.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, Path):
            return await asyncio.open_unix_connection(self._server)
        return await asyncio.open_connection("127.0.0.1", self._server)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, to_server: bool = False
    ) -> None:
        end = b""
        try:
            while chunk := await source.read(CHUNK):
                if self._mode is Mode.SLOW:
                    await asyncio.sleep(self._random.uniform(0, SLOW))
                if self._loses(target, to_server=to_server):
                    continue
                if self._cuts(end + chunk):
                    raise ConnectionResetError
                end = (end + chunk)[1 - len(COMMITTED) :]
                target.write(chunk)
                await target.drain()
            if target in self._open and not self._open[target]:
                target.close()
        except OSError:
            target.transport.abort()

    def _loses(self, target: asyncio.StreamWriter, *, to_server: bool) -> bool:
        losing = self._mode is Mode.SILENT or (self._mode is Mode.MUTE and not to_server)
        self._open[target] = self._open.get(target, False) or losing
        return self._open[target]

    def _cuts(self, received: bytes) -> bool:
        """Return whether the connection is reset in place of the answer to a COMMIT, which may come in two chunks."""
        return self._mode is Mode.UNCONFIRMED and COMMITTED in received and self._random.random() < self._share


class Network:
    """The links of a run, in a thread of their own. Use it as a context manager."""

    def __init__(self, seed: int, address: str = "127.0.0.1") -> None:
        self._seed, self._address = seed, address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links:
            self.run(link.close())
        self.run(self._cancel_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_tasks(self) -> None:
        """Cancel every task of the loop and wait for its end."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the links' loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a coroutine in the links' loop."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def link(self, server: int | Path, unconfirmed: float = UNCONFIRMED) -> Link:
        """Return a new link in front of a server."""
        link = Link(server, self._seed + len(self._links), unconfirmed, self._address)
        self.run(link.listen())
        self._links.append(link)
        return link

    def turn(self, link: Link, mode: Mode) -> None:
        """Change the mode of a link."""
        self._loop.call_soon_threadsafe(link.turn, mode)

    def cut(self, link: Link) -> None:
        """Reset every connection of a link."""
        self._loop.call_soon_threadsafe(link.cut)

    def silence(self, link: Link) -> None:
        """Make every open connection of a link half-open; later connections work."""
        self._loop.call_soon_threadsafe(link.silence)
