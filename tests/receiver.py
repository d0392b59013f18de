"""An HTTP server that keeps the requests that it gets."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(HTTPServer):
    """A server that answers every POST with `status`."""

    status = 200

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.received: list[tuple[str, bytes]] = []
        """The path and the body of each request."""
        self.headers: list[dict[str, str]] = []
        self.on_request: Callable[[], object] = lambda: None
        """What is called before a request is answered."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.on_request()
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver in a thread."""
    with Receiver(port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
