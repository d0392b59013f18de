"""A minimal simulated carrier: it answers Cervo's create after a delay and records the order.

The sandbox is a whole web application. This server speaks raw HTTP/1.1 and needs less than half the CPU time, which on
a small machine is missing for what is measured. Its ledger has the format of the sandbox's, so either can be used. It
also has the time of each arrival, by the monotonic clock that all processes of the machine share.
"""

import argparse
import asyncio
import json
import ssl
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

END_OF_HEAD = b"\r\n\r\n"


class Ledger:
    """The orders that were created, in order of arrival."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.entries: list[dict[str, Any]] = []

    def create(self, body: bytes, arrived: float) -> bytes:
        """Record a create and return the carrier's id for it."""
        detail = {"order_id": json.loads(body)["order_id"]}
        self.entries.append({"action": "create", "detail": detail, "arrived": arrived})
        return b"%d" % len(self.entries)

    def as_json(self) -> bytes:
        """Return the creates in the format of the sandbox's ledger."""
        return json.dumps({"ledger": self.entries}).encode()


class Connection(asyncio.Protocol):
    """One connection: requests come one after the other, each with a Content-Length."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the replies."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the whole request has arrived."""
        arrived = time.monotonic()
        self._data += data
        head, end, body = self._data.partition(END_OF_HEAD)
        if not end or len(body) < _length(head):
            return
        self._data = b""
        self._answer(head, body, arrived)

    def _answer(self, head: bytes, body: bytes, arrived: float) -> None:
        keep_alive = b"connection: close" not in head.lower()
        method, path, _ = head.split(b" ", 2)
        if (method, path) == (b"POST", b"/apis/v2/order"):
            asyncio.get_running_loop().call_later(
                self._ledger.delay, self._reply, self._ledger.create(body, arrived), keep_alive
            )
        elif (method, path) == (b"POST", b"/sandbox/reset"):
            self._ledger.entries.clear()
            self._reply(b"", keep_alive)
        elif (method, path) == (b"GET", b"/sandbox/ledger"):
            self._reply(self._ledger.as_json(), keep_alive)
        else:
            self._reply(b"", keep_alive, HTTPStatus.NOT_FOUND)

    def _reply(self, body: bytes, keep_alive: bool, status: HTTPStatus = HTTPStatus.OK) -> None:  # noqa: FBT001
        if self._transport.is_closing():
            return
        connection = b"keep-alive" if keep_alive else b"close"
        head = b"HTTP/1.1 %d -\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %b\r\n\r\n"
        self._transport.write(head % (status, len(body), connection) + body)
        if not keep_alive:
            self._transport.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def serve(port: int, delay: float, certificate: Path | None) -> None:
    """Serve on a loopback port until it is interrupted."""
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
    ledger, loop = Ledger(delay), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(ledger), "127.0.0.1", port, backlog=1024, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before a create is answered")
    parser.add_argument("--certificate", type=Path, help="serve TLS with this certificate and the key beside it")
    asyncio.run(serve(**vars(parser.parse_args())))
