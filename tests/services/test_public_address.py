"""The proof that the public address reaches our own web process, and what is wrong if it does not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from structlog.testing import capture_logs

from tests.http.misbehaving import Conversation, Misbehaving, Script
from tests.tls import CERTIFICATE, tls_in_front_of
from tests.web.edge import Edge
from worker.database import leases
from worker.database.database import Database
from worker.errors import SettingsError
from worker.local.supervisor import free_port

Serve = Callable[[Script], Misbehaving]
NUMBER = "0" * 32


@contextmanager
def serving(edge: Edge) -> Iterator[str]:
    """Serve the web app of an edge; yield its address."""
    server = uvicorn.Server(uvicorn.Config(edge.web, port=0, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def fault_of(edge: Edge, url: str, **settings: str) -> str:
    """Return what is wrong with a public address; empty if it is proven."""
    checking = Edge(edge.container.settings.database_url, PUBLIC_URL=url, **settings)
    try:
        checking.container.public_address.prove()
    except SettingsError as error:
        return str(error)
    finally:
        checking.container.gateway.close()
        checking.close()
    return ""


def test_a_public_address_that_reaches_our_web_process_is_proven_and_leaves_nothing_behind(edge: Edge) -> None:
    with serving(edge) as url:
        assert fault_of(edge, url) == ""
    assert edge.stored() == []
    assert edge.container.database.read(leases.find_all, "") == {}


def test_a_web_process_with_another_database_proves_nothing(edge: Edge, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(Path(edge.container.settings.database_url.removeprefix("sqlite:///")).read_bytes())
    with serving(edge) as url:
        stranger = Edge(f"sqlite:///{other}")
        fault = fault_of(stranger, url)
        stranger.close()
    assert (
        fault
        == f"{url} reaches an Order Sync with another database: compare ORDER_SYNC_DATABASE_URL of the web process"
    )


def test_a_web_process_without_its_database_is_reported(edge: Edge, tmp_path: Path) -> None:
    working = edge.container.database
    with closing(Database(f"sqlite:///{tmp_path}/empty.db")) as empty:
        edge.rebuild(database=empty, public_address=replace(edge.container.public_address, database=empty))
        with serving(edge) as public:
            fault = fault_of(edge, public)
        edge.rebuild(database=working)
    assert fault == (
        f"{public} reaches a web process whose database does not answer: look at its log and ORDER_SYNC_DATABASE_URL"
    )


def test_a_proxy_that_keeps_its_own_path_is_reported(edge: Edge) -> None:
    with serving(edge) as url:
        fault = fault_of(edge, f"{url}/sync")
    assert fault == (
        f"{url}/sync reaches the web process under another path: the proxy must remove the part before /callbacks"
    )


def test_a_certificate_that_nobody_trusts_is_reported(edge: Edge) -> None:
    with serving(edge) as url, tls_in_front_of("127.0.0.1", int(url.rpartition(":")[2])) as port:
        public = f"https://localhost:{port}"
        fault, trusted = fault_of(edge, public), fault_of(edge, public, CA_BUNDLE=str(CERTIFICATE))
    assert fault.startswith(
        f"{public} has a fault in TLS, so carriers will not call it (not sent: ConnectError in TLS: "
    )
    assert trusted == ""


def test_an_address_at_which_nothing_answers_is_reported(edge: Edge) -> None:
    public = f"http://127.0.0.1:{free_port()}"
    assert fault_of(edge, public) == (
        f"nothing answers at {public} (not sent: ConnectError): "
        "start the web process and its proxy, and look at the DNS"
    )


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        ("502 Bad Gateway", "reaches a proxy, which answers 502: start the web process; "),
        ("401 Unauthorized", "answers 401: carriers have no password for the proxy; "),
        ("301 Moved", "answers with a redirect (301), which carriers may not follow; "),
        ("404 Not Found", "is answered by another server (404): correct ORDER_SYNC_PUBLIC_URL or, at the proxy, "),
        ("200 OK", "is answered by another server (200): correct ORDER_SYNC_PUBLIC_URL or, at the proxy, "),
    ],
)
def test_an_answer_that_our_web_process_did_not_sign_is_explained(
    edge: Edge, serve: Serve, head: str, fault: str
) -> None:
    def answer(client: Conversation) -> None:
        client.read()
        client.send(f"HTTP/1.1 {head}\r\nContent-Length: 2\r\n\r\nok".encode())

    public = f"http://127.0.0.1:{serve(answer).port}"
    expected = f"{public} {fault}it must forward POST requests below /callbacks to ORDER_SYNC_WEB_ADDRESS"
    assert fault_of(edge, public) == expected


@pytest.mark.parametrize("number", [NUMBER, "x", "%00"])
def test_a_number_that_was_not_sent_is_not_signed_but_logged_and_counted(edge: Edge, number: str) -> None:
    with capture_logs() as logged:
        assert edge.ask("POST", f"/callbacks/_check/{number}") == (404, "no such check")
    assert [each["event"] for each in logged] == ["callback.refused"]
    assert 'order_sync_callbacks_total{answer="404",carrier="unknown"} 1.0' in edge.ask("GET", "/metrics")[1]


def test_a_number_is_signed_for_half_a_minute(make_edge: Callable[..., Edge]) -> None:
    edge = make_edge()
    address, now = edge.container.public_address, edge.container.clock()
    edge.container.database.write(leases.take, f"check.{NUMBER}", "secret", now - timedelta(seconds=31), 30.0)
    assert address.answer(NUMBER) is None
    edge.container.database.write(leases.take, f"check.{NUMBER}", "secret", now, 30.0)
    assert address.answer(NUMBER) is not None


@pytest.mark.parametrize("url", ["https://user:secret@shop.example", "https://shop.example/?key=secret"])
def test_a_public_address_has_no_secrets(make_edge: Callable[..., Edge], url: str) -> None:
    with pytest.raises(SettingsError, match="public_url: must have neither credentials nor a query"):
        make_edge(PUBLIC_URL=url)
