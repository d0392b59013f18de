"""The HTTP server of the edge: uvicorn, with a limit on the time that an idle connection stays open."""

import asyncio
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 500
"""Above this number of connections, requests get a 503 at once.

It is well below the number of files that a process may open.
"""


class IdleTimeoutProtocol(H11Protocol):
    """A connection that is closed when no complete request head arrives in time.

    uvicorn itself waits for ever. h11 limits a head to 16 KiB, and the endpoints limit the time for a body.
    """

    idle_seconds: ClassVar[float] = 10.0
    """The longest time from the connection, or from the last answer, to the end of the next request head."""
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout."""
        super().connection_made(transport)
        self._start_timeout()

    def on_response_complete(self) -> None:
        """Start the timeout for the next head, or for the rest of a body that was not read."""
        super().on_response_complete()
        self._start_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._cancel_timeout()
        super().connection_lost(exc)

    def _start_timeout(self) -> None:
        self._cancel_timeout()
        self._closing = self.loop.call_later(self.idle_seconds, self._close_idle)

    def _cancel_timeout(self) -> None:
        if self._closing is not None:
            self._closing.cancel()

    def _close_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


OPTIONS: dict[str, Any] = {
    "http": IdleTimeoutProtocol,
    "ws": "none",
    "limit_concurrency": MAX_CONNECTIONS,
    "access_log": False,  # the address of a callback holds its token
    "log_config": None,
    "server_header": False,
}


def serve(app: ASGIApp, address: str) -> None:
    """Serve until a signal ends the process; `address` is HOST:PORT, an IPv6 host in brackets."""
    host, _, port = address.rpartition(":")
    uvicorn.run(app, host=host.strip("[]"), port=int(port), **OPTIONS)
