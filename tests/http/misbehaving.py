"""A local server that runs a script for each connection, and records the requests."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

SAFETY_SECONDS = 5.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Conversation:
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
        """Send nothing until the client has gone."""
        with contextlib.suppress(OSError):
            while self._connection.recv(65536):
                pass

    def pause(self) -> None:
        """Wait a moment, on the server's side."""
        self.server.closing.wait(0.02)


Script = Callable[[Conversation], object]


class Misbehaving:
    """The server: its address, the number of connections and the requests as they came."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closing = threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                self.request.settimeout(SAFETY_SECONDS)
                script(Conversation(outer, self.request))

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
    """Send the same reply to every request."""

    def script(conversation: Conversation) -> None:
        while conversation.read():
            conversation.send(reply)

    return script


def closing_before_reading(_conversation: Conversation) -> None:
    """Close at once."""


def closing_after_reading(conversation: Conversation) -> None:
    """Close after reading the request."""
    conversation.read()


def hanging(conversation: Conversation) -> None:
    """Read the request and send nothing."""
    conversation.read()
    conversation.hang()


def hanging_after(reply: bytes) -> Script:
    """Send only this, and keep the connection open."""

    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(reply)
        conversation.hang()

    return script


def closing_after(reply: bytes) -> Script:
    """Send this, and close."""

    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(reply)

    return script


def dripping(conversation: Conversation) -> None:
    """Send a byte at a time, for ever, so that no single read times out."""
    conversation.read()
    conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while conversation.send(b".") and not conversation.server.closing.is_set():
        conversation.pause()


def flooding(data: bytes) -> Script:
    """Send the same bytes until the client has gone."""

    def script(conversation: Conversation) -> None:
        conversation.read()
        while conversation.send(data * 100) and not conversation.server.closing.is_set():
            pass

    return script


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Misbehaving]]:
    servers: list[Misbehaving] = []

    def make(script: Script) -> Misbehaving:
        servers.append(Misbehaving(script))
        return servers[-1]

    yield make
    for each in servers:
        each.close()


@pytest.fixture
def full() -> Iterator[str]:
    """Give the origin of a server that takes no further connection and refuses none."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
