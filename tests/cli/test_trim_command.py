"""`order-sync trim`, with a real Redis."""

from collections.abc import Callable
from typing import Any

import redis

from tests.cli.commands import CommandLine
from worker.bus.port import GROUP


def test_acknowledged_orders_are_removed_and_reported(
    command_line: CommandLine, orders_on_bus: Callable[[], list[Any]], redis_url: str, prefix: str
) -> None:
    command_line.set(EVENTS_KEEP="0")
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create(f"{prefix}orders", GROUP, id="0", mkstream=True)
        ids = [client.xadd(f"{prefix}orders", {"event": "{}"}) for _ in range(300)]
        client.xreadgroup(GROUP, "reader", {f"{prefix}orders": ">"}, count=300)
        client.xack(f"{prefix}orders", GROUP, *ids)
    result = command_line("trim")
    removed = 300 - len(orders_on_bus())
    assert (result.code, result.lines) == (0, [f"{prefix}deliveries: 0 removed", f"{prefix}orders: {removed} removed"])
    assert removed >= 200


def test_without_redis_the_error_is_one_line(command_line: CommandLine) -> None:
    result = command_line("trim")
    assert (result.code, result.lines, len(result.err.splitlines())) == (1, [], 1)
