"""The bodies of requests: a limit of size and time for each body, and a limit for the total size of all bodies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request

SECONDS = 10.0
"""Seconds within which a whole body must arrive, so that a slow sender cannot hold a connection for ever."""
MAX_HELD = 32_000_000
"""The maximum total size in bytes of all bodies in a process: 64 KB for each of its connections."""
CLOSE = {"Connection": "close"}
"""The header that closes a connection whose request body was not read to its end."""


@dataclass(eq=False, slots=True)
class _Body:
    content: bytearray = field(default_factory=bytearray)
    complete: bool = False
    dropped: bool = False


class RequestBodies:
    """The bodies of all requests that are being received or answered.

    When the total size exceeds the limit, the largest unfinished body is dropped. So a body that is no larger than the
    limit divided by the number of connections is always accepted, even if strangers begin many larger bodies.
    """

    def __init__(self, limit: int = MAX_HELD, seconds: float = SECONDS) -> None:
        self._limit, self._seconds = limit, seconds
        self._bodies: set[_Body] = set()

    @property
    def held(self) -> int:
        """The total size of all bodies in bytes."""
        return sum(len(body.content) for body in self._bodies)

    @asynccontextmanager
    async def receive(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """Yield the body of a request. The body counts towards the total size until the context ends.

        Raises HTTPException when the body is too slow, is larger than `limit` bytes, or was dropped. Raises
        ClientDisconnect when the client closes the connection.
        """
        body = _Body()
        self._bodies.add(body)
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._read(request, body, limit)
            except TimeoutError:
                raise HTTPException(408, "too slow", CLOSE) from None
            yield bytes(body.content)
        finally:
            self._bodies.discard(body)

    async def _read(self, request: Request, body: _Body, limit: int) -> None:
        async for chunk in request.stream():
            body.content += chunk
            if len(body.content) > limit:
                raise HTTPException(413, "too large", CLOSE)
            self._drop_largest()
            if body.dropped:
                raise HTTPException(503, "try again later", {"Retry-After": "1", **CLOSE})
        body.complete = True

    def _drop_largest(self) -> None:
        while self.held > self._limit:  # at least one is unfinished: the body that has just grown
            largest = max((each for each in self._bodies if not each.complete), key=lambda each: len(each.content))
            largest.content, largest.dropped = bytearray(), True
