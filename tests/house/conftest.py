"""The files of the repository, and a Redis for these tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from worker.local.supervisor import Supervisor, start_redis

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tracked(root: Path) -> list[Path]:
    """Return every file of the repository, also those that are not committed yet."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=root, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [root / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("redis")
    with Supervisor({}, folder / "log") as supervisor:
        yield start_redis(supervisor, folder)


@pytest.fixture
def own_redis(redis_server: str) -> str:
    """Return the address of an empty Redis."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server
