import gzip
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http import misbehaving
from tests.http.misbehaving import OK, Conversation, Misbehaving, Script, answering
from worker.errors import Postponed, Unavailable, Uncertain
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Outcome, Reply
from worker.http.gateway import Gateway

Serve = Callable[[Script], Misbehaving]
Open = Callable[..., Gateway]
HARMLESS = (Operation.READ, Operation.FIND, Operation.PROBE)
HARMFUL = (Operation.CREATE, Operation.CONFIRM, Operation.CANCEL)
LIMIT = 100
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT, LONG = 0.3, 10.0
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MISBEHAVIOURS: dict[str, tuple[Script, float]] = {
    "closes before reading": (misbehaving.closing_before_reading, LONG),
    "closes after reading": (misbehaving.closing_after_reading, LONG),
    "garbage status line": (misbehaving.closing_after(b"<html>Bad gateway</html>\r\n\r\n"), LONG),
    "header without an end": (misbehaving.closing_after(b"HTTP/1.1 200 OK\r\nContent-Le"), LONG),
    "truncated body": (misbehaving.closing_after(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"), LONG),
    "broken chunk": (misbehaving.closing_after(CHUNKED + b"zz\r\n"), LONG),
    "last chunk missing": (misbehaving.closing_after(CHUNKED + b"2\r\nok\r\n"), LONG),
    "body over the limit": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101), LONG),
    "silence": (misbehaving.hanging, SHORT),
    "silence after the headers": (misbehaving.hanging_after(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"), SHORT),
    "a byte at a time": (misbehaving.dripping, SHORT),
}


def account(origin: str, **settings: Any) -> ApiAccount:
    return ApiAccount(name="x", kind="x", base_url=origin, **{"deadline": LONG, **settings})


def call(operation: Operation, path: str = "/orders", **fields: Any) -> Call:
    return Call(operation, "GET" if operation in HARMLESS else "POST", path, **fields)


def never(_account: str, _rate: str, _operation: Operation, _wanted: int) -> tuple[int, float]:
    raise AssertionError("this account has no rate limit")


@pytest.fixture
def open_gateway(serve: Serve) -> Iterator[Open]:  # noqa: ARG001 - the servers outlive the kept connections
    gateways: list[Gateway] = []

    def make(origin: str, acquire: Any = never, now: Any = lambda: NOON, **settings: Any) -> Gateway:
        gateways.append(Gateway({"x": account(origin, **settings)}, acquire, now))
        return gateways[-1]

    yield make
    for gateway in gateways:
        gateway.close()


def outcome_of(gateway: Gateway, sent: Call) -> Outcome:
    return outcomes_of(gateway, {"key": sent})["key"]


def outcomes_of(gateway: Gateway, calls: Mapping[str, Call], until: datetime | None = None) -> dict[str, Outcome]:
    return {
        key: outcome
        for group in gateway.send("x", calls, max_body=LIMIT, until=until)
        for key, outcome in group.items()
    }


def described(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    return {key: type(outcome).__name__ for key, outcome in outcomes.items()}


# --- what may have happened ---


@pytest.mark.fault("F-27", "F-31")
@pytest.mark.quirk("X-09")
@pytest.mark.parametrize("how", MISBEHAVIOURS)
def test_a_call_that_left_without_a_reply_is_uncertain_only_if_it_changes_something(
    how: str, serve: Serve, open_gateway: Open
) -> None:
    script, seconds = MISBEHAVIOURS[how]
    server = serve(script)
    calls = {operation.value: call(operation) for operation in Operation}
    assert described(outcomes_of(open_gateway(server.origin, deadline=seconds), calls)) == {
        "amend": "Uncertain",
        "query": "Unavailable",
        "cancel": "Uncertain",
        "confirm": "Uncertain",
        "create": "Uncertain",
        "find": "Unavailable",
        "probe": "Unavailable",
        "read": "Unavailable",
    }
    assert server.connections == 8


@pytest.mark.quirk("C-45")
def test_a_cancel_by_get_is_sent_exactly_once_when_the_server_hangs_up(serve: Serve, open_gateway: Open) -> None:
    server = serve(misbehaving.closing_after_reading)
    outcome = outcome_of(open_gateway(server.origin), Call(Operation.CANCEL, "GET", "/cancel", query=(("id", "7"),)))
    lines = [request.split(b"\r\n")[0] for request in server.requests]
    assert (type(outcome), lines) == (Uncertain, [b"GET /cancel?id=7 HTTP/1.1"])


def test_a_failure_says_what_went_wrong(serve: Serve, open_gateway: Open) -> None:
    server = serve(misbehaving.hanging)
    gateway = open_gateway(server.origin, deadline=SHORT)
    texts = [str(outcome_of(gateway, call(operation))) for operation in (Operation.CREATE, Operation.READ)]
    assert texts == ["no answer within the deadline"] * 2


def test_a_caller_may_set_a_shorter_deadline_than_the_account(serve: Serve, open_gateway: Open) -> None:
    server = serve(misbehaving.hanging)
    with pytest.raises(Unavailable, match="no answer within the deadline"):
        open_gateway(server.origin, deadline=LONG * 10).send_one("x", call(Operation.QUERY), within=SHORT)


# --- what certainly did not ---


@pytest.mark.fault("F-26")
@pytest.mark.parametrize("operation", Operation)
def test_a_refused_connection_changed_nothing(operation: Operation, open_gateway: Open) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gateway = open_gateway(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert str(outcome_of(gateway, call(operation))) == "not sent: ConnectError"


@pytest.mark.fault("F-26")
@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid"])
def test_an_unknown_host_changed_nothing(host: str, open_gateway: Open) -> None:
    gateway = open_gateway(f"https://{host}", connect_timeout=2, deadline=3)
    assert type(outcome_of(gateway, call(Operation.CREATE))) is Unavailable


@pytest.mark.fault("F-26")
@pytest.mark.quirk("X-09")
def test_nothing_is_sent_to_a_server_without_tls(serve: Serve, open_gateway: Open) -> None:
    server = serve(misbehaving.closing_before_reading)
    gateway = open_gateway(f"https://127.0.0.1:{server.port}")
    assert str(outcome_of(gateway, call(Operation.CREATE))) == "not sent: ConnectError"


@pytest.mark.fault("F-26")
@pytest.mark.quirk("X-09")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses or accepts")
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"connect_timeout": 0.1, "deadline": LONG}, "not sent: ConnectTimeout"),
        ({"connect_timeout": 5, "deadline": 0.1}, "no answer within the deadline"),
    ],
)
def test_a_connection_that_was_never_established_changed_nothing(
    settings: dict[str, float], text: str, full: str, open_gateway: Open
) -> None:
    outcome = outcome_of(open_gateway(full, **settings), call(Operation.CREATE))
    assert (type(outcome), str(outcome)) == (Unavailable, text)


