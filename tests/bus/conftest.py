import pytest
import redis

from worker.bus.streams import Bus


@pytest.fixture
def made(client: redis.Redis, prefix: str) -> Bus:
    return Bus(client, orders=f"{prefix}orders", events=f"{prefix}events")
