"""Calls through an HTTP proxy, and the certificates that calls trust. The environment alone decides neither."""

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.http.misbehaving import OK, Conversation, Misbehaving, Script, answering, hanging
from tests.tls import CERTIFICATE, copy, tls_in_front_of
from worker.errors import Unavailable
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Outcome, Reply
from worker.http.gateway import Gateway

Serve = Callable[[Script], Misbehaving]
OPERATIONS = pytest.mark.parametrize("operation", [Operation.READ, Operation.CREATE, Operation.CANCEL])
ANSWER = Reply(200, b"ok", {"content-length": "2"})
SECRET = "s3cret"


@pytest.fixture
def carrier(serve: Serve) -> Misbehaving:
    """Return the server behind TLS; it records the requests."""
    return serve(answering(OK))


@pytest.fixture
def origin(carrier: Misbehaving) -> Iterator[str]:
    with tls_in_front_of("127.0.0.1", carrier.port) as port:
        yield f"https://localhost:{port}"


def tunnel(conversation: Conversation) -> None:
    """Connect to the host of a CONNECT request, and copy everything in both directions."""
    target = conversation.read().split()[1].decode()
    host, _, port = target.rpartition(":")
    client: socket.socket = conversation._connection  # noqa: SLF001 - the test's own class
    with socket.create_connection((host, int(port))) as server:
        conversation.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=copy, args=(server, client), daemon=True).start()
        copy(client, server)


def call(origin: str, operation: Operation, deadline: float = 5, **gateway: Any) -> Outcome:
    """Send one call; return its outcome."""
    account = ApiAccount(name="x", kind="x", base_url=origin, deadline=deadline, connect_timeout=0.5)
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    opened = Gateway({"x": account}, lambda *_: (1, 0.0), lambda: now, **gateway)
    try:
        (outcome,) = (
            group["key"] for group in opened.send("x", {"key": Call(operation, "POST", "/orders")}, max_body=100)
        )
    finally:
        opened.close()
    return outcome


@OPERATIONS
def test_a_call_goes_through_the_proxy_of_its_account_with_the_carrier_s_certificate_checked(
    operation: Operation, serve: Serve, carrier: Misbehaving, origin: str
) -> None:
    proxy = serve(tunnel)
    proxies = {"x": proxy.origin.replace("://", f"://user:{SECRET}@")}
    assert call(origin, operation, proxies=proxies, ca_bundle=str(CERTIFICATE)) == ANSWER
    (connect,) = proxy.requests
    first, *headers = connect.decode().lower().split("\r\n")
    assert first == f"connect {origin.removeprefix('https://')} http/1.1"
    assert "proxy-authorization: basic dxnlcjpzm2nyzxq=" in headers
    (request,) = carrier.requests
    assert (b"/orders" in request, b"roxy-" in request) == (True, False)


@OPERATIONS
def test_through_a_proxy_an_untrusted_certificate_is_refused(
    operation: Operation, serve: Serve, carrier: Misbehaving, origin: str
) -> None:
    outcome = call(origin, operation, proxies={"x": serve(tunnel).origin})
    assert isinstance(outcome, Unavailable)
    assert carrier.requests == []


@OPERATIONS
@pytest.mark.parametrize(
    "script",
    [
        answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"),
        answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
        answering(b"nonsense\r\n\r\n"),
        hanging,
        Conversation.read,
    ],
    ids=["refuses", "cannot connect", "speaks no HTTP", "hangs", "closes"],
)
def test_a_proxy_that_opens_no_tunnel_means_that_nothing_was_sent(
    operation: Operation, script: Script, serve: Serve, carrier: Misbehaving, origin: str
) -> None:
    deadline = 1 if script is hanging else 5
    outcome = call(origin, operation, deadline, proxies={"x": serve(script).origin}, ca_bundle=str(CERTIFICATE))
    assert isinstance(outcome, Unavailable)
    assert carrier.requests == []


@OPERATIONS
def test_a_proxy_in_the_environment_is_not_used_by_itself(
    operation: Operation, serve: Serve, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(tunnel)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.origin)
    assert call(origin, operation, ca_bundle=str(CERTIFICATE)) == ANSWER
    assert proxy.connections == 0


@OPERATIONS
def test_without_its_file_of_certificates_an_unknown_certificate_is_refused(
    operation: Operation, carrier: Misbehaving, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))  # only the setting counts, whose default this is
    assert isinstance(call(origin, operation), Unavailable)
    assert carrier.requests == []