@pytest.mark.fault("F-50")
@pytest.mark.parametrize("value", ["x\r\nHost: evil.example", "a\nb", "tail\n", "null\0", "São Paulo", "\ud800"])
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.READ])
def test_a_header_that_cannot_be_sent_is_not_sent(
    operation: Operation, value: str, serve: Serve, open_gateway: Open
) -> None:
    server = serve(answering(OK))
    outcome = outcome_of(open_gateway(server.origin), call(operation, headers=(("Authorization", value),)))
    assert (type(outcome), server.requests) == (Unavailable, [])


@pytest.mark.fault("F-08")
@pytest.mark.parametrize(("left", "outcome"), [(0, Reply), (-1, Postponed)])
def test_a_call_that_cannot_leave_in_time_is_not_sent(
    left: int, outcome: type, serve: Serve, open_gateway: Open
) -> None:
    server = serve(answering(OK))
    gateway = open_gateway(server.origin)
    found = outcomes_of(gateway, {"key": call(Operation.CREATE)}, until=NOON + left * SECOND)
    assert (type(found["key"]), len(server.requests)) == (outcome, 1 + left)


@pytest.mark.fault("F-08")
def test_a_process_that_was_stopped_between_connecting_and_sending_does_not_send(
    serve: Serve, open_gateway: Open
) -> None:
    hung_up = threading.Event()

    def script(conversation: Conversation) -> None:
        if not conversation.read():
            hung_up.set()

    gateway = open_gateway(serve(script).origin, now=lambda: NOON + SECOND)
    found = outcomes_of(gateway, {"key": call(Operation.CREATE)}, until=NOON)
    assert str(found["key"]) == "the call could not start in time"
    assert hung_up.wait(misbehaving.SAFETY_SECONDS)


