"""A local server that treats each connection as a script says, and remembers what reached it."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

SAFETY_SECONDS = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Talk:
    """One connection, from the server's side."""

    def __init__(self, server: "Misbehaving", connection: socket.socket) -> None:
        self.server, self._connection, self._rest = server, connection, b""

    def read(self) -> bytes:
        """Read one request; empty when the client has gone."""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in self._rest:
                more = self._connection.recv(65536)
                if not more:
                    return b""
                self._rest += more
            request, _, self._rest = self._rest.partition(b"\r\n\r\n")
            self.server.requests.append(request)
            return request
        return b""

    def send(self, data: bytes) -> bool:
        """Send bytes; False when the client has gone."""
        try:
            self._connection.sendall(data)
        except OSError:
            return False
        return True

    def hang(self) -> None:
        """Say nothing until the client has gone."""
        with contextlib.suppress(OSError):
            while self._connection.recv(65536):
                pass

    def pause(self) -> None:
        """Let a moment pass, on the server's side."""
        self.server.closing.wait(0.02)


Script = Callable[[Talk], object]


class Misbehaving:
    """What a test holds in its hands: the address, the number of connections and the requests as they came."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                self.request.settimeout(SAFETY_SECONDS)
                script(Talk(outer, self.request))

        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 128

        self._server: Any = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Close cleanly, after the last connection."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def answering(reply: bytes) -> Script:
    """Answer every request in the same way."""

    def script(talk: Talk) -> None:
        while talk.read():
            talk.send(reply)

    return script


def closing_before_reading(_talk: Talk) -> None:
    """Hang up at once."""


def closing_after_reading(talk: Talk) -> None:
    """Hang up once the request has been read."""
    talk.read()


def hanging(talk: Talk) -> None:
    """Read the request and say nothing."""
    talk.read()
    talk.hang()


def hanging_after(reply: bytes) -> Script:
    """Answer with only this, and go silent."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(reply)
        talk.hang()

    return script


def closing_after(reply: bytes) -> Script:
    """Answer with this, and hang up."""

    def script(talk: Talk) -> None:
        talk.read()
        talk.send(reply)

    return script


def dripping(talk: Talk) -> None:
    """Answer a byte at a time, for ever: no single read ever times out."""
    talk.read()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while talk.send(b".") and not talk.server.closing.is_set():
        talk.pause()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Misbehaving]]:
    servers: list[Misbehaving] = []

    def make(script: Script) -> Misbehaving:
        servers.append(Misbehaving(script))
        return servers[-1]

    yield make
    for each in servers:
        each.close()
