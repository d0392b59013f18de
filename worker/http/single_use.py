"""Connections that carry only one request, for calls that must never be sent twice.

A create or a cancel must not use a connection pool, for two reasons. The carrier could close a pooled connection just
when a request is sent, and the outcome would be unknown. The pool could also repeat a request by itself.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Sequence

import h11
import httpx

from worker.errors import Unavailable, Uncertain
from worker.http.call import Reply
from worker.http.resolver import Admit, admit_all, connect

MAX_HEAD = 100_000
SUCCESS = range(200, 300)
MAX_INTERIM = 100
"""The most interim responses (1xx) before the response. A server could send them for ever."""
CONNECT_SECONDS = 5.0
"""The longest time to connect to a receiver of `post_once`."""


class TooLargeError(Exception):
    """A response is larger than its size limit. `status` is its status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def send_once(
    request: httpx.Request,
    max_body: int,
    start: Callable[[], None],
    *,
    tls: ssl.SSLContext,
    proxy: str | None,
    admit: Admit = admit_all,
) -> Reply:
    """Send a request over a connection of its own, and return its reply.

    `start` is called directly before the first byte is written. If it raises, nothing is sent. `proxy` is the address
    of an HTTP proxy. If it is given, the connection is a tunnel through this proxy. Otherwise, the addresses of the
    host are given to `admit` before the connection is opened. Raises httpx.ConnectError or httpx.ConnectTimeout if
    there is no connection, TooLargeError, and the errors of `admit`.
    """
    head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    timeout = request.extensions["timeout"]
    exchange = _Exchange(head, request.content, max_body, timeout["read"])
    transport = await _connect(exchange, request.url, timeout["connect"], tls, proxy, admit)
    try:
        start()
        return await exchange.send(transport)
    finally:
        transport.abort()  # in TLS, close would wait for the server


async def post_once(
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    max_body: int,
    seconds: float,
    tls: ssl.SSLContext,
    proxy: str | None,
    admit: Admit,
) -> Reply:
    """Post a body over a connection of its own, and return the reply. A body above `max_body` bytes is left out of it.

    `seconds` is the longest time for everything. Raises Unavailable if the request did not leave, Uncertain if it may
    have left, and the errors of `admit`.
    """
    under_way = False

    def start() -> None:
        nonlocal under_way
        under_way = True

    timeout = {"connect": min(CONNECT_SECONDS, seconds), "read": seconds}
    try:
        request = httpx.Request("POST", url, headers=list(headers), content=body, extensions={"timeout": timeout})
        async with asyncio.timeout(seconds):
            return await send_once(request, max_body, start, tls=tls, proxy=proxy, admit=admit)
    except TooLargeError as error:
        return Reply(error.status, b"")
    except Unavailable:
        raise
    except Exception as error:
        if not under_way:
            raise Unavailable(f"no connection ({type(error.__cause__ or error).__name__})") from error
        if isinstance(error, TimeoutError | httpx.ReadTimeout):
            raise Uncertain(f"no answer within {seconds:g} s") from error
        raise Uncertain(f"no answer ({type(error).__name__})") from error


class _Exchange(asyncio.Protocol):
    """One request and its response on a connection."""

    _head: h11.Response
    _limit: asyncio.Timeout | None = None

    def __init__(self, request: h11.Request, content: bytes, max_body: int, seconds: float) -> None:
        """`seconds` is the longest wait for the next part of the response. Raises h11.LocalProtocolError."""
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        parts = (request, h11.Data(content), h11.EndOfMessage())
        self._wire = b"".join(self._state.send(part) or b"" for part in parts)  # h11 rejects a malformed request here
        self._body, self._max_body, self._seconds = bytearray(), max_body, seconds
        self._interim = 0
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[Reply | Exception] = self._loop.create_future()

    async def send(self, transport: asyncio.WriteTransport) -> Reply:
        """Write the request in one piece, and return its reply."""
        transport.write(self._wire)
        try:
            async with asyncio.timeout(self._seconds) as self._limit:
                outcome = await self._outcome
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time") from error
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def data_received(self, data: bytes) -> None:
        if self._outcome.done():
            return
        if self._limit is not None:
            self._limit.reschedule(self._loop.time() + self._seconds)
        try:
            self._state.receive_data(data)
            self._read()
        except (h11.RemoteProtocolError, TooLargeError) as error:
            self._outcome.set_result(error)

    def eof_received(self) -> None:
        self.data_received(b"")  # for h11 this is the end of the connection

    def connection_lost(self, error: Exception | None) -> None:
        if error is None:
            self.eof_received()
        elif not self._outcome.done():
            self._outcome.set_result(error)

    def _read(self) -> None:
        while (event := self._state.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._max_body:
                    raise TooLargeError(self._head.status_code)
            elif isinstance(event, h11.InformationalResponse):
                self._interim += 1
                if self._interim > MAX_INTERIM:
                    raise h11.RemoteProtocolError("too many interim responses")
            else:  # the response is complete, or the tunnel is open
                headers = httpx.Headers(list(self._head.headers))
                self._outcome.set_result(Reply(self._head.status_code, bytes(self._body), dict(headers.items())))
                return


async def _connect(
    exchange: _Exchange, url: httpx.URL, seconds: float, tls: ssl.SSLContext, proxy: str | None, admit: Admit
) -> asyncio.WriteTransport:
    secure = url.scheme == "https"
    host, port = url.raw_host.decode(), url.port or (443 if secure else 80)
    try:
        async with asyncio.timeout(seconds):
            if proxy is not None:
                return await _open_tunnel(exchange, httpx.URL(proxy), host, port, tls, seconds)
            return await connect(exchange, host, port, tls if secure else None, admit)
    except TimeoutError as error:
        raise httpx.ConnectTimeout("no connection in time") from error
    except (OSError, h11.RemoteProtocolError, TooLargeError) as error:  # HTTP was only spoken with a proxy so far
        raise httpx.ConnectError(str(error)) from error


async def _open_tunnel(
    exchange: _Exchange, proxy: httpx.URL, host: str, port: int, tls: ssl.SSLContext, seconds: float
) -> asyncio.Transport:
    """Open a TLS connection through a proxy. Raises ConnectionError if the proxy opens no tunnel."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = [("Host", target)]
    if proxy.userinfo:
        credentials = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
        headers.append(("Proxy-Authorization", f"Basic {credentials}"))
    tunnel = _Exchange(h11.Request(method="CONNECT", target=target, headers=headers), b"", MAX_HEAD, seconds)
    transport = await connect(tunnel, proxy.raw_host.decode(), proxy.port or 80, None)
    try:
        reply = await tunnel.send(transport)
        upgrade = asyncio.get_running_loop().start_tls
        secured = await upgrade(transport, exchange, tls, server_hostname=host) if reply.status in SUCCESS else None
        if secured is None:
            raise ConnectionError("the proxy opened no tunnel")  # noqa: TRY301 - closes the connection
    except BaseException:
        transport.abort()
        raise
    return secured