def test_the_wait_for_a_free_slot_counts(serve: Serve) -> None:
    server = serve(answering(OK))
    gateway = Gateway({"x": account(server.origin)}, never, lambda: NOON + len(server.requests) * SECOND, concurrency=1)
    outcomes = outcomes_of(gateway, {key: call(Operation.CREATE) for key in "abc"}, until=NOON)
    gateway.close()
    assert described(outcomes) == {"a": "Reply", "b": "Postponed", "c": "Postponed"}


@pytest.mark.fault("F-92")
def test_a_call_without_a_free_slot_is_given_up_in_time_while_the_others_still_run(serve: Serve) -> None:
    given_up = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read()
        given_up.wait(misbehaving.SAFETY_SECONDS)
        conversation.send(OK)

    server = serve(script)
    gateway = Gateway({"x": account(server.origin)}, never, lambda: NOON, concurrency=1)
    groups = gateway.send(
        "x", {key: call(Operation.CREATE) for key in "ab"}, max_body=LIMIT, until=NOON + SHORT * SECOND
    )
    first = next(groups)
    given_up.set()
    (second,) = groups
    gateway.close()
    assert (described(first), described(second)) == ({"b": "Postponed"}, {"a": "Reply"})


def test_a_read_may_leave_at_any_time(serve: Serve, open_gateway: Open) -> None:
    server = serve(answering(OK))
    assert isinstance(outcome_of(open_gateway(server.origin), call(Operation.READ)), Reply)


# --- the rate limit ---


def test_calls_beyond_the_rate_limit_are_not_sent(serve: Serve, open_gateway: Open) -> None:
    server, asked = serve(answering(OK)), []

    def acquire(*what: Any) -> tuple[int, float]:
        asked.append(what)
        return 1, 7.5

    gateway = open_gateway(server.origin, acquire, rate="2/second")
    outcomes = outcomes_of(gateway, {key: call(Operation.CREATE) for key in "abc"})
    assert asked == [("x", "2/second", Operation.CREATE, 3)]
    assert isinstance(outcomes.pop("a"), Reply)
    held = {key: (type(each), str(each), getattr(each, "retry_after", None)) for key, each in outcomes.items()}
    assert held == dict.fromkeys("bc", (Postponed, "the rate limit of this account is used up", 7.5))
    assert server.connections == 1


def test_without_calls_the_rate_limit_is_not_asked_and_no_group_comes(open_gateway: Open) -> None:
    assert list(open_gateway("https://x.example", rate="1/day").send("x", {}, max_body=LIMIT)) == []


# --- replies ---


@pytest.mark.fault("F-33")
@pytest.mark.quirk("C-01", "X-09")
@pytest.mark.parametrize("status", [200, 204, 302, 404, 503])
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.READ])
def test_every_status_is_a_reply_and_no_redirect_is_followed(
    operation: Operation, status: int, serve: Serve, open_gateway: Open
) -> None:
    elsewhere = serve(answering(OK))
    text = f"HTTP/1.1 {status} X\r\nLocation: {elsewhere.origin}/\r\nX-Upper: Y\r\nContent-Length: 0\r\n\r\n"
    server = serve(answering(text.encode()))
    headers = {"location": f"{elsewhere.origin}/", "x-upper": "Y", "content-length": "0"}
    assert open_gateway(server.origin).send_one("x", call(operation)) == Reply(status, b"", headers)
    assert (server.connections, elsewhere.connections) == (1, 0)


@pytest.mark.fault("F-32")
@pytest.mark.quirk("X-09")
def test_a_compressed_body_is_neither_requested_nor_unpacked(serve: Serve, open_gateway: Open) -> None:
    packed = gzip.compress(b"0" * 10_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    server = serve(answering(head.encode() + packed))
    assert open_gateway(server.origin).send_one("x", call(Operation.READ)).body == packed


@pytest.mark.quirk("D-62", "X-09")
def test_a_body_of_exactly_the_limit_is_read(serve: Serve, open_gateway: Open) -> None:
    body = b"x" * LIMIT
    server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + body))
    outcome = outcome_of(open_gateway(server.origin), call(Operation.CREATE))
    assert outcome == Reply(200, body, {"content-length": "100"})


