from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sandbox.client import SandboxClient


@pytest.fixture
def make_client() -> Iterator[Callable[..., SandboxClient]]:
    made: list[SandboxClient] = []

    def make(**settings: Any) -> SandboxClient:
        made.append(SandboxClient(**settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., SandboxClient]) -> SandboxClient:
    return make_client()
