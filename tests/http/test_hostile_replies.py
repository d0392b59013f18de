"""Malformed replies over a real connection: a create has an unknown outcome, and a read shows nothing."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.carriers.sample import CODECS, NOW, booking
from tests.http.misbehaving import Conversation, Misbehaving, Script, answering
from worker.carriers import KINDS
from worker.carriers.port import AttemptView, Booked, Carrier, Reading
from worker.errors import CarrierError
from worker.http.gateway import Gateway

Serve = Callable[[Script], Misbehaving]
METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
LIMIT = 5_000_000


def reply_with(body: bytes, *headers: str, status: int = 200) -> Script:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return answering("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def endless(head: bytes, more: bytes) -> Script:
    """Send a reply that goes on until the client has gone."""

    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(head)
        while conversation.send(more) and not conversation.server.closing.is_set():
            pass

    return script


HTML = b"<html><body>Please log in</body></html>"
HOSTILE: dict[str, Script] = {
    "html": reply_with(HTML, "Content-Type: text/html"),
    "html that says json": reply_with(HTML, "Content-Type: application/json"),
    "empty": reply_with(b""),
    "garbage": reply_with(b'{"id": 99999,, "order": [}'),
    "half a document": reply_with(b'{"is_successful": true, "order": {"order_id": 12'),
    "binary": reply_with(bytes(range(256))),
    "minus one": reply_with(b"-1"),
    "thirty digits": reply_with(b"9" * 30),
    "not a number": reply_with(b"NaN"),
    "infinity": reply_with(b"1e400"),
    "null": reply_with(b"null"),
    "deep": reply_with(b"[" * 100_000),
    "gzip": reply_with(gzip.compress(b"0" * 1_000_000), "Content-Encoding: gzip"),
    "two gigabytes": endless(b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\n", b"9" * 1_000_000),
    "endless chunks": endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"ffff\r\n" + b"9" * 65535 + b"\r\n"
    ),
    "endless head": endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 10_000 + b"\r\n"),
    **{
        f"redirect {status}": reply_with(b"", f"Location: {METADATA}", status=status)
        for status in (300, 301, 302, 303, 307, 308)
    },
}
NOT_FOUND: dict[str, Script] = {
    "no such day": reply_with(b"[]", status=404),
    "no such orders": reply_with(b'{"is_successful": true, "orders": [], "orders_count": 0}', status=404),
    "empty and gone": reply_with(b"", status=410),
}
"""Replies that a carrier might send for an empty list, which prove no absence."""


def at(origin: str, name: str) -> tuple[Carrier, Gateway]:
    """Return the codec of a carrier whose account has another origin, and a gateway for it."""
    codec = CODECS[name]
    account = codec.account.model_copy(update={"base_url": origin, "rate": ""})
    return KINDS[account.kind](account, {}), _gateway(account)


def _gateway(account: Any) -> Gateway:
    return Gateway({account.name: account}, lambda _account, _rate, _operation, wanted: (wanted, 0.0), lambda: NOW)


def outcome(serve: Serve, name: str, script: Script, ask: Callable[[Carrier, Gateway], object]) -> tuple[str, int]:
    """Return the result of a call to a carrier with this reply, and the number of connections."""
    server = serve(script)
    codec, gateway = at(server.origin, name)
    try:
        return str(ask(codec, gateway)), server.connections
    except CarrierError as error:
        return type(error).__name__, server.connections
    finally:
        gateway.close()


def book(codec: Carrier, gateway: Gateway) -> Booked:
    reply = gateway.send_one(codec.account.name, codec.book(booking(), NOW), max_body=LIMIT)
    return codec.read_booking(booking(), reply, NOW)


def _attempt(codec: Carrier) -> AttemptView:
    asked = booking()
    standing = AttemptView(
        asked.attempt_id, 1, codec.kind, "created", asked.order, asked.store, NOW, NOW, ref="RYGKaXMCSN94WfqPEivy"
    )
    return standing if codec.kind == "deliverit" else replace(standing, ref="7")


def track(codec: Carrier, gateway: Gateway) -> Reading:
    attempt = _attempt(codec)
    (call, *_) = codec.track([attempt], NOW)
    return codec.read(call, gateway.send_one(codec.account.name, call, max_body=LIMIT), [attempt], NOW)


def find(codec: Carrier, gateway: Gateway) -> Reading:
    attempt = replace(_attempt(codec), ref=None, state="submit_unknown")
    (call, *_) = codec.find([attempt], NOW)
    return codec.read(call, gateway.send_one(codec.account.name, call, max_body=LIMIT), [attempt], NOW)


@pytest.mark.fault("F-30", "F-32")
@pytest.mark.quirk("C-21", "B-13")
@pytest.mark.parametrize("how", HOSTILE)
@pytest.mark.parametrize("carrier", ["cervo", "borzo", "form"])
def test_a_create_with_a_senseless_response_has_an_unknown_outcome_and_was_sent_once(
    serve: Serve, carrier: str, how: str
) -> None:
    assert outcome(serve, carrier, HOSTILE[how], book) == ("Uncertain", 1)


@pytest.mark.fault("F-30", "F-32")
@pytest.mark.quirk("D-54")
@pytest.mark.parametrize("script", [pytest.param(script, id=how) for how, script in (HOSTILE | NOT_FOUND).items()])
@pytest.mark.parametrize(
    ("carrier", "ask"), [("cervo", track), ("borzo", track), ("borzo", find), ("form", track), ("form", find)]
)
def test_a_read_with_a_senseless_response_shows_nothing_and_proves_no_absence(
    serve: Serve, carrier: str, ask: Callable[[Carrier, Gateway], object], script: Script
) -> None:
    came, asked = outcome(serve, carrier, script, ask)
    assert (came in {"Unavailable", "Unreadable"}, asked) == (True, 1)
