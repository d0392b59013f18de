"""A TLS server for `localhost` whose certificate only those trust who are told to."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "localhost.pem"
"""A self-signed certificate and its key, for tests only."""


def server_context() -> ssl.SSLContext:
    """Return the context of a server that has this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@contextmanager
def tls_in_front_of(host: str, port: int) -> Iterator[int]:
    """Serve TLS in front of a server without it; yield the port."""
    context = server_context()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection((host, port)) as server,
            ):
                threading.Thread(target=copy, args=(server, client), daemon=True).start()
                copy(client, server)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        yield proxy.server_address[1]
        proxy.shutdown()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copy what one connection receives to another one, and its end."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
