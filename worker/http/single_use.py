"""Connections that carry only one request, for calls that must never be sent twice."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import h11
import httpx

MAX_HEAD = 100_000
CHUNK = 65_536
SUCCESS = range(200, 300)
Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Receives the progress of a request, as events with the names of httpcore's trace extension."""


class SingleUseTransport(httpx.AsyncBaseTransport):
    """One connection for one request.

    A create or a cancel must not use a connection pool, for two reasons. The carrier could close a pooled connection
    just when a request is sent, and the outcome would be unknown. The pool could also repeat a request by itself. This
    transport uses asyncio and h11, because a connection of httpcore needs more than twice as much CPU time.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: str | None = None) -> None:
        """`proxy` is the address of an HTTP proxy. If it is given, the connection is a tunnel through this proxy."""
        self._tls, self._proxy = tls, httpx.URL(proxy) if proxy else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request over a connection of its own."""
        timeout, trace = request.extensions["timeout"], request.extensions["trace"]
        exchange = _Exchange(*await self._connect(request.url, timeout["connect"]), timeout["read"])
        try:
            head = await exchange.send(request, trace)
        except BaseException:
            await exchange.aclose()
            raise
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=exchange)

    async def _connect(self, url: httpx.URL, seconds: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls, port = (self._tls, 443) if url.scheme == "https" else (None, 80)
        host = url.raw_host.decode()
        try:
            async with asyncio.timeout(seconds):
                if self._proxy is not None:
                    return await _open_tunnel(self._proxy, host, url.port or port, self._tls)
                return await asyncio.open_connection(host, url.port or port, ssl=tls, happy_eyeballs_delay=0.25)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error


async def _open_tunnel(
    proxy: httpx.URL, host: str, port: int, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TLS connection through a proxy. Raises httpx.ConnectError if the proxy opens no tunnel."""
    reader, writer = await asyncio.open_connection(proxy.raw_host.decode(), proxy.port or 80, happy_eyeballs_delay=0.25)
    try:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = [("Host", target)]
        if proxy.userinfo:
            credentials = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
            headers.append(("Proxy-Authorization", f"Basic {credentials}"))
        state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        for part in (h11.Request(method="CONNECT", target=target, headers=headers), h11.EndOfMessage()):
            writer.write(state.send(part) or b"")
        while not isinstance(event := state.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                state.receive_data(await reader.read(CHUNK))
            elif isinstance(event, h11.ConnectionClosed):
                raise httpx.ConnectError("the proxy closed the connection")  # noqa: TRY301 - closes the connection
        if event.status_code not in SUCCESS:
            raise httpx.ConnectError(f"the proxy answered {event.status_code}")  # noqa: TRY301 - the same
        await writer.start_tls(tls, server_hostname=host)
    except h11.RemoteProtocolError as error:
        writer.transport.abort()
        raise httpx.ConnectError("the proxy did not answer in HTTP") from error
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


class _Exchange(httpx.AsyncByteStream):
    """One request and its response on a connection. The connection is closed after the response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._reader, self._writer, self._seconds = reader, writer, seconds
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    async def send(self, request: httpx.Request, trace: Trace) -> h11.Response:
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        parts = [head, h11.Data(request.content), h11.EndOfMessage()]
        wire = b"".join(self._state.send(part) or b"" for part in parts)  # h11 rejects a malformed request here
        await trace("send_request_headers.started", {})
        self._writer.write(wire)
        while not isinstance(event := await self._next(), h11.Response):
            pass  # a 1xx precedes the response
        return event

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def _next(self) -> Any:
        while (event := self._state.next_event()) is h11.NEED_DATA:
            try:
                async with asyncio.timeout(self._seconds):
                    self._state.receive_data(await self._reader.read(CHUNK))
            except TimeoutError as error:
                raise httpx.ReadTimeout("no answer in time") from error
        return event

    async def aclose(self) -> None:
        self._writer.transport.abort()  # in TLS, close would wait for the server
