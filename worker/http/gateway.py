"""All outgoing HTTP.

The outcome of a call is a `Reply`, `Unavailable` (the call had no effect) or `Uncertain` (the call may have had an
effect). One event loop in its own thread sends many calls at once behind a synchronous interface. Each call has a total
deadline and a size limit, and is bound to its account's origin and rate limit. The gateway repeats no call and follows
no redirect.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx

from worker import log
from worker.errors import CarrierError, Postponed, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import HARMLESS, Call, Operation, Outcome, Reply
from worker.http.resolver import LookUp, ResolvingLoop
from worker.http.single_use import TooLargeError, send_once

logger = log.get(__name__)
LINGER = 0.03
"""Seconds that `send` waits for one more outcome before it yields the outcomes that have come in, as one group.

The caller stores each group in one transaction.
"""
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,  # h11 refuses a malformed request before its first byte
)
"""The errors of a call that ended before its first byte was sent."""
TOO_LATE = "the call could not start in time"
AcquireCalls = Callable[[str, str, Operation, int], tuple[int, float]]
"""Returns how many of the wanted calls an account may send now, and the seconds until one more call may be sent."""
Clock = Callable[[], datetime]
NO_PROXIES: Mapping[str, str] = {}
K = TypeVar("K", bound=Hashable)


@cache
def _tls(ca_bundle: str) -> ssl.SSLContext:
    """Return the TLS context that all connections of the process share."""
    return ssl.create_default_context(cafile=ca_bundle) if ca_bundle else httpx.create_ssl_context(trust_env=False)


class Gateway:
    """The sender of every HTTP call. Build one in each process, after any fork."""

    def __init__(
        self,
        accounts: Mapping[str, ApiAccount],
        acquire: AcquireCalls,
        now: Clock,
        *,
        proxies: Mapping[str, str] = NO_PROXIES,
        ca_bundle: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        concurrency: int = 64,
        look_up: LookUp = socket.getaddrinfo,
    ) -> None:
        """`proxies` are the HTTP proxies by account; environment variables such as HTTPS_PROXY are not read."""
        self._proxies, self._ca_bundle = proxies, ca_bundle
        self._accounts, self._acquire, self._now = accounts, acquire, now
        self._fixed, self._concurrency, self._look_up = transport, concurrency, look_up
        self._kept: dict[str, httpx.AsyncBaseTransport] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._opening = threading.Lock()
        self._opened: asyncio.AbstractEventLoop | None = None

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._opening:  # the first calls may come from many threads at once
            if self._opened is None:
                if self._proxies:
                    logger.info("gateway.uses_proxy", accounts=sorted(self._proxies))
                _tls(self._ca_bundle)  # takes 30 ms, so it is not done in a call
                self._opened = ResolvingLoop(self._look_up)
                self._thread = threading.Thread(target=self._opened.run_forever, name="gateway", daemon=True)
                self._thread.start()
            return self._opened

    def close(self) -> None:
        """Close the kept connections and stop the loop, if it was started."""
        loop, self._opened = self._opened, None
        if loop is None:
            return
        for transport in self._kept.values():
            asyncio.run_coroutine_threadsafe(transport.aclose(), loop).result()
        # A body that was too large leaves its generator unfinished.
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def send_one(self, account: str, call: Call, *, max_body: int = 1_000_000, within: float | None = None) -> Reply:
        """Send one call and return its reply. Raises Unavailable or Uncertain.

        The deadline is `within` seconds or the account's own deadline, whichever is shorter.
        """
        ((outcome,),) = (group.values() for group in self.send(account, {None: call}, max_body=max_body, within=within))
        if isinstance(outcome, CarrierError):
            raise outcome
        return outcome

    def send(
        self,
        account: str,
        calls: Mapping[K, Call],
        *,
        max_body: int,
        until: datetime | None = None,
        within: float | None = None,
    ) -> Iterator[dict[K, Outcome]]:
        """Send calls concurrently and yield their outcomes by key, in groups as the outcomes come in.

        `until` is the latest time to start a call. A call that cannot start by then is not sent, because its lease
        could expire before the reply. Another process would then repeat the call. `until` is checked while the call
        waits for a free slot. For a call that changes something it is checked again when the connection is open,
        because the process could have been suspended meanwhile. The gateway must use the same clock as the leases.
        """
        settings = self._accounts[account]
        if within is not None:
            settings = settings.model_copy(update={"deadline": min(within, settings.deadline)})
        outcomes: SimpleQueue[tuple[K, Outcome]] = SimpleQueue()
        granted, wait = self._granted(settings, calls)
        jobs = [
            self._execute(settings, key, call, max_body, until, outcomes)
            for key, call in islice(calls.items(), granted)
        ]
        if jobs:
            asyncio.run_coroutine_threadsafe(_all(jobs), self._loop)  # together, because each entry wakes the loop
        for key in islice(calls, granted, None):
            outcomes.put((key, Postponed("the rate limit of this account is used up", retry_after=wait)))
        yield from _groups(outcomes, len(calls))

    def _granted(self, account: ApiAccount, calls: Mapping[Any, Call]) -> tuple[int, float]:
        """Return how many of the calls may be sent now, and the seconds until one more call may be sent."""
        if not calls or not account.rate:
            return len(calls), 0.0
        first = next(iter(calls.values()))
        return self._acquire(account.name, account.rate, first.operation, len(calls))

    async def _execute(
        self,
        account: ApiAccount,
        key: K,
        call: Call,
        max_body: int,
        until: datetime | None,
        outcomes: "SimpleQueue[tuple[K, Outcome]]",
    ) -> None:
        slots = self._slots.setdefault(account.name, asyncio.Semaphore(self._concurrency))
        outcome: Outcome
        try:
            async with asyncio.timeout(None if until is None else (until - self._now()).total_seconds()):
                await slots.acquire()
            try:
                outcome = await self._exchange(account, call, max_body, until)
            finally:
                slots.release()
        except TimeoutError:
            outcome = Postponed(TOO_LATE)
        except BaseException as error:  # noqa: BLE001 - the waiting task must always get an outcome
            outcome = Uncertain(f"{type(error).__name__} while calling")
        outcomes.put((key, outcome))

    async def _exchange(self, account: ApiAccount, call: Call, max_body: int, until: datetime | None) -> Outcome:
        under_way = False

        def start() -> None:
            nonlocal under_way
            if until is not None and self._now() > until:
                raise _TooLateError
            under_way = True

        try:
            async with asyncio.timeout(account.deadline):
                return await self._receive(account, call, max_body, start)
        except NOT_SENT as error:
            return Unavailable(f"not sent: {type(error).__name__}")
        except _TooLateError:
            return Postponed(TOO_LATE)
        except TimeoutError:
            why = "no answer within the deadline"
        except TooLargeError:
            why = f"the answer is larger than {max_body} bytes"
        except Exception as error:  # noqa: BLE001 - for any other failure it matters only whether the call had left
            why = f"the call failed: {type(error).__name__}"
        return Uncertain(why) if under_way and call.operation not in HARMLESS else Unavailable(why)

    async def _receive(self, account: ApiAccount, call: Call, max_body: int, start: Callable[[], None]) -> Reply:
        request = build_request(account, call)
        if self._fixed is None and call.operation not in HARMLESS:
            return await send_once(
                request, max_body, start, tls=_tls(self._ca_bundle), proxy=self._proxies.get(account.name)
            )
        start()  # other transports do not report when the first byte leaves
        response = await self._transport(account).handle_async_request(request)
        try:
            return await _read(response, max_body)
        finally:
            await response.aclose()

    def _transport(self, account: ApiAccount) -> httpx.AsyncBaseTransport:
        if self._fixed is not None:
            return self._fixed
        if account.name not in self._kept:
            tls, proxy = _tls(self._ca_bundle), self._proxies.get(account.name)
            limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
            self._kept[account.name] = httpx.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False, proxy=proxy)
        return self._kept[account.name]


class _TooLateError(Exception):
    pass


async def _all(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*jobs)


async def _read(response: httpx.Response, max_body: int) -> Reply:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_body:
            raise TooLargeError
    return Reply(response.status_code, bytes(body), dict(response.headers.items()))


def build_request(account: ApiAccount, call: Call) -> httpx.Request:
    """Build the request of a call. The request always goes to the account's origin."""
    target = quote(call.path, safe="/%")
    if call.query:
        target += "?" + urlencode(call.query)
    url = _url(account.base_url, target)
    keep = [] if call.operation in HARMLESS else [("Connection", "close")]
    # No compression, because a compressed body could unpack to more than the size limit.
    headers = [("User-Agent", "order-sync"), ("Accept-Encoding", "identity"), *keep, *call.headers]
    timeout = {
        "connect": account.connect_timeout,
        "read": account.read_timeout,
        "write": account.read_timeout,
        "pool": None,  # no timeout for a free connection: the deadline limits that wait
    }
    return httpx.Request(call.method, url, headers=headers, content=call.body or None, extensions={"timeout": timeout})


@lru_cache(maxsize=256)
def _url(base_url: str, target: str) -> httpx.URL:
    """Return the URL of a target on an origin. The creates of an account share theirs."""
    return httpx.URL(base_url).copy_with(raw_path=target.encode())


def _groups(outcomes: "SimpleQueue[tuple[K, Outcome]]", count: int) -> Iterator[dict[K, Outcome]]:
    while count:
        group = [outcomes.get()]
        with suppress(Empty):
            while len(group) < count:
                group.append(outcomes.get(timeout=LINGER))
        count -= len(group)
        yield dict(group)
