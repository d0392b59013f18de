import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.edge.edge import Edge
from tests.edge.misbehaving import Misbehaving, Script
from worker.sandbox import server


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[str]:
    ready = server()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=ready.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready.should_exit = True
        thread.join()


@pytest.fixture
def sandbox(_sandbox: str) -> str:
    """Give the address of a real server of the sandbox that remembers nothing."""
    httpx.post(f"{_sandbox}/sandbox/reset")
    return _sandbox


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Misbehaving]]:
    servers: list[Misbehaving] = []

    def make(script: Script) -> Misbehaving:
        servers.append(Misbehaving(script))
        return servers[-1]

    yield make
    for each in servers:
        each.close()


@pytest.fixture
def make_edge(sqlite_url: str) -> Iterator[Callable[..., Edge]]:
    made: list[Edge] = []

    def make(database_url: str = sqlite_url, **environment: str) -> Edge:
        made.append(Edge(database_url, **environment))
        return made[-1]

    yield make
    for edge in made:
        edge.close()


@pytest.fixture
def edge(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge()
