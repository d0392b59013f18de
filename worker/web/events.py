"""The events over HTTP, for platforms that read no bus: a page after a cursor, at once or when there is something new.

A waiting request occupies no thread. While requests wait, one look at the database serves them all.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.requests import NOW, EventsQuery, read_events_query
from worker.database.connection import DatabaseError
from worker.database.event_feed import Wanted
from worker.services.event_feed import CursorExpired, EventFeed, EventPage

THREADS = 4
LOOK_SECONDS = 0.5
"""Seconds between two looks at the database while requests wait."""
SEARCH_SECONDS = 2.0
"""The longest search for events of rare types, after which the cursor is returned without an event."""
MOST_AT_ONCE = 20
"""The most requests of one source at the same time, whether they search or wait."""
GENERATION = 10**12
"""A cursor is the generation of a position times this number, plus the position."""
T = TypeVar("T")
Pause = Callable[[float], Awaitable[object]]


@dataclass(frozen=True)
class EventsEndpoint:
    """Answer requests for events."""

    feed: EventFeed
    pause: Pause = asyncio.sleep
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "event-requests"))
    _under_way: Counter[str] = field(default_factory=Counter)
    _looks: list[asyncio.Task[int]] = field(default_factory=list)
    """The look at the database that is under way, if any."""

    async def read(self, request: Request, source: str) -> Response:
        """Return a page of the events that a source may read. Raises CursorExpired and the errors of the door."""
        query = read_events_query(request.query_params)
        if self._under_way[source] >= MOST_AT_ONCE:
            raise HTTPException(429, "too many requests of this source are under way", {"Retry-After": "5"})
        self._under_way[source] += 1
        try:
            return await self._answer(request, source, query)
        finally:
            self._under_way[source] -= 1

    async def _answer(self, request: Request, source: str, query: EventsQuery) -> Response:
        clock = asyncio.get_running_loop().time
        request.state.authentic = True  # the server does not close this connection to make room
        wanted, began = Wanted(query.types, source=source), clock()
        generation, page = await self._run(self._first_page, query, wanted)
        while not page.events and clock() < began + (query.wait if page.complete else SEARCH_SECONDS):
            if page.complete and not await self._wait(request, page.next, began + query.wait):
                break
            page = await self._run(self.feed.read, page.next, wanted, query.limit)
        events = ",".join(event.body for event in page.events)
        body = f'{{"events":[{events}],"next":"{generation * GENERATION + page.next}"}}'
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    def _first_page(self, query: EventsQuery, wanted: Wanted) -> tuple[int, EventPage]:
        """Return the generation of the positions, and the page after the cursor."""
        generation = self.feed.generation()
        if query.after == NOW:
            return generation, EventPage([], self.feed.settled(), complete=True)
        given, after = divmod(int(query.after), GENERATION) if query.after else (generation, self.feed.first())
        if given != generation:
            raise CursorExpired("the database is another one or has lost commits")
        return generation, self.feed.read(after, wanted, query.limit)

    async def _wait(self, request: Request, position: int, until: float) -> bool:
        """Wait until events after a position are settled; return False if there are none in time."""
        try:
            async with asyncio.timeout_at(until):
                while await self._look() <= position:
                    if getattr(request.state, "ending", False) or await request.is_disconnected():
                        return False
                return True
        except TimeoutError:
            return False

    async def _look(self) -> int:
        """Return the settled position after a pause. All requests that wait share one look."""
        if not self._looks or self._looks[0].done():
            self._looks[:] = [asyncio.create_task(self._pause_and_look())]
        return await asyncio.shield(self._looks[0])

    async def _pause_and_look(self) -> int:
        await self.pause(LOOK_SECONDS)
        with suppress(DatabaseError):  # a request that waits is answered without an event
            return await self._run(self.feed.settled)
        return 0

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(work, *arguments))