@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.READ])
@pytest.mark.parametrize(
    ("response", "headers"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, {"content-length": "2"}),
        (b"HTTP/1.1 200 OK\r\n\r\nok", {}),
        (CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n", {"transfer-encoding": "chunked"}),
        (
            b"HTTP/1.1 200 OK\r\nVary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\nok",
            {"vary": "a, b", "content-length": "2"},
        ),
    ],
    ids=["after an informational response", "until the connection ends", "in chunks", "with a repeated header"],
)
def test_a_response_is_read_whatever_its_framing(
    response: bytes, headers: dict[str, str], operation: Operation, serve: Serve, open_gateway: Open
) -> None:
    server = serve(misbehaving.closing_after(response))
    assert open_gateway(server.origin).send_one("x", call(operation)) == Reply(200, b"ok", headers)


def test_a_response_that_comes_before_the_end_of_the_request_is_the_reply(serve: Serve, open_gateway: Open) -> None:
    refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"

    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(refusal)
        conversation.server.closing.wait(misbehaving.SAFETY_SECONDS)

    outcome = outcome_of(open_gateway(serve(script).origin), call(Operation.CREATE, body=b"x" * 20_000_000))
    assert outcome == Reply(413, b"", {"content-length": "0"})


def test_the_connection_of_a_create_ends_with_the_reply_even_if_the_server_keeps_it(
    serve: Serve, open_gateway: Open
) -> None:
    ended = threading.Event()

    def script(conversation: Conversation) -> None:
        misbehaving.hanging_after(OK)(conversation)
        ended.set()

    open_gateway(serve(script).origin).send_one("x", call(Operation.CREATE))
    assert ended.wait(misbehaving.SAFETY_SECONDS)


def test_a_server_that_sends_nothing_for_the_read_timeout_is_given_up(serve: Serve, open_gateway: Open) -> None:
    gateway = open_gateway(serve(misbehaving.hanging_after(CHUNKED)).origin, read_timeout=SHORT)
    assert str(outcome_of(gateway, call(Operation.CREATE))) == "the call failed: ReadTimeout"


def test_the_read_timeout_starts_again_with_each_part_of_the_response(serve: Serve, open_gateway: Open) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read()
        for part in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\n", b"o", b"k"):
            conversation.server.closing.wait(0.4)
            conversation.send(part)

    gateway = open_gateway(serve(script).origin, read_timeout=1.2)
    assert outcome_of(gateway, call(Operation.CREATE)) == Reply(200, b"ok", {"content-length": "2"})


def test_sending_one_call_raises_its_error(open_gateway: Open) -> None:
    def acquire(*_: Any) -> tuple[int, float]:
        return 0, 1.0

    with pytest.raises(Unavailable, match="used up"):
        open_gateway("https://x.example", acquire, rate="1/day").send_one("x", call(Operation.READ))


# --- what is sent ---


def test_a_create_is_sent_as_described_on_a_connection_that_is_closed(serve: Serve, open_gateway: Open) -> None:
    server = serve(answering(OK))
    sent = call(Operation.CREATE, query=(("a[]", "1"), ("a[]", "&=")), headers=(("X-Token", "t"),))
    open_gateway(server.origin).send_one("x", sent)
    assert server.requests == [
        f"POST /orders?a%5B%5D=1&a%5B%5D=%26%3D HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 0\r\n"
        "User-Agent: order-sync\r\nAccept-Encoding: identity\r\nConnection: close\r\nX-Token: t".encode()
    ]


def test_a_read_is_sent_as_described_on_a_connection_that_is_kept(serve: Serve, open_gateway: Open) -> None:
    server = serve(answering(OK))
    open_gateway(server.origin).send_one("x", call(Operation.READ))
    assert server.requests == [
        f"GET /orders HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "User-Agent: order-sync\r\nAccept-Encoding: identity".encode()
    ]


@pytest.mark.quirk("C-45", "X-09")
@pytest.mark.parametrize(
    ("operation", "connections"), [*((each, 3) for each in HARMFUL), *((each, 1) for each in HARMLESS)]
)
def test_only_harmless_calls_share_a_connection(
    operation: Operation, connections: int, serve: Serve, open_gateway: Open
) -> None:
    server = serve(answering(OK))
    gateway = open_gateway(server.origin)
    for _ in range(3):
        gateway.send_one("x", call(operation))
    assert (len(server.requests), server.connections) == (3, connections)


