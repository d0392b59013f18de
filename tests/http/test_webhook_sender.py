"""Signed requests go only to public addresses, and what a receiver answers can do no harm."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.http.misbehaving import (
    OK,
    SAFETY_SECONDS,
    Conversation,
    Misbehaving,
    Script,
    answering,
    closing_after,
    closing_after_reading,
    dripping,
    flooding,
    hanging,
)
from tests.tls import CERTIFICATE, tls_in_front_of
from worker.errors import Unavailable, Uncertain
from worker.http.call import Outcome, Reply
from worker.http.webhooks import AT_ONCE, MAX_BODY, Post, WebhookSender, check_secret, new_secret, signed

Serve = Callable[[Script], Misbehaving]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def post_to(url: str, body: str = "{}") -> Post:
    return signed(url, (SECRET,), "an id", NOON, body)


def resolving(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a look-up whose answer is the next of these addresses each time, and at the end always the last."""
    left = list(addresses)

    def look_up(_host: Any, port: Any, **_options: Any) -> list[tuple[Any, ...]]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return look_up


@pytest.fixture
def sender() -> Iterator[WebhookSender]:
    """Yield a sender that may call this machine."""
    with closing(WebhookSender(lambda _url: "", private_hosts=("127.0.0.1",), seconds=SAFETY_SECONDS)) as made:
        yield made


@contextmanager
def serving_tls() -> Iterator[tuple[Misbehaving, int]]:
    """Run a server that answers over TLS; yield it and its port."""
    server = Misbehaving(answering(OK))
    try:
        with tls_in_front_of("127.0.0.1", server.port) as port:
            yield server, port
    finally:
        server.close()


# --- where requests go ------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-102")
@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1/", "https://[::1]:1/", "https://169.254.169.254/latest", "https://0x7f.1/"]
)
def test_no_request_goes_to_an_address_inside_the_network(url: str) -> None:
    with closing(WebhookSender(lambda _url: "")) as careful:
        for call in (lambda: careful.post(post_to(url)), lambda: careful.check(url)):
            with pytest.raises(Unavailable, match="is not public"):
                call()


@pytest.mark.fault("F-102")
def test_a_name_that_gets_another_address_after_its_check_is_checked_again(serve: Serve) -> None:
    server = serve(answering(OK))
    look_up = resolving("93.184.216.34", "127.0.0.1")
    with closing(WebhookSender(lambda _url: "", look_up=look_up)) as careful:
        careful.check(f"http://rebinding.example:{server.port}/")
        with pytest.raises(Unavailable, match=r"the address 127\.0\.0\.1 of rebinding\.example is not public"):
            careful.post(post_to(f"http://rebinding.example:{server.port}/"))
    assert server.connections == 0


def test_a_request_goes_to_the_address_that_was_checked_under_the_name_of_the_host() -> None:
    looked_up: list[Any] = []

    def look_up(host: Any, port: Any, **options: Any) -> list[tuple[Any, ...]]:
        looked_up.append(host)
        return resolving("127.0.0.1")(host, port, **options)

    with serving_tls() as (server, port):
        sender = WebhookSender(
            lambda _url: "", private_hosts=("localhost",), ca_bundle=str(CERTIFICATE), look_up=look_up
        )
        with closing(sender):
            assert sender.post(post_to(f"https://localhost:{port}/hook?a=b")).status == 200
    (head,) = server.requests
    assert head.splitlines()[0] == b"POST /hook?a=b HTTP/1.1"
    assert f"Host: localhost:{port}".lower().encode() in head.lower()
    assert looked_up == ["localhost"]


def test_a_receiver_whose_certificate_nobody_vouches_for_gets_nothing() -> None:
    with serving_tls() as (server, port), closing(WebhookSender(lambda _url: "", private_hosts=("*",))) as sender:
        with pytest.raises(Unavailable, match=r"no connection \(SSLCertVerificationError\)"):
            sender.post(post_to(f"https://localhost:{port}/"))
        assert server.requests == []


