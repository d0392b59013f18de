"""Server-sent events: each open page is notified when to load again.

One task of the process looks at the database, however many pages are open, and only while one is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from worker.database.connection import DatabaseError
from worker.web.desk.threads import Threads

POLL_SECONDS = 1.0
QUIET_POLLS = 10
"""After so many polls without a change, the pages load again, because deadlines and ages go on."""
MOST_PAGES = 100
"""The most open pages of a process."""


class Live:
    """Notify open pages of changes. `pulse` returns another value after every change.

    `forget` is called before the pages are notified, so that none of them is answered with what was measured before.
    """

    def __init__(
        self,
        pulse: Callable[[], object],
        forget: Callable[[], None],
        threads: Threads,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._pulse, self._forget, self._threads, self._pause = pulse, forget, threads, pause
        self._pages: set[asyncio.Event] = set()
        self._polling: asyncio.Task[None] | None = None

    async def stream(self, _request: Request) -> Response:
        """Answer with the stream of changes."""
        if len(self._pages) >= MOST_PAGES:
            raise HTTPException(503, "Too many pages are open.")
        return EventSourceResponse(self.changes())

    async def changes(self) -> AsyncIterator[ServerSentEvent]:
        """Yield an event after each change, until the page is closed."""
        changed = asyncio.Event()
        self._pages.add(changed)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            while True:
                await changed.wait()
                changed.clear()
                yield ServerSentEvent(event="changed", data="")
        finally:
            self._pages.discard(changed)
            if not self._pages:
                self._polling.cancel()
                self._polling = None  # a page that opens before the task has ended needs another one

    async def _poll(self) -> None:
        known, quiet = await self._read(), 0
        while True:
            await self._pause(POLL_SECONDS)
            found = await self._read()
            quiet += 1
            if found != known or quiet == QUIET_POLLS:
                known, quiet = found, 0
                await self._threads.run(self._forget)
                for page in self._pages:
                    page.set()

    async def _read(self) -> object:
        try:
            return await self._threads.run(self._pulse)
        except DatabaseError as error:
            return type(error).__name__
