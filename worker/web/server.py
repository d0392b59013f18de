"""The HTTP server: uvicorn, with limits that keep idle clients from shutting out a carrier.

uvicorn itself limits only requests. It waits for ever for a request head, and accepts connections until no file
descriptor is left.
"""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker import log

logger = log.get(__name__)
MAX_CONNECTIONS, MAX_DESK_CONNECTIONS = 500, 200
REPORT_SECONDS = 10.0
"""Seconds between two warnings that connections are closed because there are too many."""


class LimitedProtocol(H11Protocol):
    """A connection with a time limit for each request head. The number of connections is limited too.

    When there are too many connections, the server closes one of them. It never closes a connection that serves an
    authentic callback; of the others, it closes the connection with the oldest `waiting_since`. A carrier sends its
    request as soon as it is connected, so idle and forged connections only displace each other. uvicorn's
    setting `limit_concurrency` is the limit of connections. h11 limits a head to 16 KiB, and the endpoints limit the
    time and the size of a body.
    """

    idle_seconds: ClassVar[float] = 10.0
    """Seconds within which a request head must be complete, from the start of the connection or the last answer."""
    waiting_since = 0.0
    """When the connection was made, or last got an answer."""
    _closing: asyncio.TimerHandle | None = None
    _reported_at: ClassVar[float] = float("-inf")

    @property
    def is_authentic(self) -> bool:
        """Whether the endpoint has recognised the sender of the request that is being answered."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return answering and bool(self.scope["state"].get("authentic"))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout, and close another connection if there are too many."""
        super().connection_made(transport)
        self._start_timeout()
        places = self.config.limit_concurrency
        if places is not None and len(self.connections) > places:
            self._make_room()
        # uvicorn applies the limit to tasks too. It is doubled, because tasks of closed connections may still run.
        self.limit_concurrency = places and 2 * places

    def on_response_complete(self) -> None:
        """Start the timeout for the next request head, or for the rest of a body that is still incomplete."""
        super().on_response_complete()
        self._start_timeout()

    def shutdown(self) -> None:
        """Let the endpoint know that the server ends, so that a request which waits for events is answered now."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.scope["state"]["ending"] = True
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._cancel_timeout()
        super().connection_lost(exc)

    def _start_timeout(self) -> None:
        self._cancel_timeout()
        self.waiting_since = self.loop.time()
        self._closing = self.loop.call_later(self.idle_seconds, self._close_idle)

    def _cancel_timeout(self) -> None:
        if self._closing is not None:
            self._closing.cancel()

    def _close_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _make_room(self) -> None:
        strangers = [each for each in self.connections if isinstance(each, LimitedProtocol) and not each.is_authentic]
        oldest = min(strangers, key=lambda each: each.waiting_since)  # never empty: this one has sent nothing yet
        self.connections.discard(oldest)  # uvicorn does this only in the next turn of the loop
        oldest.transport.abort()
        if self.loop.time() - LimitedProtocol._reported_at > REPORT_SECONDS:
            LimitedProtocol._reported_at = self.loop.time()
            logger.warning("web.connections_full", limit=self.config.limit_concurrency)


OPTIONS: dict[str, Any] = {
    "http": LimitedProtocol,
    "loop": "asyncio",  # uvicorn would choose uvloop, where connections are accepted and closed in another order
    "ws": "none",
    "access_log": False,  # the address of a callback holds its token
    "log_config": None,
    "server_header": False,
}


def limits(most: int = MAX_CONNECTIONS, share: float = 1 / 2) -> dict[str, int]:
    """Return the options that limit connections, to `most` and to a share of the file descriptors.

    The other file descriptors stay free for the database and Redis.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    places = most if files == resource.RLIM_INFINITY else min(most, int(files * share))
    # asyncio accepts as many connections as the backlog holds before it looks at the first of them.
    return {"limit_concurrency": places, "backlog": max(1, places // 4)}


class _Server(uvicorn.Server):
    """A server whose signals end a second server too."""

    def __init__(self, config: uvicorn.Config, other: uvicorn.Server) -> None:
        super().__init__(config)
        self._other = other

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End both servers."""
        self._other.handle_exit(sig, frame)
        super().handle_exit(sig, frame)


class _SecondServer(uvicorn.Server):
    """A server that leaves the signals of the process to the first one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def serve(app: ASGIApp, address: str, desk: ASGIApp, desk_address: str) -> None:
    """Serve both apps in one loop until a signal ends the process.

    An address is HOST:PORT, with an IPv6 host in brackets. The desk has few places for connections, so that a neighbour
    in its network takes no file descriptors from the callbacks.
    """
    second = _SecondServer(_config(desk, desk_address, **OPTIONS, **limits(MAX_DESK_CONNECTIONS, 1 / 8)))
    first = _Server(_config(app, address, **OPTIONS, **limits()), second)
    asyncio.run(_serve(first, second))


async def _serve(*servers: uvicorn.Server) -> None:
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.serve())


def _config(app: ASGIApp, address: str, **options: Any) -> uvicorn.Config:
    host, _, port = address.rpartition(":")
    return uvicorn.Config(app, host=host.strip("[]"), port=int(port), **options)
