"""ALL HTTP out. Every call ends as a Reply, as `Unavailable` (nothing happened) or as `Uncertain` (it may have).

One event loop in its own thread sends many calls at once behind a synchronous door; a total deadline, a size limit, a
pinned origin and the account's budget hold for each of them, and nothing is ever repeated or followed here.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from worker.errors import CarrierError, Held, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import HARMLESS, Call, Operation, Reply
from worker.http.single_use import SingleUseTransport, Trace

LINGER = 0.03
"""Seconds to wait for more replies before a group is handed on: one transaction stores the whole group."""
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,  # h11 refuses a malformed request before its first byte
)
Outcome = Reply | CarrierError
Take = Callable[[str, str, Operation, int], tuple[int, float]]
Clock = Callable[[], datetime]


class Gateway:
    """The one door for HTTP. Made once in each process, after any fork."""

    def __init__(
        self,
        accounts: Mapping[str, ApiAccount],
        take: Take,
        now: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        concurrency: int = 64,
    ) -> None:
        self._accounts, self._take, self._now = accounts, take, now
        self._fixed, self._concurrency = transport, concurrency
        self._kept: dict[str, httpx.AsyncBaseTransport] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._opening = threading.Lock()
        self._opened: asyncio.AbstractEventLoop | None = None

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._opening:  # many threads may want it first
            if self._opened is None:
                self._tls = httpx.create_ssl_context(trust_env=False)  # it takes 30 ms: not at a call's expense
                self._opened = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._opened.run_forever, name="gateway", daemon=True)
                self._thread.start()
            return self._opened

    def close(self) -> None:
        """Close the kept connections and end the loop, if it ever ran."""
        loop, self._opened = self._opened, None
        if loop is None:
            return
        for transport in self._kept.values():
            asyncio.run_coroutine_threadsafe(transport.aclose(), loop).result()
        # A body that was cut short leaves its reader half-way.
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def send_one(self, account: str, call: Call, *, max_body: int = 1_000_000, within: float | None = None) -> Reply:
        """Send one call and wait for it, at the most for its account's deadline or `within` so many seconds.

        Raises Unavailable or Uncertain.
        """
        ((_, outcome),) = next(self.send(account, [call], max_body=max_body, within=within))
        if isinstance(outcome, CarrierError):
            raise outcome
        return outcome

    def send(
        self,
        account: str,
        calls: Sequence[Call],
        *,
        max_body: int,
        until: datetime | None = None,
        within: float | None = None,
    ) -> Iterator[list[tuple[Call, Outcome]]]:
        """Send calls at once and yield their outcomes in groups as they come in.

        A call whose first byte cannot leave before `until` is not sent at all: its lease would run out while it is
        under way, and somebody else would take it for lost. By the clock that leases are made with, and looked at when
        the connection stands: a process may be stopped, or its machine suspended, at any moment before.
        """
        settings = self._accounts[account]
        if within is not None:
            settings = settings.model_copy(update={"deadline": min(within, settings.deadline)})
        outcomes: SimpleQueue[tuple[Call, Outcome]] = SimpleQueue()
        allowed, refused = self._allow(settings, calls)
        for refusal in refused:
            outcomes.put(refusal)
        for call in allowed:
            job = self._perform(settings, call, max_body, until, outcomes.put)
            asyncio.run_coroutine_threadsafe(job, self._loop)
        yield from _groups(outcomes, len(calls))

    def _allow(self, account: ApiAccount, calls: Sequence[Call]) -> tuple[Sequence[Call], list[tuple[Call, Outcome]]]:
        if not calls or not account.rate:
            return calls, []
        granted, wait = self._take(account.name, account.rate, calls[0].operation, len(calls))
        spent = Held("the budget of this account is spent", retry_after=wait)
        return calls[:granted], [(call, spent) for call in calls[granted:]]

    async def _perform(
        self,
        account: ApiAccount,
        call: Call,
        max_body: int,
        until: datetime | None,
        done: Callable[[tuple[Call, Outcome]], None],
    ) -> None:
        try:
            async with self._slots.setdefault(account.name, asyncio.Semaphore(self._concurrency)):
                outcome = await self._exchange(account, call, max_body, until)
        except BaseException as error:  # noqa: BLE001 - the waiting task must always get an answer
            outcome = Uncertain(f"{type(error).__name__} while calling")
        done((call, outcome))

    async def _exchange(self, account: ApiAccount, call: Call, max_body: int, until: datetime | None) -> Outcome:
        under_way = False

        async def trace(event: str, _info: Mapping[str, Any]) -> None:
            nonlocal under_way
            if event.endswith("send_request_headers.started"):
                if until is not None and self._now() > until:
                    raise _TooLateError
                under_way = True

        try:
            async with asyncio.timeout(account.deadline):
                return await self._answer(account, call, max_body, trace)
        except NOT_SENT as error:
            return Unavailable(f"not sent: {type(error).__name__}")
        except _TooLateError:
            return Held("the call could not start in time")
        except TimeoutError:
            why = "no answer within the deadline"
        except _TooLargeError:
            why = f"the answer is larger than {max_body} bytes"
        except Exception as error:  # noqa: BLE001 - whatever it is, it matters only whether the call had left
            why = f"the call failed: {type(error).__name__}"
        return Uncertain(why) if under_way and call.operation not in HARMLESS else Unavailable(why)

    async def _answer(self, account: ApiAccount, call: Call, max_body: int, trace: Trace) -> Reply:
        transport = self._transport(account, call)
        if self._fixed is not None:  # a transport put in from outside does not say how far it came
            await trace("send_request_headers.started", {})
        response = await transport.handle_async_request(_request(account, call, trace))
        try:
            body = await _read(response, max_body)
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status_code, body=body, headers=headers)

    def _transport(self, account: ApiAccount, call: Call) -> httpx.AsyncBaseTransport:
        if self._fixed is not None:
            return self._fixed
        if call.operation not in HARMLESS:
            return SingleUseTransport(self._tls)
        if account.name not in self._kept:
            limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
            self._kept[account.name] = httpx.AsyncHTTPTransport(verify=self._tls, limits=limits, trust_env=False)
        return self._kept[account.name]


class _TooLargeError(Exception):
    pass


class _TooLateError(Exception):
    pass


async def _read(response: httpx.Response, max_body: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_body:
            raise _TooLargeError
    return bytes(body)


def _request(account: ApiAccount, call: Call, trace: Any) -> httpx.Request:
    """Put a call on the account's origin, and nowhere else."""
    target = quote(call.path, safe="/%")
    if call.query:
        target += "?" + urlencode(call.query)
    url = httpx.URL(account.base_url).copy_with(raw_path=target.encode())
    keep = [] if call.operation in HARMLESS else [("Connection", "close")]
    # Identity: a compressed reply could unpack to more than the limit that was just checked.
    headers = [("User-Agent", "order-sync"), ("Accept-Encoding", "identity"), *keep, *call.headers]
    timeout = {
        "connect": account.connect_timeout,
        "read": account.read_timeout,
        "write": account.read_timeout,
        "pool": None,  # waiting for a free connection is no fault; the deadline bounds it
    }
    return httpx.Request(
        call.method, url, headers=headers, content=call.body or None, extensions={"timeout": timeout, "trace": trace}
    )


def _groups(outcomes: "SimpleQueue[tuple[Call, Outcome]]", count: int) -> Iterator[list[tuple[Call, Outcome]]]:
    while count:
        group = [outcomes.get()]
        try:
            while len(group) < count:
                group.append(outcomes.get(timeout=LINGER))
        except Empty:
            pass
        count -= len(group)
        yield group
