"""The HTTP server under the edge: uvicorn, but nobody holds a connection for long without asking anything."""

import asyncio
from typing import Any, ClassVar

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 500
"""Above this a request is answered with 503 at once: well below the files that a process may open."""


class Patient(H11Protocol):
    """A connection that is closed when no whole request head has come in time. uvicorn itself would wait for ever.

    A head may have 16 KiB (h11's limit); how long a body may take is the edge's affair.
    """

    patience: ClassVar[float] = 10.0
    """Seconds from the connection, or from the last answer, to the end of the next head."""
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for what comes next, be it the rest of a body that nobody wanted."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop()
        self._closing = self.loop.call_later(self.patience, self._close_unasked)

    def _stop(self) -> None:
        if self._closing is not None:
            self._closing.cancel()

    def _close_unasked(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


OPTIONS: dict[str, Any] = {
    "http": Patient,
    "ws": "none",
    "limit_concurrency": MOST_CONNECTIONS,
    "access_log": False,  # a callback's address holds its token
    "log_config": None,
    "server_header": False,
}


def serve(served: ASGIApp, address: str) -> None:
    """Serve until a signal ends us; `address` is host:port, an IPv6 host in brackets."""
    host, _, port = address.rpartition(":")
    uvicorn.run(served, host=host.strip("[]"), port=int(port), **OPTIONS)
