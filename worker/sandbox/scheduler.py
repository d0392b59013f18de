"""Run the sandbox's pending events: callbacks, their retries and delayed requests.

An event runs once the clock has reached its time. A server calls `run_forever`, a test calls `run_due`.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

Event = Callable[[datetime], Awaitable[datetime | None]]
"""Handle the event at the given time and return when to run it again; None means never."""

_MAX_CONCURRENT = 16
_MAX_IDLE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Scheduler:
    """A queue of pending events, ordered by time."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._pending: list[tuple[datetime, int, Event]] = []
        self._sequence = itertools.count()
        self._changed = asyncio.Event()

    def schedule(self, due: datetime, event: Event) -> None:
        """Run `event` once the clock has reached `due`."""
        heapq.heappush(self._pending, (due, next(self._sequence), event))
        self._changed.set()

    def clear(self) -> None:
        """Remove every pending event."""
        self._pending.clear()

    @property
    def next_due(self) -> datetime | None:
        """The time of the next event; None if no event is pending."""
        return self._pending[0][0] if self._pending else None

    async def run_due(self) -> None:
        """Run every event that is due now, including those that become due meanwhile."""
        while due := self._pop_due():
            await asyncio.gather(*map(self._run, due))

    async def run_forever(self) -> None:
        """Run events as they become due, until cancelled."""
        while True:
            self._changed.clear()
            await self.run_due()
            await self._wait_for_next()

    def _pop_due(self) -> list[Event]:
        now = self._clock()
        due: list[Event] = []
        while self.next_due is not None and self.next_due <= now and len(due) < _MAX_CONCURRENT:
            due.append(heapq.heappop(self._pending)[2])
        return due

    async def _run(self, event: Event) -> None:
        try:
            again = await event(self._clock())
        except Exception:  # noqa: BLE001 - one failing event must not stop the others
            _log.exception("sandbox event failed")
            return
        if again is not None:
            self.schedule(again, event)

    async def _wait_for_next(self) -> None:
        wait = (self.next_due - self._clock()).total_seconds() if self.next_due else _MAX_IDLE_SECONDS
        try:
            await asyncio.wait_for(self._changed.wait(), min(max(wait, 0.001), _MAX_IDLE_SECONDS))
        except TimeoutError:
            return
