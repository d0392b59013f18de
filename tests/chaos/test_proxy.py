"""The proxy must hurt as it says: otherwise a run proves nothing."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Link, Mode, Network


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(100):
        writer.write(piece)
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
    return socket.create_connection(("127.0.0.1", link.port), timeout=10)


def said(connection: socket.socket, word: bytes = b"hello") -> bytes:
    """Say a word and hear what comes back; nothing where the connection is cut off."""
    try:
        connection.sendall(word)
    except ConnectionError:
        return b""
    return heard(connection)


def heard(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionError:
        return b""


def turn(network: Network, link: Link, mode: Mode) -> None:
    async def go() -> None:
        link.turn(mode)

    network.run(go())


def test_a_whole_link_passes_everything(link: Link) -> None:
    with connect(link) as connection:
        assert said(connection) == b"hello"


def test_a_slow_link_passes_everything(network: Network, link: Link) -> None:
    turn(network, link, Mode.SLOW)
    with connect(link) as connection:
        assert said(connection) == b"hello"


def test_a_refusing_link_cuts_off_who_is_there_and_who_comes(network: Network, link: Link) -> None:
    with connect(link) as before:
        assert said(before) == b"hello"
        turn(network, link, Mode.REFUSE)
        assert said(before) == b""
        with connect(link) as after:
            assert said(after) == b""


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.MUTE])
def test_what_a_link_has_lost_never_comes_late(network: Network, link: Link, mode: Mode) -> None:
    with connect(link) as connection:
        assert said(connection) == b"hello"
        turn(network, link, mode)
        connection.sendall(b"lost")
        network.run(lost(link))
        turn(network, link, Mode.PASS)
        assert said(connection) == b""


async def lost(link: Link) -> None:
    """Wait until the link has lost something."""
    while not any(link._open.values()):  # noqa: ASYNC110 - a link has no event for what it loses
        await asyncio.sleep(0)


def test_a_silenced_link_lets_only_new_connections_through(network: Network, link: Link) -> None:
    with connect(link) as before:
        assert said(before) == b"hello"
        network.silence(link)
        before.sendall(b"lost")
        with connect(link) as after:
            assert said(after) == b"hello"
        turn(network, link, Mode.PASS)
        assert heard(before) == b""


def test_a_link_that_is_cut_takes_new_connections(network: Network, link: Link) -> None:
    with connect(link) as before:
        assert said(before) == b"hello"
        network.cut(link)
        assert heard(before) == b""
    with connect(link) as after:
        assert said(after) == b"hello"
