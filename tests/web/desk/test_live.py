"""Open pages are told of changes, and one task looks at the database for all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from tests.services.simulation import Simulation
from worker.database import accounts, diagnostics
from worker.web.desk.live import MOST_PAGES, QUIET_POLLS, Live
from worker.web.desk.threads import Threads


class Clockwork:
    """A pulse and a pause that a test moves."""

    def __init__(self) -> None:
        self.value: Callable[[], object] = lambda: 0
        self.reads = self.forgotten = 0
        self._turn = asyncio.Semaphore(0)
        self._paused = asyncio.Semaphore(0)
        self.live = Live(self._read, self._forget, Threads(), self._pause)

    def _read(self) -> object:
        self.reads += 1
        return self.value()

    def _forget(self) -> None:
        self.forgotten += 1

    async def _pause(self, _seconds: float) -> None:
        self._paused.release()
        await self._turn.acquire()

    async def poll(self, times: int = 1) -> None:
        """Let the task look so many times."""
        for _ in range(times):
            await self._paused.acquire()
            self._turn.release()
        await self._paused.acquire()
        self._paused.release()

    def open(self) -> "tuple[AsyncIterator[Any], asyncio.Task[Any]]":
        page = self.live.changes()
        return page, asyncio.ensure_future(anext(page))


def change(value: object) -> Callable[[], object]:
    return lambda: value


async def close(*pages: tuple[Any, asyncio.Task[Any]]) -> None:
    for page, waiting in pages:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await page.aclose()


def test_every_open_page_is_told_of_a_change_by_one_task() -> None:
    async def story() -> None:
        clockwork = Clockwork()
        pages = [clockwork.open(), clockwork.open()]
        await clockwork.poll()
        assert not any(waiting.done() for _, waiting in pages)
        clockwork.value = change(1)
        await clockwork.poll()
        told = [(await waiting).event for _, waiting in pages]
        assert (told, clockwork.reads) == (["changed", "changed"], 3)
        await close(*pages)

    asyncio.run(story())


def test_what_was_measured_before_a_change_is_forgotten_before_a_page_loads_again() -> None:
    async def story() -> None:
        clockwork = Clockwork()
        page, waiting = clockwork.open()
        await clockwork.poll()
        assert clockwork.forgotten == 0
        clockwork.value = change(1)
        await clockwork.poll()
        await waiting
        assert clockwork.forgotten == 1
        await close((page, waiting))

    asyncio.run(story())


def test_a_page_is_told_now_and_then_without_a_change_because_deadlines_go_on() -> None:
    async def story() -> None:
        clockwork = Clockwork()
        page, waiting = clockwork.open()
        await clockwork.poll(QUIET_POLLS)
        assert (await waiting).event == "changed"
        await close((page, waiting))

    asyncio.run(story())


def test_an_unavailable_database_is_a_change_and_no_end() -> None:
    def fail() -> object:
        raise OperationalError("", {}, Exception())

    async def story() -> None:
        clockwork = Clockwork()
        page, waiting = clockwork.open()
        await clockwork.poll()
        clockwork.value = fail
        await clockwork.poll()
        assert (await waiting).event == "changed"
        await close((page, waiting))

    asyncio.run(story())


def test_nothing_is_read_after_the_last_page_was_closed() -> None:
    async def story() -> None:
        clockwork = Clockwork()
        page = clockwork.open()
        await clockwork.poll()
        await close(page)
        assert [
            each for each in asyncio.all_tasks() if each is not asyncio.current_task() and not each.cancelling()
        ] == []

    asyncio.run(story())


def test_a_page_that_is_loaded_again_is_told_of_changes() -> None:
    async def story() -> None:
        clockwork = Clockwork()
        _, waiting = clockwork.open()
        await clockwork.poll()
        waiting.cancel()
        page, waiting = clockwork.open()  # in the same turn of the loop
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task(), waiting}
        assert [each.cancelling() for each in others] == [0]
        await close((page, waiting))

    asyncio.run(story())


def test_a_process_serves_a_limited_number_of_open_pages() -> None:
    async def story() -> None:
        clockwork = Clockwork()
        pages = [clockwork.open() for _ in range(MOST_PAGES)]
        await clockwork.poll()
        with pytest.raises(HTTPException):
            await clockwork.live.stream(Request({"type": "http"}))
        await close(*pages)

    asyncio.run(story())


def test_an_event_and_an_action_of_an_operator_are_changes(simulation: Simulation) -> None:
    read = simulation.container.database.read
    found = [read(diagnostics.pulse)]
    simulation.container.database.write(accounts.pause, "borzo", "operator", "holiday", simulation.now)
    found.append(read(diagnostics.pulse))
    simulation.place_at("cervo", "1")
    found.append(read(diagnostics.pulse))
    assert len(set(found)) == len(found)
