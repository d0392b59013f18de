import pytest
import redis

from worker.bus.streams import Bus


@pytest.fixture
def bus(client: redis.Redis, prefix: str) -> Bus:
    return Bus(client, orders=f"{prefix}orders", events=f"{prefix}events")
