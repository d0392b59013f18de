"""The latency of a system with nothing else to do: from an order's message to the arrival of its create.

**Order Sync**: from the XADD of `order.placed` to the arrival of the create at the carrier; in between are the inbox,
the intent and the call journal. **Bare Celery**: from `apply_async` to the arrival of the same create, with nothing in
between. Both run at the same time on the same Redis. Their orders alternate, each after a random pause.
"""

import random
import time
from collections.abc import Mapping

from benchmarks import plain_celery
from benchmarks.programs import OrderSync, PlainCelery, message, order, running
from benchmarks.report import Options, Report, percentile
from benchmarks.services import Services, services, wait_until

ORDERS = 200
WARM_UP = 20
PAUSE = (0.15, 0.25)
"""The shortest and the longest pause between two orders, in seconds. In between, the order before is done."""
GOALS = {"p50": 3.0, "p99": 5.0}
"""The highest ratios of Order Sync to bare Celery."""
BARE = 500_000
"""The number of the first order of bare Celery."""
Sent = dict[str, float]
"""When each order was sent, by the monotonic clock."""


def run(report: Report, options: Options) -> bool:
    """Measure the latencies and their ratios."""
    orders = options.orders or ORDERS * (5 if options.long else 1)
    with services() as found, running(found, OrderSync(found, workers=1), PlainCelery(found, workers=1)):
        _place_alternately(found, range(WARM_UP))
        ours, bare = _place_alternately(found, range(WARM_UP, WARM_UP + orders))
        wait_until(lambda: len(found.created()) >= 2 * (WARM_UP + orders), "every order arrives", seconds=30)
        arrived = {entry["detail"]["order_id"]: entry["arrived"] for entry in found.created()}
    for measure, goal in GOALS.items():
        floor = report.add("latency", "bare Celery", measure, "ms", [_percentile(bare, arrived, measure)])
        value = report.add("latency", "Order Sync", measure, "ms", [_percentile(ours, arrived, measure)])
        report.add("latency", "Order Sync", f"{measure} to bare Celery", "x", [value / floor], goal=goal)
    return True


def _place_alternately(found: Services, numbers: range) -> tuple[Sent, Sent]:
    """Place the orders with these numbers in Order Sync and, with higher numbers, in bare Celery."""
    pauses, ours, bare = random.Random(numbers.start), Sent(), Sent()
    with plain_celery.app.connection_for_write(found.redis_url) as connection, connection.Producer() as producer:
        for number in numbers:
            document = message(number)
            time.sleep(pauses.uniform(*PAUSE))
            ours[order(number)["order_id"]] = time.monotonic()
            found.redis.xadd("orders", {"event": document})
            task = order(BARE + number)
            time.sleep(pauses.uniform(*PAUSE))
            bare[task["order_id"]] = time.monotonic()
            plain_celery.post.apply_async((task,), producer=producer)
    return ours, bare


def _percentile(sent: Sent, arrived: Mapping[str, float], measure: str) -> float:
    """Return a percentile such as `p99` of the milliseconds from the messages to their creates."""
    return percentile([1000 * (arrived[key] - at) for key, at in sent.items()], int(measure[1:]) / 100)
