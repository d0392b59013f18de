"""The proxy disturbs as its modes say; otherwise a run would prove nothing."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.chaos.proxy import Link, Mode, Network

PATIENCE = 60
"""Seconds after which a reply counts as never sent, however loaded the machine is."""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(100):
        writer.write(chunk)
    writer.close()


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(seed=1) as made:
        yield made


@pytest.fixture
def link(network: Network) -> Iterator[Link]:
    server = network.run(asyncio.start_server(echo, "127.0.0.1", 0))
    yield network.link(server.sockets[0].getsockname()[1])
    network.run(close(server))


async def close(server: asyncio.Server) -> None:
    server.close()


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=PATIENCE)


def exchange(connection: socket.socket, text: bytes = b"hello") -> bytes:
    """Send a text and return the reply; nothing where the connection is reset."""
    try:
        connection.sendall(text)
    except ConnectionError:
        return b""
    return receive(connection)


def receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionError:
        return b""


def turn(network: Network, link: Link, mode: Mode) -> None:
    """Change the mode of a link and wait until it has changed."""

    async def go() -> None:
        link.turn(mode)

    network.run(go())


def test_a_whole_link_passes_everything(link: Link) -> None:
    with connect(link) as connection:
        assert exchange(connection) == b"hello"


def test_a_slow_link_passes_everything(network: Network, link: Link) -> None:
    turn(network, link, Mode.SLOW)
    with connect(link) as connection:
        assert exchange(connection) == b"hello"


def test_a_refusing_link_resets_open_and_new_connections(network: Network, link: Link) -> None:
    with connect(link) as before:
        assert exchange(before) == b"hello"
        turn(network, link, Mode.REFUSE)
        assert exchange(before) == b""
        with connect(link) as after:
            assert exchange(after) == b""


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.MUTE])
def test_what_a_link_has_lost_never_arrives_late(network: Network, link: Link, mode: Mode) -> None:
    with connect(link) as connection:
        assert exchange(connection) == b"hello"
        turn(network, link, mode)
        connection.sendall(b"lost")
        network.run(until_lost(link))
        turn(network, link, Mode.PASS)
        assert exchange(connection) == b""


async def until_lost(link: Link) -> None:
    """Wait until the link has lost something."""
    while not link.has_lost:  # noqa: ASYNC110 - a link has no event for its losses
        await asyncio.sleep(0)


def test_a_silenced_link_lets_only_new_connections_through(network: Network, link: Link) -> None:
    with connect(link) as before:
        assert exchange(before) == b"hello"
        network.silence(link)
        before.sendall(b"lost")
        with connect(link) as after:
            assert exchange(after) == b"hello"
        turn(network, link, Mode.PASS)
        assert receive(before) == b""


def test_a_link_that_is_cut_accepts_new_connections(network: Network, link: Link) -> None:
    with connect(link) as before:
        assert exchange(before) == b"hello"
        network.cut(link)
        assert receive(before) == b""
    with connect(link) as after:
        assert exchange(after) == b"hello"


# --- lost answers to a COMMIT ---

SELECTED = b"C\x00\x00\x00\x0dSELECT 1\x00"
COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
ROLLED_BACK = b"C\x00\x00\x00\x0dROLLBACK\x00"
IDLE = b"Z\x00\x00\x00\x05I"


@pytest.fixture
def unconfirming(network: Network) -> Iterator[Link]:
    server = network.run(asyncio.start_server(echo, "127.0.0.1", 0))
    link = network.link(server.sockets[0].getsockname()[1], unconfirmed=1.0)
    turn(network, link, Mode.UNCONFIRMED)
    yield link
    network.run(close(server))


@pytest.mark.parametrize(
    "reply",
    [SELECTED + IDLE, ROLLED_BACK + IDLE, b"COMMIT\x00", COMMITTED[:-1]],
    ids=["row", "rollback", "text", "part"],
)
def test_an_unconfirming_link_passes_everything_but_the_answer_to_a_commit(unconfirming: Link, reply: bytes) -> None:
    with connect(unconfirming) as connection:
        assert exchange(connection, reply) == reply


@pytest.mark.parametrize("at", [0, 1, 6, len(COMMITTED) - 1])
def test_the_answer_to_a_commit_is_lost_however_it_is_cut(unconfirming: Link, at: int) -> None:
    with connect(unconfirming) as connection:
        if at:
            assert exchange(connection, COMMITTED[:at]) == COMMITTED[:at]
        assert exchange(connection, COMMITTED[at:] + IDLE) == b""


def test_a_commit_without_an_answer_has_happened(network: Network, postgres_server: str) -> None:
    link = network.link(address(postgres_server), unconfirmed=1.0)
    through = make_conninfo(postgres_server, host="127.0.0.1", port=link.port)
    with closing(psycopg.connect(through)) as cut, psycopg.connect(postgres_server) as other:
        number = cut.execute("SELECT pg_current_xact_id()::text").fetchone()
        turn(network, link, Mode.UNCONFIRMED)
        with pytest.raises(psycopg.OperationalError):
            cut.commit()
        assert other.execute("SELECT pg_xact_status(%s::xid8)", number).fetchone() == ("committed",)


def address(url: str) -> int | Path:
    """Return where a server listens: its port on this machine, or its Unix socket."""
    parts = conninfo_to_dict(url)
    host, port = str(parts.get("host", "")), int(parts.get("port") or 5432)
    return Path(host) / f".s.PGSQL.{port}" if host.startswith("/") else port
