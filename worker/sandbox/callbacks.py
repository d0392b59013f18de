"""Callbacks out of the sandbox: one letter per news of an order, repeated at growing intervals where documented."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from worker.sandbox.agenda import Agenda
from worker.sandbox.lives import Life, Moment

_RETRY_SECONDS = (1, 5, 15, 60, 300, 900, 3600)
_GIVE_UP_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Letter:
    """One callback, ready to send; `insists` when it is repeated until a 2xx."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    insists: bool = False


class Post:
    """Sends letters, and sends insisting ones again (borzo.txt, "Notification about order changes")."""

    def __init__(self, agenda: Agenda, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._agenda = agenda
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def send(self, letter: Letter, now: datetime) -> None:
        """Send once now; put an insisting letter that was not taken on the agenda."""
        if not await self._deliver(letter) and letter.insists:
            again = functools.partial(self._repeat, letter, iter(_RETRY_SECONDS[1:]), now + _GIVE_UP_AFTER)
            self._agenda.at(now + timedelta(seconds=_RETRY_SECONDS[0]), again)

    def soon(self, letter: Letter, now: datetime) -> None:
        """Send as soon as the agenda runs."""

        async def job(at: datetime) -> None:
            await self.send(letter, at)

        self._agenda.at(now, job)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _repeat(self, letter: Letter, waits: Iterator[int], end: datetime, now: datetime) -> datetime | None:
        if await self._deliver(letter) or now >= end:
            return None
        return now + timedelta(seconds=next(waits, _RETRY_SECONDS[-1]))

    async def _deliver(self, letter: Letter) -> bool:
        if self._client is None:
            self._client = httpx.AsyncClient(transport=self._transport, timeout=10, trust_env=False)
        try:
            reply = await self._client.post(letter.url, content=letter.body, headers=dict(letter.headers))
        except (httpx.HTTPError, httpx.InvalidURL):
            return False
        return reply.is_success


class Watch:
    """Follows one life and writes the letters for each word it has not told yet."""

    def __init__(self, life: Life, post: Post, write: Callable[[int, Moment], Iterable[Letter]]) -> None:
        self._life, self._post, self._write = life, post, write
        self._told = 0
        self._due: datetime | None = None

    async def __call__(self, now: datetime) -> datetime | None:
        """Tell the news and return when there will be more."""
        news = list(enumerate(self._life.history(now)))[self._told :]
        self._told += len(news)
        for letter in (letter for index, moment in news for letter in self._write(index, moment)):
            await self._post.send(letter, now)
        return self._next(now)

    def _next(self, now: datetime) -> datetime | None:
        due = self._life.next_change(now)
        if due == self._due:  # another entry on the agenda already stands for that change
            return None
        self._due = due
        return due
