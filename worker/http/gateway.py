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
import time
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache, lru_cache
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import httpx

from schemas.trace import Trace
from worker import log, tracing
from worker.errors import CarrierError, Postponed, Sent, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import HARMLESS, Call, Operation, Outcome, Reply
from worker.http.resolver import LookUp, ResolvingLoop
from worker.http.single_use import TooLargeError, send_once

logger = log.get(__name__)
LINGER = 0.03
"""Seconds without another outcome after which `send` yields the outcomes that have come in, as one group.

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
NO_TRACES: Mapping[Any, Iterable[Trace | None]] = {}
K = TypeVar("K", bound=Hashable)
if TYPE_CHECKING:
    from worker.tracing.spans import CallSpans


@cache
def tls_context(ca_bundle: str) -> ssl.SSLContext:
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
                tls_context(self._ca_bundle)  # takes 30 ms, so it is not done in a call
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
        traces: Mapping[K, Iterable[Trace | None]] = NO_TRACES,
    ) -> Iterator[dict[K, Outcome]]:
        """Send calls concurrently and yield their outcomes by key, in groups as the outcomes come in.

        `until` is the latest time to start a call. A call that cannot start by then is not sent, because its lease
        could expire before the reply. Another process would then repeat the call. `until` is checked while the call
        waits for a free slot. For a call that changes something it is checked again when the connection is open,
        because the process could have been suspended meanwhile. The gateway must use the same clock as the leases.
        `traces` are the traces of the orders that each call is about.
        """
        settings = self._accounts[account]
        if within is not None:
            settings = settings.model_copy(update={"deadline": min(within, settings.deadline)})
        granted, wait = self._granted(settings, calls)
        groups: _Groups[K] = _Groups(len(calls))
        spans = tracing.calls(settings.name, settings.base_url, traces)
        jobs = [
            self._execute(settings, key, call, max_body, until, groups, spans)
            for key, call in islice(calls.items(), granted)
        ]
        late = Postponed("the rate limit of this account is used up", retry_after=wait)
        postponed = dict.fromkeys(islice(calls, granted, None), late)
        if calls:
            # All of them together, because each entry wakes the loop.
            asyncio.run_coroutine_threadsafe(_all(jobs, postponed, groups), self._loop)
        yield from groups

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
        groups: "_Groups[K]",
        spans: "CallSpans | None",
    ) -> None:
        slots = self._slots.setdefault(account.name, asyncio.Semaphore(self._concurrency))
        outcome: Outcome
        try:
            async with asyncio.timeout(None if until is None else (until - self._now()).total_seconds()):
                await slots.acquire()
            try:
                outcome = await self._timed_exchange(account, call, max_body, until)
            finally:
                slots.release()
        except TimeoutError:
            outcome = Postponed(TOO_LATE)
        except BaseException as error:  # noqa: BLE001 - the waiting task must always get an outcome
            outcome = Uncertain(f"{type(error).__name__} while calling")
        try:
            if spans is not None and outcome.sent is not None:
                result = outcome.status if isinstance(outcome, Reply) else type(outcome).__name__
                spans.record(key, call.method, call.path, result, outcome.sent.seconds)
        finally:
            groups.add(key, outcome)

    async def _timed_exchange(self, account: ApiAccount, call: Call, max_body: int, until: datetime | None) -> Outcome:
        """Make a call, and record in its outcome when it was sent and how long it took."""
        at, began = self._now(), time.perf_counter()
        outcome = await self._exchange(account, call, max_body, until)
        sent = Sent(at, time.perf_counter() - began)
        if isinstance(outcome, Reply):
            return Reply(outcome.status, outcome.body, outcome.headers, sent)
        if not isinstance(outcome, Postponed):
            outcome.sent = sent
        return outcome

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
            return Unavailable(f"not sent: {_name(error)}")
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
                request, max_body, start, tls=tls_context(self._ca_bundle), proxy=self._proxies.get(account.name)
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
            tls, proxy = tls_context(self._ca_bundle), self._proxies.get(account.name)
            limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
            self._kept[account.name] = httpx.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False, proxy=proxy)
        return self._kept[account.name]


def _name(error: BaseException) -> str:
    """Return the name of an error, with the fault in TLS that caused it, if one did."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return type(error).__name__
    return f"{type(error).__name__} in TLS: {getattr(cause, 'verify_message', '') or cause.reason}"


class _TooLateError(Exception):
    pass


async def _all(jobs: Iterable[Coroutine[Any, Any, None]], known: Mapping[K, Outcome], groups: "_Groups[K]") -> None:
    """Run the calls, beside outcomes that are known before."""
    for key, outcome in known.items():
        groups.add(key, outcome)
    await asyncio.gather(*jobs)


async def _read(response: httpx.Response, max_body: int) -> Reply:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_body:
            raise TooLargeError(response.status_code)
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


class _Groups(Generic[K]):
    """The outcomes of calls. The loop adds them, and another thread takes them in groups.

    A group wakes that thread once, so the two threads do not compete for the interpreter at each outcome.
    """

    def __init__(self, count: int) -> None:
        self._count = self._left = count
        self._group: dict[K, Outcome] = {}
        self._groups: SimpleQueue[dict[K, Outcome]] = SimpleQueue()
        self._end: asyncio.TimerHandle | None = None

    def add(self, key: K, outcome: Outcome) -> None:
        """Add an outcome to the present group. The group ends after the last outcome, or `LINGER` without another."""
        self._group[key] = outcome
        if self._end is not None:
            self._end.cancel()
        if len(self._group) == self._left:
            self._hand_over()
        else:
            self._end = asyncio.get_running_loop().call_later(LINGER, self._hand_over)

    def _hand_over(self) -> None:
        self._left -= len(self._group)
        self._groups.put(self._group)
        self._group = {}

    def __iter__(self) -> Iterator[dict[K, Outcome]]:
        """Yield the groups, and wait for each of them."""
        left = self._count
        while left:
            group = self._groups.get()
            left -= len(group)
            yield group