@pytest.mark.fault("F-33")
@pytest.mark.quirk("X-10")
@pytest.mark.parametrize("operation", [Operation.CANCEL, Operation.READ])
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("//evil.example/x", "//evil.example/x"),
        ("/@evil.example", "/%40evil.example"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/a/../../x", "/x"),
        ("/x HTTP/1.1\r\nHost: evil.example\r\n\r\n", "/x%20HTTP/1.1%0D%0AHost%3A%20evil.example%0D%0A%0D%0A"),
        ("/7?admin=1#top", "/7%3Fadmin%3D1%23top"),
        ("/São", "/S%C3%A3o"),
        ("/a%2Fb", "/a%2Fb"),
    ],
)
def test_no_path_leaves_the_account_s_origin(
    path: str, target: str, operation: Operation, serve: Serve, open_gateway: Open
) -> None:
    server = serve(answering(OK))
    open_gateway(server.origin).send_one("x", Call(operation, "GET", path))
    (request,) = server.requests
    assert request.decode().split("\r\n")[:2] == [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{server.port}"]


@pytest.mark.quirk("X-10")
@pytest.mark.parametrize("path", ["@evil.example/x", ".evil.example", ":80@evil.example", "http://evil.example/"])
@pytest.mark.parametrize("operation", [Operation.CANCEL, Operation.READ])
def test_an_invalid_path_is_not_sent_to_another_host(
    operation: Operation, path: str, serve: Serve, open_gateway: Open
) -> None:
    server = serve(answering(OK))
    outcome = outcome_of(open_gateway(server.origin), Call(operation, "GET", path))
    assert (type(outcome), server.connections) == (Unavailable, 0)


# --- many at once ---


def test_outcomes_that_are_ready_together_come_in_one_group(open_gateway: Open) -> None:
    gateway = open_gateway("https://x.example", lambda *_: (0, 1.0), rate="1/day")
    calls = {key: call(Operation.READ) for key in "abcde"}
    assert [sorted(group) for group in gateway.send("x", calls, max_body=LIMIT)] == [["a", "b", "c", "d", "e"]]


@pytest.mark.fault("F-39")
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.READ])
def test_a_slow_call_does_not_delay_the_others(operation: Operation, serve: Serve, open_gateway: Open) -> None:
    others_are_in = threading.Event()

    def script(conversation: Conversation) -> None:
        while request := conversation.read():
            if b"/slow" in request:
                others_are_in.wait(misbehaving.SAFETY_SECONDS)
            conversation.send(OK)

    gateway = open_gateway(serve(script).origin)
    groups = gateway.send("x", {path: call(operation, path) for path in ("/slow", "/1", "/2")}, max_body=LIMIT)
    early: dict[str, Outcome] = {}
    while len(early) < 2:
        early |= next(groups)
    others_are_in.set()
    (late,) = groups
    assert (described(early), described(late)) == ({"/1": "Reply", "/2": "Reply"}, {"/slow": "Reply"})


def test_reads_wait_for_a_free_connection_longer_than_for_a_new_one(serve: Serve, open_gateway: Open) -> None:
    def script(conversation: Conversation) -> None:
        while conversation.read():
            conversation.server.closing.wait(0.3)
            conversation.send(OK)

    gateway = open_gateway(serve(script).origin, connect_timeout=0.5)
    calls = {str(number): call(Operation.READ) for number in range(20)}
    assert described(outcomes_of(gateway, calls)) == dict.fromkeys(calls, "Reply")


def test_the_first_calls_may_come_from_many_threads(serve: Serve, open_gateway: Open) -> None:
    gateway = open_gateway(serve(answering(OK)).origin)
    start = threading.Barrier(8)

    def ask(_number: int) -> Reply:
        start.wait()
        return gateway.send_one("x", call(Operation.READ))

    with ThreadPoolExecutor(8) as threads:
        assert [reply.body for reply in threads.map(ask, range(8))] == [b"ok"] * 8


def test_closing_ends_the_thread_and_closing_again_does_nothing(serve: Serve, open_gateway: Open) -> None:
    gateway, before = open_gateway(serve(answering(OK)).origin), set(threading.enumerate())
    gateway.send_one("x", call(Operation.READ))
    (thread,) = (each for each in set(threading.enumerate()) - before if each.name == "gateway")
    gateway.close()
    gateway.close()
    assert not thread.is_alive()
