"""Messages to people reach a real webhook, and a service that does not accept one is an error."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from worker.errors import NotSentError
from worker.http.notifier import Notifier


class Webhook(HTTPServer):
    """A webhook that answers with `status` and keeps what it got."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.received.append(json.loads(self.rfile.read(length)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_message_reaches_a_webhook(webhook: Webhook) -> None:
    Notifier(f"json://127.0.0.1:{webhook.server_port}/hook").send("A title", "A text")
    (got,) = webhook.received
    assert (got["title"], got["message"]) == ("A title", "A text")


def test_a_message_that_is_not_accepted_is_an_error(webhook: Webhook) -> None:
    webhook.status = 500
    with pytest.raises(NotSentError):
        Notifier(f"json://127.0.0.1:{webhook.server_port}/hook").send("A title", "A text")


def test_an_address_of_an_unknown_service_is_refused() -> None:
    with pytest.raises(ValueError, match="is no address that apprise knows"):
        Notifier("carrier-pigeon://loft")
