"""What the sandbox does later by itself: callbacks at each step, retries, requests that arrive late.

Jobs run when the clock has passed their time: by `run` in a server, by `pump` in a test.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

Job = Callable[[datetime], Awaitable[datetime | None]]
"""Does what is due and returns when it wants to be called again."""

_AT_ONCE = 16
_LONGEST_REST = 1.0

_log = logging.getLogger(__name__)


class Agenda:
    """A heap of jobs by time."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, Job]] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()

    def at(self, due: datetime, job: Job) -> None:
        """Run `job` when the clock has reached `due`."""
        heapq.heappush(self._heap, (due, next(self._order), job))
        self._changed.set()

    def clear(self) -> None:
        """Forget every job."""
        self._heap.clear()

    async def pump(self) -> None:
        """Run everything that is due now, also what becomes due by it."""
        while due := self._take():
            await asyncio.gather(*map(self._perform, due))

    async def run(self) -> None:
        """Run jobs as they become due, for ever."""
        while True:
            self._changed.clear()
            await self.pump()
            await self._rest()

    def _take(self) -> list[Job]:
        now = self._clock()
        jobs: list[Job] = []
        while self._heap and self._heap[0][0] <= now and len(jobs) < _AT_ONCE:
            jobs.append(heapq.heappop(self._heap)[2])
        return jobs

    async def _perform(self, job: Job) -> None:
        try:
            again = await job(self._clock())
        except Exception:  # noqa: BLE001 - one bad job must not stop the others
            _log.exception("sandbox job failed")
            return
        if again is not None:
            self.at(again, job)

    async def _rest(self) -> None:
        wait = (self._heap[0][0] - self._clock()).total_seconds() if self._heap else _LONGEST_REST
        try:
            await asyncio.wait_for(self._changed.wait(), min(max(wait, 0.001), _LONGEST_REST))
        except TimeoutError:
            return
