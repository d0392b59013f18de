"""Send callbacks for the status changes of an order, with retries for the carriers that document them."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from worker.sandbox.scenarios import Scenario, StatusChange
from worker.sandbox.scheduler import Scheduler

_RETRY_SECONDS = (1, 5, 15, 60, 300, 900, 3600)
_RETRY_LIMIT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Callback:
    """One HTTP callback; if `retried` is true, it is sent again until it is answered with a 2xx."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    retried: bool = False


BuildCallbacks = Callable[[int, StatusChange], Iterable[Callback]]
"""Build the callbacks for one status change; the first argument is the index of the change in the order's history."""


class CallbackSender:
    """Sends callbacks.

    A callback that is marked `retried` is sent again until it is answered with a 2xx, for at most a day (borzo.txt,
    "Notification about order changes").
    """

    def __init__(self, scheduler: Scheduler, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._scheduler = scheduler
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def send(self, callback: Callback, now: datetime) -> None:
        """Send a callback once, and schedule its retries if it failed."""
        if not await self._post(callback) and callback.retried:
            retry = functools.partial(self._retry, callback, iter(_RETRY_SECONDS[1:]), now + _RETRY_LIMIT)
            self._scheduler.schedule(now + timedelta(seconds=_RETRY_SECONDS[0]), retry)

    def enqueue(self, callback: Callback, now: datetime) -> None:
        """Send a callback at the next run of the scheduler."""

        async def event(at: datetime) -> None:
            await self.send(callback, at)

        self._scheduler.schedule(now, event)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _retry(self, callback: Callback, waits: Iterator[int], until: datetime, now: datetime) -> datetime | None:
        if await self._post(callback) or now >= until:
            return None
        return now + timedelta(seconds=next(waits, _RETRY_SECONDS[-1]))

    async def _post(self, callback: Callback) -> bool:
        if self._client is None:
            self._client = httpx.AsyncClient(transport=self._transport, timeout=10, trust_env=False)
        try:
            reply = await self._client.post(callback.url, content=callback.body, headers=dict(callback.headers))
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return reply.is_success


class StatusNotifier:
    """An event of the scheduler that sends the callbacks for each status of a scenario exactly once."""

    def __init__(self, scenario: Scenario, sender: CallbackSender, build: BuildCallbacks) -> None:
        self._scenario, self._sender, self._build = scenario, sender, build
        self._notified = 0
        self._next_run: datetime | None = None

    async def __call__(self, now: datetime) -> datetime | None:
        """Send the callbacks for new statuses and return when the next status begins."""
        changes = list(enumerate(self._scenario.history(now)))[self._notified :]
        self._notified += len(changes)
        for callback in (callback for index, change in changes for callback in self._build(index, change)):
            await self._sender.send(callback, now)
        return self._schedule_next(now)

    def _schedule_next(self, now: datetime) -> datetime | None:
        due = self._scenario.next_change(now)
        if due == self._next_run:  # this change is scheduled already
            return None
        self._next_run = due
        return due
