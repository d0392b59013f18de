"""One HTTP server of the sandbox for the whole run."""

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

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
    """Give the address of the sandbox's server, which starts each test without orders or faults."""
    httpx.post(f"{_sandbox}/sandbox/reset")
    return _sandbox
