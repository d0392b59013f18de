from collections.abc import Callable, Iterator

import pytest

from tests.edge.edge import Edge
from tests.edge.misbehaving import Misbehaving, Script


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Misbehaving]]:
    servers: list[Misbehaving] = []

    def make(script: Script) -> Misbehaving:
        servers.append(Misbehaving(script))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


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
