"""Host names: name servers that never answer, and hosts with several addresses of which some do not work."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.http.misbehaving import OK, SAFETY_SECONDS, Misbehaving, Script, answering
from worker.errors import Unavailable
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation, Outcome, Reply
from worker.http.gateway import Gateway

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SILENT, HEALTHY = "silent.example", "healthy.example"
CREATE, READ = Call(Operation.CREATE, "POST", "/orders"), Call(Operation.READ, "GET", "/orders")
MORE_THAN_ASYNCIO_HAS_THREADS = 40


class NameServers:
    """Look-ups of two hosts: one is answered at once, the other one when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.asked_in_vain, self.answer = threading.Event(), threading.Event()

    def look_up(self, host: str | bytes, port: int, **_options: int) -> list[tuple[Any, ...]]:
        name = host.decode() if isinstance(host, bytes) else host  # httpx's pool writes names as bytes
        self.asked.append(name)
        if name == SILENT:
            self.asked_in_vain.set()
            assert self.answer.wait(SAFETY_SECONDS)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@contextmanager
def two_hosts(servers: NameServers, port: int) -> Iterator[Gateway]:
    accounts = {
        name: ApiAccount(
            name=name, kind=name, allow_http=True, base_url=f"http://{name}:{port}", connect_timeout=timeout
        )
        for name, timeout in ((SILENT, 0.2), (HEALTHY, SAFETY_SECONDS / 2))
    }
    gateway = Gateway(accounts, lambda *_: (1, 0.0), lambda: NOON, look_up=servers.look_up)
    with closing(gateway):
        yield gateway


def send_all(gateway: Gateway, account: str, *calls: Call) -> list[Outcome]:
    groups = gateway.send(account, dict(enumerate(calls)), max_body=100)
    return [outcome for group in groups for outcome in group.values()]


@pytest.mark.fault("F-90")
def test_a_host_whose_name_servers_are_silent_delays_no_call_to_another_host(
    serve: Callable[[Script], Misbehaving],
) -> None:
    servers, server = NameServers(), serve(answering(OK))
    silent: list[Outcome] = []
    with two_hosts(servers, server.port) as gateway:
        calls = [CREATE, READ] * (MORE_THAN_ASYNCIO_HAS_THREADS // 2)
        waiting = threading.Thread(target=lambda: silent.extend(send_all(gateway, SILENT, *calls)))
        waiting.start()
        assert servers.asked_in_vain.wait(SAFETY_SECONDS)
        healthy = [gateway.send_one(HEALTHY, each).status for each in (CREATE, READ)]
        waiting.join()
        assert (healthy, len(server.requests)) == ([200, 200], 2)
        assert [(type(each), str(each)) for each in silent] == [(Unavailable, "not sent: ConnectTimeout")] * len(calls)
        servers.answer.set()


@pytest.mark.fault("F-90")
def test_look_ups_without_an_answer_do_not_accumulate_and_serve_the_calls_after_them(
    serve: Callable[[Script], Misbehaving],
) -> None:
    servers, server = NameServers(), serve(answering(OK))
    with two_hosts(servers, server.port) as gateway:
        for _ in range(3):
            send_all(gateway, SILENT, *[CREATE] * 10)
        assert servers.asked == [SILENT]
        servers.answer.set()
        assert [gateway.send_one(SILENT, each).status for each in (CREATE, CREATE, READ)] == [200] * 3


def test_a_name_that_does_not_exist_is_looked_up_again_for_the_next_call(
    serve: Callable[[Script], Misbehaving],
) -> None:
    class Recovering(NameServers):
        def look_up(self, host: str | bytes, port: int, **options: int) -> list[tuple[Any, ...]]:
            if not self.asked:
                self.asked.append(HEALTHY)
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return super().look_up(host, port, **options)

    servers, server = Recovering(), serve(answering(OK))
    with two_hosts(servers, server.port) as gateway:
        with pytest.raises(Unavailable, match="not sent: ConnectError"):
            gateway.send_one(HEALTHY, CREATE)
        assert gateway.send_one(HEALTHY, CREATE).status == 200


# --- hosts with several addresses ---


def address(origin: str) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", urlsplit(origin).port))


def address_of_ipv6(origin: str) -> tuple[Any, ...]:
    return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", urlsplit(origin).port, 0, 0))


@pytest.fixture
def refusing() -> Iterator[str]:
    """Give the origin of a port that refuses connections."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


def outcome_at(*addresses: tuple[Any, ...]) -> Outcome:
    """Return the outcome of a create at a host with these addresses."""
    account = ApiAccount(name="x", kind="x", allow_http=True, base_url="http://x.example", connect_timeout=1.5)
    with closing(
        Gateway({"x": account}, lambda *_: (1, 0.0), lambda: NOON, look_up=lambda *_, **__: [*addresses])
    ) as it:
        (outcome,) = send_all(it, "x", CREATE)
    return outcome


@pytest.mark.fault("F-26")
def test_a_create_reaches_a_host_at_the_one_of_its_addresses_that_answers(
    serve: Callable[[Script], Misbehaving], full: str, refusing: str
) -> None:
    server = serve(answering(OK))
    broken, working = [address(full), address(refusing)], address(server.origin)
    outcomes = [outcome_at(*broken, working), outcome_at(*reversed(broken), working), outcome_at(working, *broken)]
    assert (outcomes, len(server.requests), server.connections) == (
        [Reply(200, b"ok", {"content-length": "2"})] * 3,
        3,
        3,
    )


def test_many_silent_addresses_of_one_family_hardly_delay_those_of_the_other(
    serve: Callable[[Script], Misbehaving], full: str
) -> None:
    server = serve(answering(OK))
    outcome = outcome_at(*[address_of_ipv6(full)] * 20, address(server.origin))
    assert outcome == Reply(200, b"ok", {"content-length": "2"})


@pytest.mark.fault("F-26")
def test_nothing_is_sent_to_a_host_none_of_whose_addresses_answers(full: str, refusing: str) -> None:
    outcomes = [outcome_at(*[address(refusing)] * 2), outcome_at(address(refusing), address(full))]
    assert [(type(each), str(each)) for each in outcomes] == [
        (Unavailable, "not sent: ConnectError"),
        (Unavailable, "not sent: ConnectTimeout"),
    ]


ENDING = f"""
import threading
from worker.errors import Unavailable
from worker.http.account import ApiAccount
from worker.http.call import Call, Operation
from worker.http.gateway import Gateway
account = ApiAccount(name="x", kind="x", base_url="https://{SILENT}", connect_timeout=0.1)
never = lambda *_, **__: threading.Event().wait()
gateway = Gateway({{"x": account}}, lambda *_: (1, 0.0), lambda: None, look_up=never)
try:
    gateway.send_one("x", Call(Operation.CREATE, "POST", "/orders"))
except Unavailable as error:
    print(error)
gateway.close()
"""


@pytest.mark.fault("F-90")
def test_a_process_ends_although_a_look_up_never_does() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == ("not sent: ConnectTimeout\n", "")