@pytest.mark.fault("F-102")
def test_with_a_proxy_the_proxy_looks_up_the_names_and_addresses_are_still_checked(serve: Serve) -> None:
    proxy = serve(closing_after(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    with closing(WebhookSender(lambda _url: proxy.origin, look_up=resolving("10.0.0.1"))) as sender:
        sender.check("https://inside.example/")
        with pytest.raises(Unavailable, match="no connection"):
            sender.post(post_to("https://inside.example/"))
        for address in ("10.0.0.1", "167772161", "0xa.1", "012.0.0.1"):
            with pytest.raises(Unavailable, match=r"the address 10\.0\.0\.1 of .* is not public"):
                sender.post(post_to(f"https://{address}/"))
    assert [each.splitlines()[0] for each in proxy.requests] == [b"CONNECT inside.example:443 HTTP/1.1"]


def test_a_host_without_an_address_is_refused_by_the_check() -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror

    with (
        closing(WebhookSender(lambda _url: "", look_up=look_up)) as sender,
        pytest.raises(Unavailable, match=r"the host nowhere.example has no address \(gaierror\)"),
    ):
        sender.check("https://nowhere.example/")


# --- what is answered -------------------------------------------------------------------------------------------------


@pytest.mark.fault("F-102")
def test_a_redirect_is_not_followed(serve: Serve, sender: WebhookSender) -> None:
    target = serve(answering(OK))
    moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {target.origin}/\r\nContent-Length: 0\r\n\r\n"
    assert sender.post(post_to(serve(answering(moved.encode())).origin)).status == 307
    assert target.connections == 0


@pytest.mark.fault("F-103")
@pytest.mark.parametrize("size", [MAX_BODY + 1, 10**9])
def test_an_answer_that_is_too_long_counts_by_its_status(serve: Serve, sender: WebhookSender, size: int) -> None:
    head = f"HTTP/1.1 202 Accepted\r\nContent-Length: {size}\r\n\r\n"
    reply = sender.post(post_to(serve(closing_after(head.encode() + b"x" * (MAX_BODY + 1))).origin))
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.fault("F-103")
@pytest.mark.parametrize(
    ("script", "text"),
    [
        (hanging, "no answer within 0.3 s"),
        (dripping, "no answer within 0.3 s"),
        (closing_after_reading, "no answer (RemoteProtocolError)"),
        (closing_after(b"nonsense\r\n\r\n"), "no answer (RemoteProtocolError)"),
        (flooding(b"HTTP/1.1 102 Processing\r\n\r\n"), "no answer (RemoteProtocolError)"),
    ],
)
def test_a_receiver_that_does_not_answer_may_have_got_the_event(serve: Serve, script: Script, text: str) -> None:
    seconds = 0.3 if "within" in text else SAFETY_SECONDS
    impatient = WebhookSender(lambda _url: "", private_hosts=("127.0.0.1",), seconds=seconds)
    with closing(impatient), pytest.raises(Uncertain) as raised:
        impatient.post(post_to(serve(script).origin))
    assert str(raised.value) == text


# --- many requests ----------------------------------------------------------------------------------------------------


def send(
    sender: WebhookSender,
    chains: Mapping[str, Sequence[str]],
    build: Callable[[str], Post],
    within: float = SAFETY_SECONDS,
) -> "SimpleQueue[Mapping[str, Sequence[Outcome]]]":
    outcomes: SimpleQueue[Mapping[str, Sequence[Outcome]]] = SimpleQueue()
    sender.send(chains, build, lambda _: True, within, outcomes.put)
    return outcomes


def statuses(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, list[int]]:
    return {key: [each.status for each in found if isinstance(each, Reply)] for key, found in outcomes.items()}


def test_the_items_of_a_chain_follow_each_other_until_one_fails(serve: Serve, sender: WebhookSender) -> None:
    def script(conversation: Conversation) -> None:
        head = conversation.read()
        conversation.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if b"/bad" in head else OK)

    server = serve(script)
    chains = {"good": ["a1", "a2"], "bad": ["b1", "bad", "b3"]}
    found = send(sender, chains, lambda item: post_to(f"{server.origin}/{item}")).get(timeout=SAFETY_SECONDS)
    assert statuses(found) == {"good": [200, 200], "bad": [200, 500]}
    paths = [urlsplit(head.split()[1].decode()).path for head in server.requests]
    assert [each for each in paths if each in {"/b1", "/bad"}] == ["/b1", "/bad"]
    assert sorted(paths) == ["/a1", "/a2", "/b1", "/bad"]


def test_a_receiver_has_only_a_few_requests_at_the_same_time_and_occupies_no_thread_of_the_caller(
    serve: Serve, sender: WebhookSender
) -> None:
    open_now, most, lock, release = [0], [0], threading.Lock(), threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read()
        with lock:
            open_now[0] += 1
            most[0] = max(most[0], open_now[0])
            if open_now[0] == AT_ONCE:
                release.set()
        release.wait(SAFETY_SECONDS)
        with lock:
            open_now[0] -= 1
        conversation.send(OK)

    server = serve(script)
    slow = send(sender, {str(number): ["x"] for number in range(3 * AT_ONCE)}, lambda _: post_to(server.origin))
    found = slow.get(timeout=SAFETY_SECONDS)
    assert statuses(found) == {str(number): [200] for number in range(3 * AT_ONCE)}
    assert most[0] == AT_ONCE


def test_no_request_begins_when_the_time_is_over_or_the_outcomes_say_so(serve: Serve, sender: WebhookSender) -> None:
    server = serve(answering(OK))
    build = partial(lambda _item: post_to(server.origin))
    assert send(sender, {"a": ["x"]}, build, within=0).get(timeout=SAFETY_SECONDS) == {"a": []}
    outcomes: SimpleQueue[Any] = SimpleQueue()
    sender.send({"a": ["x", "y"]}, build, lambda so_far: not list(so_far), SAFETY_SECONDS, outcomes.put)
    assert statuses(outcomes.get(timeout=SAFETY_SECONDS)) == {"a": [200]}


def test_a_stopping_process_finishes_the_requests_under_way_and_begins_no_other(serve: Serve) -> None:
    arrived, release = threading.Event(), threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read()
        arrived.set()
        release.wait(SAFETY_SECONDS)
        conversation.send(OK)

    server = serve(script)
    stopping = WebhookSender(lambda _url: "", private_hosts=("127.0.0.1",), seconds=SAFETY_SECONDS)
    outcomes = send(stopping, {"a": ["x", "y"]}, lambda _: post_to(server.origin))
    assert arrived.wait(SAFETY_SECONDS)
    closer = threading.Thread(target=stopping.close)
    closer.start()
    assert stopping.stopping.wait(SAFETY_SECONDS)
    release.set()
    closer.join()
    assert statuses(outcomes.get(timeout=SAFETY_SECONDS)) == {"a": [200]}


def test_a_url_that_cannot_be_called_fails_alone_in_its_batch(serve: Serve, sender: WebhookSender) -> None:
    server = serve(answering(OK))
    urls = {"x": "https://010.8.8.8/", "y": server.origin}
    found = send(sender, {"a": ["x"], "b": ["y"]}, lambda item: post_to(urls[item]))
    outcomes = found.get(timeout=SAFETY_SECONDS)
    assert [str(each) for each in outcomes["a"]] == ["no connection (InvalidURL)"]
    assert statuses(outcomes)["b"] == [200]


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_a_new_secret_is_usable_and_another_one_each_time() -> None:
    assert check_secret(new_secret()) != check_secret(new_secret())


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_MfKQ", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "%" * 40, "whsec_" + "A" * 100],
)
def test_another_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="a secret is whsec_ and 24 to 64 bytes in base64") as raised:
        check_secret(secret)
    assert not secret or secret == "whsec_" or secret not in str(raised.value)
